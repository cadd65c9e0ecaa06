//! Checks of what a gateway sends: its own credential and nothing of the client's.

use http::{HeaderMap, request::Parts};
use serde_json::Value;

use super::{Kind, Request, Shared, answer::Refusal, form::Form};

/// Header names that have a reason to reach a provider. Everything else is something of the client's, or of the
/// gateway's inside, that leaked.
const EXPECTED: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "api-key",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "openai-organization",
    "openai-project",
    "openai-safety-identifier",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-goog-api-key",
    "x-client-request-id",
    "x-request-id",
    "xi-api-key",
];

/// Prefixes of the gateway's own keys, and the one that the load suite has there: no provider may ever see them.
const OWN_KEYS: [&str; 3] = ["sk-ap-", "ek-ap-", crate::sides::GATEWAY_KEY];

/// The head of a request, as remembered.
pub(super) fn record(parts: &Parts) -> Request {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        ..Request::default()
    }
}

/// Records what should not be in the head.
pub(super) fn check_head(shared: &Shared, parts: &Parts) {
    for (name, value) in &parts.headers {
        // The official SDKs announce themselves with these; a direct run of an SDK is no fault.
        if !EXPECTED.contains(&name.as_str()) && !name.as_str().starts_with("x-stainless-") {
            shared.violation(format!("unexpected header {name}"));
        }
        if has_own_key(value.as_bytes()) {
            shared.violation(format!("the client's key in header {name}"));
        }
    }
    if has_own_key(parts.uri.to_string().as_bytes()) {
        shared.violation("the client's key in the URL");
    }
    if parts.headers.get_all("authorization").iter().count() > 1 {
        shared.violation("authorization sent twice");
    }
    if parts.headers.contains_key("authorization") && parts.headers.contains_key("api-key") {
        shared.violation("both authorization and api-key");
    }
}

/// Records keys and unknown fields in a form.
pub(super) fn check_form(shared: &Shared, form: &Form, known: &[&str]) {
    for (name, value) in &form.fields {
        if !known.contains(&super::form::base_name(name)) {
            shared.violation(format!("unknown field {name}"));
        }
        if has_own_key(name.as_bytes()) || has_own_key(value.as_bytes()) {
            shared.violation(format!("the client's key in field {name}"));
        }
    }
}

/// Records keys anywhere in a JSON text and, where `known` is given, unknown fields of its top level.
pub(super) fn check_json(shared: &Shared, raw: &[u8], value: &Value, known: Option<&[&str]>) {
    if has_own_key(raw) {
        shared.violation("the client's key in a JSON body");
    }
    let (Some(known), Some(object)) = (known, value.as_object()) else { return };
    for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
        shared.violation(format!("unknown field {name}"));
    }
}

/// Whether a text holds a key of the gateway's own.
pub(super) fn has_own_key(bytes: &[u8]) -> bool {
    OWN_KEYS.iter().any(|prefix| memchr::memmem::find(bytes, prefix.as_bytes()).is_some())
}

/// Accepts the configured credential where this kind takes it.
pub(super) fn check_credential(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let header = headers.get("api-key").and_then(|value| value.to_str().ok());
    let sent = match shared.config.kind {
        Kind::Azure => header.or(bearer),
        Kind::Openai | Kind::Groq | Kind::SelfHosted => bearer,
        // Checked where their paths are known.
        Kind::Elevenlabs | Kind::Deepgram | Kind::Google | Kind::Ultravox => None,
    };
    let accepted = match (&shared.config.api_key, sent) {
        (Some(key), Some(sent)) => key == sent,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if accepted {
        return Ok(());
    }
    let sent = sent.map_or_else(|| "no API key".to_owned(), |_| "Incorrect API key".to_owned());
    Err(Refusal::new(401, "invalid_api_key", format!("{sent} provided. You can find your API key in your account.")))
}
