//! `usage`: how long records and their sums are kept.

use admin::usage::retention::Retention;
use serde::Deserialize;

/// Least days of records: a budget by the month is counted from them.
pub(super) const MIN_RETENTION_DAYS: u32 = 32;
/// Most days of anything: a hundred years.
pub(super) const MAX_RETENTION_DAYS: u32 = 36_500;

/// What goes after a while; the admin plane deletes it. Sums by day are kept for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UsageConfig {
    /// Days that usage records are kept, 32 to 36500. Default null, which is for ever.
    pub(crate) retention_days: Option<u32>,
    /// Days that sums by hour are kept, 1 to 36500. Default null, which is for ever.
    pub(crate) rollup_hourly_days: Option<u32>,
}

impl UsageConfig {
    /// As the admin plane takes it.
    pub(crate) fn retention(self) -> Retention {
        Retention { record_days: self.retention_days, hourly_days: self.rollup_hourly_days }
    }
}
