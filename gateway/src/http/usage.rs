//! `GET /v1/usage` and `/v1/usage/{request_id}`: the key's own spend, and what one call cost.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::error::ErrorKind;
use domain::ids::RequestId;
use domain::provider::Operation;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::reader;
use crate::repositories;
use crate::repositories::usage::StoredUsage;

/// Limits, spend and what is left.
///
/// # Errors
/// `InvalidApiKey`.
pub async fn get_usage(worker: Data<Worker>, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
    let caller = reader(&worker, &request, Operation::Chat)?;
    let key = &caller.principal.key;
    let spend = worker.gateway.spend(key, OffsetDateTime::now_utc()).await;
    let spend = spend.map_err(|error| GatewayError::internal(&error))?;
    let budget = key.budget.map(|budget| {
        let left = budget.amount.0.saturating_sub(spend.spent.0).saturating_sub(spend.reserved.0).max(0);
        json!({"usd": budget.amount.to_string(), "remaining_usd": domain::money::NanoUsd(left).to_string()})
    });
    Ok(HttpResponse::Ok().json(json!({
        "object": "usage", "key": key.name,
        "spent_usd": spend.spent.to_string(), "reserved_usd": spend.reserved.to_string(), "budget": budget,
        "requests_per_minute": key.requests_per_minute, "max_concurrent_sessions": key.max_concurrent_sessions,
        "expires_at": key.expires_at.and_then(|at| at.format(&Rfc3339).ok()),
    })))
}

/// The records of one call.
///
/// # Errors
/// `NotFound` when the key made no such call, or its record has not reached the database yet.
pub async fn get_request_usage(
    worker: Data<Worker>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, GatewayError> {
    let caller = reader(&worker, &request, Operation::Chat)?;
    let not_found = || GatewayError::caller(ErrorKind::NotFound, "No usage of this request is recorded for this key.");
    let id: RequestId = id.parse().map_err(|_| not_found())?;
    let found = repositories::usage::find_by_request(&worker.gateway.database, caller.principal.key.id, id).await;
    let records = found.map_err(|error| GatewayError::internal(&error))?;
    if records.is_empty() {
        return Err(not_found());
    }
    let data: Vec<Value> = records.iter().map(describe).collect();
    Ok(HttpResponse::Ok().json(json!({"object": "list", "data": data})))
}

fn describe(record: &StoredUsage) -> Value {
    json!({
        "id": record.id.to_string(), "request_id": record.request_id.to_string(), "sequence": record.sequence,
        "operation": record.operation.as_str(), "model": record.model_asked, "provider": record.provider,
        "model_served": record.model_served, "usage": record.usage, "usage_source": record.usage_source.as_str(),
        "cost_usd": record.cost.map(|cost| cost.to_string()), "status": record.status.as_str(),
        "attempts": record.attempts, "failed_attempts": record.failed_attempts,
        "ttfb_ms": record.ttfb_ms, "latency_ms": record.latency_ms,
    })
}
