//! Times by the size of their order: twenty counts from which a share of the calls can be told.
//!
//! Bounds grow by the fourth root of ten, so a percentile is off by less than a third of its value at
//! worst, and by far less where calls spread over a bucket. What lies between two bounds is taken to
//! be spread evenly.

/// Counts of one histogram.
pub const BUCKETS: usize = 20;

/// Upper bounds in milliseconds, themselves included; the last bucket has none.
pub const BOUNDS_MS: [i64; BUCKETS - 1] = [
    6, 10, 18, 32, 56, 100, 178, 316, 562, 1_000, 1_778, 3_162, 5_623, 10_000, 17_783, 31_623, 56_234, 100_000, 177_828,
];

/// How many calls took how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram(pub [i64; BUCKETS]);

impl Histogram {
    /// Counts one call of `ms` milliseconds.
    pub fn add(&mut self, ms: i64) {
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.0.get_mut(bucket) {
            *count += 1;
        }
    }

    /// All calls counted.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.0.iter().sum()
    }

    /// The time that `percent` of the calls did not exceed, in milliseconds; nothing without calls, and nothing
    /// where it lies above the last bound.
    #[must_use]
    pub fn percentile(&self, percent: i64) -> Option<i64> {
        let count = self.count();
        if count <= 0 {
            return None;
        }
        // The rank of the call asked for, from 1.
        let rank = (count * percent + 99) / 100;
        let rank = rank.clamp(1, count);
        let mut below = 0;
        let mut from = 0;
        for (inside, bound) in self.0.iter().zip(BOUNDS_MS) {
            if below + inside >= rank {
                return Some(from + (bound - from) * (rank - below) / inside);
            }
            below += inside;
            from = bound;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = i64>) -> Histogram {
        let mut histogram = Histogram::default();
        for ms in times {
            histogram.add(ms);
        }
        histogram
    }

    #[test]
    fn percentiles_are_near_the_truth() {
        let even = of(1..=10_000);
        for (percent, truth) in [(50, 5_000), (95, 9_500), (99, 9_900)] {
            let told = even.percentile(percent).unwrap();
            assert!((told - truth).abs() * 20 <= truth, "p{percent}: {told}, not {truth}");
        }
        assert_eq!(of([7; 3]).percentile(50), Some(6 + 4 * 2 / 3));
    }

    #[test]
    fn the_edges_are_counted() {
        assert_eq!(of([]).percentile(99), None);
        assert_eq!(of([0, -5]).0.first(), Some(&2), "a clock that went back counts as no time");
        assert_eq!(of([6]).0.first(), Some(&1), "a bound belongs to its bucket");
        assert_eq!(of([177_828; 2]).percentile(99), Some(177_828));
        assert_eq!(of([177_829; 2]).percentile(50), None, "nobody knows how far above");
        assert_eq!(of([6, i64::MAX]).percentile(50), Some(6));
        assert_eq!(of([1, i64::MAX]).count(), 2);
    }
}
