//! What is known of each target's health: a breaker, and how soon it answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::provider::Operation;

use crate::pipeline::route::Candidate;

/// Failures in a row that open a breaker.
const FAILURES_TO_OPEN: u32 = 5;
/// How long an open breaker refuses before one request may probe.
const OPEN_FOR: Duration = Duration::from_secs(10);
/// Weight of the newest measurement.
const NEWEST: f64 = 0.2;

/// Health of every target, in this process.
#[derive(Debug, Default)]
pub struct Health {
    targets: DashMap<(String, String), State>,
    draws: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    ttfb_ms: Vec<(Operation, f64)>,
}

impl Health {
    /// Whether a target may be tried: its breaker is closed, or it is time for a probe.
    #[must_use]
    pub fn allows(&self, candidate: &Candidate) -> bool {
        let Some(mut state) = self.targets.get_mut(&key(candidate)) else { return true };
        match state.open_until {
            None => true,
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                // One probe at a time: the others see an open breaker until it is back.
                state.open_until = Some(Instant::now() + OPEN_FOR);
                true
            }
        }
    }

    /// A target answered, after `ttfb`.
    pub fn succeeded(&self, candidate: &Candidate, operation: Operation, ttfb: Duration) {
        let mut state = self.targets.entry(key(candidate)).or_default();
        state.failures = 0;
        state.open_until = None;
        let new = ttfb.as_secs_f64() * 1000.0;
        match state.ttfb_ms.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, mean)) => *mean += (new - *mean) * NEWEST,
            None => state.ttfb_ms.push((operation, new)),
        }
    }

    /// A target failed in a way that speaks against it.
    pub fn failed(&self, candidate: &Candidate) {
        let mut state = self.targets.entry(key(candidate)).or_default();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_TO_OPEN {
            state.open_until = Some(Instant::now() + OPEN_FOR);
        }
    }

    /// Decayed mean of the time to first byte.
    #[must_use]
    pub fn ttfb_ms(&self, candidate: &Candidate, operation: Operation) -> Option<f64> {
        let state = self.targets.get(&key(candidate))?;
        state.ttfb_ms.iter().find(|(of, _)| *of == operation).map(|(_, mean)| *mean)
    }

    /// The next number from 0 to 1 for weighted routes: a low-discrepancy walk, so that shares come
    /// out exact over few requests as well.
    pub fn draw(&self) -> f64 {
        let step = self.draws.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "only the fraction matters")]
        let turn = (step % 1_000_003) as f64 * 0.618_033_988_749_894_9;
        turn.fract()
    }
}

fn key(candidate: &Candidate) -> (String, String) {
    (candidate.account.name.clone(), candidate.target.model.clone())
}
