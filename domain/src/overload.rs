//! When a gateway has too much to do, and what it refuses then: the dearest work first.

use std::time::Duration;

/// For how long a reading must be lower before a level is left.
const CALM_FOR: Duration = Duration::from_secs(2);

/// New work, by how early it is refused. What has begun goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// A realtime session: it may last for an hour.
    Session,
    /// A transcription of a long recording, or of one whose length nobody tells.
    LongRecording,
    /// Text to speech.
    Speech,
    /// All else: a short recording, a chat, an embedding.
    Small,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Session, Self::LongRecording, Self::Speech, Self::Small];

    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::LongRecording => "long_recording",
            Self::Speech => "speech",
            Self::Small => "small",
        }
    }

    /// When somebody may try again who was refused: the dearer, the later.
    #[must_use]
    pub const fn retry_after_s(self) -> u64 {
        match self {
            Self::Session | Self::LongRecording => 10,
            Self::Speech => 5,
            Self::Small => 2,
        }
    }

    /// The lowest level that refuses it.
    const fn refused_from(self) -> u8 {
        match self {
            Self::Session | Self::LongRecording => 1,
            Self::Speech => 2,
            Self::Small => 3,
        }
    }
}

/// How much too much there is to do: 0 is none, 3 the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Level(u8);

impl Level {
    /// Nothing is refused.
    pub const NONE: Self = Self(0);

    /// The level of this number; what is above the most is the most.
    #[must_use]
    pub const fn of(number: u8) -> Self {
        Self(if number > 3 { 3 } else { number })
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether new work of this kind is refused.
    #[must_use]
    pub const fn refuses(self, work: Work) -> bool {
        self.0 >= work.refused_from()
    }
}

/// The readings from which each level is entered, and below which it is left, in any unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    enter: [u64; 3],
    leave: [u64; 3],
}

impl Thresholds {
    /// For how late a worker is: at `longest`, twice and four times as much; left below 70 % of each.
    #[must_use]
    pub fn of_delay(longest: Duration) -> Self {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        let enter = [longest, longest.saturating_mul(2), longest.saturating_mul(4)];
        Self { enter, leave: enter.map(|at| at / 10 * 7) }
    }

    /// For the bytes that are resident, of `limit`: at `percent` of it, half the way from there to the limit, and
    /// three quarters; left a twentieth of the limit below each.
    #[must_use]
    pub fn of_memory(limit: u64, percent: u8) -> Self {
        let first = limit / 100 * u64::from(percent.min(100));
        let rest = limit.saturating_sub(first);
        let enter = [first, first + rest / 2, first + rest / 4 * 3];
        Self { enter, leave: enter.map(|at| at.saturating_sub(limit / 20)) }
    }

    /// The highest level whose reading is reached.
    fn reached(&self, bounds: &[u64; 3], reading: u64) -> Level {
        let reached = bounds.iter().take_while(|bound| reading >= **bound).count();
        Level::of(u8::try_from(reached).unwrap_or(3))
    }
}

/// The level by one reading. It rises at once and falls a step at a time, each after the reading has been lower for
/// two seconds, so that it does not flap.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauge {
    level: Level,
    /// Since when the reading has been low enough to leave the level.
    calm_since: Option<Duration>,
}

impl Gauge {
    /// The level after a reading at `now`, a time that never goes back.
    pub fn read(&mut self, thresholds: &Thresholds, reading: u64, now: Duration) -> Level {
        let reached = thresholds.reached(&thresholds.enter, reading);
        if reached >= self.level {
            *self = Self { level: reached, calm_since: None };
            return self.level;
        }
        if thresholds.reached(&thresholds.leave, reading) >= self.level {
            self.calm_since = None;
            return self.level;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.saturating_sub(since) >= CALM_FOR {
            *self = Self { level: Level(self.level.0.saturating_sub(1)), calm_since: Some(now) };
        }
        self.level
    }
}

/// The last delays of a worker. The smallest of them says whether it is late all the time, which one slow task or a
/// busy neighbour does not make it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delays {
    last: [u64; 10],
    at: usize,
}

impl Delays {
    /// Notes how late the worker was, and gives the smallest of the last ten.
    pub fn note(&mut self, delay: Duration) -> u64 {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        if let Some(slot) = self.last.get_mut(self.at) {
            *slot = micros;
        }
        self.at = (self.at + 1) % self.last.len();
        self.last.iter().copied().min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_dearest_is_refused_first_and_the_cheapest_last() {
        let refused = |level| Work::ALL.map(|work| Level::of(level).refuses(work));
        assert_eq!(refused(0), [false; 4]);
        assert_eq!(refused(1), [true, true, false, false]);
        assert_eq!(refused(2), [true, true, true, false]);
        assert_eq!(refused(3), [true; 4]);
        assert_eq!(Level::of(9), Level::of(3));
    }

    #[test]
    fn a_level_is_entered_at_once_and_left_a_step_at_a_time_when_it_is_calm() {
        let (delay, mut gauge) = (Thresholds::of_delay(LATE), Gauge::default());
        assert_eq!(gauge.read(&delay, 99_999, at(0)), Level::NONE);
        assert_eq!(gauge.read(&delay, 450_000, at(100)), Level::of(3));
        assert_eq!(gauge.read(&delay, 0, at(200)), Level::of(3), "it may come again");
        assert_eq!(gauge.read(&delay, 0, at(2_199)), Level::of(3));
        assert_eq!(gauge.read(&delay, 0, at(2_200)), Level::of(2));
        assert_eq!(gauge.read(&delay, 0, at(4_100)), Level::of(2));
        assert_eq!(gauge.read(&delay, 0, at(4_200)), Level::of(1));
        assert_eq!(gauge.read(&delay, 0, at(6_200)), Level::NONE);
    }

    #[test]
    fn a_reading_about_the_threshold_does_not_flap() {
        let (delay, mut gauge) = (Thresholds::of_delay(LATE), Gauge::default());
        gauge.read(&delay, 100_000, at(0));
        for step in 1..100 {
            let reading = if step % 10 == 0 { 80_000 } else { 10_000 };
            assert_eq!(gauge.read(&delay, reading, at(step * 200)), Level::of(1), "never calm for two seconds");
        }
    }

    #[test]
    fn memory_has_its_levels_between_its_share_and_the_limit() {
        let memory = Thresholds::of_memory(1_000, 80);
        let level = |reading| Gauge::default().read(&memory, reading, at(0)).number();
        assert_eq!([799, 800, 899, 900, 949, 950, 2_000].map(level), [0, 1, 1, 2, 2, 3, 3]);
        let mut gauge = Gauge::default();
        gauge.read(&memory, 800, at(0));
        gauge.read(&memory, 760, at(1_000));
        assert_eq!(gauge.read(&memory, 760, at(9_000)), Level::of(1), "a twentieth below is not reached");
        gauge.read(&memory, 740, at(10_000));
        assert_eq!(gauge.read(&memory, 740, at(12_000)), Level::NONE);
    }

    #[test]
    fn one_delay_is_none_and_ten_are_one() {
        let mut delays = Delays::default();
        assert_eq!(delays.note(Duration::from_secs(5)), 0);
        let last: Vec<u64> = (0..10).map(|_| delays.note(LATE)).collect();
        assert_eq!((last[7], last[8], last[9]), (0, 100_000, 100_000));
    }
}
