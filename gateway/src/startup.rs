//! Builds the data plane and runs it to its end: routes, the order of middleware, drain.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, HttpMessage};
use arc_swap::ArcSwap;
use domain::error::ErrorKind;
use domain::key::Pepper;
use domain::overload::Gauge;
use local_speech::{LocalLimits, LocalSpeech};
use sea_orm::DatabaseConnection;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub use crate::settings::{GatewayLimits, GatewaySettings, Timeouts};

use crate::drain::drain;
use crate::error::GatewayError;
use crate::http::cors::{self, Origins};
use crate::http::extract::Arrival;
use crate::http::told::Told;
use crate::http::wire::stream::Rules;
use crate::idempotency::Idempotency;
use crate::ledger::{JournalLimits, Ledger, LedgerError};
use crate::limits::Limits;
use crate::limits::past::{recall, recall_at_start};
use crate::limits::shared::{Delivered, Shared};
use crate::pipeline::health::Health;
use crate::realtime::open::create_session;
use crate::realtime::recording::Recorder;
use crate::realtime::registry::Sessions;
use crate::realtime::replicated;
use crate::realtime::secrets::ClientSecrets;
use crate::reports::minutes::Outcome;
use crate::reports::{self, Reports};
use crate::settings::InForce;
use crate::snapshot::Snapshot;
use crate::telemetry::{exporter, names};
use crate::upstream::client::UpstreamClient;
use crate::upstream::credentials::Tokens;
use crate::upstream::voices::Voices;
use crate::vendor::passes::Passes;
use crate::{Gateway, Worker, http, overload, vendor};

/// What the database has for the last records, however late it is.
const LEAST_FLUSH: Duration = Duration::from_millis(500);

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or may not be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A folder cannot be made.
    #[error("cannot use the data folder {folder}: {source}")]
    Folder {
        /// Which folder.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// The usage journal cannot be opened.
    #[error("cannot open the usage journal: {0}")]
    Journal(#[from] LedgerError),
    /// The database does not answer.
    #[error("cannot read the database: {0}")]
    Database(#[from] sea_orm::DbErr),
    /// Redis cannot be used as it is configured.
    #[error("{0}")]
    Redis(#[from] replicas::ReplicasError),
    /// The server failed while it ran.
    #[error("the server failed: {0}")]
    Serve(#[from] io::Error),
}

/// A data plane that is ready to run.
pub struct Application {
    gateway: Arc<Gateway>,
    server: Server,
    metrics: Option<Server>,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Application {
    /// Opens the journal, restores what keys have spent, and binds the listeners.
    ///
    /// # Errors
    /// Whatever keeps the data plane from starting.
    pub async fn build(
        settings: GatewaySettings,
        database: DatabaseConnection,
        snapshot: Snapshot,
        pepper: Pepper,
    ) -> Result<Self, StartError> {
        exporter::start(&[]);
        let spool = settings.data_dir.join("spool");
        std::fs::create_dir_all(&spool)
            .map_err(|source| StartError::Folder { folder: spool.display().to_string(), source })?;
        let journal = JournalLimits { max_bytes: settings.limits.max_journal_bytes, ..JournalLimits::default() };
        let (shared, sink) = match &settings.shared {
            Some(shared) => {
                Box::pin(Shared::connect(shared, database.clone())).await.map(|(shared, sink)| (Some(shared), sink))?
            }
            None => (None, Delivered::new(database.clone(), None)),
        };
        let ledger = Ledger::open(&settings.data_dir.join("journal"), journal, sink)?;
        // The journal's lock says that no other gateway uses this folder.
        sweep(&spool).map_err(|source| StartError::Folder { folder: spool.display().to_string(), source })?;
        // What the last run left in the journal counts as spent before anything is admitted.
        let limits = Limits::new();
        if !recall_at_start(&limits, &ledger, &database, &snapshot, Duration::from_secs(10)).await? {
            tracing::warn!("records of the last run are still on their way; budgets count them when they arrive");
        }

        let recorder = settings.record_dir.as_deref().map(Recorder::start).transpose()?;
        let in_force = InForce { bounds: settings.limits, timeouts: settings.timeouts };
        let gateway = Arc::new(Gateway {
            snapshot: ArcSwap::from_pointee(snapshot),
            pepper,
            limits,
            shared,
            ledger,
            health: Health::new(settings.timeouts.breaker_open),
            tokens: Tokens::default(),
            secrets: ClientSecrets::new(&settings.client_secret_key),
            passes: Passes::new(&settings.client_secret_key),
            database,
            voices: Voices::default(),
            local: LocalSpeech::detect(LocalLimits::default()),
            recorder,
            sessions: Sessions::default(),
            overload: Arc::default(),
            reports: Reports::new(),
            calls: TaskTracker::new(),
            draining: CancellationToken::new(),
            refusing: CancellationToken::new(),
            idempotency: Idempotency::default(),
            cut: CancellationToken::new(),
            rules: ArcSwap::from_pointee(Rules::of(&in_force)),
            in_force: ArcSwap::from_pointee(in_force),
            settings: settings.clone(),
        });
        let (listener, address) = listen(settings.bind)?;
        let server = serve(Arc::clone(&gateway), listener, &settings)?;
        let (metrics, metrics_address) = match settings.metrics_bind {
            Some(bind) => {
                let (listener, address) = listen(bind)?;
                (Some(exporter::serve(listener, Some(Arc::clone(&gateway)))?), Some(address))
            }
            None => (None, None),
        };
        Ok(Self { gateway, server, metrics, address, metrics_address })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where Prometheus scrapes.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The running gateway, for whoever swaps snapshots.
    #[must_use]
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// Serves until `stop` resolves, then drains: readiness goes off, no new sessions, requests in flight are
    /// finished, sessions told and closed with a frame near the deadline, what is left then cut, the journal
    /// flushed. The listener stays open meanwhile, so that readiness can say what happens. Once `hurry`
    /// is cancelled, everything that is open is ended at once; its records are in the journal all the same.
    ///
    /// # Errors
    /// The server failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>, hurry: CancellationToken) -> Result<(), StartError> {
        let handle = self.server.handle();
        let metrics = self.metrics.map(|metrics| {
            let handle = metrics.handle();
            (handle, actix_web::rt::spawn(metrics))
        });
        let server = actix_web::rt::spawn(self.server);
        let observer = actix_web::rt::spawn(observe(Arc::clone(&self.gateway)));
        let silence = CancellationToken::new();
        let reporter = tokio::spawn(reports::run(Arc::clone(&self.gateway), silence.clone()));
        let teller = tokio::spawn(replicated::tell(Arc::clone(&self.gateway), silence.clone()));
        stop.await;
        let gone = drain(&self.gateway, &handle, &hurry).await;
        let left = gone.saturating_duration_since(Instant::now()).max(LEAST_FLUSH);
        let health = tokio::select! {
            health = self.gateway.ledger.close(left) => health,
            () = hurry.cancelled() => self.gateway.ledger.close(LEAST_FLUSH).await,
        };
        if health.pending_records > 0 {
            tracing::warn!(records = health.pending_records, "usage records stay in the journal for the next start");
        }
        if let Some(shared) = &self.gateway.shared {
            shared.close().await;
        }
        observer.abort();
        // A collector is told last how it was left.
        names::journal_pending(health.pending_records);
        silence.cancel();
        teller.await.map_err(io::Error::other)?;
        reporter.await.map_err(io::Error::other)?;
        if let Some((handle, task)) = metrics {
            handle.stop(false).await;
            task.abort();
        }
        server.await.map_err(io::Error::other)??;
        Ok(())
    }
}

/// Removes what a gateway that was killed has left of its uploads.
fn sweep(spool: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(spool)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Keeps gauges current.
async fn observe(gateway: Arc<Gateway>) {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let (mut memory, began) = (Gauge::default(), Instant::now());
    loop {
        beat.tick().await;
        gateway.overload.look_at_memory(&mut memory, &gateway.bounds().overload, began.elapsed());
        names::journal_pending(gateway.ledger.health().pending_records);
        exporter::upkeep();
        if let Some(shared) = &gateway.shared {
            shared.observe();
        }
        // Keys expire without anybody swapping a snapshot.
        gateway.sessions.end_revoked(&gateway.snapshot.load(), OffsetDateTime::now_utc());
    }
}

/// Swaps a new view in. Calls in flight keep theirs; sessions of revoked keys end.
pub fn swap_snapshot(gateway: &Gateway, snapshot: Snapshot) {
    let snapshot = Arc::new(snapshot);
    // Stored first: a session that opens meanwhile has either been entered by now, and is ended below,
    // or finds that its key is gone.
    gateway.snapshot.store(Arc::clone(&snapshot));
    gateway.health.seats.keep(&snapshot);
    gateway.health.retries.keep(&snapshot);
    gateway.sessions.end_revoked(&snapshot, OffsetDateTime::now_utc());
}

/// As [`swap_snapshot`], after the budgets that are new in it have been told what was spent before.
///
/// # Errors
/// The database's; the view in force stays.
pub async fn adopt_snapshot(gateway: &Gateway, snapshot: Snapshot) -> Result<(), sea_orm::DbErr> {
    recall(&gateway.limits, &gateway.database, &snapshot).await?;
    swap_snapshot(gateway, snapshot);
    Ok(())
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound().map_err(|source| StartError::Listen { address, source })
}

fn serve(gateway: Arc<Gateway>, listener: TcpListener, settings: &GatewaySettings) -> Result<Server, StartError> {
    let connect = settings.timeouts.connect;
    let of_app = Arc::clone(&gateway);
    let origins = Origins::of(&settings.allowed_origins);
    let app = move || {
        let pace = of_app.overload.worker();
        // This runs once on each worker's own thread.
        actix_web::rt::spawn(overload::watch_worker(Arc::downgrade(&of_app), Arc::clone(&pace)));
        let client = UpstreamClient::new(connect);
        let replicas = of_app.shared.as_ref().map(|shared| shared.replicas().with_own_connection());
        let worker =
            Data::new(Worker { gateway: Arc::clone(&of_app), client, replicas, pace, origins: origins.clone() });
        App::new()
            .app_data(worker)
            .configure(routes)
            .configure(vendor::routes)
            .default_service(web::to(not_found))
            // Outermost, so that every answer carries its request id, refusals too.
            .wrap(from_fn(identify))
    };
    Ok(http::listener::serve(settings, listener, gateway, app)?)
}

/// Everything below `/v1` and the vendors' prefixes authenticates in its handler, through the one function
/// that makes a `Caller`; only the two health routes and the 404 do not.
fn routes(config: &mut web::ServiceConfig) {
    let not_allowed = || web::to(method_not_allowed);
    config
        .service(web::resource("/healthz").get(http::health::get_health).default_service(not_allowed()))
        .service(web::resource("/readyz").get(http::health::get_readiness).default_service(not_allowed()))
        .service(web::resource("/.refused/{reason}").get(http::wire::get_refusal).default_service(not_allowed()))
        .service(
            web::scope("/v1")
                .configure(operations)
                .service(web::resource("/audio/voices").get(http::voices::list_voices).default_service(not_allowed()))
                .service(
                    web::resource("/realtime/client_secrets")
                        .post(http::client_secrets::create_client_secret)
                        .default_service(not_allowed()),
                )
                .service(web::resource("/usage").get(http::usage::get_usage).default_service(not_allowed()))
                .service(
                    web::resource("/usage/{id}").get(http::usage::get_request_usage).default_service(not_allowed()),
                ),
        );
}

/// What is asked in OpenAI's language, below `/v1` and below the vendors that speak it.
pub(crate) fn operations(config: &mut web::ServiceConfig) {
    let not_allowed = || web::to(method_not_allowed);
    config
        .service(
            web::resource("/audio/transcriptions")
                .post(http::transcriptions::create_transcription)
                .default_service(not_allowed()),
        )
        .service(
            web::resource("/audio/translations")
                .post(http::transcriptions::create_translation)
                .default_service(not_allowed()),
        )
        .service(web::resource("/audio/speech").post(http::speech::create_speech).default_service(not_allowed()))
        .service(
            web::resource("/chat/completions").post(http::chat::create_chat_completion).default_service(not_allowed()),
        )
        .service(web::resource("/embeddings").post(http::chat::create_embedding).default_service(not_allowed()))
        .service(web::resource("/models").get(http::models::list_models).default_service(not_allowed()))
        .service(web::resource("/models/{id:.+}").get(http::models::get_model).default_service(not_allowed()))
        .service(web::resource("/realtime").get(create_session).default_service(not_allowed()));
}

async fn not_found() -> Result<&'static str, GatewayError> {
    Err(GatewayError::caller(ErrorKind::NotFound, "There is nothing at this path."))
}

async fn method_not_allowed() -> Result<&'static str, GatewayError> {
    Err(GatewayError::caller(ErrorKind::MethodNotAllowed, "This path does not take this method."))
}

/// Gives each request its id, counts what was refused, and closes connections while the gateway stops.
async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let worker = request.app_data::<Data<Worker>>();
    let tracing = worker.and_then(|worker| worker.gateway.settings.tracing.as_ref());
    let arrival = Arrival::traced(tracing, request.head());
    let span = arrival.span();
    request.extensions_mut().insert(arrival.clone());
    let page = worker.and_then(|worker| worker.origins.permitted(&request));
    let calls = worker.map(|worker| worker.gateway.calls.clone());
    let in_flight = calls.as_ref().map(TaskTracker::token);
    // Browsers ask without a key.
    let preflight = page.as_ref().and_then(|_| cors::preflight(&request));
    let mut response = match preflight {
        Some(answer) => request.into_response(answer),
        None => next.call(request).instrument(span.clone()).await?.map_into_boxed_body(),
    };
    drop(in_flight);
    if calls.is_some_and(|calls| calls.is_closed()) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let error = response.response().error().and_then(|error| error.as_error::<GatewayError>());
    if let Some(worker) = response.request().app_data::<Data<Worker>>() {
        count(&worker.gateway.reports, &arrival, response.status(), error);
    }
    if let Some(error) = error {
        names::failed(error.kind());
        let _entered = span.enter();
        tracing::info!(status = response.status().as_u16(), %error, "refused");
    }
    let asked = response.request();
    arrival.trace.answered(asked.method(), || asked.match_pattern(), response.status(), error.map(GatewayError::kind));
    let headers = response.headers_mut();
    if let Some(page) = page {
        cors::expose(headers, page);
    }
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id.to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let progress = &arrival.progress;
    let timing = http::headers::server_timing(arrival.at.elapsed(), progress.upstream(), progress.in_queue());
    if let Some(timing) = timing {
        headers.insert(HeaderName::from_static("server-timing"), timing);
    }
    Ok(response.map_body(|_, body| Told::of(body, span)))
}

/// Counts an answer by its minute. What has no caller counts where a key was refused: strangers' other
/// requests are nobody's.
fn count(reports: &Reports, arrival: &Arrival, status: StatusCode, error: Option<&GatewayError>) {
    let caller = arrival.progress.counted();
    if caller.is_none() && error.is_none_or(|error| error.kind() != ErrorKind::InvalidApiKey) {
        return;
    }
    let outcome = Outcome::of(status.as_u16(), error, arrival.progress.upstream());
    reports.minutes.answered(caller, arrival.progress.asked().as_deref(), outcome);
}
