//! `limits`: how much a client may send and hold.

use std::time::Duration;

use gateway::overload::OverloadBounds;
use gateway::pipeline::queue::QueueBounds;
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
    /// How long a call waits at most for a provider whose credentials are all in use; `0s` for not at all.
    /// Default `2s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) queue_wait: Duration,
    /// How many calls wait at one provider. Default 1000.
    pub(crate) max_queued: usize,
    /// New work is refused while a worker is late by this all the time, the dearest first; `0s` for never.
    /// Default `250ms`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) overload_delay: Duration,
    /// The same from this share of `memory_mib`, in percent; 0 for never. Default 85.
    pub(crate) overload_memory_percent: u8,
    /// Memory in MiB that this process may have. Default: what its control group may, where that is limited.
    pub(crate) memory_mib: Option<u64>,
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
            queue_wait: limits.queue.longest,
            max_queued: limits.queue.most,
            overload_delay: limits.overload.longest_delay,
            overload_memory_percent: limits.overload.memory_percent,
            memory_mib: None,
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
            queue: QueueBounds { longest: self.queue_wait, most: self.max_queued },
            overload: OverloadBounds {
                longest_delay: self.overload_delay,
                memory_percent: self.overload_memory_percent,
                memory_bytes: self.memory_mib.map(|mib| mib.saturating_mul(MIB)),
            },
            ..GatewayLimits::default()
        }
    }
}
