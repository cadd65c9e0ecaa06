//! Lengths of time as files write them: `500ms`, `10s`, `5m`, `1h`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time of whole milliseconds, up to a week.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

const WEEK_MS: u64 = 7 * 24 * 3_600_000;
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

impl Span {
    /// So many seconds.
    #[must_use]
    pub fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// As a duration.
    #[must_use]
    pub fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Longer or shorter by a factor.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self::from(self.get().mul_f64(factor.max(0.0)))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(WEEK_MS).min(WEEK_MS))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("{text:?} is no length of time such as 500ms, 10s, 5m or 1h");
        let unit = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)));
        let (digits, ms) = unit.ok_or_else(wrong)?;
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(*ms).filter(|ms| *ms <= WEEK_MS).map(Self).ok_or_else(wrong)
    }
}

impl From<Span> for String {
    fn from(Span(ms): Span) -> Self {
        let largest = UNITS.iter().skip(1).find(|(_, unit)| ms > 0 && ms % unit == 0);
        largest.map_or_else(|| format!("{ms}ms"), |(name, unit)| format!("{}{name}", ms / unit))
    }
}
