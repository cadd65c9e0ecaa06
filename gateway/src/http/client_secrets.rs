//! `POST /v1/realtime/client_secrets`: a short-lived key for a browser, good for sessions of one model
//! and for the transcriber that its session names.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::error::ErrorKind;
use domain::provider::Operation;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Worker;
use crate::error::GatewayError;
use crate::http::body::read_json;
use crate::http::extract::reader;
use crate::realtime::secrets::Grant;

/// Where a session's configuration names what transcribes its input.
const TRANSCRIBER: &str = "/audio/input/transcription/model";
/// Shortest and longest life of a secret. Source: `OpenAI` API reference, read 2026-11-21.
const LIFE_S: std::ops::RangeInclusive<u64> = 10..=7200;
/// Life of a secret that asks for none. Source: as above.
const DEFAULT_LIFE_S: u64 = 600;

#[derive(Deserialize, Default)]
struct Asked {
    #[serde(default)]
    expires_after: Option<ExpiresAfter>,
    #[serde(default)]
    session: Option<Value>,
}

#[derive(Deserialize)]
struct ExpiresAfter {
    seconds: Option<u64>,
}

/// Issues a secret bound to the key, one model and a time.
///
/// # Errors
/// The key may not hold sessions, or a field is wrong.
pub async fn create_client_secret(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    let caller = reader(&worker, &request, Operation::Realtime)?;
    if caller.principal.grant.is_some() {
        return Err(GatewayError::caller(ErrorKind::OperationNotAllowed, "A client secret cannot make another."));
    }
    let body = read_json(&worker, &request, payload).await?;
    let asked: Asked = if body.is_empty() {
        Asked::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| GatewayError::invalid("session", format!("The body is not what is expected: {error}.")))?
    };
    let seconds = asked.expires_after.and_then(|after| after.seconds).unwrap_or(DEFAULT_LIFE_S);
    if !LIFE_S.contains(&seconds) {
        return Err(GatewayError::invalid("expires_after", "`expires_after.seconds` must be from 10 to 7200."));
    }
    let mut session = asked.session.unwrap_or_else(|| json!({"type": "realtime"}));
    let transcription = session.get("type").and_then(Value::as_str) == Some("transcription");
    let pointer = if transcription { TRANSCRIBER } else { "/model" };
    let text = |pointer: &str| session.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let model = text(pointer).ok_or_else(|| {
        GatewayError::invalid("session", format!("`session{}` is missing.", pointer.replace('/', ".")))
    })?;
    let transcriber = text(TRANSCRIBER).filter(|_| !transcription);
    for model in [Some(&model), transcriber.as_ref()].into_iter().flatten() {
        caller.principal.require(Operation::Realtime, model)?;
    }
    let expires_at = caller.facts.started_at + time::Duration::seconds(i64::try_from(seconds).unwrap_or(600));
    let grant = Grant { key: caller.principal.key.id, model, transcription, transcriber };
    let value = worker.gateway.secrets.issue(grant, expires_at)?;
    if let Some(object) = session.as_object_mut() {
        object.entry("object").or_insert_with(|| json!("realtime.session"));
    }
    Ok(HttpResponse::Ok().json(json!({"value": value, "expires_at": expires_at.unix_timestamp(), "session": session})))
}
