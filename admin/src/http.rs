//! What every answer has: a request id, and headers that keep browsers from doing more than they should.

use std::net::{IpAddr, SocketAddr};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, X_FORWARDED_FOR};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpRequest};
use uuid::Uuid;

use crate::settings::TrustedProxies;
use crate::{Control, access};

tokio::task_local! {
    static REQUEST_ID: Uuid;
}

/// The id of the request that is being answered.
pub(crate) fn current_request_id() -> Option<String> {
    REQUEST_ID.try_with(|id| id.hyphenated().to_string()).ok()
}

/// Where a request came from, as text.
pub(crate) fn address(request: &HttpRequest) -> Option<String> {
    client(request).map(|client| client.to_string())
}

/// Where a request came from: the peer of its connection, or whom the proxies that are trusted name. Headers of
/// anybody else are not believed.
pub(crate) fn client(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let control = request.app_data::<Data<Control>>();
    Some(control.and_then(|control| forwarded(request, peer, &control.settings.trusted_proxies)).unwrap_or(peer))
}

/// The last in `X-Forwarded-For` who is no proxy of ours: what stands before that, the client may have made up.
/// `None` where the peer is no proxy, or the header says nothing that can be read.
fn forwarded(request: &HttpRequest, peer: IpAddr, proxies: &TrustedProxies) -> Option<IpAddr> {
    if !proxies.has(peer.to_canonical()) {
        return None;
    }
    let named: Vec<&str> = request
        .headers()
        .get_all(X_FORWARDED_FOR)
        .map(|value| value.to_str().unwrap_or_default())
        .flat_map(|value| value.split(','))
        .collect();
    let mut client = None;
    for text in named.into_iter().rev() {
        let address = read_address(text.trim())?;
        client = Some(address);
        if !proxies.has(address) {
            break;
        }
    }
    client
}

/// Some proxies name the port too.
fn read_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

/// Outermost: gives each request its id, and each answer its headers.
pub(crate) async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = Uuid::now_v7();
    let is_document = request.path().starts_with("/docs");
    let is_api = access::path(request.request()).starts_with("/api/");
    // Handlers' errors are answers already, and so are those of the middleware inside.
    let mut response = REQUEST_ID.scope(id, next.call(request)).await?;
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    set("x-content-type-options", "nosniff");
    set("x-frame-options", "DENY");
    set("referrer-policy", "no-referrer");
    set("cross-origin-opener-policy", "same-origin");
    set("cross-origin-resource-policy", "same-origin");
    if let Ok(value) = HeaderValue::from_str(&id.hyphenated().to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    if is_api && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let policy = if is_document { DOCUMENT_POLICY } else { POLICY };
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    Ok(response)
}

const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// Swagger UI draws its icons from data addresses and styles its elements itself.
const DOCUMENT_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'";
