//! Which target would serve a call, and why.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use admin_types::models::{Simulate, Simulation};
use admin_types::problem::Problem;
use domain::ids::{TenantId, VirtualKeyId};
use domain::provider::Operation;
use entities::{Id, model, virtual_key};
use uuid::Uuid;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId};
use crate::ports::SimulatedCall;
use crate::repositories::{models, resource, tenants};

const MAX_MODEL_BYTES: usize = 512;
const MAX_CHARACTERS: u64 = 100_000;
const MAX_AUDIO_SECONDS: f64 = 86_400.0;

/// Tells which target would serve a call, and why. Nothing is asked of a provider.
#[utoipa::path(tag = "models", request_body = Simulate, responses(
    (status = 200, description = "The decision with its reasons", body = Simulation),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/models/simulate")]
pub(crate) async fn simulate_call(
    control: Data<Control>,
    actor: Actor,
    body: Body<Simulate>,
) -> Result<HttpResponse, AdminError> {
    let call = body.value;
    let model = call.model.clone().unwrap_or_default();
    if model.is_empty() || model.len() > MAX_MODEL_BYTES || model.chars().any(char::is_control) {
        return Err(AdminError::field("model", format!("must be 1 to {MAX_MODEL_BYTES} bytes of text")));
    }
    answer(&control, &actor, model, None, call).await
}

/// Tells which target of this model would serve a call, and why. Nothing is asked of a provider.
#[utoipa::path(tag = "models", request_body = Simulate, params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The decision with its reasons", body = Simulation),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The tenant has a model of its own of this name", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/models/{id}/simulate")]
pub(crate) async fn simulate_model(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    body: Body<Simulate>,
) -> Result<HttpResponse, AdminError> {
    let call = body.value;
    if call.model.is_some() {
        return Err(AdminError::field("model", "stands in the path already"));
    }
    let row = resource::find::<model::Entity>(&control.database, actor.scope(), id.0).await?;
    answer(&control, &actor, row.name, Some(row.tenant_id), call).await
}

/// `route` says whose the model is that is meant, where it is one that exists.
async fn answer(
    control: &Control,
    actor: &Actor,
    model: String,
    route: Option<Option<Id>>,
    call: Simulate,
) -> Result<HttpResponse, AdminError> {
    check_call(&call)?;
    let tenant = tenant(control, actor, route.flatten(), &call).await?;
    if route == Some(None) && models::has_own(&control.database, tenant, &model).await? {
        let detail = "The tenant has a model of its own of this name, which goes before the platform's.";
        return Err(AdminError::conflict("shadowed", detail));
    }
    let key = call.key_id.map(VirtualKeyId);
    let told = control.data_plane.simulate(SimulatedCall { tenant, key, model, call }).await?;
    Ok(HttpResponse::Ok().json(told))
}

fn check_call(call: &Simulate) -> Result<(), AdminError> {
    if call.operation == Operation::Passthrough {
        return Err(AdminError::field("operation", "is served by a vendor's accounts, not by a model"));
    }
    if call.characters.is_some_and(|characters| !(1..=MAX_CHARACTERS).contains(&characters)) {
        return Err(AdminError::field("characters", format!("must be from 1 to {MAX_CHARACTERS}")));
    }
    if call.audio_seconds.is_some_and(|seconds| !(0.001..=MAX_AUDIO_SECONDS).contains(&seconds)) {
        return Err(AdminError::field("audio_seconds", format!("must be from 0.001 to {MAX_AUDIO_SECONDS}")));
    }
    for (field, text, most) in [
        ("region", &call.region, 64),
        ("format", &call.format, 32),
        ("language", &call.language, 32),
        ("voice", &call.voice, 128),
    ] {
        if text.as_ref().is_some_and(|text| text.is_empty() || text.chars().count() > most) {
            return Err(AdminError::field(field, format!("must have 1 to {most} characters")));
        }
    }
    Ok(())
}

/// Whose call it is: the owner's of the model, the key's, the one that is named, or the caller's own.
async fn tenant(control: &Control, actor: &Actor, owner: Option<Id>, call: &Simulate) -> Result<TenantId, AdminError> {
    let asked = actor.owner(call.tenant_id)?;
    let of_key = match call.key_id {
        Some(id) => Some(key_owner(control, actor, id).await?),
        None => None,
    };
    let owner = owner.map(|id| TenantId(id.0));
    let known: Vec<TenantId> = [owner, of_key, asked].into_iter().flatten().collect();
    let Some(first) = known.first().copied() else { return Ok(TenantId(Uuid::nil())) };
    if known.iter().any(|other| *other != first) {
        return Err(AdminError::field("tenant_id", "the model, the key and the tenant must belong together"));
    }
    tenants::check_owner(&control.database, Some(first)).await?;
    Ok(first)
}

async fn key_owner(control: &Control, actor: &Actor, id: Uuid) -> Result<TenantId, AdminError> {
    match resource::find::<virtual_key::Entity>(&control.database, actor.scope(), id).await {
        Ok(key) if key.revoked_at.is_none() => Ok(TenantId(key.tenant_id.0)),
        Ok(_) | Err(AdminError::NotFound) => Err(AdminError::field("key_id", "there is no such key in use")),
        Err(error) => Err(error),
    }
}
