//! `POST /v1/chat/completions` and `/v1/embeddings`.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::provider::Operation;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::body::read_json;
use crate::http::extract::{caller, with_deployment};
use crate::idempotency::{self, Asked};
use crate::pipeline::call::Call;
use crate::pipeline::json::forward_json;

/// Chat completions.
///
/// # Errors
/// As the pipeline's.
pub async fn create_chat_completion(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    create(worker, &request, payload, Operation::Chat).await
}

/// Embeddings.
///
/// # Errors
/// As the pipeline's.
pub async fn create_embedding(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    create(worker, &request, payload, Operation::Embeddings).await
}

async fn create(
    worker: Data<Worker>,
    request: &HttpRequest,
    payload: Payload,
    operation: Operation,
) -> Result<HttpResponse, GatewayError> {
    let caller = caller(&worker, request, operation)?;
    let body = with_deployment(request, read_json(&worker, request, payload).await?)?;
    let Some(named) = idempotency::named(request)? else {
        return Call::attend(worker, caller, |call, facts| forward_json(call, facts, body)).await;
    };
    let asked = Asked::json(&body);
    idempotency::once(worker, caller, (named, asked), |call, facts| forward_json(call, facts, body)).await
}
