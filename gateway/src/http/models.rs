//! `GET /v1/models` and `/v1/models/{id}`: only what the key may use.

use std::collections::BTreeMap;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use dialects::registry;
use domain::error::ErrorKind;
use domain::provider::Operation;
use domain::routing::Target;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::{Caller, reader};
use crate::pipeline::authenticate::Principal;
use crate::snapshot::{Pool, ProviderAccount};

/// Every model that the key may use.
///
/// # Errors
/// `InvalidApiKey`.
pub async fn list_models(worker: Data<Worker>, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
    let caller = reader(&worker, &request, Operation::Chat)?;
    let data: Vec<Value> = usable(&caller).iter().map(|(name, served)| describe(&caller, name, served)).collect();
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
    let caller = reader(&worker, &request, Operation::Chat)?;
    match usable(&caller).get(id.as_str()) {
        Some(served) => Ok(HttpResponse::Ok().json(describe(&caller, &id, served))),
        None => Err(GatewayError::caller(
            ErrorKind::ModelNotFound,
            format!("The model `{id}` does not exist or you do not have access to it."),
        )
        .with_param("model")),
    }
}

/// What a model's name leads to: a provider's model, and what of it the key may do.
#[derive(Clone)]
pub(super) struct Served<'a> {
    pub(super) account: &'a ProviderAccount,
    pub(super) model: &'a str,
    /// `None` where nobody has told us what the model can do.
    operations: Option<Vec<Operation>>,
}

impl Served<'_> {
    /// Leaves what the caller may do, and says whether that is anything.
    fn narrow(&mut self, principal: &Principal) -> bool {
        let Some(operations) = &mut self.operations else { return true };
        operations.retain(|operation| principal.may(*operation));
        !operations.is_empty()
    }

    /// Whether it may do one of these, as far as anybody knows.
    pub(super) fn may_do(&self, any: &[Operation]) -> bool {
        self.operations.as_ref().is_none_or(|operations| operations.iter().any(|operation| any.contains(operation)))
    }
}

/// Every name that the key may use, with what it leads to.
pub(super) fn usable(caller: &Caller) -> BTreeMap<String, Vec<Served<'_>>> {
    let (snapshot, principal) = (&caller.snapshot, &caller.principal);
    let mut models: BTreeMap<String, Vec<Served<'_>>> = BTreeMap::new();
    for account in snapshot.providers_of(principal.key.tenant).map(Pool::account) {
        let Some(row) = registry::provider(account.kind) else { continue };
        for known in row.models {
            let served = Served { account, model: known.name, operations: Some(known.operations.to_vec()) };
            if !row.in_process {
                models.entry(known.name.to_owned()).or_default().push(served.clone());
            }
            models.entry(format!("{}/{}", account.name, known.name)).or_default().push(served);
        }
    }
    for route in snapshot.routes(principal.key.tenant) {
        let targets = route.targets.iter();
        models.insert(route.name.clone(), targets.filter_map(|target| served(caller, target)).collect());
    }
    let pinned = caller.facts.pinned;
    models.retain(|name, served| {
        served.retain_mut(|one| pinned.is_none_or(|kind| kind == one.account.kind) && one.narrow(principal));
        !served.is_empty() && principal.may_use(name)
    });
    models
}

fn served<'a>(caller: &'a Caller, target: &'a Target) -> Option<Served<'a>> {
    let account = caller.snapshot.provider(caller.principal.key.tenant, &target.provider)?.account();
    let row = registry::provider(account.kind)?;
    let known = row.models.iter().find(|known| known.name == target.model);
    if known.is_none() && row.in_process {
        return None;
    }
    Some(Served { account, model: &target.model, operations: known.map(|known| known.operations.to_vec()) })
}

fn describe(caller: &Caller, name: &str, served: &[Served<'_>]) -> Value {
    let (tenant, now) = (caller.principal.key.tenant, OffsetDateTime::now_utc());
    let (mut operations, mut providers, mut prices) = (Vec::new(), Vec::new(), Vec::new());
    for one in served {
        let known = one.operations.iter().flatten().map(|operation| operation.as_str());
        add(&mut operations, known);
        add(&mut providers, [one.account.name.as_str()]);
        let may_do = |operation: &&Operation| caller.principal.may(**operation) && one.may_do(&[**operation]);
        for operation in Operation::ALL.iter().filter(may_do) {
            let listed = caller.snapshot.prices.at(tenant, one.account.kind, one.model, *operation, now);
            add(
                &mut prices,
                listed.iter().map(|price| {
                    json!({"provider": one.account.name, "operation": operation.as_str(),
                        "unit": price.unit.as_str(), "usd": price.usd.normalize().to_string()})
                }),
            );
        }
    }
    json!({"id": name, "object": "model", "created": 0, "owned_by": providers.first().copied().unwrap_or("antiphon"),
        "antiphon": {"operations": operations, "providers": providers, "prices": prices}})
}

/// Adds what is not there yet: a route may have several targets at one provider.
fn add<T: PartialEq>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
