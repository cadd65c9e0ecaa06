//! `/api/v1/prices/unpriced` and `/api/v1/prices/reprice`

use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use admin_types::page::Page;
use admin_types::prices::{ListUnpriced, Reprice, Repriced, UnpricedUse};
use admin_types::problem::Problem;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, Query};
use crate::repositories::{reprice, unpriced};

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_unpriced).service(reprice_records);
}

/// Which models were used without a price, and how much.
#[utoipa::path(tag = "prices", params(ListUnpriced), responses(
    (status = 200, description = "One page", body = Page<UnpricedUse>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/prices/unpriced")]
pub(crate) async fn list_unpriced(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListUnpriced>,
) -> Result<HttpResponse, AdminError> {
    let page = unpriced::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Gives records without a cost the one that follows from the prices in force when they began. Each is
/// corrected once, and nothing else of it changes. Budgets count it from the next time that a gateway
/// sums up what a key has spent.
#[utoipa::path(tag = "prices", request_body = Reprice, responses(
    (status = 200, description = "What was done, or would be", body = Repriced),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/prices/reprice")]
pub(crate) async fn reprice_records(
    control: Data<Control>,
    actor: Actor,
    body: Body<Reprice>,
) -> Result<HttpResponse, AdminError> {
    let done = Box::pin(reprice::reprice(&control, &actor, &body.value)).await?;
    Ok(HttpResponse::Ok().json(done))
}
