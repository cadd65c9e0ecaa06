//! Whether a call's audio comes as it must: always, and as fast as it plays. A call's clock is the audio that
//! it has had.

use std::time::Duration;

use tokio::time::Instant;

/// Audio that may be missing in a window. A gateway that stands still because its machine is busy makes up for a part of
/// that; one that sends nothing while nobody speaks misses all.
const MOST_MISSING_MS: i64 = 700;
/// Audio that fits in the buffer; more is dropped.
const MOST_AHEAD_MS: i64 = 1_000;
/// A client's delay is judged over so long: what is caught up with by then was late and not missing.
const WINDOW: Duration = Duration::from_secs(1);
/// Audio has begun by then.
const BEGINNING: Duration = Duration::from_secs(3);

/// Watches the audio of one call.
#[derive(Debug)]
pub(super) struct Pace {
    joined: Instant,
    began: Option<Instant>,
    heard_ms: u64,
    /// How far behind the client was all along, which is what it lost for good.
    behind: i64,
    /// The same for the window that is open.
    least: i64,
    window_ends: Instant,
    ahead: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        let joined = Instant::now();
        Self {
            joined,
            began: None,
            heard_ms: 0,
            behind: 0,
            least: i64::MAX,
            window_ends: joined + BEGINNING,
            ahead: false,
        }
    }

    /// When [`Self::pass`] is due.
    pub(super) fn due(&self) -> Instant {
        self.window_ends
    }

    /// So much audio has come since the beginning.
    pub(super) fn heard(&mut self, ms: u64) -> Option<String> {
        let now = Instant::now();
        self.heard_ms = ms;
        if self.began.is_none() {
            self.began = Some(now);
            self.behind = -clock(Duration::from_millis(ms));
            self.window_ends = now + WINDOW;
        }
        let lag = self.lag(now);
        self.least = self.least.min(lag);
        if -lag > MOST_AHEAD_MS && !std::mem::replace(&mut self.ahead, true) {
            return Some(format!("audio overflows: it is {} ms ahead of the clock", -lag));
        }
        self.judge(now)
    }

    /// Time has passed.
    pub(super) fn pass(&mut self) -> Option<String> {
        self.judge(Instant::now())
    }

    fn lag(&self, now: Instant) -> i64 {
        let began = self.began.unwrap_or(self.joined);
        clock(now.saturating_duration_since(began)) - clock(Duration::from_millis(self.heard_ms))
    }

    fn judge(&mut self, now: Instant) -> Option<String> {
        if now < self.window_ends {
            return None;
        }
        self.window_ends = now + WINDOW;
        let least = std::mem::replace(&mut self.least, i64::MAX).min(self.lag(now));
        let missing = least - self.behind;
        self.behind = self.behind.max(least);
        (missing > MOST_MISSING_MS).then(|| format!("{missing} ms of audio are missing"))
    }
}

fn clock(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
