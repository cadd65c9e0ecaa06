//! The server on its socket: connections are guarded, then HTTP/1.1 is spoken on them.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Protocol, Request};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use actix_web::dev::ServiceResponse;
use tokio::net::TcpStream;

use crate::Gateway;
use crate::http::wire::stream::GuardedStream;
use crate::settings::GatewaySettings;

/// How long a connection may be quiet between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Seconds in which clients must take what is left of their answers when all calls have ended.
const LAST_BYTES_S: u64 = 5;
/// How long a client that is still sending may take to read an early answer.
const LINGER: Duration = Duration::from_secs(1);

/// Serves `app` on a listener. Connections that are opened once the gateway refuses work are told to come back.
///
/// # Errors
/// The listener cannot be used.
pub fn serve<F, I, S, B>(
    settings: &GatewaySettings,
    listener: TcpListener,
    gateway: Arc<Gateway>,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let mut builder = Server::build()
        .disable_signals()
        .shutdown_timeout(LAST_BYTES_S)
        .max_concurrent_connections(settings.limits.max_sessions.saturating_mul(2).max(1024));
    if let Some(workers) = settings.workers {
        builder = builder.workers(workers);
    }
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        let (gateway, stopping) = (Arc::clone(&gateway), stopping.clone());
        let app = app().into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            // Heads have their own clock, which also runs for the second request of a connection.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(LINGER)
            .h1_allow_half_closed(true)
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |io: TcpStream| {
            let peer = io.peer_addr().ok();
            let guarded = guard(io, &gateway);
            std::future::ready(guarded.map(|stream| (stream, Protocol::Http1, peer)).map_err(Into::into))
        })
        .and_then(http)
    };
    Ok(builder.listen("gateway", listener, service)?.run())
}

fn guard(io: TcpStream, gateway: &Gateway) -> io::Result<GuardedStream> {
    io.set_nodelay(true)?;
    Ok(GuardedStream::new(io, gateway.rules(), gateway.refusing.is_cancelled()))
}
