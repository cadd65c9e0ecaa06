//! The dashboard: a page, and what it is made of.
//!
//! Every path that is no file, and none of the API's, is a page of the application, which looks at the path itself: so
//! whoever is sent a link, or loads the page again, comes to where it leads.

mod bundle;
mod negotiate;

use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, VARY,
};
use actix_web::{HttpRequest, HttpResponse};

use self::bundle::File;
use self::negotiate::{Coding, Known};
use crate::error::AdminError;
use crate::settings::AdminSettings;

/// Finds a file of the bundle.
type Find = fn(&str) -> Option<File>;

/// The application's page.
const PAGE: &str = "index.html";
/// Below this, names change with the content.
const ASSETS: &str = "assets/";
/// What is not the dashboard's.
const OTHERS: [&str; 4] = ["api", "docs", "healthz", "readyz"];
/// What a browser's page may ask the machine for: a microphone, to try speech out.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(self), camera=(), display-capture=(), fullscreen=(self), \
    geolocation=(), gyroscope=(), magnetometer=(), microphone=(self), midi=(), payment=(), publickey-credentials-get=(), \
    screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()";
/// What a program without a bundle shows in its place.
const NOT_BUILT: &str = include_str!("not-built.html");

/// Answers for the dashboard.
///
/// # Errors
/// [`AdminError::NotFound`] for what is neither a file nor a page.
pub(crate) fn get(request: &HttpRequest, settings: &AdminSettings) -> Result<HttpResponse, AdminError> {
    answer(request, settings, bundle::find)
}

fn answer(request: &HttpRequest, settings: &AdminSettings, find: Find) -> Result<HttpResponse, AdminError> {
    let path = request.path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if OTHERS.contains(&first) {
        return Err(AdminError::NotFound);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(AdminError::MethodNotAllowed("GET, HEAD".to_owned()));
    }
    if let Some(found) = bundle::is_public(path).then(|| send(request, path, find)).flatten() {
        return Ok(found);
    }
    if bundle::is_file(path) || path.starts_with(ASSETS) {
        return Err(AdminError::NotFound);
    }
    let mut page = send(request, PAGE, find).unwrap_or_else(not_built);
    let headers = page.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy(settings.gateway_url().as_deref())) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS));
    Ok(page)
}

/// A file in the best encoding that the browser takes, or 304 where it has that already.
fn send(request: &HttpRequest, path: &str, find: Find) -> Option<HttpResponse> {
    let plain = find(path)?;
    let known = Known::of(request);
    let encoded = Coding::accepted(request)
        .into_iter()
        .find_map(|coding| find(&format!("{path}.{}", coding.extension())).map(|file| (file, Some(coding))));
    let (file, coding) = encoded.unwrap_or((plain, None));
    let tag = file.tag();
    let is_known = known.has(&tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    let forever = path.starts_with(ASSETS);
    response.insert_header((CACHE_CONTROL, if forever { "public, max-age=31536000, immutable" } else { "no-cache" }));
    response.insert_header((VARY, "accept-encoding")).insert_header((ETAG, tag));
    if is_known {
        return Some(response.finish());
    }
    response.insert_header((CONTENT_TYPE, bundle::content_type(path)));
    if let Some(coding) = coding {
        response.insert_header((CONTENT_ENCODING, coding.name()));
    }
    Some(response.body(file.data))
}

/// How to build what is missing.
fn not_built() -> HttpResponse {
    let mut response = HttpResponse::ServiceUnavailable();
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).insert_header((CACHE_CONTROL, "no-store"));
    response.body(NOT_BUILT)
}

/// Nothing but the page's own origin, and the gateway whose calls can be tried out.
fn policy(gateway: Option<&str>) -> String {
    let gateway = gateway.and_then(origins).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob:; font-src 'self'; connect-src 'self'{gateway}; worker-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The origin of an address for requests and for WebSockets.
fn origins(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let origin = url.origin().ascii_serialization();
    let (scheme, rest) = origin.split_once(':')?;
    let sockets = if scheme == "https" { "wss" } else { "ws" };
    Some(format!(" {origin} {sockets}:{rest}"))
}

#[cfg(test)]
mod tests;
