//! Ultravox: a call is made over REST, joined once at the address in the answer, asked for and ended over REST.
//!
//! Source: Ultravox's `OpenAPI` document, API reference and SDKs, read 2026-11-21.

use std::time::Duration;

use http::{Method, Response, header::HOST, request::Parts};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::super::{
    Kind, Request, Shared,
    answer::{self, Refusal},
    body::ScriptBody,
    routes::{Call, early, read_json, unknown_path},
};
use crate::live::Medium;

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
/// Messages that are sent over REST.
const MESSAGES: &[&str] = &["forced_agent_message", "hang_up", "user_text_message"];
/// How long a call lasts that says nothing about it.
const LASTS_S: f64 = 3600.0;
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
    let id = path.strip_prefix("/api/calls/").unwrap_or_default();
    match parts.method {
        Method::POST if path == "/api/calls" => make(&mut call, body).await,
        Method::GET if !id.is_empty() => tell(shared, id),
        Method::POST if id.ends_with("/send_data_message") => send(&mut call, id, body).await,
        _ => Err(unknown_path(&parts.method, path)),
    }
}

fn no_call() -> Refusal {
    Refusal::new(404, "not_found", "No Call matches the given query.")
}

fn tell(shared: &Shared, id: &str) -> Result<Response<ScriptBody>, Refusal> {
    let told = shared.sockets.tell(id).ok_or_else(no_call)?;
    Ok(answer::json_answer(200, &told))
}

/// A message of the client's that is sent over REST.
async fn send(call: &mut Call<'_>, path: &str, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let message = read_json(call, body, None).await?;
    let id = path.trim_end_matches("/send_data_message");
    let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
    if !MESSAGES.contains(&kind) {
        return Err(Refusal::new(400, "type", "This is no message of a client."));
    }
    let sockets = &call.shared.sockets;
    let active = if kind == "hang_up" { sockets.hang_up(id) } else { sockets.is_active(id) };
    if !active.ok_or_else(no_call)? {
        return Err(Refusal::new(422, "inactive", "The call is not active."));
    }
    let mut response = Response::new(ScriptBody::whole(Vec::new()));
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    Ok(response)
}

/// How the sound of a wanted call travels.
fn medium(wanted: &Value) -> Option<Medium> {
    let medium = wanted.get("medium").filter(|medium| !medium.is_null());
    let Some(medium) = medium else { return Some(Medium::Room) };
    if medium.get("webRtc").is_some() {
        return Some(Medium::Room);
    }
    let rate = medium.pointer("/serverWebSocket/inputSampleRate").and_then(Value::as_u64)?;
    let rate = u32::try_from(rate).ok().filter(|rate| (8_000..=48_000).contains(rate))?;
    Some(Medium::Socket(rate))
}

/// How long a wanted call may last: `"90s"`.
fn lasts(wanted: &Value) -> Option<Duration> {
    let Some(text) = wanted.get("maxDuration") else { return Some(Duration::from_secs_f64(LASTS_S)) };
    let seconds: f64 = text.as_str()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Of a field under its name, of everything else as `detail`.
pub(in crate::upstream) fn refuse(refusal: &Refusal) -> Response<ScriptBody> {
    let message = refusal.message.as_str();
    let body = match refusal.code {
        Some(field @ ("maxDuration" | "medium" | "temperature" | "type")) if refusal.status == 400 => {
            json!({ field: [message] })
        }
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
    let medium = medium(&wanted).ok_or_else(|| Refusal::new(400, "medium", "inputSampleRate is required."))?;
    let lasts = lasts(&wanted).ok_or_else(|| Refusal::new(400, "maxDuration", "This is no duration."))?;
    let temperature = wanted.get("temperature").map_or(Some(0.0), Value::as_f64);
    if !temperature.is_some_and(|temperature| (0.0..=1.0).contains(&temperature)) {
        return Err(Refusal::new(400, "temperature", "Ensure this value is from 0 to 1."));
    }
    let id = format!("00000000-0000-4000-8000-{:012x}", call.shared.next_serial());
    call.shared.sockets.expect(id.clone(), medium, lasts);
    let host = call.parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let made = json!({
        "callId": id, "created": "2026-11-21T00:00:00Z", "joined": null, "ended": null, "endReason": null,
        "billedDuration": null, "billingStatus": "BILLING_STATUS_PENDING", "joinTimeout": "30s",
        "maxDuration": format!("{}s", lasts.as_secs_f64()), "model": model, "systemPrompt": wanted.get("systemPrompt"),
        "temperature": temperature, "medium": wanted.get("medium"), "joinUrl": format!("ws://{host}/join/{id}"),
    });
    Ok(answer::json_answer(201, &made))
}
