//! `/api/v1/models`: the names clients ask for, with their targets.

mod check;
mod simulate;

use actix_web::http::header::ETAG;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, put};
use admin_types::models::{CreateModel, ListModels, Model, ReplaceModel, UpdateModel};
use admin_types::page::Page;
use admin_types::problem::Problem;
use domain::ids::TenantId;
use entities::model;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use self::check::check;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::etag::{self, IfMatch};
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::repositories::models;
use crate::{Control, publish};

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_models)
        .service(create_model)
        .service(simulate::simulate_call)
        .service(get_model)
        .service(replace_model)
        .service(update_model)
        .service(delete_model)
        .service(simulate::simulate_model);
}

/// The models: the tenant's own and the platform's; all of them for a platform administrator.
#[utoipa::path(tag = "models", params(ListModels), responses(
    (status = 200, description = "One page", body = Page<Model>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/models")]
pub(crate) async fn list_models(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListModels>,
) -> Result<HttpResponse, AdminError> {
    let page = models::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a model.
#[utoipa::path(tag = "models", request_body = CreateModel,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = Model, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/models")]
pub(crate) async fn create_model(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateModel>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    let owner = actor.owner(asked.tenant_id)?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        if let Some(tenant) = owner {
            check::tenant(transaction, tenant).await?;
        }
        check(transaction, owner, &asked.name, asked.strategy, &asked.targets).await?;
        let targets = models::kept(asked.targets)?;
        let now = OffsetDateTime::now_utc();
        let row = models::insert(transaction, owner, &asked.name, asked.strategy, targets, now).await?;
        let (id, version) = (row.id, row.version);
        let shown = models::view(row)?;
        let change = Change::of("create", "model", id, owner).after(&shown);
        audit::append(transaction, &actor.by(), change).await?;
        publish::announce(transaction).await?;
        Ok(Created { body: shown, location: format!("/api/v1/models/{id}"), version: Some(version) })
    })
    .await
}

/// One model.
#[utoipa::path(tag = "models", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The model", body = Model, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/models/{id}")]
pub(crate) async fn get_model(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    show(models::find(&control.database, actor.scope(), id.0, false).await?)
}

/// Says anew what a model is.
#[utoipa::path(tag = "models", request_body = ReplaceModel,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Model, headers(("ETag" = String))),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or the configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[put("/api/v1/models/{id}")]
pub(crate) async fn replace_model(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
    body: Body<ReplaceModel>,
) -> Result<HttpResponse, AdminError> {
    let ReplaceModel { name, strategy, targets } = body.value;
    let update = UpdateModel { name: Some(name), strategy: Some(strategy), targets: Some(targets) };
    change(&control, &actor, id, &request, update).await
}

/// Changes a model.
#[utoipa::path(tag = "models", request_body = UpdateModel,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Model, headers(("ETag" = String))),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or the configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/models/{id}")]
pub(crate) async fn update_model(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
    body: Body<UpdateModel>,
) -> Result<HttpResponse, AdminError> {
    change(&control, &actor, id, &request, body.value).await
}

/// Removes a model.
#[utoipa::path(tag = "models",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/models/{id}")]
pub(crate) async fn delete_model(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let expected = IfMatch::of(&request)?;
    let transaction = control.begin().await?;
    let row = models::find(&transaction, actor.scope(), id.0, true).await?;
    let owner = may_change(&actor, &row)?;
    expected.check(row.version)?;
    models::delete(&transaction, row.id).await?;
    let change = Change::of("delete", "model", row.id, owner).before(&models::view(row)?);
    audit::append(&transaction, &actor.by(), change).await?;
    publish::announce(&transaction).await?;
    control.commit(transaction).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Changes one model in one transaction, with its audit entry, and tells the gateways.
async fn change(
    control: &Control,
    actor: &Actor,
    id: PathId,
    request: &HttpRequest,
    update: UpdateModel,
) -> Result<HttpResponse, AdminError> {
    let expected = IfMatch::of(request)?;
    let transaction = control.begin().await?;
    let mut row = models::find(&transaction, actor.scope(), id.0, true).await?;
    let owner = may_change(actor, &row)?;
    expected.check(row.version)?;
    let before = models::view(row.clone())?;
    let name = update.name.unwrap_or_else(|| before.name.clone());
    let strategy = update.strategy.unwrap_or(before.strategy);
    let targets = update.targets.unwrap_or_else(|| before.targets.clone());
    check(&transaction, owner, &name, strategy, &targets).await?;
    (row.name, row.strategy, row.targets) = (name, strategy.to_string(), models::kept(targets)?);
    let row = models::update(&transaction, row, OffsetDateTime::now_utc()).await?;
    let after = models::view(row.clone())?;
    let change = Change::of("update", "model", row.id, owner).before(&before).after(&after);
    audit::append(&transaction, &actor.by(), change).await?;
    publish::announce(&transaction).await?;
    control.commit(transaction).await?;
    show(row)
}

/// Whose the model is, for those who may change it.
fn may_change(actor: &Actor, row: &model::Model) -> Result<Option<TenantId>, AdminError> {
    let owner = row.tenant_id.map(|id| TenantId(id.0));
    actor.may_change(owner)?;
    if row.managed_by == "file" {
        return Err(AdminError::managed_by_file());
    }
    Ok(owner)
}

fn show(row: model::Model) -> Result<HttpResponse, AdminError> {
    let tag = etag::tag(row.version);
    Ok(HttpResponse::Ok().insert_header((ETAG, tag)).json(models::view(row)?))
}
