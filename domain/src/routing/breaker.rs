//! A breaker for each target: it opens when the target fails too often, and finds out with few calls whether the
//! target is well again.

use std::time::Duration;

/// Failures in a row that open a breaker.
pub const FAILURES_TO_OPEN: u32 = 5;
/// The failed share of the calls in the window that opens a breaker, in percent.
pub const SHARE_TO_OPEN_PERCENT: u32 = 50;
/// Calls in the window below which a share says nothing.
pub const LEAST_CALLS: u32 = 20;
/// The window goes back by this, or by up to twice as much.
pub const WINDOW: Duration = Duration::from_secs(15);
/// Calls that may probe a half-open target at the same time.
pub const PROBES: u32 = 1;
/// The longest that a target is left alone, unless it is told to be longer the first time.
pub const MAX_EJECTION: Duration = Duration::from_secs(300);
/// A breaker that has been closed for so long forgets one of its ejections.
pub const FORGETS_AFTER: Duration = Duration::from_secs(60);
/// A route where fewer than this percentage of the targets would be left tries all of them.
pub const PANIC_BELOW_PERCENT: usize = 50;

/// What a breaker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Whoever wants may ask.
    #[default]
    Closed,
    /// Few calls may ask, and find out whether the target is well again.
    HalfOpen,
    /// Nobody may.
    Open,
}

impl State {
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

/// The breaker of one target. It is open for as long as it is told, the first time; each further ejection is
/// twice as long as the one before, up to [`MAX_EJECTION`], and each [`FORGETS_AFTER`] of health undoes one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Failures since the last success.
    failures: u32,
    window: Window,
    /// How often it has opened without being well for long in between.
    ejections: u32,
    ejected: Option<Ejected>,
    closed_at: Duration,
}

/// A breaker that is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ejected {
    since: Duration,
    /// Of the last failure that was counted.
    failed_at: Duration,
    until: Duration,
    /// Calls that probe, and when they count as lost.
    probes: u32,
    probes_until: Duration,
}

impl Breaker {
    /// What it says at `now`. Looking changes nothing.
    #[must_use]
    pub fn state(&self, now: Duration) -> State {
        match &self.ejected {
            None => State::Closed,
            Some(ejected) if now < ejected.until || !ejected.has_probe(now) => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// How long ago the last failure of an ejected target was: in a panic those are tried first that have been
    /// left alone the longest. `None` for one that is not ejected.
    #[must_use]
    pub fn ejected_for(&self, now: Duration) -> Option<Duration> {
        let ejected = self.ejected.filter(|_| self.state(now) == State::Open)?;
        Some(now.saturating_sub(ejected.failed_at))
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a call may ask the target now. Where it is half-open this takes one of the probes; one of which
    /// nothing is heard for `open_for` counts as lost.
    #[must_use]
    pub fn may_ask(&mut self, now: Duration, open_for: Duration) -> bool {
        let state = self.state(now);
        if let (State::HalfOpen, Some(ejected)) = (state, &mut self.ejected) {
            let lost = now >= ejected.probes_until;
            ejected.probes = if lost { 1 } else { ejected.probes + 1 };
            ejected.probes_until = now + open_for;
        }
        state != State::Open
    }

    /// The target did what it was asked at `asked`. That closes the breaker, unless it was asked before that opened:
    /// then it tells nothing new.
    pub fn succeeded(&mut self, asked: Duration, now: Duration) {
        if self.ejected.is_some_and(|ejected| asked < ejected.since) {
            return;
        }
        self.failures = 0;
        if self.ejected.take().is_some() {
            (self.window, self.closed_at) = (Window::default(), now);
        }
        self.window.count(now, false);
    }

    /// The target failed. A breaker that opens for the first time does so for `open_for`.
    pub fn failed(&mut self, now: Duration, open_for: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.window.count(now, true);
        match &mut self.ejected {
            // Calls that were on their way, or that were made in a panic: they tell nothing new.
            Some(ejected) if now < ejected.until => ejected.failed_at = now,
            Some(_) => self.eject(now, open_for),
            None if self.failures >= FAILURES_TO_OPEN || self.window.fails() => {
                let forgotten = now.saturating_sub(self.closed_at).as_secs() / FORGETS_AFTER.as_secs();
                self.ejections = self.ejections.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
                self.eject(now, open_for);
            }
            None => {}
        }
    }

    fn eject(&mut self, now: Duration, open_for: Duration) {
        let until = now + ejection(self.ejections, open_for);
        self.ejections = self.ejections.saturating_add(1);
        self.ejected = Some(Ejected { since: now, failed_at: now, until, probes: 0, probes_until: now });
    }
}

impl Ejected {
    fn has_probe(&self, now: Duration) -> bool {
        self.probes < PROBES || now >= self.probes_until
    }
}

/// How long a target is left alone that was ejected so often before.
#[must_use]
pub fn ejection(before: u32, open_for: Duration) -> Duration {
    let doubled = open_for.saturating_mul(1 << before.min(16));
    doubled.min(MAX_EJECTION.max(open_for))
}

/// Whether so few targets of a route are left that all are tried: then the fault is likely nearer to us than to
/// each of them, and a doubtful target is better than none. A route of one target does not panic: its breaker spares
/// clients the wait for what fails anyway.
#[must_use]
pub const fn panics(left: usize, all: usize) -> bool {
    all > 1 && left * 100 < all * PANIC_BELOW_PERCENT
}

/// Calls of late, in two parts of which the older one is forgotten as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Window {
    begun: Duration,
    current: Counts,
    before: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    calls: u32,
    failed: u32,
}

impl Window {
    fn count(&mut self, now: Duration, failed: bool) {
        let age = now.saturating_sub(self.begun);
        if age >= WINDOW {
            let before = if age < WINDOW * 2 { self.current } else { Counts::default() };
            *self = Self { begun: now, current: Counts::default(), before };
        }
        self.current.calls = self.current.calls.saturating_add(1);
        self.current.failed = self.current.failed.saturating_add(u32::from(failed));
    }

    fn fails(&self) -> bool {
        let calls = u64::from(self.current.calls) + u64::from(self.before.calls);
        let failed = u64::from(self.current.failed) + u64::from(self.before.failed);
        calls >= u64::from(LEAST_CALLS) && failed * 100 >= calls * u64::from(SHARE_TO_OPEN_PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn opened(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert!(breaker.may_ask(now, OPEN_FOR), "closed until it has failed often enough");
            breaker.failed(now, OPEN_FOR);
        }
        assert!(!breaker.may_ask(now, OPEN_FOR), "open");
        breaker
    }

    #[test]
    fn a_breaker_opens_lets_one_probe_through_and_opens_for_longer_when_that_fails() {
        let mut breaker = opened(at(0));
        assert_eq!(breaker.state(at(9)), State::Open);
        assert_eq!((breaker.state(at(10)), breaker.state(at(10))), (State::HalfOpen, State::HalfOpen), "looked at");
        assert!(breaker.may_ask(at(10), OPEN_FOR), "half-open: the probe");
        assert!(!breaker.may_ask(at(10), OPEN_FOR), "and no second call beside it");
        assert_eq!(breaker.state(at(11)), State::Open, "which everybody sees");
        breaker.failed(at(12), OPEN_FOR);
        assert_eq!((breaker.state(at(31)), breaker.state(at(32))), (State::Open, State::HalfOpen), "twice as long");
        assert!(breaker.may_ask(at(32), OPEN_FOR));
        breaker.succeeded(at(32), at(33));
        assert!(breaker.may_ask(at(33), OPEN_FOR) && breaker.may_ask(at(33), OPEN_FOR), "closed");
        breaker.failed(at(33), OPEN_FOR);
        assert_eq!(breaker.state(at(33)), State::Closed, "one failure is not many");
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_given_to_another() {
        let mut breaker = opened(at(0));
        assert!(breaker.may_ask(at(10), OPEN_FOR));
        assert!(!breaker.may_ask(at(19), OPEN_FOR));
        assert!(breaker.may_ask(at(20), OPEN_FOR));
        assert!(!breaker.may_ask(at(20), OPEN_FOR), "one again");
    }

    #[test]
    fn a_failing_share_opens_it_without_failures_in_a_row() {
        let mut breaker = Breaker::default();
        for call in 0..LEAST_CALLS / 2 {
            assert_eq!(breaker.state(at(0)), State::Closed, "{call}");
            breaker.succeeded(at(0), at(0));
            breaker.failed(at(0), OPEN_FOR);
        }
        assert_eq!(breaker.state(at(0)), State::Open);
        let mut rare = Breaker::default();
        for call in 0..100 {
            rare.succeeded(at(call * 4), at(call * 4));
            rare.failed(at(call * 4), OPEN_FOR);
        }
        assert_eq!(rare.state(at(400)), State::Closed, "a window of half a minute does not hold twenty of them");
    }

    #[test]
    fn ejections_grow_up_to_a_cap_and_are_forgotten_in_good_times() {
        let seconds = [0, 1, 2, 4, 5, 60].map(|before| ejection(before, OPEN_FOR).as_secs());
        assert_eq!(seconds, [10, 20, 40, 160, 300, 300]);
        assert_eq!(ejection(3, Duration::from_secs(900)).as_secs(), 900, "whoever wants longer gets it");
        let mut breaker = opened(at(0));
        for (failed_at, open_until) in [(10, 30), (30, 70)] {
            breaker.failed(at(failed_at), OPEN_FOR);
            assert_eq!(
                (breaker.state(at(open_until - 1)), breaker.state(at(open_until))),
                (State::Open, State::HalfOpen)
            );
        }
        breaker.succeeded(at(70), at(70));
        let fail = |breaker: &mut Breaker, now| (0..FAILURES_TO_OPEN).for_each(|_| breaker.failed(at(now), OPEN_FOR));
        let (mut soon, mut late) = (breaker.clone(), breaker);
        fail(&mut soon, 71);
        assert_eq!((soon.state(at(150)), soon.state(at(151))), (State::Open, State::HalfOpen), "the fourth");
        fail(&mut late, 70 + 180);
        assert_eq!((late.state(at(259)), late.state(at(260))), (State::Open, State::HalfOpen), "three are forgotten");
    }

    #[test]
    fn what_was_on_its_way_neither_prolongs_nor_ends_an_ejection() {
        let mut breaker = opened(at(0));
        breaker.failed(at(5), OPEN_FOR);
        assert_eq!(breaker.ejected_for(at(6)), Some(Duration::from_secs(1)));
        assert_eq!(breaker.state(at(10)), State::HalfOpen);
        assert_eq!(breaker.ejected_for(at(10)), None, "it may be asked");
        let mut late = opened(at(3));
        late.succeeded(at(2), at(4));
        assert_eq!(late.state(at(4)), State::Open, "it was asked before the breaker opened");
        late.succeeded(at(5), at(6));
        assert_eq!((late.state(at(6)), late.failures()), (State::Closed, 0), "it was asked in a panic");
    }

    #[test]
    fn a_route_panics_when_fewer_than_half_are_left_but_not_a_lone_target() {
        let panicking = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (2, 5), (5, 5)].map(|(left, all)| panics(left, all));
        assert_eq!(panicking, [false, true, false, true, false, true, false]);
    }
}
