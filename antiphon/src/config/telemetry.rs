//! `telemetry`: what is logged, and how.

use serde::Deserialize;

/// The log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TelemetryConfig {
    /// Level, or levels by module: `info`, `debug,gateway=trace`. Default `info`. The variable
    /// `ANTIPHON_LOG` goes before it.
    pub(crate) log: String,
    /// `pretty` for people, `json` for machines. Default `pretty`.
    pub(crate) format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Pretty }
    }
}

/// Forms of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}
