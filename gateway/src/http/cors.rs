//! Requests from pages of other origins, such as the dashboard's: browsers ask first whether a page may send them, and
//! let it read only the headers that are named.
//!
//! A page has no more than its key: no cookies are read here, so credentials are never permitted, and a page of an
//! origin that is not configured is answered as if it were no page, which its browser keeps from it. WebSockets are not
//! subject to this; their key travels in the subprotocol.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// What pages may read beside the few headers that they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "content-disposition, idempotent-replayed, retry-after, server-timing, x-antiphon-attempts, x-antiphon-cost-usd, \
     x-antiphon-model, x-antiphon-provider, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, \
     x-ratelimit-reset-requests, x-request-id",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// The longest that browsers remember an answer, in seconds.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");
/// Caches of answers tell pages apart.
const VARIES: HeaderValue = HeaderValue::from_static("origin");

/// The origins whose pages may send requests.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    any: bool,
    named: Vec<String>,
}

impl Origins {
    /// Those of a list, in which `*` stands for every one.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        Self { any: names.iter().any(|name| name == "*"), named: names.to_vec() }
    }

    /// What an answer to this request says to its page's browser, where it is a page's that may ask.
    #[must_use]
    pub fn permitted(&self, request: &ServiceRequest) -> Option<HeaderValue> {
        // Most requests are no page's.
        let origin = request.headers().get(ORIGIN)?;
        let is_named = || self.named.iter().any(|name| name.as_bytes() == origin.as_bytes());
        (self.any || is_named()).then(|| origin.clone())
    }
}

/// The answer to a browser that asks whether a page may send its request, where this is such a question.
#[must_use]
pub fn preflight(request: &ServiceRequest) -> Option<HttpResponse> {
    let asked = request.headers();
    if request.method() != Method::OPTIONS || !asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = HttpResponse::NoContent();
    response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS)).insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_S));
    // Clients send headers of their own, and none of them gives a page more than its key does.
    if let Some(headers) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, headers.clone()));
    }
    Some(response.finish())
}

/// Lets the page read an answer.
pub fn expose(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(VARY, VARIES);
}
