//! Whether a failed call is made again: at which target, after how long, and whether there is room for it.
//!
//! Where many calls fail at once, making each of them again doubles the load on what is failing. So calls made again
//! are paid out of a budget that calls fill: a fifth of them, and a few a second beside, may be made again.

use std::time::Duration;

/// What each call adds to the budget: one in five may be made again.
pub const SHARE: f64 = 0.2;
/// Calls that may be made again in each second, however few are made.
pub const LEAST_PER_SECOND: f64 = 1.0;
/// The most that is saved up.
pub const MOST_SAVED: f64 = 100.0;
/// What there is at the start.
pub const SAVED_AT_START: f64 = 10.0;
/// The first wait before the same target is asked again is drawn between nothing and this; each further one up to
/// twice as much.
pub const FIRST_WAIT: Duration = Duration::from_millis(100);
/// No wait is drawn that is longer.
pub const MAX_WAIT: Duration = Duration::from_secs(2);
/// A target that wants to be left alone for longer than this is not waited for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Calls at one target that are made for one request.
pub const MAX_ATTEMPTS: u32 = 3;

/// How many calls may be made again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    saved: f64,
    at: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { saved: SAVED_AT_START, at: Duration::ZERO }
    }
}

impl RetryBudget {
    /// One that begins at `now`.
    #[must_use]
    pub fn starting(now: Duration) -> Self {
        Self { at: now, ..Self::default() }
    }

    /// A call comes in.
    pub fn called(&mut self, now: Duration) {
        self.fill(now);
        self.saved = (self.saved + SHARE).min(MOST_SAVED);
    }

    /// Takes one try again; `false` where none is left.
    #[must_use]
    pub fn take(&mut self, now: Duration) -> bool {
        self.fill(now);
        let has_one = self.saved >= 1.0;
        if has_one {
            self.saved -= 1.0;
        }
        has_one
    }

    fn fill(&mut self, now: Duration) {
        let past = now.saturating_sub(self.at);
        self.saved = (self.saved + past.as_secs_f64() * LEAST_PER_SECOND).min(MOST_SAVED);
        self.at = self.at.max(now);
    }
}

/// A call that failed in a way that another try can mend, before anything of its answer was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failure {
    /// For how long the target wants to be left alone, as it said itself.
    pub retry_after: Option<Duration>,
    /// The same target may do better at once, such as after a connection that broke.
    pub same_target: bool,
    /// Calls made at this target so far, at least one.
    pub attempts: u32,
}

/// What a request has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Targets that were not asked yet.
    pub targets: usize,
    /// Time to its deadline.
    pub time: Duration,
}

/// What is done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next target is asked, at once.
    Another,
    /// The same target is asked after this.
    SameAfter(Duration),
    /// The failure is told.
    GiveUp(Why),
}

/// Why a call is not made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no target left that a try would be worth.
    NoTarget,
    /// The deadline comes first.
    NoTime,
    /// Too many calls are made again already.
    NoBudget,
}

/// What is done after a failure. Another target comes before another try at the same one, since it is the more
/// likely to answer and nobody waits for it. `draw` is a random number from 0 (inclusive) to 1.
#[must_use]
pub fn next(failure: Failure, left: Left, budget: &mut RetryBudget, now: Duration, draw: f64) -> Next {
    if left.time.is_zero() {
        return Next::GiveUp(Why::NoTime);
    }
    let next = if left.targets > 0 {
        Next::Another
    } else {
        match wait(failure, draw) {
            None => return Next::GiveUp(Why::NoTarget),
            Some(wait) if wait >= left.time => return Next::GiveUp(Why::NoTime),
            Some(wait) => Next::SameAfter(wait),
        }
    };
    if budget.take(now) { next } else { Next::GiveUp(Why::NoBudget) }
}

/// How long to wait before the same target is asked again: at random between nothing and a bound that doubles
/// ("full jitter"), on top of what the target asked for. `None` where it is not worth it.
#[must_use]
pub fn wait(failure: Failure, draw: f64) -> Option<Duration> {
    let asked_for = failure.retry_after.unwrap_or_default();
    if failure.attempts >= MAX_ATTEMPTS || asked_for > MAX_RETRY_AFTER {
        return None;
    }
    if !failure.same_target && failure.retry_after.is_none() {
        return None;
    }
    let doublings = failure.attempts.saturating_sub(1).min(16);
    let most = FIRST_WAIT.saturating_mul(1 << doublings).min(MAX_WAIT);
    Some(asked_for + most.mul_f64(draw.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKE: Failure = Failure { retry_after: None, same_target: true, attempts: 1 };
    const MINUTE: Duration = Duration::from_secs(60);

    fn after(failure: Failure, targets: usize, time: Duration) -> Next {
        next(failure, Left { targets, time }, &mut RetryBudget::default(), Duration::ZERO, 0.5)
    }

    #[test]
    fn a_fifth_of_calls_and_one_a_second_are_made_again() {
        let mut budget = RetryBudget::default();
        let now = Duration::from_secs(1);
        let mut again = 0;
        for _ in 0..10_000 {
            budget.called(now);
            again += u32::from(budget.take(now));
        }
        assert!((2000..=2012).contains(&again), "{again} of 10,000, when everything fails");
        let mut idle = 0;
        for second in 2..102 {
            for _ in 0..5 {
                idle += u32::from(budget.take(Duration::from_secs(second)));
            }
        }
        assert!((99..=101).contains(&idle), "{idle} in 100 s without calls");
        let hour = Duration::from_secs(3600);
        let saved = (0..1000).filter(|_| budget.take(hour)).count();
        assert_eq!(saved, 100, "a quiet hour saves no more than this");
        assert!(!budget.take(Duration::ZERO), "a clock that stands back fills nothing");
    }

    #[test]
    fn another_target_comes_before_another_try() {
        assert_eq!(after(BROKE, 2, MINUTE), Next::Another);
        let limited = Failure { retry_after: Some(Duration::from_secs(2)), same_target: false, attempts: 1 };
        assert_eq!(after(limited, 1, MINUTE), Next::Another, "and nobody waits for this one");
        assert_eq!(after(BROKE, 0, MINUTE), Next::SameAfter(Duration::from_millis(50)));
        assert_eq!(after(Failure { same_target: false, ..BROKE }, 0, MINUTE), Next::GiveUp(Why::NoTarget));
        assert_eq!(after(Failure { attempts: MAX_ATTEMPTS, ..BROKE }, 0, MINUTE), Next::GiveUp(Why::NoTarget));
    }

    #[test]
    fn a_wait_ends_before_the_deadline_and_not_before_the_target_wants_it() {
        let limited =
            |seconds| Failure { retry_after: Some(Duration::from_secs(seconds)), same_target: false, attempts: 1 };
        assert_eq!(after(limited(2), 0, MINUTE), Next::SameAfter(Duration::from_millis(2050)));
        assert_eq!(after(limited(2), 0, Duration::from_secs(2)), Next::GiveUp(Why::NoTime));
        assert_eq!(after(limited(11), 0, MINUTE), Next::GiveUp(Why::NoTarget), "longer than anybody is made to wait");
        assert_eq!(after(BROKE, 1, Duration::ZERO), Next::GiveUp(Why::NoTime));
        for attempts in 1..MAX_ATTEMPTS {
            let failure = Failure { attempts, ..BROKE };
            assert_eq!(wait(failure, 0.0), Some(Duration::ZERO));
            assert!(wait(failure, 0.999).unwrap() < FIRST_WAIT * (1 << (attempts - 1)));
        }
    }

    #[test]
    fn nothing_is_made_again_without_budget() {
        let mut budget = RetryBudget::default();
        while budget.take(Duration::ZERO) {}
        let left = Left { targets: 3, time: MINUTE };
        assert_eq!(next(BROKE, left, &mut budget, Duration::ZERO, 0.5), Next::GiveUp(Why::NoBudget));
        assert_eq!(next(BROKE, left, &mut budget, Duration::from_secs(1), 0.5), Next::Another);
    }
}
