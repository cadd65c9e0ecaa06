//! Builds the control plane and runs it to its end: routes, the order of middleware, drain.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::SwaggerUi;

use crate::alerts::{Alerts, MailError};
use crate::error::AdminError;
use crate::openapi::{self, Document};
use crate::probes::{self, Draining};
use crate::session_events::Streams;
use crate::settings::AdminSettings;
use crate::{Control, access, auth, extract, http, routes, telemetry, web as dashboard};

/// For a request's headers.
const HEADER_READ: Duration = Duration::from_secs(10);

/// Why the control plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or may not be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The server failed while it ran.
    #[error("the server failed: {0}")]
    Serve(#[from] io::Error),
    /// The mail server's settings cannot be used.
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// A control plane that is ready to run.
pub struct Application {
    server: Server,
    address: SocketAddr,
    streams: Streams,
    alerts: Data<Alerts>,
    alerts_every: Duration,
    draining: Draining,
    drain_delay: Duration,
    drain: Duration,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Application {
    /// Binds the listener.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(mut control: Control) -> Result<Self, StartError> {
        let bind = control.settings.bind;
        let bound = || {
            let listener = TcpListener::bind(bind)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bound().map_err(|source| StartError::Listen { address: bind, source })?;
        // Port 0 has become one, which links name.
        control.settings.bind = address;
        let streams = Streams::default();
        let draining = Draining::default();
        let AdminSettings { alerts_every, drain_delay, drain, .. } = control.settings;
        let sealing = control.secrets.sealing.clone();
        let alerts = Alerts::new(control.database.clone(), sealing, control.settings.smtp.as_ref())?;
        let alerts = Data::new(alerts);
        let server = serve(control, streams.clone(), alerts.clone(), draining.clone(), listener)?;
        Ok(Self { server, address, streams, alerts, alerts_every, draining, drain_delay, drain })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves and watches over alert rules until `stop` resolves, and for the delay that is set; requests and
    /// messages in flight are finished.
    ///
    /// # Errors
    /// The server failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let handle = self.server.handle();
        let server = actix_web::rt::spawn(self.server);
        let stopping = CancellationToken::new();
        let alerts = {
            let (alerts, every, stopping) = (self.alerts, self.alerts_every, stopping.clone());
            tokio::spawn(async move { alerts.run(every, stopping).await })
        };
        stop.await;
        self.draining.0.cancel();
        tokio::time::sleep(self.drain_delay).await;
        // They would hold the end up for as long as somebody watches.
        self.streams.stop();
        stopping.cancel();
        handle.stop(true).await;
        let alerts_ended = end_within(self.drain, alerts);
        let (served, ()) = tokio::join!(server, alerts_ended);
        served.map_err(io::Error::other)??;
        Ok(())
    }
}

/// Waits for a task, and ends it where it takes too long: what it had claimed is claimed again.
async fn end_within(drain: Duration, mut task: JoinHandle<()>) {
    if tokio::time::timeout(drain, &mut task).await.is_err() {
        task.abort();
    }
}

fn serve(
    control: Control,
    streams: Streams,
    alerts: Data<Alerts>,
    draining: Draining,
    listener: TcpListener,
) -> Result<Server, StartError> {
    let document = openapi::document();
    let text = document.to_json().map_err(io::Error::other)?;
    let served = Data::new(Document { text: text.into() });
    let (workers, drain) = (control.settings.workers, control.settings.drain);
    let (control, streams, draining) = (Data::new(control), Data::new(streams), Data::new(draining));
    let app = move || {
        App::new()
            .app_data(control.clone())
            .app_data(alerts.clone())
            .app_data(served.clone())
            .app_data(streams.clone())
            .app_data(draining.clone())
            .app_data(web::PayloadConfig::new(extract::MAX_BODY_BYTES))
            .into_utoipa_app()
            .configure(routes::configure)
            .into_app()
            .service(SwaggerUi::new("/docs/{_:.*}").url("/api/v1/openapi.json", document.clone()))
            .route("/docs", web::get().to(to_docs))
            .configure(probes::configure)
            .default_service(web::to(elsewhere))
            // Inside: nothing below /api is reached but by a row of the table of routes.
            .wrap(from_fn(auth::authorise))
            // Around it, so that refusals are counted too.
            .wrap(from_fn(telemetry::watch))
            // Outermost, so that every answer carries its request id, refusals too.
            .wrap(from_fn(http::identify))
    };
    let mut server = HttpServer::new(app)
        .listen(listener)?
        .client_request_timeout(HEADER_READ)
        .shutdown_timeout(drain.as_secs())
        .disable_signals();
    if let Some(workers) = workers {
        server = server.workers(workers);
    }
    Ok(server.run())
}

async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header(("location", "/docs/")).finish()
}

/// The dashboard's pages, a path that is not there, or one that is there for other methods.
async fn elsewhere(request: HttpRequest, control: Data<Control>) -> Result<HttpResponse, AdminError> {
    let methods = access::pattern(&request).map(|pattern| access::methods(&pattern)).unwrap_or_default();
    if methods.is_empty() {
        dashboard::get(&request, &control.settings)
    } else {
        Err(AdminError::MethodNotAllowed(methods.join(", ")))
    }
}
