//! Refusals as `google.rpc.Status`. A bad API key is a 400 here, and so is much that is the operator's
//! to mend and not the caller's.

use domain::error::{ErrorKind, Retry};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Fault;
use crate::openai::errors;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: Option<String>,
    status: Option<String>,
    details: Option<Vec<Value>>,
}

/// Reasons of `google.rpc.ErrorInfo` that speak of the account and not of the request.
const OF_THE_ACCOUNT: [&str; 8] = [
    "API_KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "ACCESS_TOKEN_EXPIRED",
    "CONSUMER_INVALID",
    "CREDENTIALS_MISSING",
    "SERVICE_DISABLED",
];

/// Classifies a refusal by its status, then by what its details say.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let fault = errors::fault(status, body);
    let told = read(body);
    let message = told.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let next = |kind: ErrorKind| Fault { kind, retry: Retry::NextTarget, ..fault.clone() };
    let account = told.details().filter_map(|detail| text(detail, "reason")).any(|it| OF_THE_ACCOUNT.contains(&it));
    if account || message.contains("api key not valid") {
        return Fault { credential_refused: true, ..next(ErrorKind::UpstreamError) };
    }
    match (status, told.status.as_deref()) {
        (429, _) => Fault { retry_after_s: told.retry_after_s(), ..fault },
        (504, _) => next(ErrorKind::UpstreamTimeout),
        // Billing that is not set up, or a place where the service is not offered.
        (400, Some("FAILED_PRECONDITION")) => next(ErrorKind::UpstreamError),
        // A model that is not where the target says.
        (400, _) if message.contains("does not exist in the location") => next(ErrorKind::UpstreamError),
        (400, _) if is_too_long(&message) => {
            Fault { param: Some("file".to_owned()), ..next(ErrorKind::InvalidRequest) }
        }
        (400, _) if is_about_audio(&message) => {
            Fault { param: Some("file".to_owned()), ..next(ErrorKind::UnsupportedAudio) }
        }
        (400, _) => Fault { param: fault.param.clone().or_else(|| told.param()), ..fault },
        _ => fault,
    }
}

/// A stream that is refused before its first event answers with a list of one.
fn read(body: &[u8]) -> Status {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else { return Status::default() };
    if let Some(first) = answer.as_array_mut().and_then(|list| list.first_mut()) {
        answer = first.take();
    }
    let error = answer.get_mut("error").map(Value::take).unwrap_or_default();
    serde_json::from_value(error).unwrap_or_default()
}

fn is_too_long(message: &str) -> bool {
    ["too long", "duration limit", "longer than", "payload size exceeds"].iter().any(|words| message.contains(words))
}

fn is_about_audio(message: &str) -> bool {
    let says = |word: &str| message.contains(word);
    says("bad encoding") || says("sample rate") || (says("audio") && (says("supported format") || says("decod")))
}

fn text<'a>(detail: &'a Value, name: &str) -> Option<&'a str> {
    detail.get(name)?.as_str()
}

impl Status {
    fn details(&self) -> impl Iterator<Item = &Value> {
        self.details.iter().flatten()
    }

    /// `google.rpc.RetryInfo`, in whole seconds, rounded up.
    fn retry_after_s(&self) -> Option<u64> {
        let delay = self.details().find_map(|detail| text(detail, "retryDelay"))?;
        super::wire::milliseconds(delay).map(|ms| ms.div_ceil(1000).max(1))
    }

    /// The caller's name of the field that is blamed.
    fn param(&self) -> Option<String> {
        let violations = self.details().filter_map(|detail| detail.get("fieldViolations")?.as_array()).flatten();
        let mut fields = violations.filter_map(|violation| text(violation, "field")).map(str::to_ascii_lowercase);
        let named = |field: String| {
            let known = [("language", "language"), ("voice", "voice"), ("input", "input"), ("audio", "file")];
            known.iter().find(|(theirs, _)| field.contains(theirs)).map(|(_, ours)| (*ours).to_owned())
        };
        fields.find_map(named)
    }
}
