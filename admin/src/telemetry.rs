//! Every metric of the control plane. Labels come from closed lists: a route is told as its pattern in the table of
//! routes, never as the path that somebody asked for.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};
use admin_types::alerts::{AlertChannelKind, DeliveryStatus};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

use crate::access;
use crate::error::AdminError;

const REQUESTS: &str = "antiphon_admin_requests_total";
const DURATION: &str = "antiphon_admin_request_duration_seconds";
const STREAMS: &str = "antiphon_admin_event_streams";
const DELIVERIES: &str = "antiphon_alert_deliveries_total";
const REFUSALS: &str = "antiphon_login_refusals_total";

/// Bounds of the buckets of each histogram, in seconds. Most requests are one question to the database; exports and
/// imports take as long as they are.
pub const BUCKETS: [(&str, &[f64]); 1] =
    [(DURATION, &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])];

/// Says what each metric means to the exporter.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests to the admin plane, by method, route and class of status.");
    describe_histogram!(DURATION, metrics::Unit::Seconds, "From such a request to the head of its answer.");
    describe_gauge!(STREAMS, "Dashboards that watch the open sessions now.");
    describe_counter!(DELIVERIES, "Attempts to tell of an alert, by kind of channel and outcome.");
    describe_counter!(REFUSALS, "Sign-ins that were refused, by reason.");
}

/// Counts what is answered.
pub(crate) async fn watch(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let (method, route) = (method(request.method()), route(request.request()));
    let response = next.call(request).await?;
    let status = class(response.status());
    counter!(REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    histogram!(DURATION, "method" => method, "route" => route).record(began.elapsed());
    Ok(response)
}

fn method(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    match KNOWN.iter().position(|known| known == method) {
        Some(0) => "GET",
        Some(1) => "POST",
        Some(2) => "PUT",
        Some(3) => "PATCH",
        Some(4) => "DELETE",
        Some(5) => "HEAD",
        Some(6) => "OPTIONS",
        _ => "other",
    }
}

/// The route's pattern; `other` for whatever is no route of the API, such as the dashboard's files.
fn route(request: &HttpRequest) -> &'static str {
    let pattern = access::pattern(request).unwrap_or_default();
    access::ROUTES.iter().find(|(_, path, _)| *path == pattern).map_or("other", |(_, path, _)| path)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// A dashboard began to watch (+1) or watches no more (-1).
pub(crate) fn streams(by: f64) {
    gauge!(STREAMS).increment(by);
}

/// An attempt to tell of an alert. What is not delivered and has not failed for good is tried again.
pub(crate) fn delivery(channel: &str, status: DeliveryStatus) {
    let channel = AlertChannelKind::named(channel).map_or("other", AlertChannelKind::as_str);
    let outcome = match status {
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Pending => "again",
        DeliveryStatus::Failed => "failed",
    };
    counter!(DELIVERIES, "channel" => channel, "outcome" => outcome).increment(1);
}

/// A sign-in with a password was refused.
pub(crate) fn refused(error: &AdminError) {
    let reason = match error {
        AdminError::WrongCredentials => "credentials",
        AdminError::TooMany { .. } => "throttled",
        _ => return,
    };
    counter!(REFUSALS, "reason" => reason).increment(1);
}

/// A sign-in by way of the identity provider was refused, for the reason of this code.
pub(crate) fn refused_by_oidc(code: &'static str) {
    counter!(REFUSALS, "reason" => code).increment(1);
}
