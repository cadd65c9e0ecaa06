//! Requests per minute: a token bucket (GCRA) whose burst is the whole minute's number.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// What the `x-ratelimit-*-requests` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateState {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that would be admitted at this moment.
    pub remaining: u32,
    /// Until `remaining` is `limit` again.
    pub reset: Duration,
}

/// A refusal by the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFast {
    pub(super) state: RateState,
    pub(super) retry_after: Duration,
}

/// One key's bucket. Its owner's lock makes check and change one step.
#[derive(Debug)]
pub(super) struct Bucket {
    per_minute: NonZeroU32,
    clock: GivenClock,
    epoch: Instant,
    limiter: Limiter,
    last: RateState,
    full_at: Instant,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, GivenClock, StateInformationMiddleware>;

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_minute: NonZeroU32, mono: Instant) -> Self {
        let clock = GivenClock::default();
        let limiter = limiter(per_minute, &clock);
        let last = RateState { limit: per_minute.get(), remaining: per_minute.get(), reset: Duration::ZERO };
        Self { per_minute, clock, epoch: mono, limiter, last, full_at: mono }
    }

    /// Takes one request, or nothing.
    pub(super) fn take(&mut self, mono: Instant) -> Result<RateState, TooFast> {
        self.clock.set(mono.saturating_duration_since(self.epoch));
        match self.limiter.check() {
            Ok(snapshot) => {
                self.note(snapshot.remaining_burst_capacity(), mono);
                Ok(self.last)
            }
            Err(refused) => {
                let retry_after = refused.wait_time_from(self.clock.now());
                self.note(0, mono);
                Err(TooFast { state: self.last, retry_after })
            }
        }
    }

    /// Follows a changed limit. What has been used of the old bucket stays used, so that changing a
    /// limit back and forth buys nobody a second burst.
    pub(super) fn follow(&mut self, per_minute: NonZeroU32, mono: Instant) {
        if self.per_minute == per_minute {
            return;
        }
        let refilling = self.full_at.saturating_duration_since(mono).as_nanos();
        let used = refilling.div_ceil(per_request(self.per_minute).as_nanos().max(1));
        let used = u32::try_from(used).unwrap_or(u32::MAX).min(per_minute.get());
        *self = Self::new(per_minute, mono);
        if let Some(used) = NonZeroU32::new(used)
            && let Ok(Ok(snapshot)) = self.limiter.check_n(used)
        {
            self.note(snapshot.remaining_burst_capacity(), mono);
        }
    }

    /// Whether forgetting this bucket changes nothing.
    pub(super) fn is_full(&self, mono: Instant) -> bool {
        self.full_at <= mono
    }

    fn note(&mut self, remaining: u32, mono: Instant) {
        let used = self.per_minute.get().saturating_sub(remaining);
        let reset = per_request(self.per_minute).saturating_mul(used);
        self.last = RateState { limit: self.per_minute.get(), remaining, reset };
        self.full_at = mono.checked_add(reset).unwrap_or(mono);
    }
}

fn limiter(per_minute: NonZeroU32, clock: &GivenClock) -> Limiter {
    RateLimiter::direct_with_clock(Quota::per_minute(per_minute), clock.clone()).with_middleware()
}

fn per_request(per_minute: NonZeroU32) -> Duration {
    Duration::from_secs(60) / per_minute.get()
}

/// A clock that is told the time: the caller's instant decides, so that tests need no waiting.
#[derive(Debug, Clone, Default)]
struct GivenClock(Arc<AtomicU64>);

impl GivenClock {
    /// Never goes back: callers take their instant before they hold the key's lock.
    fn set(&self, since_epoch: Duration) {
        let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for GivenClock {
    type Instant = Since;
    fn now(&self) -> Since {
        Since(self.0.load(Ordering::Relaxed))
    }
}

/// Nanoseconds since the bucket was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Since(u64);

impl Reference for Since {
    fn duration_since(&self, earlier: Self) -> governor::nanos::Nanos {
        self.0.saturating_sub(earlier.0).into()
    }
    fn saturating_sub(&self, duration: governor::nanos::Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}

impl std::ops::Add<governor::nanos::Nanos> for Since {
    type Output = Self;
    fn add(self, duration: governor::nanos::Nanos) -> Self {
        Self(self.0.saturating_add(duration.as_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_minute(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn a_burst_of_the_minute_then_one_by_one() {
        let start = Instant::now();
        let mut bucket = Bucket::new(per_minute(3), start);
        let states: Vec<_> = (0..3).map(|_| bucket.take(start).unwrap()).collect();
        assert_eq!(states[0], RateState { limit: 3, remaining: 2, reset: Duration::from_secs(20) });
        assert_eq!(states[2], RateState { limit: 3, remaining: 0, reset: Duration::from_secs(60) });
        let refused = bucket.take(start).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(20));
        assert!(bucket.take(start + Duration::from_millis(19_999)).is_err());
        assert!(bucket.take(start + Duration::from_secs(20)).is_ok());
        assert!(!bucket.is_full(start + Duration::from_secs(79)));
        assert!(bucket.is_full(start + Duration::from_secs(80)));
    }

    #[test]
    fn a_changed_limit_takes_effect_and_gives_no_second_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(per_minute(2), start);
        bucket.take(start).unwrap();
        bucket.take(start).unwrap();
        bucket.follow(per_minute(5), start);
        let admitted = (0..10).filter(|_| bucket.take(start).is_ok()).count();
        assert_eq!(admitted, 3, "five less the two already used");
        bucket.follow(per_minute(1), start);
        assert!(bucket.take(start).is_err());
        assert!(bucket.take(start + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn an_instant_that_goes_back_is_harmless() {
        let start = Instant::now();
        let mut bucket = Bucket::new(per_minute(1), start);
        bucket.take(start + Duration::from_secs(1)).unwrap();
        assert!(bucket.take(start).is_err());
    }
}
