//! Where the lines of a grid are, and what stands at them.

use time::{Duration, OffsetDateTime, Time};

use super::Unit;
use crate::format;

/// Steps between times, from which the one is taken that gives a sensible number of marks.
const TIME_STEPS: [Duration; 14] = [
    Duration::minutes(1),
    Duration::minutes(5),
    Duration::minutes(10),
    Duration::minutes(15),
    Duration::minutes(30),
    Duration::hours(1),
    Duration::hours(3),
    Duration::hours(6),
    Duration::hours(12),
    Duration::days(1),
    Duration::days(2),
    Duration::days(7),
    Duration::days(14),
    Duration::days(28),
];

/// Round values from zero to at least the highest: in steps of 1, 2 or 5, or of what minutes and hours are made of.
pub(super) fn value_marks(highest: f64, most: usize, unit: Unit) -> Vec<f64> {
    if highest <= 0.0 || !highest.is_finite() {
        return vec![0.0, 1.0];
    }
    let least = highest / most.max(1) as f64;
    let mut step = if unit.is_time() && least >= 1_000.0 { time_step(least) } else { round_step(least) };
    if unit == Unit::Count {
        step = step.max(1.0);
    }
    let count = (highest / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|place| place as f64 * step).collect()
}

fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= least * 0.999_999).unwrap_or(power)
}

/// Of milliseconds from a second on.
fn time_step(least_ms: f64) -> f64 {
    let seconds =
        [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 18_000.0];
    let found = seconds.iter().map(|step| step * 1_000.0).find(|step| *step >= least_ms);
    found.unwrap_or_else(|| round_step(least_ms / 3_600_000.0) * 3_600_000.0)
}

/// Round times in the reader's zone, with what stands at them: the date at midnight, the time else.
pub(super) fn time_marks(from: OffsetDateTime, to: OffsetDateTime, most: usize) -> Vec<(OffsetDateTime, String)> {
    let least = (to - from) / i32::try_from(most.max(1)).unwrap_or(1);
    let longest = TIME_STEPS.last().copied().unwrap_or(Duration::DAY);
    let step = TIME_STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| longest.max(least));
    let here = from.to_offset(format::offset_at(from));
    // Counted from a midnight, so that marks stand at round times.
    let mut at = here.replace_time(Time::MIDNIGHT);
    let mut marks = Vec::new();
    while at <= to && marks.len() <= most + 1 {
        if at >= from {
            marks.push((at, label(at, step)));
        }
        at += step;
    }
    marks
}

fn label(at: OffsetDateTime, step: Duration) -> String {
    let here = at.to_offset(format::offset_at(at));
    if step >= Duration::DAY || (here.hour(), here.minute()) == (0, 0) {
        format::day_month(at)
    } else {
        format::time_of_day(at)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn values_are_round() {
        for (highest, unit, marks) in [
            (0.0, Unit::Count, vec![0.0, 1.0]),
            (3.0, Unit::Count, vec![0.0, 1.0, 2.0, 3.0]),
            (47.0, Unit::Count, vec![0.0, 20.0, 40.0, 60.0]),
            (100.0, Unit::Usd, vec![0.0, 50.0, 100.0]),
            (90_000.0, Unit::Audio, vec![0.0, 30_000.0, 60_000.0, 90_000.0]),
        ] {
            assert_eq!(value_marks(highest, if unit == Unit::Usd { 2 } else { 4 }, unit), marks, "{highest}");
        }
        let small = value_marks(0.000_034, 4, Unit::Usd);
        assert!(small.len() <= 5 && small.last().is_some_and(|last| *last >= 0.000_034), "{small:?}");
    }

    #[test]
    fn times_are_round() {
        let marks = time_marks(datetime!(2026-11-21 16:20 UTC), datetime!(2026-11-22 16:20 UTC), 6);
        let labels: Vec<_> = marks.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["18:00", "22 Nov", "06:00", "12:00"]);
        let marks = time_marks(datetime!(2026-10-24 0:00 UTC), datetime!(2026-11-22 0:00 UTC), 6);
        assert_eq!(marks.first().map(|(_, label)| label.as_str()), Some("24 Oct"));
    }
}
