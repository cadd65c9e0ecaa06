//! The HTTP client for providers: one per worker thread, so that a pooled connection is always
//! driven by the thread that uses it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dialects::address::is_public;
use domain::error::ErrorKind;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::last_bytes::NotingConnector;
use crate::error::{GatewayError, Mend};
use crate::pipeline::phases::Phase;

/// A request body: whole, or as it arrives.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

type Pool = Client<NotingConnector<HttpsConnector<HttpConnector<Resolver>>>, Body>;

/// Pools for providers on the public network and for those that may be anywhere.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    public: Pool,
    anywhere: Pool,
}

impl UpstreamClient {
    /// Connects within `connect`.
    #[must_use]
    pub fn new(connect: Duration) -> Self {
        Self { public: pool(connect, false), anywhere: pool(connect, true) }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// `UpstreamError` when the provider cannot be reached or breaks off before it answers.
    pub async fn send(&self, insecure: bool, request: Request<Body>) -> Result<Response<Incoming>, GatewayError> {
        let pool = if insecure { &self.anywhere } else { &self.public };
        pool.request(request).await.map_err(|error| failed(&error))
    }

    /// As [`Self::send`], where connecting may take only so long; `None` is as long as for everybody.
    ///
    /// # Errors
    /// As [`Self::send`]'s.
    pub async fn send_within(
        &self,
        connect: Option<Duration>,
        insecure: bool,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, GatewayError> {
        let Some(connect) = connect else { return self.send(insecure, request).await };
        let mut connection = capture_connection(&mut request);
        let mut answer = std::pin::pin!(self.send(insecure, request));
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            connected = tokio::time::timeout(connect, connection.wait_for_connection_metadata()) => {
                if connected.is_err() {
                    return Err(Phase::Connect.late());
                }
            }
        }
        answer.await
    }
}

fn failed(error: &hyper_util::client::legacy::Error) -> GatewayError {
    let unreached = error.is_connect();
    if unreached && is_late(error) {
        return Phase::Connect.late();
    }
    let (what, mend) =
        if unreached { ("could not be reached", Mend::Unreached) } else { ("broke the connection", Mend::Broken) };
    tracing::warn!(%error, "provider {what}");
    GatewayError::upstream(ErrorKind::UpstreamError, format!("The provider {what}.")).mended_by(mend)
}

/// Whether connecting took too long.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) || error.source().is_some_and(is_late)
}

fn pool(connect: Duration, anywhere: bool) -> Pool {
    let mut http = HttpConnector::new_with_resolver(Resolver { inner: GaiResolver::new(), anywhere });
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect));
    http.set_keepalive(Some(Duration::from_secs(30)));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(256)
        // Bytes that may wait for a provider that reads slowly; the default is six times that.
        .http1_max_buf_size(64 * 1024)
        .build(NotingConnector { inner: https, within: connect })
}

/// Looks a host up, and drops private addresses unless they are allowed. The check is made on the
/// addresses that are then connected to, so that a name cannot change between the two.
#[derive(Debug, Clone)]
pub struct Resolver {
    inner: GaiResolver,
    anywhere: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.inner.call(name);
        let anywhere = self.anywhere;
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                found.await?.filter(|address| anywhere || is_public(address.ip())).collect();
            if addresses.is_empty() {
                return Err(io::Error::other("the host has no public address"));
            }
            Ok(addresses.into_iter())
        })
    }
}
