//! What follows from what was found: pure functions of it, of the alerts that are open, and of the time.

use std::collections::HashMap;

use rust_decimal::Decimal;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// An open alert whose value has fallen to less than this much of its threshold is over. Between the two it
/// stays as it is, so that a value on the edge does not tell people every minute.
const OVER_PERCENT: i64 = 90;
/// Where the ranges of waiting times end, in milliseconds.
const RANGES_MS: [i64; 5] = [100, 300, 1_000, 3_000, 10_000];

/// What a rule found of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The id of a key or tenant, or the names of a provider and its model.
    pub(crate) subject: String,
    /// As people call that.
    pub(crate) name: String,
    /// What was found.
    pub(crate) value: Decimal,
    /// Whether the rule's condition holds.
    pub(crate) found: Found,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nothing can be concluded: an alert stays as it is.
    Unclear,
}

/// An alert that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// Its id.
    pub(crate) id: Uuid,
    /// What it is about.
    pub(crate) subject: String,
    /// It fires, rather than waiting until it has lasted long enough.
    pub(crate) firing: bool,
    /// Since when.
    pub(crate) started_at: OffsetDateTime,
}

/// What becomes of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It begins.
    Begin {
        /// With this.
        reading: Reading,
        /// It fires at once.
        firing: bool,
    },
    /// It has lasted long enough.
    Fire {
        /// Which one.
        id: Uuid,
        /// Seconds that it has lasted.
        value: Decimal,
    },
    /// It is over.
    Resolve(Uuid),
    /// It is over before it fired: nobody need know.
    Forget(Uuid),
}

/// Whether `value` reaches `threshold`.
pub(crate) fn judge(value: Decimal, threshold: Decimal) -> Found {
    if value >= threshold {
        return Found::Yes;
    }
    let over = threshold * Decimal::new(OVER_PERCENT, 2);
    if value < over { Found::No } else { Found::Unclear }
}

/// What follows for the alerts of one rule. A condition must hold for `hold` until it fires. A subject that
/// was not found at all has nothing wrong with it.
pub(crate) fn steps(open: &[Open], readings: Vec<Reading>, hold: Duration, now: OffsetDateTime) -> Vec<Step> {
    let mut by_subject: HashMap<&str, &Open> = open.iter().map(|open| (open.subject.as_str(), open)).collect();
    let mut steps = Vec::new();
    for reading in readings {
        let is_open = by_subject.remove(reading.subject.as_str());
        match (is_open, reading.found) {
            (None, Found::Yes) => steps.push(Step::Begin { reading, firing: hold <= Duration::ZERO }),
            (Some(open), Found::Yes) if !open.firing && now - open.started_at >= hold => {
                steps.push(Step::Fire { id: open.id, value: (now - open.started_at).whole_seconds().into() });
            }
            (Some(open), Found::No) => steps.push(over(open)),
            _ => {}
        }
    }
    let mut gone: Vec<&Open> = by_subject.into_values().collect();
    gone.sort_by_key(|open| open.id);
    steps.extend(gone.into_iter().map(over));
    steps
}

fn over(open: &Open) -> Step {
    if open.firing { Step::Resolve(open.id) } else { Step::Forget(open.id) }
}

/// `part` of a hundred of `whole`, to a tenth.
pub(crate) fn percent(part: i128, whole: i128) -> Decimal {
    let part = Decimal::try_from_i128_with_scale(part, 0).unwrap_or(Decimal::MAX);
    let whole = Decimal::try_from_i128_with_scale(whole, 0).unwrap_or(Decimal::MAX);
    let share = part.checked_div(whole).and_then(|share| share.checked_mul(Decimal::ONE_HUNDRED));
    share.unwrap_or(Decimal::ZERO).round_dp(1)
}

/// The 95th percentile in milliseconds of `count` waiting times, of which `at_most` are counted by the end of
/// each range; within a range they are taken to lie evenly. What took longer than the last range counts as
/// its end.
pub(crate) fn p95_ms(count: i64, at_most: [i64; 5]) -> Decimal {
    let rank = Decimal::from(count) * Decimal::new(95, 2);
    let (mut start_ms, mut below) = (0, 0);
    for (end_ms, within) in RANGES_MS.into_iter().zip(at_most) {
        let inside = within - below;
        if inside > 0 && Decimal::from(within) >= rank {
            let share = (rank - Decimal::from(below)) / Decimal::from(inside);
            return (Decimal::from(start_ms) + share * Decimal::from(end_ms - start_ms)).round_dp(0);
        }
        (start_ms, below) = (end_ms, within.max(below));
    }
    Decimal::from(start_ms)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn reading(found: Found) -> Reading {
        Reading { subject: "openai".to_owned(), name: "openai".to_owned(), value: Decimal::TEN, found }
    }

    fn open(firing: bool, seconds: i64) -> Open {
        let started_at = NOW - Duration::seconds(seconds);
        Open { id: Uuid::nil(), subject: "openai".to_owned(), firing, started_at }
    }

    #[test]
    fn an_alert_fires_once_and_is_over_once() {
        let at_once = Duration::ZERO;
        let begun = steps(&[], vec![reading(Found::Yes)], at_once, NOW);
        assert_eq!(begun, [Step::Begin { reading: reading(Found::Yes), firing: true }]);
        assert_eq!(steps(&[open(true, 60)], vec![reading(Found::Yes)], at_once, NOW), []);
        assert_eq!(steps(&[open(true, 60)], vec![reading(Found::Unclear)], at_once, NOW), []);
        assert_eq!(steps(&[open(true, 60)], vec![reading(Found::No)], at_once, NOW), [Step::Resolve(Uuid::nil())]);
        assert_eq!(steps(&[open(true, 60)], vec![], at_once, NOW), [Step::Resolve(Uuid::nil())]);
        assert_eq!(steps(&[], vec![reading(Found::Unclear)], at_once, NOW), []);
        assert_eq!(steps(&[], vec![reading(Found::No)], at_once, NOW), []);
    }

    #[test]
    fn a_condition_that_must_last_fires_when_it_has() {
        let minute = Duration::MINUTE;
        let begun = steps(&[], vec![reading(Found::Yes)], minute, NOW);
        assert_eq!(begun, [Step::Begin { reading: reading(Found::Yes), firing: false }]);
        assert_eq!(steps(&[open(false, 59)], vec![reading(Found::Yes)], minute, NOW), []);
        let fires = steps(&[open(false, 61)], vec![reading(Found::Yes)], minute, NOW);
        assert_eq!(fires, [Step::Fire { id: Uuid::nil(), value: Decimal::from(61) }]);
        assert_eq!(steps(&[open(false, 30)], vec![], minute, NOW), [Step::Forget(Uuid::nil())]);
    }

    #[test]
    fn a_value_just_below_its_threshold_changes_nothing() {
        let threshold = Decimal::from(80);
        assert_eq!(judge(Decimal::from(80), threshold), Found::Yes);
        assert_eq!(judge(Decimal::new(799, 1), threshold), Found::Unclear);
        assert_eq!(judge(Decimal::from(72), threshold), Found::Unclear);
        assert_eq!(judge(Decimal::new(719, 1), threshold), Found::No);
        assert_eq!(judge(Decimal::ZERO, Decimal::ZERO), Found::Yes);
    }

    #[test]
    fn shares_are_exact_at_any_size() {
        assert_eq!(percent(852, 1_000).to_string(), "85.2");
        assert_eq!(percent(1, 3).to_string(), "33.3");
        assert_eq!(percent(i128::from(i64::MAX), i128::from(i64::MAX)).normalize().to_string(), "100");
        assert_eq!(percent(5, 0), Decimal::ZERO);
        assert_eq!(percent(i128::MAX, 1), Decimal::ZERO, "beyond what can be said");
    }

    #[test]
    fn the_percentile_lies_in_the_range_that_holds_it() {
        assert_eq!(p95_ms(100, [95, 100, 100, 100, 100]), Decimal::from(100));
        assert_eq!(p95_ms(100, [90, 100, 100, 100, 100]), Decimal::from(200));
        assert_eq!(p95_ms(100, [0, 0, 0, 100, 100]), Decimal::from(2_900));
        assert_eq!(p95_ms(100, [0, 0, 0, 0, 94]), Decimal::from(10_000), "longer than can be told");
        assert_eq!(p95_ms(1, [0, 1, 1, 1, 1]), Decimal::from(290));
        assert_eq!(p95_ms(0, [0; 5]), Decimal::from(10_000), "nobody asks this of nothing");
    }
}
