//! Refusals: which side failed, whether another target may succeed, and what may be said of it.
//!
//! Source: OpenAI's error guide and SDKs, Microsoft Learn, read 2026-11-21.

use domain::error::{ErrorKind, Retry};
use domain::limits::MAX_UPSTREAM_MESSAGE_CHARS;
use serde_json::{Value, json};

use super::mask::mask;
use crate::error::Fault;
use crate::surface::Refused;

/// Classifies a refusal by its status; the body only gives words.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let refusal = Refusal::read(body);
    let (kind, retry) = match status {
        400 | 422 => (ErrorKind::InvalidRequest, Retry::No),
        408 => (ErrorKind::UpstreamTimeout, Retry::NextTarget),
        413 => (ErrorKind::FileTooLarge, Retry::No),
        415 => (ErrorKind::UnsupportedAudio, Retry::No),
        429 => (ErrorKind::UpstreamRateLimited, Retry::NextTarget),
        _ => (ErrorKind::UpstreamError, Retry::NextTarget),
    };
    Fault {
        kind,
        retry,
        message: refusal.message.unwrap_or_else(|| format!("the provider answered with status {status}")),
        param: refusal.param,
        credential_refused: matches!(status, 401 | 403),
        retry_after_s: None,
    }
}

/// A refusal of ours as OpenAI would write it, below the prefix of a vendor of its language.
#[must_use]
pub fn refused(refused: &Refused<'_>) -> Value {
    let kind = match refused.status {
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    json!({ "error": { "message": refused.message, "type": kind, "param": refused.param, "code": refused.code } })
}

/// What a refusal says, in whichever of the known shapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The message, fit for a client.
    pub message: Option<String>,
    /// The field that is blamed.
    pub param: Option<String>,
    /// The provider's code, as text.
    pub code: Option<String>,
    /// The provider's type.
    pub kind: Option<String>,
}

impl Refusal {
    /// Reads OpenAI's `{"error":{…}}`, `{"error":"…"}`, the `{"statusCode","message"}` of Azure's API
    /// management, and the `{"detail"}` of self-hosted servers. Anything but JSON is not carried:
    /// pages of proxies tell the client nothing and may name internal hosts.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let error = answer.get("error").filter(|error| !error.is_null()).unwrap_or(&answer);
        let text = |name: &str| error.get(name).and_then(as_text).filter(|text| !text.is_empty());
        let message = error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(|| text("detail"));
        Self {
            message: message.map(|message| clean(&message)).filter(|message| !message.is_empty()),
            param: text("param").map(|param| clean(&param)),
            code: text("code"),
            kind: text("type"),
        }
    }
}

/// Azure writes codes as numbers in text, its API management as numbers.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(list) => list.first()?.get("msg")?.as_str().map(str::to_owned),
        _ => None,
    }
}

/// A provider's message as a client may see it: one line, without credentials, of bounded length.
#[must_use]
pub fn clean(message: &str) -> String {
    // Masking looks at more than is kept, so that a cut never leaves half of a secret unrecognised.
    let start: String = message.chars().take(MAX_UPSTREAM_MESSAGE_CHARS * 8).collect();
    if start.trim_start().starts_with('<') {
        return String::new();
    }
    let line = start.split_whitespace().collect::<Vec<_>>().join(" ");
    let masked = mask(&line);
    if masked.chars().count() <= MAX_UPSTREAM_MESSAGE_CHARS {
        return masked;
    }
    masked.chars().take(MAX_UPSTREAM_MESSAGE_CHARS - 1).chain(['…']).collect()
}
