//! `POST /v1/audio/speech`.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::provider::Operation;
use domain::speech::SpeechRequest;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::body::read_json;
use crate::http::extract::{caller, with_deployment};
use crate::idempotency::{self, Asked};
use crate::pipeline::call::Call;
use crate::pipeline::speech::speak;

/// Text to speech.
///
/// # Errors
/// As the pipeline's.
pub async fn create_speech(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    let mut caller = caller(&worker, &request, Operation::Speech)?;
    let body = with_deployment(&request, read_json(&worker, &request, payload).await?)?;
    let speech: SpeechRequest = serde_json::from_slice(&body).map_err(|error| {
        let message = error.to_string();
        // serde names the field between backquotes, whether it is missing or has a wrong value.
        let field = message.split('`').nth(1).unwrap_or("body");
        GatewayError::invalid(field, format!("The body is not a speech request: {message}."))
    })?;
    if speech.input.trim().is_empty() {
        return Err(GatewayError::invalid("input", "`input` is empty."));
    }
    caller.facts.model_asked.clone_from(&speech.model);
    let Some(named) = idempotency::named(&request)? else {
        return Call::attend(worker, caller, |call, facts| speak(call, facts, speech)).await;
    };
    idempotency::once(worker, caller, (named, Asked::json(&body)), |call, facts| speak(call, facts, speech)).await
}
