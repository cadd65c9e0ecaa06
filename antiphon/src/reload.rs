//! SIGHUP: the configuration is read again, and what may change takes effect. A configuration that cannot be
//! used changes nothing.

use std::sync::Arc;

use anyhow::Result;
use changes::Signal as Changed;
use domain::key::Pepper;
use gateway::Gateway;
use gateway::settings::Timeouts;
use sea_orm::DatabaseConnection;
use tokio::signal::unix::Signal;

use crate::config::Config;
use crate::declared::Declared;
use crate::log_levels::LogLevels;
use crate::logging::levels;

/// A running process whose configuration may change.
pub(crate) struct Reload {
    /// The configuration that it was started with.
    pub(crate) started: Config,
    /// Reads the configuration as at the start: file, environment and flags.
    pub(crate) read: Box<dyn Fn() -> Result<Config>>,
    pub(crate) log: Arc<LogLevels>,
    pub(crate) db: DatabaseConnection,
    pub(crate) pepper: Pepper,
    pub(crate) declared: Arc<Declared>,
    /// Where this process has a data plane.
    pub(crate) gateway: Option<Arc<Gateway>>,
    /// Wakes whoever keeps the gateway's view current.
    pub(crate) changed: Changed,
}

impl Reload {
    /// Loads the configuration again at each hang-up.
    pub(crate) async fn run(self, mut hang_ups: Signal) {
        while hang_ups.recv().await.is_some() {
            match self.take_over().await {
                Ok(left) if left.is_empty() => tracing::info!("the configuration was loaded again and is in force"),
                Ok(left) => {
                    let fields = left.join(", ");
                    tracing::warn!(%fields, "the configuration was loaded again; these fields need a restart");
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(%error, "the configuration cannot be loaded again; the one in force stays");
                }
            }
        }
    }

    /// Puts the configuration as it is now in force. Gives the fields that differ and stay as they are.
    async fn take_over(&self) -> Result<Vec<&'static str>> {
        let config = (self.read)()?;
        // Read before anything is changed.
        drop(levels(&config.telemetry)?);
        // The last step that may fail for what the configuration says: it writes everything or nothing.
        self.declared.replace(&config, &self.db, &self.pepper).await?;
        if let Some(gateway) = &self.gateway {
            let connect = gateway.timeouts().connect;
            gateway.adjust(config.limits.to_gateway(), Timeouts { connect, ..config.timeouts.to_gateway() });
        }
        self.changed.wake();
        self.log.configure(&config.telemetry.log)?;
        Ok(self.started.needs_restart(&config))
    }
}
