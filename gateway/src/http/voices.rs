//! `GET /v1/audio/voices`: the voices that the key may use, and the names that work on several providers.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use dialects::registry;
use domain::provider::Operation;
use serde_json::{Value, json};

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::caller;
use crate::http::models::{Served, usable};

/// What a voice is needed for.
const SPEAKING: &[Operation] = &[Operation::Speech, Operation::Realtime];

/// Every voice of the providers' models that the key may let speak.
///
/// # Errors
/// `InvalidApiKey`.
pub async fn list_voices(worker: Data<Worker>, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
    let caller = caller(&worker, &request, Operation::Speech)?;
    let models = usable(&caller);
    let speaks = SPEAKING.iter().any(|operation| caller.principal.may(*operation));
    let able = |served: &&Served<'_>| speaks && served.may_do(SPEAKING);
    let speaking: Vec<&Served<'_>> = models.values().flatten().filter(able).collect();
    let mut voices: Vec<Value> = Vec::new();
    for (name, map) in &caller.snapshot.voices {
        let of = |who: &str, served: &Served<'_>| who == served.account.name || who == served.account.kind.as_str();
        let usable = map.iter().filter(|(who, _)| speaking.iter().any(|served| of(who, served)));
        let map: BTreeMap<&String, &String> = usable.collect();
        if !map.is_empty() {
            voices.push(json!({"id": name, "name": name, "provider": null, "language": null, "gender": null,
                "preview_url": null, "map": map}));
        }
    }
    for account in caller.snapshot.providers.values() {
        let here: BTreeSet<&str> =
            speaking.iter().filter(|served| served.account.name == account.name).map(|served| served.model).collect();
        for voice in registry::provider(account.kind).into_iter().flat_map(|row| row.voices) {
            let models: Vec<&str> = voice.models.iter().copied().filter(|model| here.contains(model)).collect();
            // A voice that names no models is every model's.
            if models.is_empty() && (here.is_empty() || !voice.models.is_empty()) {
                continue;
            }
            voices.push(json!({"id": voice.name, "name": voice.name, "provider": account.name,
                "language": voice.language, "gender": voice.gender, "preview_url": null, "models": models}));
        }
    }
    Ok(HttpResponse::Ok().json(json!({"object": "list", "data": voices})))
}
