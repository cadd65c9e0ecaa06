//! The HTTP client for providers: one per worker thread, so that a pooled connection is always
//! driven by the thread that uses it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use domain::error::ErrorKind;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::last_bytes::NotingConnector;
use crate::error::GatewayError;

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
        pool.request(request).await.map_err(|error| {
            let what = if error.is_connect() { "could not be reached" } else { "broke the connection" };
            tracing::warn!(%error, "provider {what}");
            GatewayError::upstream(ErrorKind::UpstreamError, format!("The provider {what}."))
        })
    }
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
        .build(NotingConnector(https))
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

/// Whether an address belongs to the public Internet. Names such as a cloud's metadata service
/// resolve to link-local ones and are refused by this.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let reserved = a == 0 || a >= 240 || (a == 198 && (18..20).contains(&b)) || (a == 192 && b == 0);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || shared || reserved)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            // 2000::/3 is the public space; 2002::/16 (6to4) and 64:ff9b::/96 (NAT64) carry IPv4 inside.
            (first & 0xe000) == 0x2000 && first != 0x2002 && !(first == 0x2001 && second == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_in_every_spelling_are_not_public() {
        for text in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "192.168.1.1", "224.0.0.1"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["::1", "::ffff:127.0.0.1", "fe80::1", "fc00::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        assert!(is_public("104.18.7.192".parse().unwrap()));
        assert!(is_public("2606:4700::6812:7c0".parse().unwrap()));
    }
}
