//! `POST /v1/audio/transcriptions` and `/v1/audio/translations`.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::provider::Operation;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::{caller, deployment};
use crate::http::upload::Upload;
use crate::idempotency::{self, Asked};
use crate::pipeline::call::Call;
use crate::pipeline::transcription::transcribe;

/// Speech to text.
///
/// # Errors
/// As the pipeline's.
pub async fn create_transcription(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    create(worker, &request, payload, Operation::Transcription).await
}

/// Speech to English text.
///
/// # Errors
/// As the pipeline's.
pub async fn create_translation(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    create(worker, &request, payload, Operation::Translation).await
}

async fn create(
    worker: Data<Worker>,
    request: &HttpRequest,
    payload: Payload,
    operation: Operation,
) -> Result<HttpResponse, GatewayError> {
    let caller = caller(&worker, request, operation)?;
    let limit = caller.principal.key.max_upload_bytes.unwrap_or(worker.gateway.bounds().max_upload_bytes);
    let mut upload = Upload::open(&worker.gateway, limit, request, payload)?;
    if let Some(deployment) = deployment(request) {
        upload.set_model(deployment);
    }
    let Some(named) = idempotency::named(request)? else {
        return Call::attend(worker, caller, |call, facts| transcribe(call, facts, upload)).await;
    };
    let asked = Asked::form(&mut upload).await?;
    idempotency::once(worker, caller, (named, asked), |call, facts| transcribe(call, facts, upload)).await
}
