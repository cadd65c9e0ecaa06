//! `/api/v1/models`: the names clients ask for, with their targets.

mod check;
mod simulate;

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post, put};
use admin_types::models::{CreateModel, ListModels, Model, ReplaceModel, UpdateModel};
use admin_types::page::Page;
use admin_types::problem::Problem;
use entities::model;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use self::check::check;
use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::resource::{self, owner};
use crate::repositories::{models, tenants};
use crate::resource::{One, created};

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
        tenants::check_owner(transaction, owner).await?;
        check(transaction, owner, &asked.name, asked.strategy, &asked.targets, asked.hedge).await?;
        let targets = models::kept(asked.targets)?;
        let row = models::fresh(owner, asked.name, asked.strategy, targets, asked.hedge, OffsetDateTime::now_utc());
        let row = resource::insert(transaction, row).await?;
        created::<model::Entity>(transaction, &actor, row, "/api/v1/models").await
    })
    .await
}

/// One model.
#[utoipa::path(tag = "models", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The model", body = Model, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/models/{id}")]
pub(crate) async fn get_model(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<model::Entity>().await
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
pub(crate) async fn replace_model(one: One, body: Body<ReplaceModel>) -> Result<HttpResponse, AdminError> {
    let ReplaceModel { name, strategy, targets, hedge } = body.value;
    let update = UpdateModel { name: Some(name), strategy: Some(strategy), targets: Some(targets), hedge: Some(hedge) };
    change(&one, update).await
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
pub(crate) async fn update_model(one: One, body: Body<UpdateModel>) -> Result<HttpResponse, AdminError> {
    change(&one, body.value).await
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
pub(crate) async fn delete_model(one: One) -> Result<HttpResponse, AdminError> {
    one.remove::<model::Entity>(async |_, _| Ok(())).await
}

async fn change(one: &One, update: UpdateModel) -> Result<HttpResponse, AdminError> {
    one.change::<model::Entity>("update", async |transaction, row| {
        let before = models::view(row.clone())?;
        let name = update.name.unwrap_or(before.name);
        let strategy = update.strategy.unwrap_or(before.strategy);
        let targets = update.targets.unwrap_or(before.targets);
        let hedge = update.hedge.unwrap_or(before.hedge);
        check(transaction, owner(row.tenant_id), &name, strategy, &targets, hedge).await?;
        (row.name, row.strategy, row.targets) = (name, strategy.to_string(), models::kept(targets)?);
        row.hedge_ms = models::kept_hedge(hedge);
        Ok(())
    })
    .await
}
