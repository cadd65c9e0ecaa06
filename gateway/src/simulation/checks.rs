//! What must hold after every step, and once everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::error::ErrorKind;
use domain::ids::{RequestId, UsageRecordId};
use domain::money::NanoUsd;
use domain::usage::Usage;

use super::machine::Past;
use super::setup::{MODELS, bare_key, key_id};
use super::world::{Event, World};
use crate::ledger::{Ledger, LedgerError, Recovery, UsageRecord};
use crate::limits::{Permit, Refusal, Want, bounds};
use crate::pipeline::route::route;
use crate::snapshot::{Budget, BudgetWindow, Key};

/// What a key has at one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Holding {
    spent: i64,
    reserved: i64,
    sessions: u32,
}

impl Holding {
    fn used(&self) -> i64 {
        self.spent + self.reserved
    }
}

/// What each key has at one gateway, and which process that is.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Before {
    generation: u32,
    holdings: Vec<Holding>,
}

/// The rates as they must be, if refused requests take nothing.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<(usize, usize), Rate>);

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_minute: u32,
    /// When the bucket is full again, in nanoseconds of the world; `None` since the rate has changed, from when on
    /// more than one answer is right.
    full_at: Option<u64>,
}

/// What the two clocks' rounding may differ by.
const ROUNDING: u64 = 1_000_000;

impl Rates {
    pub(super) fn restarted(&mut self, machine: usize) {
        self.0.retain(|(of, _), _| *of != machine);
    }

    /// A request was admitted or refused by the rate at `now`; `Some` says what is wrong about that.
    fn judged(&mut self, at: (usize, usize), per_minute: Option<u32>, admitted: bool, now: u64) -> Option<String> {
        let Some(per_minute) = per_minute else {
            self.0.remove(&at);
            return None;
        };
        let rate = self.0.entry(at).or_insert(Rate { per_minute, full_at: Some(0) });
        if rate.per_minute != per_minute {
            *rate = Rate { per_minute, full_at: None };
        }
        let full_at = rate.full_at?.max(now);
        let each = 60_000_000_000 / u64::from(per_minute);
        let (needed, room) = (full_at + each - now, each * u64::from(per_minute));
        if admitted {
            rate.full_at = Some(full_at + each);
            return (needed > room + ROUNDING).then(|| format!("more than {per_minute} a minute were admitted"));
        }
        (needed + ROUNDING < room).then(|| format!("refused below {per_minute} a minute"))
    }
}

impl World {
    /// From now on this thread is in a machine; tells how that stands.
    pub(super) fn enter(&mut self, machine: usize) -> Before {
        let now = self.now;
        self.machines[machine].note_synced(now);
        self.enter_clock(machine);
        self.holdings(machine)
    }

    fn holdings(&self, machine: usize) -> Before {
        let at = &self.machines[machine];
        let Some(gateway) = &at.gateway else { return Before::default() };
        let now = self.wall(machine);
        let holding = |key: usize| {
            let spend = gateway.limits.spend(&at.keys[key], now);
            let sessions = gateway.limits.open_sessions(key_id(key));
            Holding { spent: spend.spent.0, reserved: spend.reserved.0, sessions }
        };
        Before { generation: at.generation, holdings: (0..self.policies.keys.len()).map(holding).collect() }
    }

    /// Asks the limits, and holds their answer against what they hold.
    pub(super) fn admitted(&mut self, machine: usize, key: usize, of: &Key, want: Want, who: &str) -> Option<Permit> {
        let gateway = self.machines[machine].serving()?;
        let before = self.holdings(machine);
        let answer = gateway.limits.admit(of, &want, self.wall(machine), self.mono());
        let after = self.holdings(machine);
        let (held, holds) = (before.holdings[key], after.holdings[key]);
        let rate_decided = answer.as_ref().err().is_none_or(|refusal| refusal.kind == ErrorKind::RateLimitExceeded);
        if rate_decided {
            let now = u64::try_from(self.mono().duration_since(self.first_instant()).as_nanos()).unwrap();
            let wrong = self.rates.judged((machine, key), of.requests_per_minute, answer.is_ok(), now);
            wrong.into_iter().for_each(|wrong| self.broken(format!("{who} key{key}: {wrong}")));
        }
        match answer {
            Ok(permit) => {
                self.say(|| format!("{who} m{machine} key{key} is admitted: {want:?}, {holds:?}"));
                let budget = of.budget.filter(|_| want.cost.is_some());
                if budget.is_some_and(|budget| holds.used() > budget.amount.0) {
                    self.broken(format!("{who} was admitted over its budget: {holds:?} of {budget:?}"));
                }
                if of.max_concurrent_sessions.is_some_and(|most| want.session && holds.sessions > most) {
                    self.broken(format!("{who} is one session too many: {holds:?}"));
                }
                Some(permit)
            }
            Err(refusal) => {
                self.say(|| format!("{who} m{machine} key{key} is refused: {refusal}"));
                if before != after {
                    self.broken(format!("{who} was refused and has taken something: {held:?} and then {holds:?}"));
                }
                if let Some(wrong) = unjustified(of, want, &held, &refusal) {
                    self.broken(format!("{who} was refused without a reason: {wrong}"));
                }
                None
            }
        }
    }

    /// After each step: what is held is what calls and sessions hold, and nothing went over a budget.
    pub(super) fn check_step(&mut self, machine: usize, event: Event, before: &Before) {
        let after = self.holdings(machine);
        if after.holdings.is_empty() {
            return;
        }
        for (key, holding) in after.holdings.iter().enumerate() {
            let calls = self.calls.values().filter(|call| (call.machine, call.key) == (machine, key));
            let calls = calls.filter_map(|call| call.meter.as_ref());
            let sessions: Vec<_> = self.sessions.values().filter(|of| (of.machine, of.key) == (machine, key)).collect();
            let meters = calls.chain(sessions.iter().map(|session| &session.meter));
            let held: i64 = meters.map(|meter| meter.permit().reserved().0).sum();
            if holding.reserved != held {
                let reserved = holding.reserved;
                return self
                    .broken(format!("{event:?}: m{machine} key{key} has {reserved} reserved, calls hold {held}"));
            }
            if holding.sessions as usize != sessions.len() {
                let (slots, open) = (holding.sessions, sessions.len());
                return self
                    .broken(format!("{event:?}: m{machine} key{key} has {slots} slots taken by {open} sessions"));
            }
        }
        let reads = matches!(event, Event::Start(_) | Event::Started(_) | Event::Adopt(_) | Event::CatchUp(_));
        if reads || before.generation != after.generation {
            return;
        }
        for (key, (was, is)) in before.holdings.iter().zip(&after.holdings).enumerate() {
            let Some(most) = self.policies.largest_budget(key) else { continue };
            let bound = most.max(was.used()) + self.overrun;
            if is.used() > bound {
                return self.broken(format!("{event:?}: m{machine} key{key} is over its budget of {most}: {is:?}"));
            }
        }
    }

    /// Once nothing happens any more.
    pub(super) async fn settle(&mut self) {
        if !self.calls.is_empty() || !self.sessions.is_empty() {
            return self.broken("calls or sessions that never end".to_owned());
        }
        for machine in 0..self.machines.len() {
            let Some(gateway) = self.machines[machine].serving() else {
                return self.broken(format!("m{machine} does not run"));
            };
            if tokio::time::timeout(Duration::from_secs(600), gateway.ledger.flush()).await.is_err() {
                return self.broken(format!("m{machine} delivers nothing"));
            }
            if !gateway.calls.is_empty() || !gateway.sessions.is_empty() {
                return self.broken(format!("m{machine} still has calls or sessions"));
            }
        }
        let wrong = std::mem::take(&mut self.store.lock().unwrap().wrong);
        wrong.into_iter().for_each(|wrong| self.broken(wrong));
        let rows = self.rows();
        self.check_records(&rows);
        for machine in 0..self.machines.len() {
            self.check_spent(machine, &rows);
        }
        self.jump(Duration::from_secs(400));
        for machine in 0..self.machines.len() {
            self.enter(machine);
            self.check_routes(machine);
            self.leave(machine);
            self.check_restart(machine).await;
        }
    }

    /// Every record, those that the database refuses and that were set aside included.
    fn rows(&self) -> BTreeMap<UsageRecordId, UsageRecord> {
        let mut rows = self.store.lock().unwrap().rows.clone();
        for machine in &self.machines {
            let aside = std::fs::read_to_string(machine.dir.join("refused.jsonl")).unwrap_or_default();
            for line in aside.lines() {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                let record: UsageRecord = serde_json::from_value(line["record"].take()).unwrap();
                rows.insert(record.id, record);
            }
        }
        rows
    }

    /// One record for each that was promised, with what the provider bills, and no other.
    fn check_records(&mut self, rows: &BTreeMap<UsageRecordId, UsageRecord>) {
        let mut by_turn: BTreeMap<(RequestId, u32), Vec<&UsageRecord>> = BTreeMap::new();
        for row in rows.values() {
            by_turn.entry(turn(row)).or_default().push(row);
        }
        let mut wrong = Vec::new();
        for (turn, found) in &by_turn {
            let Some(entry) = self.book.entries.get(turn) else {
                wrong.push(format!("a record of what was not billed: {found:?}"));
                continue;
            };
            if found.len() > 1 {
                wrong.push(format!("{} records of one turn: {found:?}", found.len()));
            }
            let cost = found[0].cost.map(|cost| cost.0);
            if !entry.costs.contains(&cost) || found[0].key_id != key_id(entry.key) {
                wrong.push(format!("{turn:?} is recorded at {cost:?} and billed as {entry:?}"));
            }
        }
        for (turn, entry) in &self.book.entries {
            if !by_turn.contains_key(turn) && !entry.may_be_lost {
                wrong.push(format!("{turn:?} has no record: {entry:?}"));
            }
        }
        wrong.into_iter().for_each(|wrong| self.broken(wrong));
    }

    /// A gateway that starts counts what its former runs on this machine have recorded, whatever became of the clock.
    pub(super) fn check_past(&mut self, machine: usize) {
        let store = self.store.lock().unwrap();
        let mut wrong = Vec::new();
        for (key, past) in &self.machines[machine].pasts {
            let told: BTreeSet<_> = past.rows.iter().filter_map(|id| store.rows.get(id)).map(turn).collect();
            let promised =
                self.book.entries.iter().filter(|(_, entry)| (entry.key, entry.process.0) == (*key, machine));
            let kept = promised.filter(|((request, _), of)| !of.may_be_lost && !store.refuses.contains(request));
            let missed = kept.filter(|(turn, _)| !told.contains(turn));
            wrong.extend(missed.map(|(turn, entry)| format!("m{machine} does not count {turn:?} as past: {entry:?}")));
        }
        drop(store);
        wrong.into_iter().for_each(|wrong| self.broken(wrong));
    }

    /// What the limits of a gateway say is spent is what it was told of the past and what it has recorded since.
    fn check_spent(&mut self, machine: usize, rows: &BTreeMap<UsageRecordId, UsageRecord>) {
        let at = &self.machines[machine];
        let Some(gateway) = at.serving() else { return };
        let view = gateway.snapshot.load_full();
        let mut wrong = Vec::new();
        for (key, past) in &at.pasts {
            let Some(budget) = view.key_by_id(key_id(*key)).and_then(|key| key.budget) else { continue };
            if !past.certain {
                wrong.push(format!("m{machine} key{key} never got a certain past"));
            }
            for window in [BudgetWindow::Total, BudgetWindow::Daily, BudgetWindow::Monthly] {
                let of = Key { budget: Some(Budget { window, ..budget }), ..bare_key(*key) };
                let NanoUsd(spent) = gateway.limits.spend(&of, self.wall(machine)).spent;
                let (least, most) = self.recorded(machine, *key, past, window, rows);
                if spent < least || most.is_some_and(|most| spent > most) {
                    wrong.push(format!("m{machine} key{key} has spent {spent} and recorded {least}: {window:?}"));
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.broken(wrong));
    }

    /// What a gateway must count as spent in a window, at least and at most. A clock that was set back does not bring
    /// a window back: where that has happened limits and records may part, but nothing may be forgotten that was
    /// called for since.
    fn recorded(
        &self,
        machine: usize,
        key: usize,
        past: &Past,
        window: BudgetWindow,
        rows: &BTreeMap<UsageRecordId, UsageRecord>,
    ) -> (i64, Option<i64>) {
        let (at, now) = (&self.machines[machine], self.wall(machine));
        let begun = |moment| bounds(window, moment).map(|(start, _)| start);
        let sum = |counts: &dyn Fn(&UsageRecord, Option<u64>) -> bool| -> i64 {
            let rows = rows.values().filter(|row| row.key_id == key_id(key)).filter(|row| {
                let entry = self.book.entries.get(&turn(row));
                let own = entry.filter(|entry| entry.process == at.process() && row.id.0 > past.opened);
                counts(row, own.map(|entry| entry.called))
            });
            rows.filter_map(|row| row.cost).map(|cost| cost.0).sum()
        };
        if begun(now) != begun(self.furthest(machine)) {
            let called_since = |_: &UsageRecord, called: Option<u64>| {
                called.zip(at.set_back_at).is_some_and(|(called, set)| called > set)
            };
            return (sum(&called_since), None);
        }
        let in_window = sum(&|row, called| {
            let told = past.rows.contains(&row.id) && begun(past.at) == begun(now);
            (told || called.is_some()) && begun(now).is_none_or(|start| row.started_at >= start)
        });
        (in_window, (!at.was_set_back).then_some(in_window))
    }

    /// Once providers are well, and nothing was asked of them for longer than they are ever left alone, every model
    /// has a target that may be asked.
    fn check_routes(&mut self, machine: usize) {
        let Some(gateway) = self.machines[machine].serving() else { return };
        let snapshot = gateway.snapshot.load_full();
        let key = Arc::new(bare_key(0));
        for model in &MODELS {
            let (_, request) = self.number();
            let facts = super::calls::facts(self, machine, request, &key, model);
            let question = super::calls::question(&gateway, &snapshot, &facts);
            let candidates = route(&question, &Usage::default(), &mut ()).unwrap_or_default();
            if !candidates.iter().any(|candidate| gateway.health.may_ask(candidate)) {
                self.broken(format!("m{machine} has no target for {} any more", model.name));
            }
        }
    }

    /// A gateway that stopped in order leaves nothing for the next one.
    async fn check_restart(&mut self, machine: usize) {
        let at = &mut self.machines[machine];
        let Some(gateway) = at.gateway.take() else { return };
        at.serves = false;
        gateway.ledger.close(Duration::from_secs(10)).await;
        drop(gateway);
        let (dir, journal) = (at.dir.clone(), at.journal);
        let ledger = loop {
            let line = at.line(&self.store);
            match Ledger::open(&dir, journal, line) {
                Ok(ledger) => break ledger,
                Err(LedgerError::Locked { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let left = ledger.recovery();
        if left != Recovery::default() {
            self.broken(format!("m{machine} stopped in order and left {left:?}"));
        }
    }
}

/// What a record is one of.
fn turn(row: &UsageRecord) -> (RequestId, u32) {
    (row.request_id, row.sequence)
}

/// Why a refusal is wrong.
fn unjustified(key: &Key, want: Want, held: &Holding, refusal: &Refusal) -> Option<String> {
    let justified = match refusal.kind {
        ErrorKind::SessionLimitExceeded => {
            want.session && key.max_concurrent_sessions.is_some_and(|most| held.sessions >= most)
        }
        ErrorKind::BudgetExceeded => key.budget.is_some_and(|budget| match want.cost {
            Some(cost) => held.used() + cost.0 > budget.amount.0,
            None => held.used() >= budget.amount.0,
        }),
        ErrorKind::RateLimitExceeded => key.requests_per_minute.is_some(),
        _ => false,
    };
    (!justified).then(|| format!("{refusal}: {want:?} beside {held:?}"))
}
