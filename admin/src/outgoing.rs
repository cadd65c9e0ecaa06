//! Requests to addresses that people give us: bounded in time and size, to public addresses unless more is
//! permitted, and never on to where an answer points.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use dialects::address::is_public;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;
use url::{Host, Url};

/// To the connection, and to the end of the answer.
const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(10);
/// Bytes of an answer that are kept.
const MAX_ANSWER_BYTES: usize = 4 * 1024;
/// Bytes of an answer that is read to its end.
const MAX_WHOLE_BYTES: usize = 1024 * 1024;
/// Bytes of a URL.
const MAX_URL_BYTES: usize = 2_000;

type Pool = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// Sends.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    public: Pool,
    anywhere: Pool,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// The begin of its body.
    pub(crate) body: String,
}

/// Why nothing was answered. Never names the URL, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(&'static str),
    /// Something that should stand in a header cannot.
    #[error("a header cannot be written")]
    Header,
    /// There is no connection.
    #[error("could not be reached")]
    Unreachable,
    /// The connection broke.
    #[error("broke the connection")]
    Broken,
    /// It took too long.
    #[error("did not answer within {} seconds", TOTAL.as_secs())]
    Late,
}

impl Outgoing {
    /// Ready to send.
    pub(crate) fn new() -> Self {
        Self { public: pool(false), anywhere: pool(true) }
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// [`SendError`]: nothing was answered.
    pub(crate) async fn post(
        &self,
        url: &str,
        allow_insecure: bool,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Answer, SendError> {
        let url = check_url(url, allow_insecure).map_err(SendError::Url)?;
        let mut request = Request::post(url.as_str()).header(http::header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| SendError::Header)?;
            request = request.header(HeaderName::from_static(name), value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_| SendError::Header)?;
        let pool = if allow_insecure { &self.anywhere } else { &self.public };
        let answered = async {
            let response = pool
                .request(request)
                .await
                .map_err(|error| if error.is_connect() { SendError::Unreachable } else { SendError::Broken })?;
            let status = response.status();
            Ok(Answer { status, body: begin(response.into_body()).await })
        };
        tokio::time::timeout(TOTAL, answered).await.unwrap_or(Err(SendError::Late))
    }
}

impl Outgoing {
    /// Sends a request whose answer is small, and reads it to its end.
    ///
    /// # Errors
    /// [`SendError`]: nothing was answered that can be used.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
        allow_insecure: bool,
    ) -> Result<http::Response<Vec<u8>>, SendError> {
        check_url(&request.uri().to_string(), allow_insecure).map_err(SendError::Url)?;
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let pool = if allow_insecure { &self.anywhere } else { &self.public };
        let answered = async {
            let response = pool
                .request(request)
                .await
                .map_err(|error| if error.is_connect() { SendError::Unreachable } else { SendError::Broken })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_WHOLE_BYTES).collect().await.map_err(|_| SendError::Broken)?;
            Ok(http::Response::from_parts(head, body.to_bytes().to_vec()))
        };
        tokio::time::timeout(TOTAL, answered).await.unwrap_or(Err(SendError::Late))
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::new()
    }
}

/// The begin of a body. What breaks off behind the head has been answered all the same.
async fn begin(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER_BYTES {
        let Some(Ok(frame)) = body.frame().await else { break };
        let Ok(data) = frame.into_data() else { break };
        let room = MAX_ANSWER_BYTES - bytes.len();
        bytes.extend(data.iter().take(room));
    }
    // PostgreSQL's text holds no NUL.
    String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
}

/// A URL that may be sent to, as far as it tells; names are judged when they are resolved.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_url(text: &str, allow_insecure: bool) -> Result<Url, &'static str> {
    if text.len() > MAX_URL_BYTES {
        return Err("must not be longer than 2000 bytes");
    }
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let schemes: &[&str] = if allow_insecure { &["http", "https"] } else { &["https"] };
    if !schemes.contains(&url.scheme()) {
        return Err("must start with https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user or a password");
    }
    // The connector asks nobody about an address that is a number.
    let is_public = match url.host() {
        Some(Host::Ipv4(ip)) => is_public(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => is_public(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => !is_local_name(name),
        None => return Err("has no host"),
    };
    if !is_public && !allow_insecure {
        return Err("must be at a public address");
    }
    Ok(url)
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn pool(anywhere: bool) -> Pool {
    let mut http = HttpConnector::new_with_resolver(Resolver { inner: GaiResolver::new(), anywhere });
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    let https = HttpsConnectorBuilder::new().with_webpki_roots();
    let https = if anywhere { https.https_or_http() } else { https.https_only() };
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        // Messages are few, and each looks its host up again.
        .pool_max_idle_per_host(0)
        .build(https.enable_http1().wrap_connector(http))
}

/// Looks a host up, and drops private addresses unless they are allowed. The check is made on the addresses
/// that are then connected to, so that a name cannot change between the two.
#[derive(Debug, Clone)]
struct Resolver {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_public_and_encrypted_unless_it_may_be_anywhere() {
        for text in ["https://hooks.example.com/a?b=c", "https://104.18.7.192/"] {
            assert!(check_url(text, false).is_ok(), "{text}");
        }
        for text in ["http://127.0.0.1:1/", "https://10.0.0.1/", "http://localhost/"] {
            assert!(check_url(text, false).is_err() && check_url(text, true).is_ok(), "{text}");
        }
        for text in [
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "https://a.localhost./",
        ] {
            assert!(check_url(text, false).is_err(), "{text}");
        }
        for text in ["ftp://example.com", "https://u:p@example.com", "file:///etc/passwd", "https://", "x"] {
            assert!(check_url(text, true).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
        let mut resolver = Resolver { inner: GaiResolver::new(), anywhere: false };
        assert!(resolver.call("localhost".parse().unwrap()).await.is_err());
        let mut resolver = Resolver { inner: GaiResolver::new(), anywhere: true };
        assert!(resolver.call("localhost".parse().unwrap()).await.is_ok());
    }
}
