//! `GET /v1/audio/voices`: the voices that the key may use, and the names that work on several providers.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use dialects::contract::ListedVoice;
use dialects::registry;
use domain::provider::Operation;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::reader;
use crate::http::models::{Served, usable};
use crate::pipeline::route;
use crate::snapshot::Pool;

/// What a voice is needed for.
const SPEAKING: &[Operation] = &[Operation::Speech, Operation::Realtime];

/// Every voice of the providers' models that the key may let speak. An account whose provider does not
/// tell its voices adds none.
///
/// # Errors
/// `InvalidApiKey`.
pub async fn list_voices(worker: Data<Worker>, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
    let caller = reader(&worker, &request, Operation::Speech)?;
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
    let mut asked = Vec::new();
    for account in caller.snapshot.providers_of(caller.principal.key.tenant).map(Pool::account) {
        let here: BTreeSet<&str> =
            speaking.iter().filter(|served| served.account.name == account.name).map(|served| served.model).collect();
        let Some(row) = registry::provider(account.kind) else { continue };
        for voice in row.voices {
            let models: Vec<&str> = voice.models.iter().copied().filter(|model| here.contains(model)).collect();
            // A voice that names no models is every model's.
            if models.is_empty() && (here.is_empty() || !voice.models.is_empty()) {
                continue;
            }
            voices.push(json!({"id": voice.name, "name": voice.name, "provider": account.name,
                "language": voice.language, "gender": voice.gender, "preview_url": null, "models": models}));
        }
        if let Some(directory) = row.voices_api.filter(|_| !here.is_empty()) {
            asked.push((route::of_account(account, row), directory));
        }
    }
    let lists = asked.iter().map(|(account, directory)| worker.gateway.voices.list(&worker, account, *directory));
    for ((account, _), list) in asked.iter().zip(join_all(lists).await) {
        // Why a list is missing was logged when it was read.
        for voice in list.iter().flat_map(|voices| voices.iter()) {
            voices.push(listed(&account.account.name, voice));
        }
    }
    Ok(HttpResponse::Ok().json(json!({"object": "list", "data": voices})))
}

fn listed(provider: &str, voice: &ListedVoice) -> Value {
    json!({"id": voice.id, "name": voice.name, "provider": provider, "language": voice.language,
        "gender": voice.gender, "preview_url": voice.preview_url, "models": []})
}
