//! When a second target is asked beside a first one that is slow.

use std::time::Duration;

use crate::routing::latency::Timing;

/// How long the first target has where its times are not known yet, unless told, in milliseconds.
pub const UNMEASURED_MS: u32 = 1_000;
/// The shortest that may be told, in milliseconds.
pub const LEAST_MS: u32 = 10;
/// The longest that may be told, in milliseconds.
pub const MOST_MS: u32 = 60_000;

/// A route whose calls are hedged: where the first target is slower than it nearly always is, the second one is asked
/// as well, and whoever answers first serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// How long the first target has while too few of its times are known, in milliseconds.
    pub unmeasured_ms: u32,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { unmeasured_ms: UNMEASURED_MS }
    }
}

impl Hedge {
    /// How long the first target has: the 95th percentile of its times, once that is known.
    #[must_use]
    pub fn after(self, timing: &Timing) -> Duration {
        let measured = timing.p95_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        measured.unwrap_or(Duration::from_millis(u64::from(self.unmeasured_ms)))
    }

    /// Whether such a time may be told.
    #[must_use]
    pub const fn is_sane(self) -> bool {
        LEAST_MS <= self.unmeasured_ms && self.unmeasured_ms <= MOST_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_its_own_95th_percentile_once_that_is_known() {
        let hedge = Hedge { unmeasured_ms: 700 };
        let timing = Timing { typical_ms: Some(90.0), ..Timing::default() };
        assert_eq!(hedge.after(&timing), Duration::from_millis(700));
        assert_eq!(hedge.after(&Timing { p95_ms: Some(120.5), ..timing }), Duration::from_micros(120_500));
        assert_eq!(hedge.after(&Timing { p95_ms: Some(f64::INFINITY), ..timing }), Duration::from_millis(700));
    }

    #[test]
    fn what_may_be_told_has_bounds() {
        assert!(Hedge::default().is_sane());
        assert!(!Hedge { unmeasured_ms: 0 }.is_sane() && !Hedge { unmeasured_ms: 60_001 }.is_sane());
    }
}
