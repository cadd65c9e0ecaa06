//! Refusals: everything stands under `detail`, in three shapes, and the status alone says too little (an
//! account without credit is a 401).

use domain::error::{ErrorKind, Retry};
use serde_json::Value;

use crate::error::Fault;
use crate::openai::errors;

/// Classifies a refusal. `type`, `code` and `status` of the detail are looked at together, since which of
/// them is told differs by age and endpoint.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let plain = errors::fault(status, body);
    let Some(detail) = serde_json::from_slice::<Value>(body).ok().and_then(|mut body| {
        body.get_mut("detail").map(Value::take).filter(|detail| detail.is_object() || detail.is_array())
    }) else {
        return plain;
    };
    match &detail {
        Value::Array(list) => misfit(list.first(), plain),
        _ => told(&detail, plain),
    }
}

/// `{"detail":[{"loc":["body","text"],"msg":"Field required"}]}`: what the request lacks or holds wrongly.
fn misfit(first: Option<&Value>, plain: Fault) -> Fault {
    let Some(first) = first else { return plain };
    let message = first.get("msg").and_then(Value::as_str).map(errors::clean).filter(|text| !text.is_empty());
    let place = first.get("loc").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = place.iter().skip(1).filter_map(Value::as_str).collect();
    let param = (!names.is_empty()).then(|| field(&errors::clean(&names.join("."))));
    Fault { message: message.unwrap_or(plain.message), param: param.or(plain.param), ..plain }
}

/// The client's name of a field.
fn field(name: &str) -> String {
    let known = match name {
        "text" => "input",
        "voice_id" => "voice",
        "model_id" => "model",
        "output_format" => "response_format",
        "voice_settings.speed" => "speed",
        "language_code" => "language",
        "keyterms" => "keywords",
        "file" | "temperature" => name,
        other => return format!("elevenlabs.{other}"),
    };
    known.to_owned()
}

fn told(detail: &Value, plain: Fault) -> Fault {
    let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default();
    let names = [text("code"), text("status"), text("type")];
    let is = |any: &[&str]| names.iter().any(|name| any.contains(name));
    let message = Some(errors::clean(text("message"))).filter(|message| !message.is_empty());
    let fault = Fault { message: message.unwrap_or_else(|| plain.message.clone()), ..plain };
    let blamed = |param: &str, retry: Retry| Fault {
        kind: ErrorKind::InvalidRequest,
        retry,
        param: Some(param.to_owned()),
        credential_refused: false,
        ..fault.clone()
    };
    // Our account's, not the client's fault.
    let ours = |kind: ErrorKind| Fault { kind, retry: Retry::NextTarget, credential_refused: false, ..fault.clone() };
    if is(&["quota_exceeded", "insufficient_credits"]) {
        return ours(ErrorKind::UpstreamRateLimited);
    }
    if is(&["voice_not_found", "voice_does_not_exist", "voice_access_denied"]) {
        return blamed("voice", Retry::NextTarget);
    }
    if is(&["unsupported_model", "model_not_found", "model_access_denied"]) {
        return blamed("model", Retry::NextTarget);
    }
    if is(&["text_too_long", "max_character_limit_exceeded", "empty_text"]) {
        return blamed("input", Retry::No);
    }
    if is(&["invalid_output_format"]) {
        return blamed("response_format", Retry::No);
    }
    if is(&["invalid_voice_settings"]) {
        return blamed("elevenlabs.voice_settings", Retry::No);
    }
    if is(&["subscription_required", "feature_not_available", "only_for_creator+", "payment_required"]) {
        return ours(ErrorKind::UpstreamError);
    }
    if is(&["rate_limit_error", "too_many_concurrent_requests", "concurrent_limit_exceeded", "system_busy"]) {
        return ours(ErrorKind::UpstreamRateLimited);
    }
    fault
}
