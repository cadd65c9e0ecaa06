//! `antiphon serve`: from the configuration to a gateway that runs until it is told to stop.

use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::Gateway;
use gateway::limits::past::catch_up;
use gateway::startup::{Application, GatewaySettings, adopt_snapshot};
use sea_orm::DatabaseConnection;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Common, output};
use crate::config::{Config, LogFormat, Override, TelemetryConfig};
use crate::declared::{self, Declared};
use crate::{first_run, master_key, store};

/// How often the mark is read that other processes leave: changes are promised within a second.
const LOOK_FOR_CHANGES: Duration = Duration::from_millis(500);

/// `antiphon serve …`
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Address and port of the data plane
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind: Option<String>,
    /// Address and port for Prometheus
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind: Option<String>,
}

/// Runs the command.
pub(super) async fn run(serve: Serve, common: &Common) -> Result<()> {
    let flag = |flag, field, text: Option<String>| text.map(|text| Override { flag, field, text });
    let flags = [
        flag("--bind", "server.gateway.bind", serve.bind),
        flag("--metrics-bind", "server.metrics.bind", serve.metrics_bind),
    ];
    let config = common.load(flags.into_iter().flatten().collect())?;
    start_logging(&config.telemetry)?;
    master_key::require(&config)?;
    for note in config.notes() {
        tracing::warn!("{note}");
    }
    // Before anything is printed, so that a signal that comes early is not lost.
    let stop = stop_signal()?;
    let db = store::open(&config.database).await?;
    pricing_seed::seed(&db, OffsetDateTime::now_utc()).await?;
    let master_key = master_key::obtain(&config, &db).await?;
    let pepper = master_key.pepper();
    let declared = declared::apply(&config, &db, &pepper).await?;
    let demo_key = first_run::demo_key(&config, &db, &pepper).await?;

    // Read before the view is: what changes in between is then loaded twice, never missed.
    let version = store::version(&db).await?;
    let snapshot = declared.load(&db).await?;
    let settings = settings(&config, master_key.client_secret_key())?;
    let application = Application::build(settings, db.clone(), snapshot, pepper).await?;
    announce(&application, demo_key.as_deref());
    let watcher = tokio::spawn(watch(application.gateway(), declared, db, version));
    application.run_until(stop).await?;
    watcher.abort();
    Ok(())
}

/// Tells where the gateway listens; the demo key is shown once, on the first start. A reader that
/// has gone away does not end the gateway.
fn announce(application: &Application, demo_key: Option<&str>) {
    let address = application.address();
    tracing::info!(url = %format_args!("http://{address}/v1"), "gateway is listening");
    if let Some(metrics) = application.metrics_address() {
        tracing::info!(url = %format_args!("http://{metrics}/metrics"), "metrics are listening");
    }
    let printed = match demo_key {
        Some(key) => output::line(&first_run::welcome(address, key)),
        None => output::line(&format!("Antiphon is ready: http://{address}/v1")),
    };
    if let Err(error) = printed {
        tracing::warn!(error = %format_args!("{error:#}"), "nobody reads what is printed");
    }
}

/// Loads the database again when another process has changed it. When that fails the last good view
/// stays, and the next look tries again.
async fn watch(gateway: Arc<Gateway>, declared: Declared, db: DatabaseConnection, version: Option<String>) {
    let mut seen = Seen { version, spend_is_known: false };
    let mut beat = tokio::time::interval(LOOK_FOR_CHANGES);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        beat.tick().await;
        match refresh(&gateway, &declared, &db, &mut seen).await {
            Ok(()) => failing = false,
            // Said once and not twice a second: readiness tells the rest.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(error = %format_args!("{error:#}"), "changes cannot be read; the last good view stays");
            }
            Err(_) => {}
        }
    }
}

/// What has been taken over already.
struct Seen {
    version: Option<String>,
    /// Every budget of the view in force knows what was spent before it.
    spend_is_known: bool,
}

async fn refresh(gateway: &Gateway, declared: &Declared, db: &DatabaseConnection, seen: &mut Seen) -> Result<()> {
    let version = store::version(db).await?;
    if version != seen.version {
        adopt_snapshot(gateway, declared.load(db).await?).await?;
        *seen = Seen { version, spend_is_known: false };
        tracing::info!("changes are in force");
    }
    if !seen.spend_is_known {
        seen.spend_is_known = catch_up(gateway).await?;
    }
    Ok(())
}

/// Resolves when the process is asked to end, by SIGTERM or by Ctrl-C.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn settings(config: &Config, client_secret_key: [u8; 32]) -> Result<GatewaySettings> {
    Ok(GatewaySettings {
        bind: config.server.gateway.bind.parse().context("server.gateway.bind")?,
        metrics_bind: Some(config.server.metrics.bind.parse().context("server.metrics.bind")?),
        workers: None,
        data_dir: config.data_dir(),
        limits: config.limits.to_gateway(),
        timeouts: config.timeouts.to_gateway(),
        record_dir: config.realtime.record_dir.clone(),
        client_secret_key,
    })
}

/// Logs to the standard error, so that what commands print stays apart.
fn start_logging(config: &TelemetryConfig) -> Result<()> {
    // The server's own report of its threads would push the demo key off the screen.
    let log = if config.log == "info" { "info,actix_server=warn" } else { &config.log };
    let filter = EnvFilter::try_new(log).context("telemetry.log (or ANTIPHON_LOG)")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}
