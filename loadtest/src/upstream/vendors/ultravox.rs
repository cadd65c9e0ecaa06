//! Ultravox: a call is made over REST and joined once at the address in the answer.
//!
//! Source: Ultravox's `OpenAPI` document, API reference and SDKs, read 2026-11-21.

use http::{Method, Response, header::HOST, request::Parts};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::super::{
    Kind, Request, Shared,
    answer::{self, Refusal},
    body::ScriptBody,
    routes::{Call, early, read_json, unknown_path},
};

const CALL_FIELDS: &[&str] = &[
    "callbacks",
    "experimentalSettings",
    "externalVoice",
    "firstSpeakerSettings",
    "inactivityMessages",
    "initialMessages",
    "initialOutputMedium",
    "initialState",
    "joinTimeout",
    "languageHint",
    "maxDuration",
    "medium",
    "metadata",
    "model",
    "recordingEnabled",
    "retentionPolicy",
    "selectedTools",
    "sharedSecrets",
    "systemPrompt",
    "temperature",
    "timeExceededMessage",
    "vadSettings",
    "voice",
    "voiceOverrides",
];
const DEFAULT_MODEL: &str = "ultravox-v0.7";

/// Answers one request.
pub(in crate::upstream) async fn answer(
    shared: &Shared,
    record: &mut Request,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<ScriptBody>, Refusal> {
    let path = parts.uri.path();
    let sent = parts.headers.get("x-api-key").and_then(|value| value.to_str().ok());
    if sent.is_none() || shared.config.api_key.as_deref().is_some_and(|key| sent != Some(key)) {
        return Err(Refusal::new(401, "unauthenticated", "Authentication credentials were not provided."));
    }
    if let Some(fault) = shared.take_rule(path, None, true) {
        return early(Kind::Ultravox, &fault).await;
    }
    let mut call = Call { shared, kind: Kind::Ultravox, path: path.trim_start_matches('/'), parts, request: record };
    match (&parts.method, path) {
        (&Method::POST, "/api/calls") => make(&mut call, body).await,
        _ => Err(unknown_path(&parts.method, path)),
    }
}

/// Of a field under its name, of everything else as `detail`.
pub(in crate::upstream) fn refuse(refusal: &Refusal) -> Response<ScriptBody> {
    let message = refusal.message.as_str();
    let body = match refusal.code {
        Some(field @ ("medium" | "temperature")) if refusal.status == 400 => json!({ field: [message] }),
        _ => json!({ "detail": message }),
    };
    answer::json_answer(refusal.status, &body)
}

async fn make(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let wanted = read_json(call, body, Some(CALL_FIELDS)).await?;
    let model = wanted.get("model").and_then(Value::as_str).unwrap_or(DEFAULT_MODEL);
    let line = call.line(model);
    let fault = call.fault(model, &[]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let rate = wanted.pointer("/medium/serverWebSocket/inputSampleRate").and_then(Value::as_u64);
    let rate = rate.and_then(|rate| u32::try_from(rate).ok()).filter(|rate| (8_000..=48_000).contains(rate));
    let rate = rate.ok_or_else(|| Refusal::new(400, "medium", "inputSampleRate is required."))?;
    let temperature = wanted.get("temperature").map_or(Some(0.0), Value::as_f64);
    if !temperature.is_some_and(|temperature| (0.0..=1.0).contains(&temperature)) {
        return Err(Refusal::new(400, "temperature", "Ensure this value is from 0 to 1."));
    }
    let id = format!("00000000-0000-4000-8000-{:012x}", call.shared.next_serial());
    call.shared.sockets.expect(id.clone(), rate);
    let host = call.parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let made = json!({
        "callId": id, "created": "2026-11-21T00:00:00Z", "joined": null, "ended": null, "endReason": null,
        "billedDuration": null, "billingStatus": "BILLING_STATUS_PENDING", "joinTimeout": "30s",
        "maxDuration": "3600s", "model": model, "systemPrompt": wanted.get("systemPrompt"),
        "temperature": temperature, "medium": wanted.get("medium"), "joinUrl": format!("ws://{host}/join/{id}"),
    });
    Ok(answer::json_answer(201, &made))
}
