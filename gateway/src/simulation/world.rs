//! The world: one queue of events in the order of a seed, and the clocks that everything in it sees.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::ids::RequestId;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::book::Book;
use super::calls::Call;
use super::checks::Rates;
use super::machine::Machine;
use super::rng::Rng;
use super::sessions::Session;
use super::setup::{PROVIDERS, Policies, draw_amount, draw_budget};
use super::store::{Store, Weather};
use crate::clock::simulated;

/// Something that the harness does wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    Nothing,
    /// The permit of a call whose client hangs up during its upload is never given back.
    LeakedPermit,
    /// A stream that its client leaves is not recorded.
    LostRecord,
    /// What a provider reports at the end is thrown away.
    WrongCost,
}

/// How a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    Flaky,
    Down,
    Hanging,
}

/// What happens next. Calls and sessions say with which of their steps it belongs: one that is over is passed by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Arrival,
    Call(u32, u32),
    CallLeft(u32),
    Session(u32, u32),
    SessionLeft(u32),
    Crash(usize),
    Start(usize),
    Started(usize),
    Adopt(usize),
    CatchUp(usize),
    ForgetIdle(usize),
    ClockSet(usize),
    Policy,
    ProviderMode(usize),
    Weather,
}

/// What has happened, a line each; it outlives a world that panics.
pub(super) type Trace = Arc<Mutex<Vec<String>>>;

pub(super) struct World {
    pub(super) rng: Rng,
    /// Milliseconds since the world began.
    pub(super) now: u64,
    /// By how much the monotonic clock is ahead of them.
    jump: Duration,
    began: Instant,
    wall: OffsetDateTime,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    /// The longest time between two calls.
    gap: u64,
    /// Nobody calls after this.
    pub(super) closes_at: u64,
    pub(super) dir: tempfile::TempDir,
    pub(super) machines: Vec<Machine>,
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) policies: Policies,
    pub(super) modes: [Mode; PROVIDERS],
    pub(super) calls: BTreeMap<u32, Box<Call>>,
    pub(super) sessions: BTreeMap<u32, Box<Session>>,
    made: u32,
    pub(super) book: Book,
    pub(super) rates: Rates,
    pub(super) plant: Plant,
    /// By how much bills went beyond what was reserved for them, in this step.
    pub(super) overrun: i64,
    trace: Trace,
    pub(super) wrong: Vec<String>,
}

/// Moments at which a run may begin: a quiet one, and right before a day, a month and a year end.
const BEGINNINGS: [OffsetDateTime; 4] = [
    datetime!(2026-11-21 12:00 UTC),
    datetime!(2026-11-21 23:59:30 UTC),
    datetime!(2026-11-30 23:59:30 UTC),
    datetime!(2026-12-31 23:59:30 UTC),
];

impl World {
    pub(super) fn new(seed: u64, plant: Plant, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let policies = Policies::draw(&mut rng);
        // In memory where the machine has that: a disk would only be waited for.
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let machines = rng.between(1, 3);
        // In busy worlds breakers open and rates are reached, in quiet ones clocks and days go on.
        let gap = rng.pick(&[300, 1_000]);
        let mut world = Self {
            now: 0,
            jump: Duration::ZERO,
            began: Instant::now(),
            wall: rng.pick(&BEGINNINGS),
            queue: BTreeMap::new(),
            queued: 0,
            gap,
            closes_at: gap * rng.between(5, 45),
            dir: dir.unwrap(),
            machines: Vec::new(),
            store: Arc::new(Mutex::new(Store::new(seed))),
            policies,
            modes: [Mode::Well; PROVIDERS],
            calls: BTreeMap::new(),
            sessions: BTreeMap::new(),
            made: 0,
            book: Book::default(),
            rates: Rates::default(),
            plant,
            overrun: 0,
            trace,
            wrong: Vec::new(),
            rng,
        };
        for index in 0..usize::try_from(machines).unwrap() {
            world.machines.push(Machine::new(index, &mut world.rng));
            world.after(0, Event::Start(index));
        }
        world.first_events();
        world
    }

    fn first_events(&mut self) {
        self.after(20, Event::Arrival);
        for provider in 0..PROVIDERS {
            self.later(5_000, Event::ProviderMode(provider));
        }
        self.later(8_000, Event::Weather);
        self.later(20_000, Event::Policy);
        for machine in 0..self.machines.len() {
            self.later(30_000, Event::Crash(machine));
            self.later(60_000, Event::ClockSet(machine));
            self.later(20_000, Event::ForgetIdle(machine));
        }
    }

    /// Lets everything happen that is due, each thing at its moment.
    pub(super) async fn run(&mut self) {
        let began = tokio::time::Instant::now() - Duration::from_millis(self.now);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            tokio::time::sleep_until(began + Duration::from_millis(at)).await;
            self.now = at;
            self.handle(event);
            if !self.wrong.is_empty() {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.overrun = 0;
        let machine = self.machine_of(event);
        let before = machine.map(|machine| self.enter(machine));
        match event {
            Event::Arrival => self.arrival(),
            Event::Call(id, step) => self.call_step(id, step),
            Event::CallLeft(id) => self.call_left(id),
            Event::Session(id, step) => self.session_step(id, step),
            Event::SessionLeft(id) => self.session_left(id),
            Event::Crash(machine) => self.crash(machine),
            Event::Start(machine) => self.start(machine),
            Event::Started(machine) => self.started(machine),
            Event::Adopt(machine) => self.adopt(machine),
            Event::CatchUp(machine) => self.catch_up(machine),
            Event::ForgetIdle(machine) => self.forget_idle(machine),
            Event::ClockSet(machine) => self.clock_set(machine),
            Event::Policy => self.change_policy(),
            Event::ProviderMode(provider) => self.change_mode(provider),
            Event::Weather => self.change_weather(),
        }
        if let (Some(machine), Some(before)) = (machine, before) {
            self.check_step(machine, event, &before);
            self.leave(machine);
        }
    }

    fn machine_of(&self, event: Event) -> Option<usize> {
        match event {
            Event::Call(id, _) | Event::CallLeft(id) => Some(self.calls.get(&id)?.machine),
            Event::Session(id, _) | Event::SessionLeft(id) => Some(self.sessions.get(&id)?.machine),
            Event::Crash(machine)
            | Event::Start(machine)
            | Event::Started(machine)
            | Event::Adopt(machine)
            | Event::CatchUp(machine)
            | Event::ForgetIdle(machine) => Some(machine),
            Event::Arrival | Event::ClockSet(_) | Event::Policy | Event::ProviderMode(_) | Event::Weather => None,
        }
    }

    /// The monotonic clock of every machine.
    pub(super) fn mono(&self) -> Instant {
        self.began + Duration::from_millis(self.now) + self.jump
    }

    pub(super) fn first_instant(&self) -> Instant {
        self.began
    }

    /// Puts the monotonic clocks ahead.
    pub(super) fn jump(&mut self, time: Duration) {
        self.jump += time;
    }

    /// What a machine's wall clock says.
    pub(super) fn wall(&self, machine: usize) -> OffsetDateTime {
        self.wall + Duration::from_millis(self.now) + self.machines[machine].clock_offset
    }

    /// The furthest that anything on a machine believes it is: what was admitted before a clock was set back goes by
    /// the time that has passed since.
    pub(super) fn furthest(&self, machine: usize) -> OffsetDateTime {
        self.wall + Duration::from_millis(self.now) + self.machines[machine].furthest_offset
    }

    /// From now on this thread sees a machine's clocks.
    pub(super) fn enter_clock(&mut self, machine: usize) {
        let (mono, wall) = (self.mono(), self.wall(machine));
        let at = &mut self.machines[machine];
        simulated::set(Some(at.clock(mono, wall)));
    }

    pub(super) fn leave(&mut self, machine: usize) {
        if let Some(clock) = simulated::set(None) {
            self.machines[machine].keep(&clock);
        }
    }

    /// An event so many milliseconds from now. Gateways start at odd ones and all else happens at even ones, so
    /// that nothing happens in the moment in which a journal is synced.
    pub(super) fn after(&mut self, ms: u64, event: Event) {
        let at = (self.now + ms).next_multiple_of(2);
        let at = if matches!(event, Event::Start(_)) { at + 1 } else { at };
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    /// An event at some moment within so many milliseconds.
    pub(super) fn later(&mut self, within: u64, event: Event) {
        let ms = self.rng.between(1, within);
        self.after(ms, event);
    }

    /// The same again, while there are calls.
    pub(super) fn again(&mut self, within: u64, event: Event) {
        if self.now < self.closes_at {
            self.later(within, event);
        }
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        let line = format!("{:>6} {}", self.now, what());
        self.trace.lock().unwrap().push(line);
    }

    pub(super) fn broken(&mut self, what: String) {
        self.say(|| format!("BROKEN: {what}"));
        self.wrong.push(what);
    }

    /// A number for a call or a session, and the request's id.
    pub(super) fn number(&mut self) -> (u32, RequestId) {
        self.made += 1;
        (self.made, RequestId(Uuid::from_u128(u128::from(self.made))))
    }

    fn arrival(&mut self) {
        if self.now >= self.closes_at {
            return;
        }
        let machine = self.rng.below(self.machines.len());
        let before = self.enter(machine);
        let event = Event::Arrival;
        if self.rng.percent(25) {
            self.session_opens(machine)
        } else {
            self.call_arrives(machine)
        }
        self.check_step(machine, event, &before);
        self.leave(machine);
        self.later(self.gap, event);
    }

    fn clock_set(&mut self, machine: usize) {
        let hours = self.rng.pick(&[-1, 1]);
        self.machines[machine].set_clock(hours, self.now);
        self.say(|| format!("m{machine} its wall clock is set by {hours} h"));
        self.again(60_000, Event::ClockSet(machine));
    }

    fn change_mode(&mut self, provider: usize) {
        let modes = [Mode::Well, Mode::Well, Mode::Flaky, Mode::Down, Mode::Hanging];
        let mode = if self.now < self.closes_at { self.rng.pick(&modes) } else { Mode::Well };
        self.modes[provider] = mode;
        self.say(|| format!("provider{provider} is {mode:?}"));
        self.again(20_000, Event::ProviderMode(provider));
    }

    fn change_weather(&mut self) {
        let weathers = [Weather::Well, Weather::Well, Weather::Shaky, Weather::Away];
        let weather = if self.now < self.closes_at { self.rng.pick(&weathers) } else { Weather::Well };
        self.store.lock().unwrap().weather = weather;
        self.say(|| format!("the database is {weather:?}"));
        self.again(10_000, Event::Weather);
    }

    /// A key is revoked, or its limits change; each gateway learns of it a little later.
    fn change_policy(&mut self) {
        let index = self.rng.below(self.policies.keys.len());
        let what = self.rng.below(10);
        let (amount, budget) = (draw_amount(&mut self.rng), draw_budget(&mut self.rng));
        let (rate, sessions) = (self.rng.pick(&[None, Some(6), Some(100)]), self.rng.pick(&[None, Some(1), Some(3)]));
        if let Some(key) = &mut self.policies.keys[index] {
            match (what, &mut key.budget) {
                (0, _) => self.policies.keys[index] = None,
                (1..=3, Some(budget)) => budget.amount = amount,
                (1..=3, none) => *none = budget,
                (4..=6, _) => key.requests_per_minute = rate,
                _ => key.max_concurrent_sessions = sessions,
            }
        }
        self.policies.note_budgets();
        self.say(|| format!("policy: change {what} of key{index}"));
        for machine in 0..self.machines.len() {
            self.later(600, Event::Adopt(machine));
        }
        self.again(20_000, Event::Policy);
    }
}
