//! Admission of one key's requests: how often, how many sessions at once, for how much money.
//!
//! Everything about one key lies under one lock that is held for well under a microsecond: first
//! every limit is asked, then everything is taken, so that a refusal by one limit consumes nothing
//! of another and no two requests can be given the same room. What was taken lives in a `Permit`,
//! whose drop gives it back however the request ends. Several gateways count together in [`shared`].

mod budget;
pub mod past;
mod permit;
mod rate;
mod sessions;
pub mod shared;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::error::ErrorKind;
use domain::ids::VirtualKeyId;
use domain::money::NanoUsd;
use replicas::LocalShare;
use time::OffsetDateTime;
use uuid::Uuid;

use self::budget::{Account, Windows};
pub use self::budget::{KeySpend, PastSpend, bounds};
pub use self::permit::Permit;
pub use self::rate::RateState;
use self::rate::{Bucket, TooFast};
use self::sessions::Slots;
use crate::clock;
use crate::snapshot::{Budget, BudgetWindow, Key};

/// Below this number of keys nobody looks for idle ones.
const SWEEP_FROM: usize = 4096;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// What it may cost, to be reserved; `None` while unknown or unpriced.
    pub cost: Option<NanoUsd>,
    /// Whether it is a realtime session.
    pub session: bool,
}

/// Why a request was not admitted. Nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// `RateLimitExceeded`, `SessionLimitExceeded` or `BudgetExceeded`; `Overloaded` where nobody can tell.
    pub kind: ErrorKind,
    /// When another try may succeed.
    pub retry_after: Duration,
    /// For the client; names the limit, never another key or tenant.
    pub message: String,
    /// For the rate headers, where the rate refused.
    pub rate: Option<RateState>,
}

/// Every key's use, in this process.
#[derive(Debug)]
pub struct Limits {
    keys: DashMap<VirtualKeyId, Arc<KeyUse>>,
    sweep_at: AtomicUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// Nothing used yet.
    #[must_use]
    pub fn new() -> Self {
        Self { keys: DashMap::new(), sweep_at: AtomicUsize::new(SWEEP_FROM) }
    }

    /// Admits one request, or refuses it and takes nothing. `now` decides budget windows, `mono` the
    /// rate.
    ///
    /// # Errors
    /// The first limit that does not hold the request: sessions, budget, rate.
    pub fn admit(&self, key: &Key, want: &Want, now: OffsetDateTime, mono: Instant) -> Result<Permit, Refusal> {
        let entry = self.entry(key.id, now, mono, clock::id);
        let taken = entry.lock().admit(key, want, now, mono)?;
        Ok(Permit::new(entry, key.budget, now, want.session, taken))
    }

    /// Admits one request by this gateway's part of each limit, as [`Limits::admit`] does by the whole.
    fn admit_part(
        &self,
        key: &Key,
        want: &Want,
        now: OffsetDateTime,
        mono: Instant,
        share: LocalShare,
    ) -> Result<Permit, Refusal> {
        let entry = self.entry(key.id, now, mono, clock::id);
        let mut state = entry.lock();
        state.account.roll(now);
        let part = Key {
            requests_per_minute: key.requests_per_minute.map(|limit| share.of_count(limit)),
            max_concurrent_sessions: key.max_concurrent_sessions.map(|limit| share.of_count(limit)),
            budget: key.budget.map(|budget| state.account.part(budget, share)),
            ..key.clone()
        };
        let taken = state.admit(&part, want, now, mono)?;
        drop(state);
        Ok(Permit::new(entry, key.budget, now, want.session, taken))
    }

    /// Notes a request that others have admitted, or that nobody limits.
    fn take(&self, key: &Key, want: &Want, now: OffsetDateTime, mono: Instant, rate: Option<RateState>) -> Permit {
        let entry = self.entry(key.id, now, mono, clock::id);
        let mut state = entry.lock();
        state.pinned |= key.budget.is_some();
        state.account.roll(now);
        let taken = Taken { rate, reserved: state.hold(want), begun_in: state.account.windows() };
        drop(state);
        Permit::new(entry, key.budget, now, want.session, taken)
    }

    /// The keys with a budget whose past is not known for certain yet, each with the id below which
    /// the ledger's records are its past. From now on their accounts are kept.
    pub fn without_past<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        now: OffsetDateTime,
        mono: Instant,
    ) -> Vec<(VirtualKeyId, Uuid)> {
        let opened = clock::id();
        let mut found = Vec::new();
        for key in keys.filter(|key| key.budget.is_some()) {
            let entry = self.entry(key.id, now, mono, || opened);
            let mut state = entry.lock();
            state.pinned = true;
            if !state.past_is_known {
                found.push((key.id, state.account.opened()));
            }
        }
        found
    }

    /// Sets what a key had spent before its account was opened here, as the ledger had it at `now`.
    /// `certain` says that nothing of it was still on its way into the ledger. It replaces, it never
    /// adds, so setting it twice is harmless.
    pub fn set_past(&self, key: VirtualKeyId, past: PastSpend, certain: bool, now: OffsetDateTime) {
        let entry = self.entry(key, now, clock::mono(), clock::id);
        let mut state = entry.lock();
        state.pinned = true;
        state.past_is_known |= certain;
        state.account.set_past(past, now);
    }

    /// What a key has spent and reserved in its budget's window, or in all where it has no budget
    /// (then only what this process has seen or was seeded with).
    #[must_use]
    pub fn spend(&self, key: &Key, now: OffsetDateTime) -> KeySpend {
        let window = key.budget.map_or(BudgetWindow::Total, |budget| budget.window);
        let entry = self.keys.get(&key.id).map(|entry| Arc::clone(&entry));
        entry.map_or_else(
            || Account::new(now, Uuid::nil()).read(window, now),
            |entry| entry.lock().account.read(window, now),
        )
    }

    /// Realtime sessions a key has open now.
    #[must_use]
    pub fn open_sessions(&self, key: VirtualKeyId) -> u32 {
        let entry = self.keys.get(&key).map(|entry| Arc::clone(&entry));
        entry.map_or(0, |entry| entry.lock().slots.open())
    }

    /// Forgets keys whose state says nothing that a fresh one would not: no permit out, bucket full,
    /// no budget. Called by itself as the number of keys grows.
    pub fn forget_idle(&self, mono: Instant) {
        // The map's shard is locked for writing here, so a count of one means that nobody else holds
        // or can get hold of the entry.
        self.keys.retain(|_, entry| Arc::strong_count(entry) > 1 || !entry.lock().is_idle(mono));
        let next = self.keys.len().saturating_mul(2).max(SWEEP_FROM);
        self.sweep_at.store(next, Ordering::Relaxed);
    }

    /// Keys with state; for metrics.
    #[must_use]
    pub fn tracked_keys(&self) -> usize {
        self.keys.len()
    }

    fn entry(
        &self,
        key: VirtualKeyId,
        now: OffsetDateTime,
        mono: Instant,
        opened: impl FnOnce() -> Uuid,
    ) -> Arc<KeyUse> {
        if let Some(entry) = self.keys.get(&key) {
            return Arc::clone(&entry);
        }
        if self.keys.len() >= self.sweep_at.load(Ordering::Relaxed) {
            self.forget_idle(mono);
        }
        Arc::clone(&self.keys.entry(key).or_insert_with(|| Arc::new(KeyUse::new(now, opened()))))
    }
}

/// What an admission took.
#[derive(Debug)]
struct Taken {
    rate: Option<RateState>,
    reserved: i128,
    begun_in: Windows,
}

/// One key's use behind its lock.
#[derive(Debug)]
struct KeyUse(Mutex<KeyState>);

impl KeyUse {
    fn new(now: OffsetDateTime, opened: Uuid) -> Self {
        Self(Mutex::new(KeyState {
            bucket: None,
            account: Account::new(now, opened),
            slots: Slots::default(),
            pinned: false,
            past_is_known: false,
            outage: 0,
        }))
    }

    /// A panic elsewhere cannot leave the sums half changed (they are changed after every check, by
    /// plain arithmetic), so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, KeyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct KeyState {
    bucket: Option<Bucket>,
    account: Account,
    slots: Slots,
    /// The key has or had a budget: what it spent must not be forgotten. Never taken back, since
    /// calls under an older view may know nothing of the budget.
    pinned: bool,
    /// What the key spent before this account was opened has been read from the ledger.
    past_is_known: bool,
    /// The last outage of Redis for which the past was read again.
    outage: u64,
}

impl KeyState {
    /// Asks every limit, then takes. The rate is asked last because its question and its taking are
    /// one step; after it nothing can refuse any more.
    fn admit(&mut self, key: &Key, want: &Want, now: OffsetDateTime, mono: Instant) -> Result<Taken, Refusal> {
        self.pinned |= key.budget.is_some();
        self.account.roll(now);
        if want.session && !self.slots.has_room(key.max_concurrent_sessions) {
            return Err(too_many_sessions(key.max_concurrent_sessions));
        }
        if let Some(budget) = key.budget {
            self.check_budget(budget, want.cost, now)?;
        }
        let rate = self.take_rate(key.requests_per_minute, mono)?;
        Ok(Taken { rate, reserved: self.hold(want), begun_in: self.account.windows() })
    }

    /// Takes what is wanted, and gives how much money that is.
    fn hold(&mut self, want: &Want) -> i128 {
        let reserved = want.cost.map_or(0, budget::positive);
        self.account.reserve(reserved);
        if want.session {
            self.slots.take();
        }
        reserved
    }

    fn check_budget(&self, budget: Budget, want: Option<NanoUsd>, now: OffsetDateTime) -> Result<(), Refusal> {
        if self.account.has_room(budget, want) {
            return Ok(());
        }
        Err(over_budget(budget, now))
    }

    fn take_rate(&mut self, per_minute: Option<u32>, mono: Instant) -> Result<Option<RateState>, Refusal> {
        let Some(per_minute) = per_minute else {
            self.bucket = None;
            return Ok(None);
        };
        let Some(per_minute) = NonZeroU32::new(per_minute) else { return Err(too_fast(nothing_allowed())) };
        let bucket = self.bucket.get_or_insert_with(|| Bucket::new(per_minute, mono));
        bucket.follow(per_minute, mono);
        bucket.take(mono).map(Some).map_err(too_fast)
    }

    fn is_idle(&self, mono: Instant) -> bool {
        let full = self.bucket.as_ref().is_none_or(|bucket| bucket.is_full(mono));
        full && !self.pinned && !self.account.holds() && self.slots.open() == 0
    }
}

/// What a key with a rate of 0 is told.
fn nothing_allowed() -> TooFast {
    let minute = Duration::from_secs(60);
    TooFast { state: RateState { limit: 0, remaining: 0, reset: minute }, retry_after: minute }
}

fn too_fast(refused: TooFast) -> Refusal {
    Refusal {
        kind: ErrorKind::RateLimitExceeded,
        retry_after: refused.retry_after,
        message: format!("This key may make {} requests per minute.", refused.state.limit),
        rate: Some(refused.state),
    }
}

fn too_many_sessions(most: Option<u32>) -> Refusal {
    Refusal {
        kind: ErrorKind::SessionLimitExceeded,
        retry_after: sessions::RETRY_AFTER,
        message: format!("This key may hold {} realtime sessions at once.", most.unwrap_or(0)),
        rate: None,
    }
}

fn over_budget(budget: Budget, now: OffsetDateTime) -> Refusal {
    let window = match budget.window {
        BudgetWindow::Total => "budget",
        BudgetWindow::Daily => "daily budget",
        BudgetWindow::Monthly => "monthly budget",
    };
    Refusal {
        kind: ErrorKind::BudgetExceeded,
        retry_after: budget::retry_after(budget.window, now),
        message: format!("This key's {window} of {} USD does not hold this request.", budget.amount),
        rate: None,
    }
}
