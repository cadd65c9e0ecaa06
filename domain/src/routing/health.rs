//! What is known of one target's health: its breaker, and how soon it answers each operation.

use std::time::Duration;

use crate::provider::Operation;
use crate::routing::breaker::{Breaker, State};
use crate::routing::latency::{Latency, Timing};

/// The health of one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetHealth {
    breaker: Breaker,
    /// A target is asked for one or two operations.
    latencies: Vec<(Operation, Latency)>,
}

/// What routing needs to know of a target. Looking takes nothing: a call that is refused afterwards, or served by
/// a better target, has not probed this one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// What the breaker says.
    pub breaker: State,
    /// How long ago an ejected target failed last; `None` for one that may be asked.
    pub ejected_for: Option<Duration>,
    /// How soon it answers.
    pub timing: Timing,
}

impl TargetHealth {
    /// What is known at `now` for an operation.
    #[must_use]
    pub fn look(&self, operation: Operation, now: Duration) -> Look {
        Look {
            breaker: self.breaker.state(now),
            ejected_for: self.breaker.ejected_for(now),
            timing: self.latency(operation).map_or_else(Timing::default, |latency| latency.timing(now)),
        }
    }

    /// What the breaker says at `now`.
    #[must_use]
    pub fn breaker(&self, now: Duration) -> State {
        self.breaker.state(now)
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.breaker.failures()
    }

    /// What is measured, by operation.
    pub fn timings(&self, now: Duration) -> impl Iterator<Item = (Operation, Timing)> {
        self.latencies.iter().map(move |(operation, latency)| (*operation, latency.timing(now)))
    }

    /// Whether a call may ask the target now; asked once, right before it is asked. Where the breaker is half-open
    /// this takes its probe. `open_for` is how long a breaker is open the first time.
    #[must_use]
    pub fn may_ask(&mut self, now: Duration, open_for: Duration) -> bool {
        self.breaker.may_ask(now, open_for)
    }

    /// Takes the one call at a time that goes to this target to measure it, as [`Order::measures`] says;
    /// `false` where another has it.
    ///
    /// [`Order::measures`]: crate::routing::Order::measures
    #[must_use]
    pub fn measure(&mut self, operation: Operation, now: Duration) -> bool {
        self.latency_mut(operation).probe(now)
    }

    /// It answered an operation after `ttfb`.
    pub fn succeeded(&mut self, operation: Operation, ttfb: Duration, now: Duration) {
        self.breaker.succeeded(now.saturating_sub(ttfb), now);
        self.latency_mut(operation).answered(ttfb, now);
    }

    /// It failed an operation after `took`, in a way that speaks against it.
    pub fn failed(&mut self, operation: Operation, took: Duration, now: Duration, open_for: Duration) {
        self.breaker.failed(now, open_for);
        self.latency_mut(operation).failed(took, now);
    }

    /// It had not answered an operation after `took`, when its call was given up since another target had. That speaks
    /// for it to be slow, and neither for nor against that it works.
    pub fn outrun(&mut self, operation: Operation, took: Duration, now: Duration) {
        self.latency_mut(operation).answered(took, now);
    }

    fn latency(&self, operation: Operation) -> Option<&Latency> {
        self.latencies.iter().find(|(of, _)| *of == operation).map(|(_, latency)| latency)
    }

    fn latency_mut(&mut self, operation: Operation) -> &mut Latency {
        let place = self.latencies.iter().position(|(of, _)| *of == operation).unwrap_or_else(|| {
            self.latencies.push((operation, Latency::default()));
            self.latencies.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found or added above")]
        &mut self.latencies[place].1
    }
}
