//! Calls: admitted and routed by the gateway, served by a provider with a script, left by clients at any step.
//! What a handler does between these steps, without its sockets.

use std::collections::VecDeque;
use std::sync::Arc;

use dialects::error::DialectError;
use domain::error::ErrorKind;
use domain::ids::RequestId;
use domain::provider::Operation;
use domain::routing::retry::{Left, Next};
use domain::usage::{Usage, UsageSource, UsageStatus};

use super::book::Whose;
use super::machine::FIRST_BYTE;
use super::setup::{MODELS, Model, TENANT, key_id, tariff};
use super::world::{Event, Mode, Plant, World};
use crate::Gateway;
use crate::error::Mend;
use crate::ledger::Note;
use crate::limits::Want;
use crate::pipeline::admit::{Written, decide};
use crate::pipeline::estimate::{self, Input};
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::phases::UNSTREAMED;
use crate::pipeline::route::{Candidate, Question};
use crate::pipeline::tries::Tries;
use crate::snapshot::{Key, Snapshot};
use crate::telemetry::trace::Trace;

/// What a provider does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Serves,
    /// The answer breaks off.
    Cuts,
    Refuses,
    Hangs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Uploading,
    /// The provider has it whole.
    Waiting,
    Streaming,
    /// It waits before the same provider is asked again.
    Resting,
}

/// A call that is admitted.
pub(super) struct Call {
    pub(super) machine: usize,
    pub(super) key: usize,
    request: RequestId,
    called: u64,
    snapshot: Arc<Snapshot>,
    operation: Operation,
    left: VecDeque<Candidate>,
    tries: Tries,
    candidate: Option<Candidate>,
    /// `None` only while it is being ended.
    pub(super) meter: Option<Meter>,
    note: Option<Note>,
    phase: Phase,
    step: u32,
    fate: Fate,
    /// The client sends while the provider reads: without the one the other gets no end.
    streams_up: bool,
    client_left: bool,
    sent: Usage,
    expected: Usage,
    out: u64,
    pieces: u64,
}

struct Asked;

impl Written for Asked {}

pub(super) fn facts(world: &World, machine: usize, request: RequestId, key: &Arc<Key>, model: &Model) -> CallFacts {
    CallFacts {
        request_id: request,
        started: world.mono(),
        started_at: world.wall(machine),
        key: Arc::clone(key),
        user_tag: None,
        tags: None,
        region: None,
        strategy: None,
        conversation: None,
        pinned: None,
        operation: model.operation,
        model_asked: model.name.to_owned(),
        trace: Trace::default(),
    }
}

pub(super) fn question<'a>(gateway: &'a Gateway, snapshot: &'a Snapshot, facts: &'a CallFacts) -> Question<'a> {
    Question {
        snapshot,
        health: &gateway.health,
        tenant: TENANT,
        operation: facts.operation,
        model: &facts.model_asked,
        pinned: None,
        region: None,
        strategy: None,
        conversation: None,
        at: facts.started_at,
        refuses_unpriced: facts.key.refuse_unpriced,
        handed: None,
    }
}

impl World {
    pub(super) fn fate(&mut self, candidate: &Candidate) -> Fate {
        let provider = usize::from(candidate.account.name.as_bytes()[8] - b'0');
        let fates = match self.modes[provider] {
            Mode::Well => [Fate::Serves; 4],
            Mode::Flaky => [Fate::Serves, Fate::Refuses, Fate::Cuts, Fate::Hangs],
            Mode::Down => [Fate::Refuses; 4],
            Mode::Hanging => [Fate::Hangs, Fate::Hangs, Fate::Hangs, Fate::Cuts],
        };
        self.rng.pick(&fates)
    }

    pub(super) fn call_arrives(&mut self, machine: usize) {
        let (id, request) = self.number();
        let (key, model) = (self.rng.below(self.policies.keys.len()), self.rng.pick(&MODELS[..4]));
        let Some(gateway) = self.machines[machine].serving() else {
            return self.say(|| format!("c{id} finds m{machine} closed"));
        };
        let snapshot = gateway.snapshot.load_full();
        let Some(policy) = snapshot.key_by_id(key_id(key)).cloned() else {
            return self.say(|| format!("c{id} m{machine} key{key} is revoked"));
        };
        let (size, most) = (self.rng.between(20, 2_000), self.rng.between(100, 4_000));
        let expected = match model.operation {
            Operation::Chat => estimate::json(model.operation, size, Some(most), 1),
            _ => estimate::speech(size),
        };
        let facts = facts(self, machine, request, &policy, &model);
        let decided =
            decide(&question(&gateway, &snapshot, &facts), &expected, |_| Ok::<_, DialectError>(Asked), &mut ());
        let (planned, cost) = match decided {
            Ok(decided) => decided,
            Err(error) => return self.say(|| format!("c{id} m{machine} {} is not routed: {error}", model.name)),
        };
        if let Err(error) = gateway.ledger.accepts() {
            return self.say(|| format!("c{id} m{machine} is refused by the journal: {error}"));
        }
        let want = Want { cost, session: false };
        let Some(permit) = self.admitted(machine, key, &policy, want, &format!("c{id} {}", model.name)) else { return };
        if self.rng.percent(3) {
            self.store.lock().unwrap().refuses.insert(request);
        }
        let call = Box::new(Call {
            machine,
            key,
            request,
            called: self.now,
            meter: Some(Meter::open(&gateway, facts, permit, None)),
            snapshot,
            operation: model.operation,
            left: planned.into_iter().map(|target| target.candidate).collect(),
            tries: Tries::default(),
            candidate: None,
            note: None,
            phase: Phase::Uploading,
            step: 0,
            fate: Fate::Serves,
            streams_up: self.rng.percent(50),
            client_left: false,
            sent: estimate::undelivered(&expected),
            expected,
            out: 0,
            pieces: 0,
        });
        if self.rng.percent(40) {
            self.later(6_000, Event::CallLeft(id));
        }
        self.next_target(id, call);
    }

    /// Asks the next target that may be asked, or ends the call.
    fn next_target(&mut self, id: u32, mut call: Box<Call>) {
        let gateway = self.machines[call.machine].serving().unwrap();
        while let Some(candidate) = call.left.pop_front() {
            if !gateway.health.may_ask(&candidate) {
                self.say(|| format!("c{id} passes {candidate:?} by"));
                continue;
            }
            return self.ask(id, call, candidate);
        }
        self.say(|| format!("c{id} has no target left"));
    }

    fn ask(&mut self, id: u32, mut call: Box<Call>, candidate: Candidate) {
        let gateway = self.machines[call.machine].serving().unwrap();
        let Some(meter) = &mut call.meter else { return };
        meter.attempt(&candidate);
        call.tries.called(&gateway.health, &candidate);
        let input = match call.operation {
            Operation::Chat => Input::estimated(call.sent),
            _ => Input { counted: Some(spoken(&call.sent)), estimated: call.sent },
        };
        call.note = Some(meter.dispatched(&call.snapshot, &candidate, &input));
        self.say(|| format!("c{id} asks {candidate:?}"));
        (call.candidate, call.phase) = (Some(candidate), Phase::Uploading);
        self.goes_on(id, call, 400);
    }

    /// A target has failed: the call goes on somewhere, or ends.
    fn failed(&mut self, id: u32, mut call: Box<Call>, candidate: &Candidate) {
        let gateway = self.machines[call.machine].serving().unwrap();
        let mend = if call.fate == Fate::Refuses { Mend::Refused(None) } else { Mend::Never };
        let left = Left { targets: call.left.len(), time: UNSTREAMED };
        match call.tries.next(&gateway.health, candidate, call.operation, mend, left) {
            Next::Another => {
                candidate.leave();
                self.next_target(id, call);
            }
            Next::SameAfter(wait) => {
                self.say(|| format!("c{id} comes back to {candidate:?} in {wait:?}"));
                call.phase = Phase::Resting;
                call.step += 1;
                self.after(u64::try_from(wait.as_millis()).unwrap(), Event::Call(id, call.step));
                self.calls.insert(id, call);
            }
            Next::GiveUp(why) => {
                candidate.leave();
                self.say(|| format!("c{id} gives up: {why:?}"));
            }
        }
    }

    fn goes_on(&mut self, id: u32, mut call: Box<Call>, within: u64) {
        call.step += 1;
        self.later(within, Event::Call(id, call.step));
        self.calls.insert(id, call);
    }

    pub(super) fn call_step(&mut self, id: u32, step: u32) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        if call.step != step {
            self.calls.insert(id, call);
            return;
        }
        match call.phase {
            Phase::Uploading => self.uploaded(id, call),
            Phase::Waiting => self.answered(id, call),
            Phase::Streaming => self.streamed(id, call),
            Phase::Resting => {
                if let Some(candidate) = call.candidate.take() {
                    self.ask(id, call, candidate);
                }
            }
        }
    }

    /// The last bytes of the request go out, or do not fit the socket yet.
    fn uploaded(&mut self, id: u32, mut call: Box<Call>) {
        let (Some(note), Some(candidate)) = (&call.note, call.candidate.clone()) else { return };
        note.write();
        if self.rng.percent(10) {
            note.undo();
            return self.goes_on(id, call, 100);
        }
        let sent = if call.operation == Operation::Chat { call.sent } else { spoken(&call.sent) };
        let bill = tariff(&candidate.target.model).bill(&sent);
        let process = self.machines[call.machine].process();
        let whose = Whose { key: call.key, process, called: call.called };
        self.book.noted((call.request, 0), whose, bill, self.now);
        (call.fate, call.phase) = (self.fate(&candidate), Phase::Waiting);
        self.say(|| format!("c{id} is with {candidate:?} whole, noted at {bill:?}"));
        match call.fate {
            Fate::Hangs => {
                call.step += 1;
                self.after(FIRST_BYTE, Event::Call(id, call.step));
                self.calls.insert(id, call);
            }
            _ => self.goes_on(id, call, 3_000),
        }
    }

    fn answered(&mut self, id: u32, mut call: Box<Call>) {
        let gateway = self.machines[call.machine].serving().unwrap();
        let (Some(meter), Some(candidate)) = (&mut call.meter, call.candidate.clone()) else { return };
        let fate = call.fate;
        if matches!(fate, Fate::Refuses | Fate::Hangs) {
            self.say(|| format!("c{id} {candidate:?} {fate:?}"));
            let kind = if fate == Fate::Hangs { ErrorKind::UpstreamTimeout } else { ErrorKind::UpstreamError };
            meter.failed(&candidate, kind);
            gateway.health.failed(&candidate, call.operation, meter.waited());
            self.book.withdrawn((call.request, 0));
            if call.client_left {
                return candidate.leave();
            }
            return self.failed(id, call, &candidate);
        }
        meter.served_by(&call.snapshot, &candidate);
        meter.first_byte();
        let usage = used(&call);
        if let Some(meter) = &mut call.meter {
            meter.set_usage(usage, UsageSource::Estimated);
        }
        call.pieces = self.rng.between(1, 6);
        call.phase = Phase::Streaming;
        self.say(|| format!("c{id} {candidate:?} answers"));
        self.goes_on(id, call, 500);
    }

    fn streamed(&mut self, id: u32, mut call: Box<Call>) {
        if call.pieces == 0 {
            return self.call_ends(id, call);
        }
        call.pieces -= 1;
        if call.operation == Operation::Chat {
            // Once in a while a provider makes more than it was allowed.
            let most = call.expected.text_tokens_out / if self.rng.percent(5) { 1 } else { 6 };
            call.out += self.rng.between(0, most);
        }
        let usage = used(&call);
        let again = self.rng.percent(20);
        if let Some(meter) = &mut call.meter {
            meter.set_usage(usage, UsageSource::Estimated);
            if again {
                meter.note_again();
                self.book.noted_again((call.request, 0), bill(&call));
            }
        }
        self.goes_on(id, call, 1_000);
    }

    /// The provider is done, or has broken off.
    fn call_ends(&mut self, id: u32, mut call: Box<Call>) {
        let Some(mut meter) = call.meter.take() else { return };
        let usage = used(&call);
        let status = match (call.fate, call.client_left) {
            (Fate::Cuts, _) => UsageStatus::UpstreamError,
            (_, true) => UsageStatus::ClientClosed,
            _ => UsageStatus::Ok,
        };
        if self.plant != Plant::WrongCost {
            meter.set_usage(usage, UsageSource::Reported);
        } else if call.operation == Operation::Chat {
            meter.set_usage(call.sent, UsageSource::Reported);
        }
        self.billed(id, &call, &meter);
        meter.finish(status);
    }

    fn billed(&mut self, id: u32, call: &Call, meter: &Meter) {
        let bill = bill(call);
        self.overrun += bill.map_or(0, |bill| (bill - meter.permit().reserved().0).max(0));
        self.book.billed((call.request, 0), bill, self.now);
        self.say(|| format!("c{id} is billed {bill:?}"));
    }

    /// The client hangs up.
    pub(super) fn call_left(&mut self, id: u32) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        self.say(|| format!("c{id} is left by its client while {:?}", call.phase));
        match call.phase {
            // No provider works on it.
            Phase::Resting => {}
            // Without its client the request never gets whole.
            Phase::Uploading if call.streams_up => {
                if self.plant == Plant::LeakedPermit {
                    std::mem::forget(call.meter.take());
                }
            }
            // The provider is at work: the rest goes on without the client.
            Phase::Uploading | Phase::Waiting => {
                call.client_left = true;
                self.calls.insert(id, call);
            }
            // Nobody waits for it any more.
            Phase::Streaming if call.client_left => {
                self.calls.insert(id, call);
            }
            Phase::Streaming => {
                let Some(meter) = call.meter.take() else { return };
                self.billed(id, &call, &meter);
                if self.plant == Plant::LostRecord {
                    meter.abandon();
                }
            }
        }
    }
}

/// What counts of speech.
fn spoken(sent: &Usage) -> Usage {
    Usage { characters: sent.characters, requests: 1, ..Usage::default() }
}

/// What the provider has counted until now.
fn used(call: &Call) -> Usage {
    match call.operation {
        Operation::Chat => Usage { text_tokens_out: call.out, ..call.sent },
        _ => spoken(&call.sent),
    }
}

fn bill(call: &Call) -> Option<i64> {
    let candidate = call.candidate.as_ref()?;
    tariff(&candidate.target.model).bill(&used(call))
}
