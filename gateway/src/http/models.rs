//! `GET /v1/models` and `/v1/models/{id}`: only what the key may use.

use std::collections::BTreeMap;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use dialects::registry;
use domain::error::ErrorKind;
use domain::provider::{Operation, ProviderKind};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::{Caller, caller};
use crate::pipeline::authenticate::may_use;

/// Every model that the key may use.
///
/// # Errors
/// `InvalidApiKey`.
pub async fn list_models(worker: Data<Worker>, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
    let caller = caller(&worker, &request, Operation::Chat)?;
    let data: Vec<Value> = visible(&caller).into_values().collect();
    Ok(HttpResponse::Ok().json(json!({"object": "list", "data": data})))
}

/// One model.
///
/// # Errors
/// `ModelNotFound`, also for a model that exists but not for this key.
pub async fn get_model(
    worker: Data<Worker>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, GatewayError> {
    let caller = caller(&worker, &request, Operation::Chat)?;
    match visible(&caller).remove(id.as_str()) {
        Some(model) => Ok(HttpResponse::Ok().json(model)),
        None => Err(GatewayError::caller(
            ErrorKind::ModelNotFound,
            format!("The model `{id}` does not exist or you do not have access to it."),
        )
        .with_param("model")),
    }
}

struct Entry {
    operations: Vec<&'static str>,
    served_by: Vec<(String, ProviderKind, String)>,
}

fn visible(caller: &Caller) -> BTreeMap<String, Value> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for account in caller.snapshot.providers.values() {
        let Some(row) = registry::provider(account.kind) else { continue };
        for known in row.models {
            let names = if row.in_process { vec![] } else { vec![known.name.to_owned()] };
            for name in names.into_iter().chain([format!("{}/{}", account.name, known.name)]) {
                add(&mut entries, name, known.operations, (account.name.clone(), account.kind, known.name.to_owned()));
            }
        }
    }
    for route in caller.snapshot.routes(caller.principal.key.tenant) {
        entries.remove(&route.name);
        for target in &route.targets {
            let Some(account) = caller.snapshot.providers.get(&target.provider) else { continue };
            let Some(row) = registry::provider(account.kind) else { continue };
            let known = row.models.iter().filter(|known| known.name == target.model).flat_map(|known| known.operations);
            let operations: Vec<Operation> = known.copied().collect();
            add(
                &mut entries,
                route.name.clone(),
                &operations,
                (account.name.clone(), account.kind, target.model.clone()),
            );
        }
    }
    entries.retain(|name, _| may_use(&caller.principal.key, name));
    let now = OffsetDateTime::now_utc();
    entries.into_iter().map(|(name, entry)| (name.clone(), describe(caller, &name, &entry, now))).collect()
}

fn add(
    entries: &mut BTreeMap<String, Entry>,
    name: String,
    operations: &[Operation],
    by: (String, ProviderKind, String),
) {
    let entry = entries.entry(name).or_insert_with(|| Entry { operations: Vec::new(), served_by: Vec::new() });
    for operation in operations.iter().map(|operation| operation.as_str()) {
        if !entry.operations.contains(&operation) {
            entry.operations.push(operation);
        }
    }
    if !entry.served_by.contains(&by) {
        entry.served_by.push(by);
    }
}

fn describe(caller: &Caller, name: &str, entry: &Entry, now: OffsetDateTime) -> Value {
    let tenant = caller.principal.key.tenant;
    let mut prices = Vec::new();
    for (provider, kind, model) in &entry.served_by {
        for operation in Operation::ALL.iter().filter(|operation| entry.operations.contains(&operation.as_str())) {
            for price in caller.snapshot.prices.at(tenant, *kind, model, *operation, now).iter() {
                prices.push(json!({"provider": provider, "operation": operation.as_str(), "unit": price.unit.as_str(), "usd": price.usd.normalize().to_string()}));
            }
        }
    }
    let providers: Vec<&str> = entry.served_by.iter().map(|(provider, ..)| provider.as_str()).collect();
    json!({"id": name, "object": "model", "created": 0, "owned_by": providers.first().copied().unwrap_or("antiphon"),
        "antiphon": {"operations": entry.operations, "providers": providers, "prices": prices}})
}
