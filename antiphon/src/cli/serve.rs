//! `antiphon serve`, `gateway` and `admin`: from the configuration to planes that run until they are told to
//! stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use admin::audit::By;
use admin::settings::{AdminSettings, TrustedProxies};
use admin::usage::retention::{self, Retention};
use admin::users::MadeUser;
use admin::{Control, Secrets};
use anyhow::{Context, Result, anyhow};
use changes::{Signal, Wakes};
use domain::key::Pepper;
use gateway::Gateway;
use gateway::limits::past::catch_up;
use gateway::realtime::replicated;
use gateway::reports::end_terminated;
use gateway::startup::{Application, GatewaySettings, adopt_snapshot};
use gateway::telemetry::exporter;
use sea_orm::DatabaseConnection;
use secrecy::ExposeSecret;

use super::{Common, output, prices};
use crate::config::{Config, OidcConfig, Override, RedisConfig, SmtpConfig, origin_of};
use crate::declared::{self, Declared};
use crate::log_levels::LogLevels;
use crate::logging::Log;
use crate::otlp::Otlp;
use crate::ports::Ports;
use crate::process::Process;
use crate::reload::Reload;
use crate::signals::Stop;
use crate::{first_run, master_key, metrics, signals, store, upkeep};

/// How long one look for changes may take: a server that has vanished without a word never answers.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);
/// How often alert rules are looked at.
const LOOK_AT_ALERT_RULES: Duration = Duration::from_secs(15);

/// `antiphon serve …`
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(super) gateway: ServeGateway,
    #[command(flatten)]
    pub(super) admin: ServeAdmin,
}

/// `antiphon gateway …`
#[derive(Debug, clap::Args)]
pub(crate) struct ServeGateway {
    /// Address and port of the data plane
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind: Option<String>,
    /// Address and port for Prometheus
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind: Option<String>,
}

/// The admin plane's part of `antiphon serve …` and `antiphon admin …`
#[derive(Debug, clap::Args)]
pub(crate) struct ServeAdmin {
    /// Address and port of the admin plane
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_bind: Option<String>,
    /// Where it has no gateway beside it, whose flag this is.
    #[arg(skip)]
    metrics_bind: Option<String>,
}

/// `antiphon admin …`
#[derive(Debug, clap::Args)]
pub(crate) struct AdminAlone {
    #[command(flatten)]
    admin: ServeAdmin,
    /// Address and port for Prometheus
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind: Option<String>,
}

impl From<AdminAlone> for ServeAdmin {
    fn from(alone: AdminAlone) -> Self {
        Self { metrics_bind: alone.metrics_bind, ..alone.admin }
    }
}

/// Runs the planes that are asked for, until the process is told to stop or one of them fails. Gives how the
/// process ends.
pub(super) async fn run(gateway: Option<ServeGateway>, admin: Option<ServeAdmin>, common: &Common) -> Result<ExitCode> {
    let read = reader(common, overrides(gateway.as_ref(), admin.as_ref()));
    let config = read()?;
    let log = LogLevels::new(Log::start(&config.telemetry)?, &config.telemetry.log);
    metrics::start();
    master_key::require(&config)?;
    for note in config.notes() {
        tracing::warn!("{note}");
    }
    // Before anything is printed, so that a signal that comes early is not lost.
    let (stop, hang_ups) = (Stop::listen()?, signals::hang_ups()?);
    let db = store::open(&config.database).await?;
    prices::seed(&db, &By::system("start")).await?;
    let master_key = master_key::obtain(&config, &db).await?;
    let pepper = master_key.pepper(&db).await?;
    let declared = declared::apply(&config, &db, &pepper, master_key.sealing_key()).await?;

    let first = first_run::administrator(&config, &db).await?;
    let declared = Arc::new(declared);
    let changed = Signal::default();
    // Where the control plane looks for the gateway of this process, which is built after it.
    let in_process = Arc::new(OnceLock::new());
    let gateway_url = Arc::new(config.server.gateway.public_url.clone().map_or_else(OnceLock::new, OnceLock::from));
    let admin = match admin {
        Some(_) => {
            let secrets = master_key.admin_secrets(&db).await?;
            let (of_gateway, timeouts) = (Arc::clone(&in_process), config.timeouts.to_gateway());
            let teller = config.redis.as_ref().map(RedisConfig::teller).transpose()?;
            let ports = Ports::new(changed.clone(), of_gateway, Arc::clone(&declared), db.clone(), timeouts);
            let ports = ports.telling(teller);
            let process = Process::new(host_name(), Arc::clone(&log), gateway.is_some());
            Some(control_plane(&config, secrets, &db, ports, process, Arc::clone(&gateway_url))?)
        }
        None => None,
    };
    let admin_address = admin.as_ref().map(admin::startup::Application::address);
    let scraped = Arc::clone(&in_process);
    let scrape = move || exporter::exposition(scraped.get().map(Arc::as_ref));
    let otlp = config.telemetry.otlp.as_ref();
    let otlp = otlp.map(|otlp| Otlp::start(otlp, &host_name(), scrape)).transpose()?;
    let gateway = match gateway {
        Some(_) => {
            let declared = Arc::clone(&declared);
            let mut settings = settings(&config, master_key.client_secret_key(), admin_address)?;
            settings.tracing = otlp.as_ref().map(Otlp::tracing);
            Some(DataPlane::build(&config, settings, pepper.clone(), &db, declared).await?)
        }
        None => None,
    };
    if let Some(gateway) = &gateway {
        gateway_url.get_or_init(|| format!("http://{}", first_run::reachable(gateway.application.address())));
        in_process.get_or_init(|| gateway.application.gateway());
    }
    announce(gateway.as_ref(), admin_address, first.as_ref());
    let telling = gateway.is_none().then(|| metrics::tell(&config.server.metrics.bind)).flatten();
    let keeping_up = gateway.is_none().then(|| tokio::spawn(metrics::keep_up()));
    let summing = tokio::spawn(upkeep::sum_earlier_records(db.clone()));
    let retention = if admin_address.is_some() { config.usage.retention() } else { Retention::default() };
    let retaining = tokio::spawn(retention::run(db.clone(), retention));
    let gateway_in_force = in_process.get().cloned();
    let reload = Reload {
        started: config,
        read,
        log,
        db,
        pepper,
        declared,
        gateway: gateway_in_force,
        changed: changed.clone(),
    };
    let reloading = actix_web::rt::spawn(reload.run(hang_ups));
    let (served_gateway, served_admin) =
        tokio::join!(serve_gateway(gateway, &stop, changed), serve_admin(admin, &stop));
    reloading.abort();
    for task in telling.into_iter().chain(keeping_up) {
        task.abort();
    }
    summing.abort();
    retaining.abort();
    if let Some(otlp) = otlp {
        otlp.stop(&stop.hurry).await;
    }
    served_gateway?;
    served_admin?;
    Ok(stop.exit_code())
}

/// What reads the configuration, now and whenever it is loaded again.
fn reader(common: &Common, overrides: Vec<Override>) -> Box<dyn Fn() -> Result<Config>> {
    let common = common.clone();
    Box::new(move || common.load(overrides.clone()))
}

/// Serves until the process shall stop. Where it cannot, the other plane stops too.
async fn serve_gateway(
    gateway: Option<DataPlane>,
    stop: &Stop,
    changed: Signal,
) -> Result<(), gateway::startup::StartError> {
    let Some(gateway) = gateway else { return Ok(()) };
    gateway.run_until(stop, changed).await.inspect_err(|_| stop.asked.cancel())
}

/// As [`serve_gateway`].
async fn serve_admin(
    admin: Option<admin::startup::Application>,
    stop: &Stop,
) -> Result<(), admin::startup::StartError> {
    let Some(admin) = admin else { return Ok(()) };
    tokio::select! {
        served = admin.run_until(stop.asked.cancelled()) => served.inspect_err(|_| stop.asked.cancel()),
        () = stop.hurry.cancelled() => Ok(()),
    }
}

fn overrides(gateway: Option<&ServeGateway>, admin: Option<&ServeAdmin>) -> Vec<Override> {
    let flag = |flag, field, text: Option<&String>| text.cloned().map(|text| Override { flag, field, text });
    let of_admin = || admin.and_then(|admin| admin.metrics_bind.as_ref());
    let metrics = gateway.and_then(|gateway| gateway.metrics_bind.as_ref()).or_else(of_admin);
    let flags = [
        flag("--bind", "server.gateway.bind", gateway.and_then(|gateway| gateway.bind.as_ref())),
        flag("--metrics-bind", "server.metrics.bind", metrics),
        flag("--admin-bind", "server.admin.bind", admin.and_then(|admin| admin.admin_bind.as_ref())),
    ];
    flags.into_iter().flatten().collect()
}

fn control_plane(
    config: &Config,
    secrets: Secrets,
    db: &DatabaseConnection,
    ports: Ports,
    process: Process,
    gateway_url: Arc<OnceLock<String>>,
) -> Result<admin::startup::Application> {
    let bind = config.server.admin.bind.parse().context("server.admin.bind")?;
    let timeouts = config.timeouts.to_gateway();
    let trusted_proxies = TrustedProxies::parse(&config.server.admin.trusted_proxies);
    let trusted_proxies = trusted_proxies.map_err(|text| anyhow!("server.admin.trusted_proxies: {text:?}"))?;
    let settings = AdminSettings {
        bind,
        workers: None,
        public_url: config.server.admin.public_url.clone(),
        trusted_proxies,
        body_idle: config.timeouts.body_idle,
        gateway_url,
        drain_delay: timeouts.drain_delay,
        drain: timeouts.drain,
        smtp: config.smtp.as_ref().map(SmtpConfig::to_settings),
        alerts_every: LOOK_AT_ALERT_RULES,
        oidc: config.oidc.as_ref().map(OidcConfig::to_admin),
    };
    let auth = admin::auth::State::default();
    let (data_plane, process) = (Arc::new(ports), Arc::new(process));
    let control = Control { database: db.clone(), secrets, settings, data_plane, process, auth };
    Ok(admin::startup::Application::build(control)?)
}

/// The data plane with what keeps its view current.
struct DataPlane {
    application: Application,
    demo_key: Option<String>,
    declared: Arc<Declared>,
    db: DatabaseConnection,
    version: Option<String>,
}

impl DataPlane {
    async fn build(
        config: &Config,
        settings: GatewaySettings,
        pepper: Pepper,
        db: &DatabaseConnection,
        declared: Arc<Declared>,
    ) -> Result<Self> {
        let demo_key = first_run::demo_key(config, db, &pepper).await?;
        // Read before the view is: what changes in between is then loaded twice, never missed.
        let version = changes::version(db).await?;
        let snapshot = declared.load(db).await?;
        let application = Application::build(settings, db.clone(), snapshot, pepper).await?;
        Ok(Self { application, demo_key, declared, db: db.clone(), version })
    }

    async fn run_until(self, stop: &Stop, changed: Signal) -> Result<(), gateway::startup::StartError> {
        // Whatever makes changes in this process wakes it, and so does the database.
        let listener = tokio::spawn(changes::listen(self.db.clone(), changed.clone()));
        let heard = replicated::hear(self.application.gateway(), changed.clone());
        let hearer = tokio::spawn(heard);
        let watcher = watch(self.application.gateway(), self.declared, self.db, self.version, changed.wakes());
        let watcher = tokio::spawn(watcher);
        let served = self.application.run_until(stop.asked.cancelled(), stop.hurry.clone()).await;
        watcher.abort();
        listener.abort();
        hearer.abort();
        served
    }
}

/// Tells where the planes listen; the demo key and a password that was made up are shown once, on the first
/// start. A reader that has gone away does not end the server.
fn announce(gateway: Option<&DataPlane>, admin: Option<SocketAddr>, first: Option<&MadeUser>) {
    let mut printed = Ok(());
    if let Some(admin) = admin {
        let admin = first_run::reachable(admin);
        tracing::info!(url = %format_args!("http://{admin}"), "the admin plane is listening");
        printed = printed.and_then(|()| output::line(&format!("Antiphon's admin plane: http://{admin}")));
    }
    if let Some(first) = first {
        let password = match &first.generated {
            Some(password) => format!("\n  password  {}   (shown this once)", password.expose_secret()),
            None => String::new(),
        };
        let told = format!("Its first administrator:\n  e-mail    {}{password}", first.email);
        printed = printed.and_then(|()| output::line(&told));
    }
    if let Some(gateway) = gateway {
        let address = gateway.application.address();
        tracing::info!(url = %format_args!("http://{address}/v1"), "gateway is listening");
        if let Some(metrics) = gateway.application.metrics_address() {
            tracing::info!(url = %format_args!("http://{metrics}/metrics"), "metrics are listening");
        }
        printed = printed.and_then(|()| match &gateway.demo_key {
            Some(key) => output::line(&first_run::welcome(address, key)),
            None => output::line(&format!("Antiphon is ready: http://{address}/v1")),
        });
    }
    if let Err(error) = printed {
        tracing::warn!(error = %format_args!("{error:#}"), "nobody reads what is printed");
    }
}

/// Loads the database again when it has changed, and ends sessions that shall end. When that fails the last
/// good view stays, and the next look tries again.
async fn watch(
    gateway: Arc<Gateway>,
    declared: Arc<Declared>,
    db: DatabaseConnection,
    version: Option<String>,
    mut wakes: Wakes,
) {
    let mut seen = Seen { version, revision: 0, spend_is_known: false };
    let mut failing = false;
    loop {
        wakes.next().await;
        let looked = tokio::time::timeout(LOOK_PATIENCE, refresh(&gateway, &declared, &db, &mut seen)).await;
        match looked.unwrap_or_else(|_| Err(anyhow!("the database does not answer"))) {
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
    /// Of what is declared.
    revision: u64,
    /// Every budget of the view in force knows what was spent before it.
    spend_is_known: bool,
}

async fn refresh(gateway: &Gateway, declared: &Declared, db: &DatabaseConnection, seen: &mut Seen) -> Result<()> {
    end_terminated(gateway).await?;
    let (version, revision) = (changes::version(db).await?, declared.revision());
    if version != seen.version || revision != seen.revision {
        adopt_snapshot(gateway, declared.load(db).await?).await?;
        *seen = Seen { version, revision, spend_is_known: false };
        tracing::info!("changes are in force");
    }
    if !seen.spend_is_known {
        seen.spend_is_known = catch_up(gateway).await?;
    }
    Ok(())
}

/// The origins of the dashboard's page, by which browsers may call it.
fn own_origins(config: &Config, admin: Option<SocketAddr>) -> Vec<String> {
    let told = config.server.admin.public_url.as_deref().and_then(origin_of);
    let listening = admin.map(|admin| {
        let admin = first_run::reachable(admin);
        [format!("http://{admin}"), format!("http://localhost:{}", admin.port())]
    });
    told.into_iter().chain(listening.into_iter().flatten()).collect()
}

fn settings(config: &Config, client_secret_key: [u8; 32], admin: Option<SocketAddr>) -> Result<GatewaySettings> {
    let own = || own_origins(config, admin);
    Ok(GatewaySettings {
        name: host_name(),
        bind: config.server.gateway.bind.parse().context("server.gateway.bind")?,
        metrics_bind: Some(config.server.metrics.bind.parse().context("server.metrics.bind")?),
        allowed_origins: config.server.gateway.allowed_origins.clone().unwrap_or_else(own),
        workers: None,
        data_dir: config.data_dir(),
        limits: config.limits.to_gateway(),
        timeouts: config.timeouts.to_gateway(),
        record_dir: config.realtime.record_dir.clone(),
        shared: config.redis.as_ref().map(RedisConfig::to_gateway),
        client_secret_key,
        tracing: None,
    })
}

/// What people call this machine or pod.
#[cfg(target_os = "linux")]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(target_os = "linux"))]
fn host_name() -> String {
    "localhost".to_owned()
}
