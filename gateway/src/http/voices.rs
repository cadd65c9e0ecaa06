//! `GET /v1/audio/voices`: the voices of every provider, and the names that work on several.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use dialects::registry;
use domain::provider::Operation;
use serde_json::{Value, json};

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::caller;

/// Every voice of the configured providers.
///
/// # Errors
/// `InvalidApiKey`.
pub async fn list_voices(worker: Data<Worker>, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
    let caller = caller(&worker, &request, Operation::Speech)?;
    let mut voices: Vec<Value> = Vec::new();
    for (name, map) in &caller.snapshot.voices {
        voices.push(json!({"id": name, "name": name, "provider": null, "language": null, "gender": null, "preview_url": null, "map": map}));
    }
    for account in caller.snapshot.providers.values() {
        for voice in registry::provider(account.kind).into_iter().flat_map(|row| row.voices) {
            voices.push(
                json!({"id": voice.name, "name": voice.name, "provider": account.name, "language": voice.language,
                "gender": voice.gender, "preview_url": null, "models": voice.models}),
            );
        }
    }
    Ok(HttpResponse::Ok().json(json!({"object": "list", "data": voices})))
}
