//! What the control plane asks of the process that it runs in.

use std::sync::Arc;

use admin::ports::{PortError, Process as Port, Sampling};
use admin_types::process::LogLevel;
use time::OffsetDateTime;

use crate::log_levels::{self, LogLevels};
use crate::profile::Profiler;

/// This process.
pub(crate) struct Process {
    name: String,
    log: Arc<LogLevels>,
    profiler: Profiler,
    /// A gateway runs in it.
    gateway: bool,
}

impl Process {
    pub(crate) fn new(name: String, log: Arc<LogLevels>, gateway: bool) -> Self {
        Self { name, log, profiler: Profiler::default(), gateway }
    }
}

impl Port for Process {
    fn name(&self) -> &str {
        &self.name
    }

    fn log_level(&self) -> LogLevel {
        let log_levels::Told { levels, configured, until } = self.log.told();
        LogLevel { levels, configured, until, instance: self.name.clone(), gateway: self.gateway }
    }

    fn check_log_level(&self, levels: &str) -> Result<(), PortError> {
        log_levels::check(levels).map_err(|detail| PortError::Invalid { field: "levels".to_owned(), detail })
    }

    fn set_log_level(&self, levels: Option<&str>, until: Option<OffsetDateTime>) -> Result<LogLevel, PortError> {
        self.log.set(levels, until).map_err(|error| {
            tracing::error!(error = %format_args!("{error:#}"), "the log's levels could not be changed");
            PortError::Failed
        })?;
        Ok(self.log_level())
    }

    fn profile(&self, hertz: u16) -> Result<Box<dyn Sampling>, PortError> {
        self.profiler.start(hertz)
    }
}
