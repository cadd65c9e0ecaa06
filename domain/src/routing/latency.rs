//! How soon a target answers: what was measured of late counts most, one slow answer counts for little, and
//! what fails does not look quick.
//!
//! Times to the first byte lie in a histogram whose buckets grow by a fifth each; older ones weigh less. Out of it
//! come a mean that ignores the slowest, and the 95th percentile. Failures are counted beside it, with the time
//! that each has cost.

use std::time::Duration;

/// After so long a measurement counts for half.
pub const HALF_LIFE: Duration = Duration::from_secs(60);
/// What one measurement leaves of the weight of all before it, at least: where calls are rare, several still count.
pub const LEAST_KEPT: f64 = 0.85;
/// The slowest share of answers that the mean ignores; it ignores the slowest one in any case.
pub const IGNORED: f64 = 0.05;
/// Measurements below which no 95th percentile is told.
pub const LEAST_FOR_P95: u32 = 20;
/// Successes that every target is credited with, so that one failure among few calls does not decide.
pub const CREDIT: f64 = 20.0;
/// A failure costs at least the time of an answer or this, and at most [`MAX_LOST`] answers.
pub const LEAST_LOST_MS: f64 = 100.0;
/// See [`LEAST_LOST_MS`].
pub const MAX_LOST: f64 = 4.0;
/// A call that measures counts as lost when nothing is heard of it for so long.
pub const PROBE_LASTS: Duration = Duration::from_secs(10);

/// Buckets from a millisecond to about two minutes.
const BUCKETS: usize = 64;
/// The upper end of a bucket by its lower one.
const GROWTH: f64 = 1.2;
/// From here on all weights are scaled down, long before they lose digits.
const MAX_SCALE: f64 = 1e9;

/// What is known of a target when a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timing {
    /// Mean time to first byte without the slowest, in milliseconds; `None` while unmeasured.
    pub typical_ms: Option<f64>,
    /// The typical time with what failures cost on average, in milliseconds: what targets are ordered by.
    pub expected_ms: Option<f64>,
    /// 95th percentile in milliseconds, once enough is measured: when a second target may be asked as well.
    pub p95_ms: Option<f64>,
    /// Share of calls that failed of late, from 0 to 1.
    pub failed: f64,
    /// How long ago it was last asked; `None` where it never was.
    pub idle: Option<Duration>,
    /// A call is on its way that measures it.
    pub probed: bool,
}

/// The measurements of one operation at one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    weights: [f32; BUCKETS],
    /// Weighted milliseconds in each bucket.
    sums: [f32; BUCKETS],
    /// The sum of the weights.
    answered: f64,
    /// Weight of the newest measurement. Old ones lose weight in that new ones get more.
    scale: f64,
    failures: f64,
    lost_ms: f64,
    count: u32,
    newest: Duration,
    typical_ms: f64,
    p95_ms: f64,
    /// When the call that measures it counts as lost.
    probed_until: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            weights: [0.0; BUCKETS],
            sums: [0.0; BUCKETS],
            answered: 0.0,
            scale: 1.0,
            failures: 0.0,
            lost_ms: 0.0,
            count: 0,
            newest: Duration::ZERO,
            typical_ms: 0.0,
            p95_ms: 0.0,
            probed_until: Duration::ZERO,
        }
    }
}

impl Latency {
    /// The target answered after `ttfb`.
    pub fn answered(&mut self, ttfb: Duration, now: Duration) {
        self.age(now);
        let ms = ttfb.as_secs_f64() * 1000.0;
        let bucket = bucket(ms);
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than are measured")]
        if let (Some(weight), Some(sum)) = (self.weights.get_mut(bucket), self.sums.get_mut(bucket)) {
            *weight += self.scale as f32;
            *sum += (self.scale * ms) as f32;
        }
        self.count = self.count.saturating_add(1);
        self.summarise();
    }

    /// The target failed after `took`.
    pub fn failed(&mut self, took: Duration, now: Duration) {
        self.age(now);
        self.failures += self.scale;
        self.lost_ms += self.scale * took.as_secs_f64() * 1000.0;
    }

    /// Takes the one call at a time that measures this target without need; `false` where one is on its way.
    #[must_use]
    pub fn probe(&mut self, now: Duration) -> bool {
        let is_free = now >= self.probed_until;
        if is_free {
            self.probed_until = now + PROBE_LASTS;
        }
        is_free
    }

    /// What is known at `now`.
    #[must_use]
    pub fn timing(&self, now: Duration) -> Timing {
        let is_measured = self.count > 0;
        Timing {
            typical_ms: is_measured.then_some(self.typical_ms),
            expected_ms: is_measured.then(|| self.expected_ms()),
            p95_ms: (self.count >= LEAST_FOR_P95).then_some(self.p95_ms),
            failed: self.failed_share(),
            idle: (is_measured || self.failures > 0.0).then(|| now.saturating_sub(self.newest)),
            probed: now < self.probed_until,
        }
    }

    /// The time until an answer, should failed calls be made again: what is lost by each failure, as often as it
    /// fails before it answers.
    fn expected_ms(&self) -> f64 {
        if self.failures <= 0.0 {
            return self.typical_ms;
        }
        let share = self.failed_share().min(0.9);
        let least = self.typical_ms.max(LEAST_LOST_MS);
        let lost_ms = (self.lost_ms / self.failures).clamp(least, least * MAX_LOST);
        self.typical_ms + share / (1.0 - share) * lost_ms
    }

    fn failed_share(&self) -> f64 {
        self.failures / (self.failures + self.answered + CREDIT * self.scale)
    }

    /// Makes the next measurement weigh more than those before it, by how long they are ago.
    fn age(&mut self, now: Duration) {
        let past = now.saturating_sub(self.newest).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.scale /= (-past).exp2().max(LEAST_KEPT);
        self.newest = self.newest.max(now);
        self.probed_until = Duration::ZERO;
        if self.scale > MAX_SCALE {
            self.rescale();
        }
    }

    fn rescale(&mut self) {
        let by = 1.0 / self.scale;
        #[expect(clippy::cast_possible_truncation, reason = "a factor")]
        for value in self.weights.iter_mut().chain(&mut self.sums) {
            *value *= by as f32;
        }
        self.answered *= by;
        self.failures *= by;
        self.lost_ms *= by;
        self.scale = 1.0;
    }

    /// Works out what is asked for more often than it changes.
    fn summarise(&mut self) {
        let all = self.weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
        self.answered = all;
        // The newest one weighs most: without so much weight no single one is left in.
        let others = all - (all * IGNORED).max(self.scale);
        // The first one, or the first one after so many failures that the older ones have lost all weight.
        let whole = if others > all * 1e-3 { others } else { all };
        let (mut counted, mut sum, mut below) = (whole, 0.0, 0.0);
        let beneath_p95 = all * 0.95;
        let mut p95_ms = None;
        for (weight, weighted) in self.weights.iter().zip(&self.sums) {
            let (weight, weighted) = (f64::from(*weight), f64::from(*weighted));
            if weight <= 0.0 {
                continue;
            }
            let ms = weighted / weight;
            let taken = weight.min(counted);
            sum += taken * ms;
            counted -= taken;
            below += weight;
            if p95_ms.is_none() && below >= beneath_p95 {
                p95_ms = Some(ms);
                break;
            }
        }
        self.typical_ms = to_micros(sum / whole);
        self.p95_ms = p95_ms.map_or(self.p95_ms, to_micros);
    }
}

/// Sums have seven digits, and what is measured has microseconds.
fn to_micros(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

/// The bucket of a time.
fn bucket(ms: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped on both sides")]
    let bucket = (ms.max(1.0).ln() / GROWTH.ln()).clamp(0.0, (BUCKETS - 1) as f64) as usize;
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(500);

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1000.0)
    }

    /// What is known after these times, one every `every`.
    fn measured(times: &[f64], every: Duration) -> (Latency, Duration) {
        let (mut latency, mut now) = (Latency::default(), START);
        for time in times {
            latency.answered(ms(*time), now);
            now += every;
        }
        (latency, now)
    }

    fn typical(times: &[f64], every: u64) -> f64 {
        let (latency, now) = measured(times, Duration::from_secs(every));
        latency.timing(now).typical_ms.unwrap()
    }

    fn near(value: f64, wanted: f64, tolerance: f64) -> bool {
        (value / wanted - 1.0).abs() <= tolerance
    }

    #[test]
    fn one_slow_answer_among_few_or_many_changes_next_to_nothing() {
        assert!(near(typical(&[250.0], 1), 250.0, 0.001));
        for (calm, every) in [(1, 1), (3, 600), (10, 600), (10, 1), (300, 1)] {
            let mut times = vec![100.0; calm];
            times.push(20_000.0);
            assert!(near(typical(&times, every), 100.0, 0.01), "{calm} every {every} s");
            times.extend([100.0; 3]);
            assert!(near(typical(&times, every), 100.0, 0.01), "{calm} every {every} s, and afterwards");
        }
        let slower: Vec<f64> = [vec![100.0; 300], vec![400.0; 180]].concat();
        assert!(near(typical(&slower, 1), 400.0, 0.15), "three minutes are no outlier: {}", typical(&slower, 1));
        let rare: Vec<f64> = [vec![100.0; 30], vec![400.0; 12]].concat();
        assert!(near(typical(&rare, 600), 400.0, 0.15), "nor are a dozen rare calls: {}", typical(&rare, 600));
    }

    #[test]
    fn the_percentile_is_that_of_what_was_measured_of_late() {
        let spread = |around: f64| (0..200).map(move |step| around * (1.0 + f64::from(step * 37 % 200) / 200.0));
        let times: Vec<f64> = spread(100.0).collect();
        let (latency, now) = measured(&times, ms(100.0));
        let timing = latency.timing(now);
        assert!(near(timing.p95_ms.unwrap(), 195.0, 0.1), "{timing:?}");
        assert!(near(timing.typical_ms.unwrap(), 147.0, 0.05), "{timing:?}");
        let (latency, now) = measured(&times[..19], ms(100.0));
        assert_eq!(latency.timing(now).p95_ms, None, "too few to tell");
        let (mut latency, mut now) = measured(&times, ms(100.0));
        for time in spread(1000.0) {
            now += Duration::from_secs(2);
            latency.answered(ms(time), now);
        }
        assert!(near(latency.timing(now).p95_ms.unwrap(), 1950.0, 0.1), "{:?}", latency.timing(now));
    }

    #[test]
    fn what_fails_quickly_does_not_look_quick() {
        let (mut flaky, mut steady, mut now) = (Latency::default(), Latency::default(), START);
        for call in 0..300 {
            now += ms(500.0);
            if call % 3 == 0 {
                flaky.failed(ms(5.0), now)
            } else {
                flaky.answered(ms(100.0), now)
            }
            steady.answered(ms(125.0), now);
        }
        let (flaky, steady) = (flaky.timing(now), steady.timing(now));
        assert!(flaky.typical_ms < steady.typical_ms && flaky.expected_ms > steady.expected_ms, "{flaky:?}");
        assert!((0.25..0.34).contains(&flaky.failed), "{flaky:?}");
        let mut unlucky = measured(&[100.0; 20], Duration::from_secs(1)).0;
        unlucky.failed(Duration::from_secs(60), START + Duration::from_secs(20));
        let timing = unlucky.timing(START + Duration::from_secs(20));
        assert!(timing.expected_ms.unwrap() < 120.0, "one failure does not decide: {timing:?}");
        let mut broken = Latency::default();
        broken.failed(ms(1.0), now);
        assert_eq!((broken.timing(now).expected_ms, broken.timing(now).idle), (None, Some(Duration::ZERO)));
    }

    #[test]
    fn one_call_at_a_time_measures() {
        let mut latency = Latency::default();
        assert!(!latency.timing(START).probed);
        assert!(latency.probe(START) && latency.timing(START).probed);
        assert!(!latency.probe(START + PROBE_LASTS / 2));
        assert!(latency.probe(START + PROBE_LASTS), "the first one is lost");
        latency.answered(ms(100.0), START + PROBE_LASTS);
        assert!(latency.probe(START + PROBE_LASTS), "it is back");
        latency.failed(ms(100.0), START + PROBE_LASTS);
        assert!(latency.probe(START + PROBE_LASTS), "also when it has failed");
    }

    #[test]
    fn a_long_life_and_times_beyond_all_measure_keep_it_sane() {
        let (mut latency, mut now) = (Latency::default(), START);
        for step in 0..5_000_u32 {
            now += Duration::from_secs(if step % 7 == 0 { 86_400 } else { 1 });
            latency.answered(Duration::from_secs(u64::from(step % 3) * 1_000_000), now);
            latency.failed(Duration::MAX / 4, now);
            let timing = latency.timing(now);
            let values = [timing.typical_ms.unwrap(), timing.expected_ms.unwrap(), timing.failed];
            assert!(values.iter().all(|value| value.is_finite() && *value >= 0.0), "{step}: {timing:?}");
        }
        latency.answered(ms(5.0), Duration::ZERO);
        assert!(latency.timing(Duration::ZERO).idle.is_some(), "a clock that stands back harms nothing");
        for failure in 1..2_000_u32 {
            latency.failed(ms(1.0), now + Duration::from_secs(60) * failure);
        }
        latency.answered(ms(70.0), now);
        assert!(near(latency.timing(now).typical_ms.unwrap(), 70.0, 0.01), "{:?}", latency.timing(now));
    }
}
