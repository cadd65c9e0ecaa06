//! What is known of each target's health, in this process: the domain's records behind a lock for each target, and
//! the clock and the draws that they are given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::ids::{ProviderId, TenantId};
use domain::provider::Operation;
use domain::routing::health::Look;
use domain::routing::{Draws, TargetHealth};

use crate::clock;
use crate::pipeline::retries::Retries;
use crate::pipeline::route::Candidate;
use crate::pipeline::seats::Seats;

pub use domain::routing::breaker::State as Breaker;

/// Targets that are known before those are forgotten of which nothing has been heard for long: a vendor's own paths
/// take any model's name.
const MANY_TARGETS: usize = 4_096;
/// How long a target is remembered, where there are many.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// Health of every target, in this process.
#[derive(Debug)]
pub struct Health {
    /// How long a breaker that opens for the first time refuses before one request may probe.
    open_for: Duration,
    started: Instant,
    targets: DashMap<(ProviderId, String), State>,
    draws: AtomicU64,
    /// How often each credential is in use.
    pub seats: Seats,
    /// How many calls may be made again.
    pub retries: Retries,
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
    /// Typical times to the first byte in whole milliseconds, by operation.
    pub ttfb_ms: Vec<(Operation, u64)>,
}

#[derive(Debug)]
struct State {
    /// Whose provider it is.
    tenant: Option<TenantId>,
    /// Configured name of the provider.
    provider: String,
    health: TargetHealth,
    /// When something was last noted of it.
    noted: Duration,
}

impl Health {
    /// Nothing known yet. A breaker that opens refuses for `open_for` at first, then lets one call probe.
    #[must_use]
    pub fn new(open_for: Duration) -> Self {
        let (started, targets) = (clock::mono(), DashMap::new());
        let (seats, retries) = (Seats::default(), Retries::default());
        Self { open_for, started, targets, draws: AtomicU64::new(0), seats, retries }
    }

    fn now(&self) -> Duration {
        clock::mono().saturating_duration_since(self.started)
    }

    /// What is known of a target for an operation. Looking takes nothing: a call that is refused afterwards, or
    /// served by a better target, has not probed this one.
    #[must_use]
    pub fn look(&self, candidate: &Candidate, operation: Operation) -> Look {
        self.look_at(candidate, operation, self.now())
    }

    /// Looks at every candidate at the same moment: seen one after the other, two that failed at nearly the same
    /// time would change places from call to call.
    pub fn look_at_all(&self, candidates: &mut [Candidate], operation: Operation) {
        let now = self.now();
        for candidate in candidates {
            candidate.look = self.look_at(candidate, operation, now);
        }
    }

    fn look_at(&self, candidate: &Candidate, operation: Operation, now: Duration) -> Look {
        let state = self.targets.get(&key(candidate));
        state.map_or_else(Look::default, |state| state.health.look(operation, now))
    }

    /// Whether a routed target may be asked now, with its credential; asked once, right before it is. Where its
    /// breaker was half-open, or the call goes there to measure it, this takes the probe, which only one call gets;
    /// where its credential is counted, this takes a seat there.
    #[must_use]
    pub fn may_ask(&self, candidate: &Candidate) -> bool {
        if candidate.seat.as_ref().is_some_and(|seat| !seat.take()) {
            return false;
        }
        let may_ask = match (candidate.look.breaker, candidate.measures) {
            // An open breaker is passed over in a panic alone, in which everybody may ask.
            (Breaker::Open, _) | (Breaker::Closed, None) => true,
            (_, measures) => self.probe(candidate, measures),
        };
        if let (false, Some(seat)) = (may_ask, &candidate.seat) {
            seat.give_back();
        }
        may_ask
    }

    fn probe(&self, candidate: &Candidate, measures: Option<Operation>) -> bool {
        let now = self.now();
        let mut state = match measures {
            // Nobody may have heard of it yet.
            Some(_) => self.noted(candidate, now),
            None => match self.targets.get_mut(&key(candidate)) {
                Some(state) => state,
                None => return true,
            },
        };
        if measures.is_some_and(|operation| !state.health.measure(operation, now)) {
            return false;
        }
        state.health.may_ask(now, self.open_for)
    }

    /// A target answered, after `ttfb`.
    pub fn succeeded(&self, candidate: &Candidate, operation: Operation, ttfb: Duration) {
        let now = self.now();
        self.noted(candidate, now).health.succeeded(operation, ttfb, now);
    }

    /// A target failed after `took`, in a way that speaks against it. What a provider has against one of several
    /// credentials does not.
    pub fn failed(&self, candidate: &Candidate, operation: Operation, took: Duration) {
        if candidate.seat.as_ref().is_some_and(|seat| seat.is_aside()) {
            return;
        }
        let now = self.now();
        self.noted(candidate, now).health.failed(operation, took, now, self.open_for);
    }

    /// A target had not answered after `took`, when another one had that was asked beside it.
    pub fn outrun(&self, candidate: &Candidate, operation: Operation, took: Duration) {
        let now = self.now();
        self.noted(candidate, now).health.outrun(operation, took, now);
    }

    /// The record of a target, in which something is about to be noted.
    fn noted(&self, candidate: &Candidate, now: Duration) -> dashmap::mapref::one::RefMut<'_, Key, State> {
        let key = key(candidate);
        if let Some(mut state) = self.targets.get_mut(&key) {
            state.noted = now;
            return state;
        }
        if self.targets.len() >= MANY_TARGETS {
            self.forget(now);
        }
        self.targets.entry(key).or_insert_with(|| State::of(candidate, now))
    }

    /// Forgets targets of which nothing was noted for long.
    fn forget(&self, now: Duration) {
        self.targets.retain(|_, state| now.saturating_sub(state.noted) < REMEMBERED_FOR);
    }

    /// Every target of which something is known, by its provider and model.
    #[must_use]
    pub fn targets(&self) -> HashMap<(ProviderId, String), TargetState> {
        let now = self.now();
        self.targets.iter().map(|entry| (entry.key().clone(), entry.value().told(now))).collect()
    }

    /// The next numbers from 0 to 1 for the order of targets: low-discrepancy walks, so that shares come out exact
    /// over few requests as well.
    pub fn draws(&self) -> Draws {
        drawn(self.draws.fetch_add(1, Ordering::Relaxed))
    }

    /// What the next call draws, without taking it.
    #[must_use]
    pub fn next_draws(&self) -> Draws {
        drawn(self.draws.load(Ordering::Relaxed))
    }
}

/// The fractions of multiples of the golden ratio and of the root of two, which have nothing to do with each other.
/// The first call of all does not measure.
fn drawn(step: u64) -> Draws {
    #[expect(clippy::cast_precision_loss, reason = "only the fraction matters")]
    let step = (step % 1_000_003) as f64;
    let fraction = |turn: f64, from: f64| (from + step * turn).fract();
    Draws { weighted: fraction(0.618_033_988_749_894_9, 0.0), measure: fraction(std::f64::consts::SQRT_2, 0.5) }
}

impl State {
    fn of(candidate: &Candidate, noted: Duration) -> Self {
        let account = &candidate.account;
        Self { tenant: account.tenant, provider: account.name.clone(), health: TargetHealth::default(), noted }
    }

    fn told(&self, now: Duration) -> TargetState {
        let millis =
            |mean: f64| u64::try_from(Duration::try_from_secs_f64(mean / 1000.0).unwrap_or_default().as_millis());
        let times = self.health.timings(now).filter_map(|(of, timing)| Some((of, timing.typical_ms?)));
        TargetState {
            tenant: self.tenant,
            provider: self.provider.clone(),
            breaker: self.health.breaker(now),
            failures: self.health.failures(),
            ttfb_ms: times.map(|(of, mean)| (of, millis(mean).unwrap_or(u64::MAX))).collect(),
        }
    }
}

type Key = (ProviderId, String);

/// By the provider's row: two tenants' providers of one name have nothing in common.
fn key(candidate: &Candidate) -> Key {
    (candidate.account.id, candidate.target.model.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::provider::ProviderKind;
    use uuid::Uuid;

    use super::*;
    use crate::pipeline::route::of_account;
    use crate::snapshot::ProviderAccount;

    const HOUR: Duration = Duration::from_secs(3600);

    fn candidate(measures: Option<Operation>) -> Candidate {
        let account = ProviderAccount {
            id: ProviderId(Uuid::from_u128(1)),
            tenant: None,
            name: "p".to_owned(),
            kind: ProviderKind::Openai,
            base_url: String::new(),
            api_key: None,
            credential: None,
            region: None,
            allow_insecure: false,
        };
        let row = dialects::registry::provider(account.kind).unwrap();
        Candidate { measures, ..of_account(&Arc::new(account), row) }
    }

    #[test]
    fn one_call_at_a_time_measures_a_target() {
        let health = Health::new(HOUR);
        let (measuring, plain) = (candidate(Some(Operation::Speech)), candidate(None));
        assert!(health.may_ask(&measuring) && health.look(&plain, Operation::Speech).timing.probed);
        assert!(!health.may_ask(&measuring), "another call that was routed at the same moment");
        assert!(health.may_ask(&plain), "whoever goes there for its own sake");
        health.succeeded(&measuring, Operation::Speech, Duration::from_millis(70));
        let timing = health.look(&plain, Operation::Speech).timing;
        assert_eq!((timing.typical_ms, timing.probed), (Some(70.0), false));
        assert!(health.may_ask(&measuring));
    }

    #[test]
    fn an_open_breaker_is_passed_over_in_a_panic_alone() {
        let health = Health::new(HOUR);
        let mut candidate = candidate(Some(Operation::Speech));
        for _ in 0..5 {
            health.failed(&candidate, Operation::Speech, Duration::ZERO);
        }
        assert!(!health.may_ask(&candidate), "it has opened since the call was routed");
        candidate.look = health.look(&candidate, Operation::Speech);
        assert_eq!(candidate.look.breaker, Breaker::Open);
        assert!(health.may_ask(&candidate) && health.may_ask(&candidate), "the route has no better ones");
        health.succeeded(&candidate, Operation::Speech, Duration::ZERO);
        assert_eq!(health.look(&candidate, Operation::Speech).breaker, Breaker::Closed);
    }

    #[test]
    fn what_nobody_asks_any_more_is_forgotten() {
        let health = Health::new(HOUR);
        health.failed(&candidate(None), Operation::Speech, Duration::ZERO);
        health.forget(health.now());
        assert_eq!(health.targets().len(), 1);
        health.forget(health.now() + HOUR);
        assert!(health.targets().is_empty());
    }

    #[test]
    fn draws_spread_evenly_and_are_seen_before_they_are_taken() {
        let health = Health::new(HOUR);
        assert_eq!(health.next_draws(), health.draws());
        let draws: Vec<Draws> = (0..1000).map(|_| health.draws()).collect();
        let measuring = draws.iter().filter(|draws| draws.measure < domain::routing::order::MEASURED_SHARE).count();
        assert!((15..=25).contains(&measuring), "{measuring} of 1000 measure");
        let halves = draws.iter().filter(|draws| draws.weighted < 0.5).count();
        assert!((495..=505).contains(&halves), "{halves} of 1000");
    }
}
