//! What every answer has: a request id, and headers that keep browsers from doing more than they should.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};
use uuid::Uuid;

tokio::task_local! {
    static REQUEST_ID: Uuid;
}

/// The id of the request that is being answered.
pub(crate) fn current_request_id() -> Option<String> {
    REQUEST_ID.try_with(|id| id.hyphenated().to_string()).ok()
}

/// Where a request came from: the peer of its connection. Headers that claim another are not believed.
pub(crate) fn address(request: &HttpRequest) -> Option<String> {
    request.peer_addr().map(|peer| peer.ip().to_string())
}

/// Outermost: gives each request its id, and each answer its headers.
pub(crate) async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = Uuid::now_v7();
    let is_document = request.path().starts_with("/docs");
    let is_api = request.path().starts_with("/api/");
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
