//! Realtime sessions: opened, billed turn by turn, ended by their client, their provider, their budget or a
//! revoked key.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::error::ErrorKind;
use domain::ids::{RequestId, SessionId};
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::usage::{Usage, UsageSource, UsageStatus};
use futures_util::FutureExt;

use super::book::Whose;
use super::calls::{Fate, facts, question};
use super::setup::{MODELS, key_id, tariff};
use super::world::{Event, World};
use crate::clock;
use crate::limits::Want;
use crate::pipeline::estimate;
use crate::pipeline::meter::{Meter, Part};
use crate::pipeline::route::{Candidate, route};
use crate::realtime::live::{Kind, Live};
use crate::realtime::registry::Entered;
use crate::snapshot::Snapshot;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Idle,
    /// The client has asked for a turn that the provider has not begun.
    Asked,
    Responding,
}

/// A session that is admitted.
pub(super) struct Session {
    pub(super) machine: usize,
    pub(super) key: usize,
    request: RequestId,
    called: u64,
    snapshot: Arc<Snapshot>,
    entered: Entered,
    pub(super) meter: Meter,
    left: VecDeque<Candidate>,
    candidate: Option<Candidate>,
    window: Option<NanoUsd>,
    phase: Phase,
    step: u32,
    turns: u64,
    pieces: u64,
    used: Usage,
    /// Turns that are or will be recorded.
    sequence: u32,
}

impl World {
    pub(super) fn session_opens(&mut self, machine: usize) {
        let (id, request) = self.number();
        let (key, model) = (self.rng.below(self.policies.keys.len()), MODELS[4]);
        let Some(gateway) = self.machines[machine].serving() else {
            return self.say(|| format!("s{id} finds m{machine} closed"));
        };
        let snapshot = gateway.snapshot.load_full();
        let Some(policy) = snapshot.key_by_id(key_id(key)).cloned() else {
            return self.say(|| format!("s{id} m{machine} key{key} is revoked"));
        };
        let facts = facts(self, machine, request, &policy, &model);
        let window = estimate::realtime_window();
        let asked = question(&gateway, &snapshot, &facts);
        let candidates = match route(&asked, &window, &mut ()) {
            Ok(candidates) => candidates,
            Err(error) => return self.say(|| format!("s{id} m{machine} is not routed: {error}")),
        };
        let window = candidates.iter().filter_map(|candidate| asked.price(candidate, &window)).max();
        if let Err(error) = gateway.ledger.accepts() {
            return self.say(|| format!("s{id} m{machine} is refused by the journal: {error}"));
        }
        let want = Want { cost: window, session: true };
        let Some(permit) = self.admitted(machine, key, &policy, want, &format!("s{id}")) else { return };
        let live = Live::new(SessionId(clock::id()), Kind::Realtime, &facts, None);
        let entered = gateway.sessions.enter(live, 1_000).unwrap();
        let meter = Meter::open(&gateway, facts, permit, Some(Arc::clone(&entered.live)));
        let session = Box::new(Session {
            machine,
            key,
            request,
            called: self.now,
            snapshot,
            entered,
            meter,
            left: candidates.into(),
            candidate: None,
            window,
            phase: Phase::Connecting,
            step: 0,
            turns: self.rng.between(0, 8),
            pieces: 0,
            used: Usage::default(),
            sequence: 0,
        });
        self.later(40_000, Event::SessionLeft(id));
        self.session_goes_on(id, session, 500);
    }

    fn session_goes_on(&mut self, id: u32, mut session: Box<Session>, within: u64) {
        session.step += 1;
        self.later(within, Event::Session(id, session.step));
        self.sessions.insert(id, session);
    }

    pub(super) fn session_step(&mut self, id: u32, step: u32) {
        let Some(session) = self.sessions.remove(&id) else { return };
        if session.step != step {
            self.sessions.insert(id, session);
            return;
        }
        match session.phase {
            Phase::Connecting => self.connect(id, session),
            Phase::Idle => self.turn_begins(id, session),
            Phase::Asked => self.turn_is_answered(id, session),
            Phase::Responding => self.turn_goes_on(id, session),
        }
    }

    /// Asks one target; the next one is asked in the next step.
    fn connect(&mut self, id: u32, mut session: Box<Session>) {
        let gateway = self.machines[session.machine].serving().unwrap();
        let Some(candidate) = session.left.pop_front() else {
            return self.say(|| format!("s{id} has no target left"));
        };
        if !gateway.health.may_ask(&candidate) {
            return self.session_goes_on(id, session, 1);
        }
        session.meter.attempt(&candidate);
        if matches!(self.fate(&candidate), Fate::Refuses | Fate::Hangs) {
            self.say(|| format!("s{id} cannot reach {candidate:?}"));
            gateway.health.failed(&candidate, Operation::Realtime, session.meter.waited());
            session.meter.attempt_failed(&candidate, ErrorKind::UpstreamError);
            candidate.leave();
            return self.session_goes_on(id, session, 3_000);
        }
        session.meter.served_by(&session.snapshot, &candidate);
        self.say(|| format!("s{id} is with {candidate:?}"));
        session.window = self.window(&session, &candidate);
        (session.candidate, session.phase) = (Some(candidate), Phase::Idle);
        if session.entered.live.ended().is_some() {
            return self.session_ends(id, session, UsageStatus::EndedByPolicy);
        }
        self.session_goes_on(id, session, 2_000);
    }

    fn window(&self, session: &Session, candidate: &Candidate) -> Option<NanoUsd> {
        let (facts, now) = (session.meter.facts(), session.meter.facts().started_at);
        let prices = estimate::prices(&session.snapshot, facts.key.tenant, candidate, Operation::Realtime, now);
        estimate::amount(&estimate::realtime_window(), prices)
    }

    /// The client asks for a turn, or the provider begins one by itself.
    fn turn_begins(&mut self, id: u32, mut session: Box<Session>) {
        if session.turns == 0 {
            return self.session_ends(id, session, UsageStatus::Ok);
        }
        session.turns -= 1;
        (session.used, session.pieces) = (Usage::default(), self.rng.between(1, 5));
        let asked = self.rng.percent(60);
        if asked {
            session.meter.turn_asked();
        } else {
            session.meter.turn_begun();
        }
        let process = self.machines[session.machine].process();
        let whose = Whose { key: session.key, process, called: session.called };
        self.book.noted((session.request, session.sequence), whose, None, self.now);
        session.phase = if asked { Phase::Asked } else { Phase::Responding };
        self.session_goes_on(id, session, 1_000);
    }

    fn turn_is_answered(&mut self, id: u32, mut session: Box<Session>) {
        if self.rng.percent(15) {
            self.say(|| format!("s{id} is refused a turn"));
            session.meter.turn_refused();
            self.book.withdrawn((session.request, session.sequence));
            session.phase = Phase::Idle;
            return self.session_goes_on(id, session, 3_000);
        }
        session.meter.turn_begun();
        session.phase = Phase::Responding;
        self.session_goes_on(id, session, 500);
    }

    fn turn_goes_on(&mut self, id: u32, mut session: Box<Session>) {
        if session.pieces > 0 {
            session.pieces -= 1;
            session.used = session.used.plus(&Usage {
                text_tokens_in: self.rng.between(0, 100),
                text_tokens_out: self.rng.between(0, 50),
                audio_tokens_in: self.rng.between(0, 60),
                audio_tokens_out: self.rng.between(1, 200),
                ..Usage::default()
            });
            // A provider that breaks off takes the session with it.
            if self.rng.percent(3) {
                return self.session_ends(id, session, UsageStatus::UpstreamError);
            }
            return self.session_goes_on(id, session, 1_500);
        }
        session.phase = Phase::Idle;
        if self.rng.percent(10) {
            self.say(|| format!("s{id} a turn counts nothing"));
            session.meter.turn_withdrawn();
            self.book.withdrawn((session.request, session.sequence));
        } else {
            self.turn_is_billed(id, &mut session, UsageSource::Reported, UsageStatus::Ok);
            // Nothing is shared in this world, so nothing is waited for.
            if let Some(Err(refusal)) = session.meter.keep_reserved(session.window).now_or_never() {
                self.say(|| format!("s{id} is over: {refusal}"));
                return self.session_ends(id, session, UsageStatus::EndedByPolicy);
            }
        }
        self.session_goes_on(id, session, 4_000);
    }

    fn turn_is_billed(&mut self, id: u32, session: &mut Session, source: UsageSource, status: UsageStatus) {
        let Some(candidate) = &session.candidate else { return };
        let bill = tariff(&candidate.target.model).bill(&session.used);
        self.overrun += bill.map_or(0, |bill| (bill - session.meter.permit().reserved().0).max(0));
        self.book.billed((session.request, session.sequence), bill, self.now);
        session.meter.turn(Part::alone((session.used, source)), None, None, status);
        self.say(|| format!("s{id} turn {} is billed {bill:?}", session.sequence));
        session.sequence += 1;
    }

    pub(super) fn session_left(&mut self, id: u32) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.say(|| format!("s{id} is left by its client while {:?}", session.phase));
        self.session_ends(id, session, UsageStatus::ClientClosed);
    }

    /// What is open is billed by the provider's last report or by what has passed, or is dropped where it stands.
    fn session_ends(&mut self, id: u32, mut session: Box<Session>, status: UsageStatus) {
        self.say(|| format!("s{id} ends: {status:?}"));
        let turn = (session.request, session.sequence);
        if session.phase == Phase::Responding && self.rng.percent(10) {
            // A panic: nobody closes the account.
            return self.book.billed(turn, None, self.now);
        }
        match session.phase {
            Phase::Responding if session.used == Usage::default() => self.book.withdrawn(turn),
            Phase::Responding => {
                let source = if self.rng.percent(50) { UsageSource::Reported } else { UsageSource::Estimated };
                self.turn_is_billed(id, &mut session, source, status);
            }
            // The provider has begun nothing.
            Phase::Asked => self.book.withdrawn(turn),
            Phase::Connecting | Phase::Idle => {}
        }
        session.meter.abandon();
    }

    /// Ends the sessions whose keys a new view has no more.
    pub(super) fn end_revoked(&mut self, machine: usize) {
        let over = |session: &Session| session.machine == machine && session.entered.live.ended().is_some();
        let ended: Vec<u32> = self.sessions.iter().filter(|(_, of)| over(of)).map(|(id, _)| *id).collect();
        for id in ended {
            if let Some(session) = self.sessions.remove(&id) {
                self.session_ends(id, session, UsageStatus::EndedByPolicy);
            }
        }
    }
}
