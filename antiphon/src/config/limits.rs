//! `limits`: how much a client may send and hold.

use std::time::Duration;

use gateway::settings::GatewayLimits;
use serde::Deserialize;

const MIB: u64 = 1024 * 1024;
const KIB: usize = 1024;

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
    /// The gateway's own.
    fn default() -> Self {
        let limits = GatewayLimits::default();
        Self {
            max_upload_mib: limits.max_upload_bytes / MIB,
            max_header_kib: limits.max_header_bytes / KIB,
            max_sessions: limits.max_sessions,
            session_max_age: limits.session_max_age,
            session_idle: limits.session_idle,
        }
    }
}

impl LimitsConfig {
    /// As the gateway takes them.
    pub(crate) fn to_gateway(&self) -> GatewayLimits {
        GatewayLimits {
            max_upload_bytes: self.max_upload_mib.saturating_mul(MIB),
            max_header_bytes: self.max_header_kib.saturating_mul(KIB),
            max_sessions: self.max_sessions,
            session_max_age: self.session_max_age,
            session_idle: self.session_idle,
            ..GatewayLimits::default()
        }
    }
}
