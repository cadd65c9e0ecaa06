//! `timeouts`: how long each wait may last.

use std::time::Duration;

use gateway::settings::{ByOperation, Overrides, Timeouts};
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
    /// From the end of the request to the end of the provider's answer, tries included. Without one, answers that
    /// come whole have ten minutes, and those that flow as long as they do.
    #[serde(deserialize_with = "super::value::some_duration")]
    pub(crate) total: Option<Duration>,
    /// What differs for single operations.
    pub(crate) operations: OperationsConfig,
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

/// What differs for single operations. A session's clocks stand under `limits`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OperationsConfig {
    /// Speech to text.
    pub(crate) transcription: OverridesConfig,
    /// Speech to English text.
    pub(crate) translation: OverridesConfig,
    /// Text to speech.
    pub(crate) speech: OverridesConfig,
    /// Chat completions.
    pub(crate) chat: OverridesConfig,
    /// Embeddings.
    pub(crate) embeddings: OverridesConfig,
}

/// What differs for one operation.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OverridesConfig {
    /// To open a connection to a provider: no longer than `timeouts.connect`.
    #[serde(deserialize_with = "super::value::some_duration")]
    pub(crate) connect: Option<Duration>,
    /// From the end of the request to the provider's first byte.
    #[serde(deserialize_with = "super::value::some_duration")]
    pub(crate) first_byte: Option<Duration>,
    /// Between two pieces of a provider's answer.
    #[serde(deserialize_with = "super::value::some_duration")]
    pub(crate) idle: Option<Duration>,
    /// From the end of the request to the end of the answer.
    #[serde(deserialize_with = "super::value::some_duration")]
    pub(crate) total: Option<Duration>,
}

impl OverridesConfig {
    fn to_gateway(self) -> Overrides {
        let Self { connect, first_byte, idle, total } = self;
        Overrides { connect, first_byte, idle, total }
    }
}

impl Default for TimeoutsConfig {
    /// The gateway's own.
    fn default() -> Self {
        let Timeouts { header_read, body_idle, connect, first_byte, idle, write, ping, drain, drain_delay, .. } =
            Timeouts::default();
        let (total, operations) = (None, OperationsConfig::default());
        Self { header_read, body_idle, connect, first_byte, idle, total, operations, write, ping, drain, drain_delay }
    }
}

impl TimeoutsConfig {
    /// As the gateway takes them.
    pub(crate) fn to_gateway(&self) -> Timeouts {
        let Self { header_read, body_idle, connect, first_byte, idle, total, operations, .. } = *self;
        let Self { write, ping, drain, drain_delay, .. } = *self;
        let OperationsConfig { transcription, translation, speech, chat, embeddings } = operations;
        let operations = ByOperation {
            transcription: transcription.to_gateway(),
            translation: translation.to_gateway(),
            speech: speech.to_gateway(),
            chat: chat.to_gateway(),
            embeddings: embeddings.to_gateway(),
        };
        Timeouts {
            header_read,
            body_idle,
            connect,
            first_byte,
            idle,
            total,
            operations,
            write,
            ping,
            drain,
            drain_delay,
            ..Timeouts::default()
        }
    }

    /// What is wrong with the phases of a call.
    pub(crate) fn check_phases(&self) -> Result<(), String> {
        let OperationsConfig { transcription, translation, speech, chat, embeddings } = &self.operations;
        let all = OverridesConfig { total: self.total, ..OverridesConfig::default() };
        self.check("timeouts", &all)?;
        for (name, own) in [
            ("transcription", transcription),
            ("translation", translation),
            ("speech", speech),
            ("chat", chat),
            ("embeddings", embeddings),
        ] {
            self.check(&format!("timeouts.operations.{name}"), own)?;
        }
        Ok(())
    }

    fn check(&self, place: &str, own: &OverridesConfig) -> Result<(), String> {
        let OverridesConfig { connect, first_byte, idle, total } = *own;
        let named = [("connect", connect), ("first_byte", first_byte), ("idle", idle), ("total", total)];
        if let Some((name, _)) = named.into_iter().find(|(_, time)| *time == Some(Duration::ZERO)) {
            return Err(format!("{place}.{name}: must be longer than nothing"));
        }
        if connect.is_some_and(|connect| connect > self.connect) {
            return Err(format!("{place}.connect: must not be longer than timeouts.connect"));
        }
        // Against what is told for all it may well be shorter: then it alone counts.
        if total.zip(first_byte).is_some_and(|(total, first_byte)| total < first_byte) {
            return Err(format!("{place}.total: must not be shorter than its first_byte"));
        }
        Ok(())
    }
}
