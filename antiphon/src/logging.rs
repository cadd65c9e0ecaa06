//! The log: to the standard error, so that what commands print stays apart.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogFormat, TelemetryConfig};

/// Changes what is logged while the process runs.
pub(crate) struct Log(Box<dyn Fn(EnvFilter) -> Result<()> + Send + Sync>);

impl Log {
    /// Starts to log.
    ///
    /// # Errors
    /// The levels cannot be read, or something logs already.
    pub(crate) fn start(config: &TelemetryConfig) -> Result<Self> {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(levels(config)?)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            // It would tell on the same standard error that this takes nothing, and panic where it does so.
            .log_internal_errors(false);
        let fail = |error| anyhow::anyhow!("logging cannot be started: {error}");
        match config.format {
            LogFormat::Pretty => {
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.try_init().map_err(fail)?;
                Ok(Self(Box::new(move |filter| Ok(handle.reload(filter)?))))
            }
            LogFormat::Json => {
                let builder = builder.json().with_filter_reloading();
                let handle = builder.reload_handle();
                builder.try_init().map_err(fail)?;
                Ok(Self(Box::new(move |filter| Ok(handle.reload(filter)?))))
            }
        }
    }

    /// Logs by these levels from now on.
    ///
    /// # Errors
    /// Nothing logs any more.
    pub(crate) fn adjust(&self, levels: EnvFilter) -> Result<()> {
        (self.0)(levels)
    }
}

/// What is logged.
///
/// # Errors
/// It cannot be read.
pub(crate) fn levels(config: &TelemetryConfig) -> Result<EnvFilter> {
    filter(&config.log).context("telemetry.log (or ANTIPHON_LOG)")
}

/// What these levels let through.
///
/// # Errors
/// They cannot be read.
pub(crate) fn filter(levels: &str) -> Result<EnvFilter, ParseError> {
    // The server's own report of its threads would push the demo key off the screen.
    EnvFilter::try_new(if levels == "info" { "info,actix_server=warn" } else { levels })
}
