//! `timeouts`: how long each wait may last.

use std::time::Duration;

use gateway::settings::Timeouts;
use serde::Deserialize;

/// Deadlines of the data plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimeoutsConfig {
    /// From accept to the end of the request head. Default `10s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) header_read: Duration,
    /// Between two pieces of an upload. Default `15s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) body_idle: Duration,
    /// To open a connection to a provider. Default `3s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) connect: Duration,
    /// From the end of the request to the provider's first byte. Default `60s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) first_byte: Duration,
    /// Between two pieces of a provider's answer. Default `60s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) idle: Duration,
    /// For a client to take what is written to it. Default `10s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) write: Duration,
    /// Between two pings of a realtime session. Default `20s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) ping: Duration,
    /// From SIGTERM, and what `drain_delay` adds, to the end of what is in flight. Default `30s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) drain: Duration,
    /// From SIGTERM, when readiness goes off, until new connections are refused. Default `0s`.
    #[serde(deserialize_with = "super::value::duration")]
    pub(crate) drain_delay: Duration,
}

impl Default for TimeoutsConfig {
    /// The gateway's own.
    fn default() -> Self {
        let Timeouts { header_read, body_idle, connect, first_byte, idle, write, ping, drain, drain_delay, .. } =
            Timeouts::default();
        Self { header_read, body_idle, connect, first_byte, idle, write, ping, drain, drain_delay }
    }
}

impl TimeoutsConfig {
    /// As the gateway takes them.
    pub(crate) fn to_gateway(&self) -> Timeouts {
        let Self { header_read, body_idle, connect, first_byte, idle, write, ping, drain, drain_delay } = *self;
        Timeouts {
            header_read,
            body_idle,
            connect,
            first_byte,
            idle,
            write,
            ping,
            drain,
            drain_delay,
            ..Timeouts::default()
        }
    }
}
