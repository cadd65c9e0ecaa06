//! Sends one request to one target and judges the head of the answer.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dialects::contract::Endpoint;
use domain::error::ErrorKind;
use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use crate::Gateway;
use crate::error::{GatewayError, Mend};
use crate::pipeline::call::Call;
use crate::pipeline::phases::Pace;
use crate::pipeline::route::Candidate;
use crate::pipeline::seats::REFUSED_FOR;
use crate::telemetry::names;
use crate::upstream::Outbound;
use crate::upstream::client::Body;
use crate::upstream::credentials::credential;

/// Longest `retry-after` that is passed on: a provider that says "in a year" is not believed.
const MAX_RETRY_AFTER_S: u64 = 3600;
/// Bytes read of a refusal.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Longest time that is spent on reading one: its status says what matters, and the next target waits.
const MAX_REFUSAL_TIME: Duration = Duration::from_secs(5);

/// Builds a POST for a candidate. Only what is set here travels: nothing of the client's headers.
///
/// # Errors
/// The configured URL or credential cannot be sent, or there is none.
pub async fn post(
    from: &impl Outbound,
    candidate: &Candidate,
    endpoint: &Endpoint,
    content_type: &str,
    body: Body,
    length: Option<u64>,
) -> Result<Request<Body>, GatewayError> {
    let mut request = to(from, candidate, Method::POST, endpoint).await?.header(CONTENT_TYPE, content_type);
    if let Some(length) = length {
        request = request.header(CONTENT_LENGTH, length);
    }
    request.body(body).map_err(|error| GatewayError::internal(&error))
}

/// Builds a GET for a candidate.
///
/// # Errors
/// As [`post`].
pub async fn get(
    from: &impl Outbound,
    candidate: &Candidate,
    endpoint: &Endpoint,
) -> Result<Request<Body>, GatewayError> {
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    to(from, candidate, Method::GET, endpoint).await?.body(nothing).map_err(|error| GatewayError::internal(&error))
}

/// The head of a request with our credential.
async fn to(
    from: &impl Outbound,
    candidate: &Candidate,
    method: Method,
    endpoint: &Endpoint,
) -> Result<http::request::Builder, GatewayError> {
    let mut request = Request::builder().method(method).uri(address(candidate, endpoint));
    request = request.header(USER_AGENT, concat!("antiphon/", env!("CARGO_PKG_VERSION")));
    if let Some((name, value)) = credential(from, candidate).await? {
        request = request.header(name, value);
    }
    Ok(request)
}

/// The URL of an endpoint at a candidate.
#[must_use]
pub fn address(candidate: &Candidate, endpoint: &Endpoint) -> String {
    let (account, row, path) = (&candidate.account, candidate.row, &endpoint.path);
    match &endpoint.origin {
        Some(origin) if row.base_url == Some(account.base_url.as_str()) => format!("{origin}{path}"),
        _ => format!("{}{}{path}", account.base_url, row.path_prefix),
    }
}

/// Waits for the head of an answer, and turns a refusal into an error.
///
/// # Errors
/// `UpstreamTimeout`, `UpstreamError`, or what the provider's refusal means.
pub async fn judge(
    call: &Call,
    candidate: &Candidate,
    answer: impl Future<Output = Result<Response<Incoming>, GatewayError>>,
) -> Result<Response<Incoming>, GatewayError> {
    let dispatched = Instant::now();
    let answer = call.begun(answer).await;
    call.progress.waited(dispatched.elapsed());
    let response = answer??;
    if response.status().is_success() { Ok(response) } else { Err(refusal(call.gateway(), candidate, response).await) }
}

/// Sends and judges in one step.
///
/// # Errors
/// As [`judge`].
pub async fn forward(
    call: &Call,
    candidate: &Candidate,
    request: Request<Body>,
) -> Result<Response<Incoming>, GatewayError> {
    judge(call, candidate, send(call, candidate, request)).await
}

/// Sends a request of this call to a candidate.
///
/// # Errors
/// As [`UpstreamClient::send`]'s.
///
/// [`UpstreamClient::send`]: crate::upstream::client::UpstreamClient::send
pub async fn send(
    call: &Call,
    candidate: &Candidate,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, GatewayError> {
    call.trace.tell(candidate, request.headers_mut());
    call.worker.client.send_within(call.phases.connect, candidate.account.allow_insecure, request).await
}

/// The content type of an answer; empty where it has none.
#[must_use]
pub fn content_type_of(answer: &Response<Incoming>) -> &str {
    answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What a provider's answer means that is not a success.
pub async fn refusal(gateway: &Gateway, candidate: &Candidate, response: Response<Incoming>) -> GatewayError {
    let (head, body) = response.into_parts();
    let time = gateway.timeouts().idle.min(MAX_REFUSAL_TIME);
    let body = tokio::time::timeout(time, collect(body, MAX_REFUSAL_BYTES, time)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    refused(gateway, candidate, head.status, &head.headers, &body)
}

/// What the refusal of a provider means.
#[must_use]
pub fn refused(
    gateway: &Gateway,
    candidate: &Candidate,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> GatewayError {
    let fault = (candidate.row.fault)(status.as_u16(), body);
    if fault.credential_refused {
        tracing::error!(provider = %candidate.account.name, "the provider refused our credential");
        names::credential_refused(&candidate.account.name);
        gateway.tokens.forget(candidate.account.key());
        candidate.set_aside(REFUSED_FOR);
    }
    let told = fault.retry_after_s.map(|seconds| seconds.min(MAX_RETRY_AFTER_S));
    let error = GatewayError::from(fault).without(candidate.account.api_key.as_ref());
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(parse_retry_after).or(told);
    let error = error.mended_by(mend(status, after));
    if error.kind() != ErrorKind::UpstreamRateLimited {
        return error;
    }
    let after = after.unwrap_or(1);
    candidate.set_aside(Duration::from_secs(after));
    error.with_retry_after(after)
}

/// Whether a refusal with this status may be another answer in a moment, or after so many seconds. A limit that does
/// not say when it ends is taken for one that does not end soon.
fn mend(status: StatusCode, after: Option<u64>) -> Mend {
    let after = after.map(Duration::from_secs);
    match status.as_u16() {
        408 | 502..=504 => Mend::Refused(after),
        429 if after.is_some() => Mend::Refused(after),
        _ => Mend::Never,
    }
}

/// Seconds of a `retry-after`, whether it gives seconds or a date, within sane bounds.
fn parse_retry_after(value: &str) -> u64 {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return seconds.clamp(1, MAX_RETRY_AFTER_S);
    }
    if let Ok(seconds) = value.trim().parse::<f64>()
        && seconds.is_finite()
    {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped on both sides")]
        return seconds.ceil().clamp(1.0, 3600.0) as u64;
    }
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = time::PrimitiveDateTime::parse(value.trim(), format).map(time::PrimitiveDateTime::assume_utc);
    let seconds = date.map_or(1, |date| (date - time::OffsetDateTime::now_utc()).whole_seconds());
    u64::try_from(seconds).unwrap_or(1).clamp(1, MAX_RETRY_AFTER_S)
}

/// Reads a whole answer, up to `limit` bytes.
///
/// # Errors
/// `UpstreamError` when it is longer or breaks off, `UpstreamTimeout` when it stalls or is too slow.
pub async fn collect(mut body: Incoming, limit: usize, pace: impl Into<Pace>) -> Result<Bytes, GatewayError> {
    let pace = pace.into();
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let Some(frame) = pace.next(body.frame()).await? else { break };
        let frame = frame.map_err(|error| cut(&error))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if rest.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > limit {
            return Err(GatewayError::upstream(ErrorKind::UpstreamError, "The provider's answer is too long."));
        }
        match &first {
            None => first = Some(chunk),
            Some(head) => {
                if rest.is_empty() {
                    rest.extend_from_slice(head);
                    first = Some(Bytes::new());
                }
                rest.extend_from_slice(&chunk);
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

/// Reads a whole JSON answer.
///
/// # Errors
/// As [`collect`].
pub async fn collect_json(from: &impl Outbound, body: Incoming) -> Result<Bytes, GatewayError> {
    collect(body, MAX_UPSTREAM_JSON_BYTES, from.timeouts().idle).await
}

/// A provider that breaks off.
#[must_use]
pub fn cut(error: &dyn std::fmt::Display) -> GatewayError {
    tracing::warn!(%error, "the provider's answer broke off");
    GatewayError::upstream(ErrorKind::UpstreamError, "The provider's answer broke off.")
}

impl From<io::Error> for GatewayError {
    /// Faults of our own files: the spool.
    fn from(error: io::Error) -> Self {
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::parse_retry_after;

    #[test]
    fn retry_after_is_read_in_every_form_and_never_believed_beyond_an_hour() {
        assert_eq!(parse_retry_after("7"), 7);
        assert_eq!(parse_retry_after("0.2"), 1);
        assert_eq!(parse_retry_after("99999999999"), 3600);
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), 1);
        assert_eq!(parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT"), 3600);
        assert_eq!(parse_retry_after("soon"), 1);
        assert_eq!(parse_retry_after("-5"), 1);
    }
}
