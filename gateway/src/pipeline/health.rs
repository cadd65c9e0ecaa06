//! What is known of each target's health: a breaker, and how soon it answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::ids::{ProviderId, TenantId};
use domain::provider::Operation;

use crate::pipeline::route::Candidate;
use crate::pipeline::seats::Seats;

/// Failures in a row that open a breaker.
const FAILURES_TO_OPEN: u32 = 5;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.2;

/// Health of every target, in this process.
#[derive(Debug)]
pub struct Health {
    /// How long an open breaker refuses before one request may probe.
    open_for: Duration,
    targets: DashMap<(ProviderId, String), State>,
    draws: AtomicU64,
    /// How often each credential is in use.
    pub seats: Seats,
}

/// What a target's breaker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Whoever wants may ask.
    Closed,
    /// One call may ask, and finds out whether the target is well again.
    HalfOpen,
    /// Nobody may.
    Open,
}

impl Breaker {
    /// As it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// How a target is, as people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// Whose provider it is; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// Configured name of the provider.
    pub provider: String,
    /// What its breaker says.
    pub breaker: Breaker,
    /// Failures in a row.
    pub failures: u32,
    /// Decayed means of the time to the first byte in whole milliseconds, by operation.
    pub ttfb_ms: Vec<(Operation, u64)>,
}

#[derive(Debug, Default)]
struct State {
    /// Whose provider it is.
    tenant: Option<TenantId>,
    /// Configured name of the provider.
    provider: String,
    failures: u32,
    open_until: Option<Instant>,
    ttfb_ms: Vec<(Operation, f64)>,
}

impl Health {
    /// Nothing known yet. A breaker that opens refuses for `open_for`, then lets one call probe.
    #[must_use]
    pub fn new(open_for: Duration) -> Self {
        Self { open_for, targets: DashMap::new(), draws: AtomicU64::new(0), seats: Seats::default() }
    }

    /// What a target's breaker says now. Looking takes nothing: a call that is refused afterwards, or
    /// served by a better target, has not probed this one.
    #[must_use]
    pub fn breaker(&self, candidate: &Candidate) -> Breaker {
        self.targets.get(&key(candidate)).map_or(Breaker::Closed, |state| state.breaker(Instant::now()))
    }

    /// Whether a routed target may be asked now, with its credential. Where its breaker was half-open this
    /// takes the probe, which only one call gets; where its credential is counted, this takes a seat there.
    #[must_use]
    pub fn may_ask(&self, candidate: &Candidate) -> bool {
        if candidate.seat.as_ref().is_some_and(|seat| !seat.take()) {
            return false;
        }
        if candidate.breaker == Breaker::Closed {
            return true;
        }
        let Some(mut state) = self.targets.get_mut(&key(candidate)) else { return true };
        let may_ask = state.may_ask(Instant::now(), self.open_for);
        if let (false, Some(seat)) = (may_ask, &candidate.seat) {
            seat.give_back();
        }
        may_ask
    }

    /// A target answered, after `ttfb`.
    pub fn succeeded(&self, candidate: &Candidate, operation: Operation, ttfb: Duration) {
        let mut state = self.targets.entry(key(candidate)).or_insert_with(|| State::of(candidate));
        state.recovered();
        let new = ttfb.as_secs_f64() * 1000.0;
        match state.ttfb_ms.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, mean)) => *mean += (new - *mean) * NEWEST,
            None => state.ttfb_ms.push((operation, new)),
        }
    }

    /// A target failed in a way that speaks against it. What a provider has against one of several
    /// credentials does not.
    pub fn failed(&self, candidate: &Candidate) {
        if candidate.seat.as_ref().is_some_and(|seat| seat.is_aside()) {
            return;
        }
        let mut state = self.targets.entry(key(candidate)).or_insert_with(|| State::of(candidate));
        state.failed(Instant::now(), self.open_for);
    }

    /// Decayed mean of the time to first byte.
    #[must_use]
    pub fn ttfb_ms(&self, candidate: &Candidate, operation: Operation) -> Option<f64> {
        let state = self.targets.get(&key(candidate))?;
        state.ttfb_ms.iter().find(|(of, _)| *of == operation).map(|(_, mean)| *mean)
    }

    /// Every target of which something is known, by its provider and model.
    #[must_use]
    pub fn targets(&self) -> HashMap<(ProviderId, String), TargetState> {
        let now = Instant::now();
        self.targets.iter().map(|entry| (entry.key().clone(), entry.value().told(now))).collect()
    }

    /// The next number from 0 to 1 for weighted routes: a low-discrepancy walk, so that shares come
    /// out exact over few requests as well.
    pub fn draw(&self) -> f64 {
        drawn(self.draws.fetch_add(1, Ordering::Relaxed))
    }

    /// What the next call draws, without taking it.
    #[must_use]
    pub fn next_draw(&self) -> f64 {
        drawn(self.draws.load(Ordering::Relaxed))
    }
}

fn drawn(step: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "only the fraction matters")]
    let turn = (step % 1_000_003) as f64 * 0.618_033_988_749_894_9;
    turn.fract()
}

impl State {
    fn of(candidate: &Candidate) -> Self {
        let account = &candidate.account;
        Self { tenant: account.tenant, provider: account.name.clone(), ..Self::default() }
    }

    fn told(&self, now: Instant) -> TargetState {
        let millis =
            |mean: f64| u64::try_from(Duration::try_from_secs_f64(mean / 1000.0).unwrap_or_default().as_millis());
        TargetState {
            tenant: self.tenant,
            provider: self.provider.clone(),
            breaker: self.breaker(now),
            failures: self.failures,
            ttfb_ms: self.ttfb_ms.iter().map(|(of, mean)| (*of, millis(*mean).unwrap_or(u64::MAX))).collect(),
        }
    }

    fn breaker(&self, now: Instant) -> Breaker {
        match self.open_until {
            None => Breaker::Closed,
            Some(until) if now < until => Breaker::Open,
            Some(_) => Breaker::HalfOpen,
        }
    }

    fn may_ask(&mut self, now: Instant, open_for: Duration) -> bool {
        let breaker = self.breaker(now);
        if breaker == Breaker::HalfOpen {
            // One probe at a time: the others see an open breaker until it is back.
            self.open_until = Some(now + open_for);
        }
        breaker != Breaker::Open
    }

    fn failed(&mut self, now: Instant, open_for: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_TO_OPEN {
            self.open_until = Some(now + open_for);
        }
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.open_until = None;
    }
}

/// By the provider's row: two tenants' providers of one name have nothing in common.
fn key(candidate: &Candidate) -> (ProviderId, String) {
    (candidate.account.id, candidate.target.model.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    #[test]
    fn a_breaker_opens_lets_one_probe_through_and_opens_again_when_that_fails() {
        let start = Instant::now();
        let mut state = State::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert!(state.may_ask(start, OPEN_FOR), "closed until it has failed often enough");
            state.failed(start, OPEN_FOR);
        }
        assert!(!state.may_ask(start + OPEN_FOR / 2, OPEN_FOR), "open");
        let later = start + OPEN_FOR;
        assert_eq!((state.breaker(later), state.breaker(later)), (Breaker::HalfOpen, Breaker::HalfOpen), "looked at");
        assert!(state.may_ask(later, OPEN_FOR), "half-open: the probe");
        assert!(!state.may_ask(later, OPEN_FOR), "and no second call beside it");
        state.failed(later, OPEN_FOR);
        assert!(!state.may_ask(later + OPEN_FOR / 2, OPEN_FOR), "open again");
        let latest = later + OPEN_FOR;
        assert!(state.may_ask(latest, OPEN_FOR));
        state.recovered();
        assert!(state.may_ask(latest, OPEN_FOR) && state.may_ask(latest, OPEN_FOR), "closed");
        state.failed(latest, OPEN_FOR);
        assert!(state.may_ask(latest, OPEN_FOR), "one failure is not many");
    }
}
