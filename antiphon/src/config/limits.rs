//! `limits`: how much a client may send and hold.

use std::time::Duration;

use serde::Deserialize;

/// Bounds of the data plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// Largest upload in MiB. Default 25, as OpenAI has it.
    pub(crate) max_upload_mib: u64,
    /// Largest request head in KiB. Default 64.
    pub(crate) max_header_kib: usize,
    /// Realtime sessions of this process at once. Default 10000.
    pub(crate) max_sessions: usize,
    /// Longest life of a realtime session. Default `60m`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) session_max_age: Duration,
    /// A realtime session in which nothing happens this long is ended. Default `5m`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) session_idle: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_upload_mib: 25,
            max_header_kib: 64,
            max_sessions: 10_000,
            session_max_age: Duration::from_secs(3600),
            session_idle: Duration::from_secs(300),
        }
    }
}
