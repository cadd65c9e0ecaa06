//! Gateways as processes: they start, take views, are killed with what their disk holds at that moment, and start
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use domain::ids::UsageRecordId;
use domain::key::Pepper;
use local_speech::{LocalLimits, LocalSpeech};
use sea_orm::DatabaseConnection;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::book::Process;
use super::rng::Rng;
use super::setup::{bare_key, key_id};
use super::store::{Line, Store, Weather};
use super::world::{Event, World};
use crate::Gateway;
use crate::clock::simulated::Clock;
use crate::http::wire::stream::Rules;
use crate::idempotency::Idempotency;
use crate::ledger::{JournalLimits, Ledger};
use crate::limits::{Limits, bounds};
use crate::pipeline::health::Health;
use crate::realtime::registry::Sessions;
use crate::realtime::secrets::ClientSecrets;
use crate::reports::Reports;
use crate::settings::{GatewayLimits, GatewaySettings, InForce, Timeouts};
use crate::snapshot::{BudgetWindow, Key, Snapshot};
use crate::startup::swap_snapshot;
use crate::upstream::credentials::Tokens;
use crate::upstream::voices::Voices;
use crate::vendor::passes::Passes;

/// How long a target may take to answer here.
pub(super) const FIRST_BYTE: u64 = 10_000;
/// How long a start waits for records of the last run, and a catching up for those on their way.
const START_PATIENCE: u64 = 10_000;
const PATIENCE: u64 = 1_000;
/// A journal is synced so often.
const SYNC_EVERY: u64 = 1_000;

/// What a gateway was told of a key's past: which records it was made of.
#[derive(Debug, Clone)]
pub(super) struct Past {
    pub(super) opened: Uuid,
    pub(super) rows: BTreeSet<UsageRecordId>,
    pub(super) at: OffsetDateTime,
    pub(super) certain: bool,
}

/// A computer on which one gateway runs at a time.
pub(super) struct Machine {
    pub(super) index: usize,
    /// How many gateways have run on it.
    pub(super) generation: u32,
    pub(super) gateway: Option<Arc<Gateway>>,
    /// It serves; before that it waits for what the last run left.
    pub(super) serves: bool,
    waits: Option<(JoinHandle<()>, u64)>,
    alive: Arc<AtomicBool>,
    pub(super) dir: PathBuf,
    pub(super) journal: JournalLimits,
    opened_at: u64,
    /// Bytes of each journal file that the disk has, and when that was found.
    synced: (u64, BTreeMap<PathBuf, u64>),
    pub(super) clock_offset: time::Duration,
    /// The largest that it was while this process ran.
    pub(super) furthest_offset: time::Duration,
    last_ms: u64,
    made: u32,
    pub(super) pasts: BTreeMap<usize, Past>,
    /// The keys as the view in force has them, without limits where it has them no more.
    pub(super) keys: Vec<Arc<Key>>,
    /// This process's wall clock was set back.
    pub(super) was_set_back: bool,
    /// When this process's wall clock was set back, if that was its last change.
    pub(super) set_back_at: Option<u64>,
}

impl Machine {
    pub(super) fn new(index: usize, rng: &mut Rng) -> Self {
        let journal = JournalLimits {
            segment_bytes: rng.pick(&[2_000, 8_000, 1_000_000]),
            max_queued: rng.pick(&[2, 10, 1_000]),
            ..JournalLimits::default()
        };
        Self {
            index,
            generation: 0,
            gateway: None,
            serves: false,
            waits: None,
            alive: Arc::default(),
            dir: PathBuf::new(),
            journal,
            opened_at: 0,
            synced: (0, BTreeMap::new()),
            clock_offset: time::Duration::ZERO,
            furthest_offset: time::Duration::ZERO,
            last_ms: 0,
            made: 0,
            pasts: BTreeMap::new(),
            keys: Vec::new(),
            was_set_back: false,
            set_back_at: None,
        }
    }

    /// Takes the keys of the view in force.
    fn take_keys(&mut self, count: usize) {
        let Some(gateway) = &self.gateway else { return };
        let view = gateway.snapshot.load();
        let known = |key| view.key_by_id(key_id(key)).cloned().unwrap_or_else(|| Arc::new(bare_key(key)));
        self.keys = (0..count).map(known).collect();
    }

    pub(super) fn process(&self) -> Process {
        (self.index, self.generation)
    }

    /// The process's clock; its ids go on where they were.
    pub(super) fn clock(&self, mono: Instant, wall: OffsetDateTime) -> Clock {
        let process = u32::try_from(self.index).unwrap() << 16 | self.generation;
        Clock { mono, wall, process, last_ms: self.last_ms, made: self.made }
    }

    /// Somebody sets the wall clock.
    pub(super) fn set_clock(&mut self, hours: i64, now: u64) {
        self.clock_offset += time::Duration::hours(hours);
        self.furthest_offset = self.furthest_offset.max(self.clock_offset);
        self.was_set_back |= hours < 0;
        self.set_back_at = (hours < 0).then_some(now);
    }

    pub(super) fn keep(&mut self, clock: &Clock) {
        (self.last_ms, self.made) = (clock.last_ms, clock.made);
    }

    /// The process's connection to the database.
    pub(super) fn line(&self, store: &Arc<Mutex<Store>>) -> Line {
        Line { store: Arc::clone(store), alive: Arc::clone(&self.alive) }
    }

    /// The gateway, if it takes calls.
    pub(super) fn serving(&self) -> Option<Arc<Gateway>> {
        self.gateway.clone().filter(|_| self.serves)
    }

    /// Notes what the disk has for certain: what was there at the last sync.
    pub(super) fn note_synced(&mut self, now: u64) {
        let tick = self.opened_at + now.saturating_sub(self.opened_at) / SYNC_EVERY * SYNC_EVERY;
        if self.gateway.is_some() && tick > self.synced.0 {
            let length = |path: PathBuf| fs::metadata(&path).map(|file| (path, file.len())).ok();
            self.synced = (tick, journal_files(&self.dir).into_iter().filter_map(length).collect());
        }
    }
}

fn journal_files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|is| is == "journal")).collect();
    found.sort();
    found
}

impl World {
    pub(super) fn start(&mut self, machine: usize) {
        let now = self.now;
        if self.machines[machine].gateway.is_some() {
            return;
        }
        self.leave(machine);
        let at = &mut self.machines[machine];
        if at.generation == 0 {
            at.dir = self.dir.path().join(format!("m{machine}-0"));
        }
        at.generation += 1;
        (at.last_ms, at.made, at.opened_at) = (0, 0, now);
        at.synced = (now, BTreeMap::new());
        at.pasts.clear();
        self.rates.restarted(machine);
        self.enter_clock(machine);
        let snapshot = self.policies.snapshot();
        let at = &mut self.machines[machine];
        at.alive = Arc::new(AtomicBool::new(true));
        let line = at.line(&self.store);
        let ledger = Ledger::open(&at.dir, at.journal, line).unwrap();
        let recovery = ledger.recovery();
        let flushed = ledger.clone();
        at.waits = Some((tokio::spawn(async move { flushed.flush().await }), now + START_PATIENCE));
        at.gateway = Some(Arc::new(gateway(ledger, snapshot)));
        at.take_keys(self.policies.keys.len());
        (at.furthest_offset, at.was_set_back, at.set_back_at) = (at.clock_offset, false, None);
        // What was taken over from the last run is synced before anything else happens.
        let length = |path: PathBuf| fs::metadata(&path).map(|file| (path, file.len())).ok();
        at.synced.1 = journal_files(&at.dir).into_iter().filter_map(length).collect();
        let generation = at.generation;
        self.say(|| format!("m{machine} starts for the {generation}. time: {recovery:?}"));
        self.after(100, Event::Started(machine));
    }

    /// What the last run left counts as spent before anything is admitted; but it is not waited for for ever.
    pub(super) fn started(&mut self, machine: usize) {
        let Some((flush, until)) = &self.machines[machine].waits else { return };
        let delivered = flush.is_finished();
        if (!delivered && self.now < *until) || !self.reads_past(machine, None, true, delivered) {
            return self.after(100, Event::Started(machine));
        }
        self.say(|| format!("m{machine} serves; the past is certain: {delivered}"));
        if delivered {
            self.check_past(machine);
        }
        let at = &mut self.machines[machine];
        (at.waits, at.serves) = (None, true);
        // Views that came meanwhile.
        self.after(10, Event::Adopt(machine));
        if !delivered {
            self.after(500, Event::CatchUp(machine));
        }
    }

    /// Reads the pasts that are not known, for a view that is coming or for the one in force: at a start of all that
    /// was recorded, else of what was before the accounts were opened. `false` while the database is away.
    fn reads_past(&mut self, machine: usize, view: Option<&Snapshot>, all: bool, certain: bool) -> bool {
        let (now, mono) = (self.wall(machine), self.mono());
        let Some(gateway) = self.machines[machine].gateway.clone() else { return true };
        let in_force = gateway.snapshot.load_full();
        let keys = view.unwrap_or(&in_force).keys.values().map(Arc::as_ref);
        let missing = gateway.limits.without_past(keys, now, mono);
        let store = self.store.lock().unwrap();
        if !missing.is_empty() && store.weather == Weather::Away {
            return false;
        }
        let start = |window| bounds(window, now).map(|(start, _)| start);
        let (day, month) = (start(BudgetWindow::Daily), start(BudgetWindow::Monthly));
        for (key, opened) in missing {
            let bound = if all { Uuid::max() } else { opened };
            gateway.limits.set_past(key, store.spent_before(key, bound, day, month), certain, now);
            let rows = store.rows.values().filter(|row| row.key_id == key && row.id.0 < bound);
            let past = Past { opened, rows: rows.map(|row| row.id).collect(), at: now, certain };
            let index = (0..self.policies.keys.len()).find(|index| key_id(*index) == key).unwrap();
            self.machines[machine].pasts.insert(index, past);
        }
        true
    }

    /// A gateway takes the view in force.
    pub(super) fn adopt(&mut self, machine: usize) {
        let Some(gateway) = self.machines[machine].serving() else { return };
        let snapshot = self.policies.snapshot();
        if !self.reads_past(machine, Some(&snapshot), false, false) {
            return self.after(500, Event::Adopt(machine));
        }
        swap_snapshot(&gateway, snapshot);
        self.machines[machine].take_keys(self.policies.keys.len());
        self.say(|| format!("m{machine} takes the view"));
        self.end_revoked(machine);
        self.after(500, Event::CatchUp(machine));
    }

    /// Asks again for pasts that are not certain, once what was on its way has arrived.
    pub(super) fn catch_up(&mut self, machine: usize) {
        let Some(gateway) = self.machines[machine].serving() else { return };
        let (now, mono) = (self.wall(machine), self.mono());
        let view = gateway.snapshot.load_full();
        if gateway.limits.without_past(view.keys.values().map(Arc::as_ref), now, mono).is_empty() {
            return;
        }
        let Some((flush, until)) = &self.machines[machine].waits else {
            let ledger = gateway.ledger.clone();
            let flush = tokio::spawn(async move { ledger.flush().await });
            self.machines[machine].waits = Some((flush, self.now + PATIENCE));
            return self.after(100, Event::CatchUp(machine));
        };
        let delivered = flush.is_finished();
        if !delivered && self.now < *until {
            return self.after(100, Event::CatchUp(machine));
        }
        self.machines[machine].waits = None;
        if !(self.reads_past(machine, None, false, delivered) && delivered) {
            self.after(500, Event::CatchUp(machine));
        }
    }

    pub(super) fn forget_idle(&mut self, machine: usize) {
        if let Some(gateway) = self.machines[machine].serving() {
            gateway.limits.forget_idle(self.mono());
        }
        self.again(20_000, Event::ForgetIdle(machine));
    }

    /// The process ends where it stands: what its disk holds now is what the next one finds. With the power goes
    /// what the disk did not have yet, from any byte on.
    pub(super) fn crash(&mut self, machine: usize) {
        let power = self.rng.percent(30);
        let at = &mut self.machines[machine];
        if at.gateway.is_none() || self.now >= self.closes_at {
            return;
        }
        at.note_synced(self.now);
        let (from, generation) = (at.dir.clone(), at.generation);
        at.dir = self.dir.path().join(format!("m{machine}-{generation}"));
        copy(&from, &at.dir);
        at.alive.store(false, Ordering::Relaxed);
        let process = at.process();
        let (synced_at, synced) = at.synced.clone();
        if power {
            self.store.lock().unwrap().power_was_lost = true;
            self.lose_power(machine, &from, &synced);
        }
        self.book.killed(process, power.then_some(synced_at));
        self.say(|| format!("m{machine} is killed{}", if power { " by a loss of power" } else { "" }));
        // What is dropped from here on writes to files that nobody reads any more.
        self.calls.retain(|_, call| call.machine != machine);
        self.sessions.retain(|_, session| session.machine != machine);
        let at = &mut self.machines[machine];
        (at.gateway, at.waits, at.serves) = (None, None, false);
        self.later(3_000, Event::Start(machine));
        self.again(40_000, Event::Crash(machine));
    }

    fn lose_power(&mut self, machine: usize, from: &Path, synced: &BTreeMap<PathBuf, u64>) {
        let dir = self.machines[machine].dir.clone();
        for path in journal_files(from) {
            let kept = dir.join(path.file_name().unwrap());
            let length = fs::metadata(&kept).unwrap().len();
            let left = self.rng.between(synced.get(&path).copied().unwrap_or(0).min(length), length);
            fs::OpenOptions::new().write(true).open(&kept).unwrap().set_len(left).unwrap();
            self.say(|| format!("m{machine} of {} bytes of its journal {left} are left", length));
        }
        // Slots are never synced: each may be as it is, or as if nothing had been written.
        let slots = dir.join("open-calls");
        let mut bytes = fs::read(&slots).unwrap();
        for slot in bytes.chunks_mut(4096) {
            if self.rng.percent(50) {
                slot.fill(0);
            }
        }
        fs::write(&slots, bytes).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "lock" {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn gateway(ledger: Ledger, snapshot: Snapshot) -> Gateway {
    let timeouts = Timeouts { first_byte: Duration::from_millis(FIRST_BYTE), ..Timeouts::default() };
    let settings = GatewaySettings {
        name: "simulated".to_owned(),
        bind: ([127, 0, 0, 1], 0).into(),
        metrics_bind: None,
        allowed_origins: Vec::new(),
        workers: None,
        data_dir: PathBuf::new(),
        limits: GatewayLimits::default(),
        timeouts,
        record_dir: None,
        shared: None,
        client_secret_key: [0; 32],
        tracing: None,
    };
    let in_force = InForce { bounds: settings.limits, timeouts: settings.timeouts };
    Gateway {
        snapshot: ArcSwap::from_pointee(snapshot),
        pepper: Pepper::new(&[0; 32]),
        limits: Limits::new(),
        shared: None,
        ledger,
        health: Health::new(settings.timeouts.breaker_open),
        tokens: Tokens::default(),
        secrets: ClientSecrets::new(&settings.client_secret_key),
        passes: Passes::new(&settings.client_secret_key),
        database: DatabaseConnection::default(),
        voices: Voices::default(),
        local: LocalSpeech::detect(LocalLimits::default()),
        recorder: None,
        sessions: Sessions::default(),
        overload: Arc::default(),
        reports: Reports::new(),
        calls: TaskTracker::new(),
        draining: CancellationToken::new(),
        refusing: CancellationToken::new(),
        idempotency: Idempotency::default(),
        cut: CancellationToken::new(),
        rules: ArcSwap::from_pointee(Rules::of(&in_force)),
        in_force: ArcSwap::from_pointee(in_force),
        settings,
    }
}
