//! `/api/v1/prices`

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::page::Page;
use admin_types::prices::{CreatePrice, ListPrices, Price, UpdatePrice};
use admin_types::problem::Problem;
use domain::error::UnknownName;
use entities::price;
use pricing_seed::PriceRow;
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::{prices, resource, tenants};
use crate::resource::{One, created};

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_prices).service(create_price).service(get_price).service(update_price).service(delete_price);
}

/// The prices that the caller may see: the platform's, and its tenant's own.
#[utoipa::path(tag = "prices", params(ListPrices), responses(
    (status = 200, description = "One page", body = Page<Price>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/prices")]
pub(crate) async fn list_prices(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListPrices>,
) -> Result<HttpResponse, AdminError> {
    let page = prices::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a price. It is in force from its date on, until the next one for the same.
#[utoipa::path(tag = "prices", request_body = CreatePrice,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = Price, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "It overlaps one that is there", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/prices")]
pub(crate) async fn create_price(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreatePrice>,
) -> Result<HttpResponse, AdminError> {
    let owner = actor.owner(body.value.tenant_id)?;
    let row = checked(body.value)?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        prices::lock(transaction).await?;
        tenants::check_owner(transaction, owner).await?;
        let row =
            resource::insert(transaction, prices::fresh(owner, row)).await.map_err(|error| overlap(error.into()))?;
        check_length(transaction, &row).await?;
        created::<price::Entity>(transaction, &actor, row, "/api/v1/prices").await
    })
    .await
}

/// One price.
#[utoipa::path(tag = "prices", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The price", body = Price, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/prices/{id}")]
pub(crate) async fn get_price(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<price::Entity>().await
}

/// Changes a price that has decided no cost yet.
#[utoipa::path(tag = "prices", request_body = UpdatePrice,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Price, headers(("ETag" = String))),
        (status = 403, description = "Only platform administrators write prices", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has decided a cost, or would overlap another", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/prices/{id}")]
pub(crate) async fn update_price(one: One, body: Body<UpdatePrice>) -> Result<HttpResponse, AdminError> {
    let (transaction, row) = begin_change(&one).await?;
    let row = one.write::<price::Entity>(&transaction, "update", row, async |_, row| edit(row, body.value));
    let row = row.await.map_err(overlap)?;
    check_length(&transaction, &row).await?;
    let answer = one.answer::<price::Entity>(&transaction, row).await?;
    one.commit::<price::Entity>(transaction).await?;
    Ok(answer)
}

/// Removes a price that has decided no cost yet.
#[utoipa::path(tag = "prices",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "Only platform administrators write prices", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has decided a cost", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/prices/{id}")]
pub(crate) async fn delete_price(one: One) -> Result<HttpResponse, AdminError> {
    let (transaction, row) = begin_change(&one).await?;
    one.erase::<price::Entity>(&transaction, row).await?;
    one.commit::<price::Entity>(transaction).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A row that the caller may change, and that may be changed at all.
async fn begin_change(one: &One) -> Result<(DatabaseTransaction, price::Model), AdminError> {
    let transaction = one.control.begin().await?;
    prices::lock(&transaction).await?;
    let row = one.lock::<price::Entity>(&transaction).await?;
    let has_begun = row.effective_from <= OffsetDateTime::now_utc();
    if has_begun && pricing_seed::decided_costs(&transaction, &row).await? {
        let detail = "It has decided what was billed. Make another price with a later effective_from instead.";
        return Err(AdminError::conflict("in_use", detail));
    }
    Ok((transaction, row))
}

fn edit(row: &mut price::Model, asked: UpdatePrice) -> Result<(), AdminError> {
    if let Some(usd) = asked.price_usd {
        row.usd = pricing_seed::dollars(&usd).map_err(at_field)?.normalize().to_string();
    }
    row.minimum_ms = asked.minimum_ms.map_or(row.minimum_ms, i64::from);
    row.rounding_ms = asked.rounding_ms.map_or(row.rounding_ms, i64::from);
    row.effective_from = asked.effective_from.map_or(row.effective_from, prices::whole);
    row.source = asked.source.unwrap_or_else(|| row.source.clone()).trim().to_owned();
    "api".clone_into(&mut row.managed_by);
    row.read_on = asked.read_on.unwrap_or_else(|| row.read_on.clone()).trim().to_owned();
    let unknown = |error: UnknownName| AdminError::internal(&error);
    let whole = PriceRow {
        tenant: None,
        kind: row.provider_kind.parse().map_err(unknown)?,
        model: row.model.clone(),
        operation: row.operation.parse().map_err(unknown)?,
        unit: row.unit.parse().map_err(unknown)?,
        usd: row.usd.parse().map_err(|error| AdminError::internal(&error))?,
        minimum_ms: row.minimum_ms.unsigned_abs(),
        rounding_ms: row.rounding_ms.unsigned_abs(),
        effective_from: pricing_seed::whole(row.effective_from).map_err(at_field)?,
        source: row.source.clone(),
        read_on: row.read_on.clone(),
        line: 0,
    };
    whole.check().map_err(at_field)
}

fn checked(asked: CreatePrice) -> Result<PriceRow, AdminError> {
    let named = |field: &'static str| move |error: UnknownName| AdminError::field(field, error.to_string());
    let row = PriceRow {
        tenant: None,
        kind: asked.provider_kind.parse().map_err(named("provider_kind"))?,
        model: asked.model.trim().to_owned(),
        operation: asked.operation.parse().map_err(named("operation"))?,
        unit: asked.unit.parse().map_err(named("unit"))?,
        usd: pricing_seed::dollars(&asked.price_usd).map_err(at_field)?,
        minimum_ms: asked.minimum_ms.into(),
        rounding_ms: asked.rounding_ms.into(),
        effective_from: pricing_seed::whole(prices::whole(asked.effective_from)).map_err(at_field)?,
        source: asked.source.trim().to_owned(),
        read_on: asked
            .read_on
            .map_or_else(|| OffsetDateTime::now_utc().date().to_string(), |day| day.trim().to_owned()),
        line: 0,
    };
    row.check().map_err(at_field)?;
    Ok(row)
}

/// A reason that begins with the name of the field.
fn at_field(reason: String) -> AdminError {
    match reason.split_once(": ") {
        Some((field, detail)) => AdminError::field(field, detail),
        None => AdminError::field("body", reason),
    }
}

async fn check_length(transaction: &DatabaseTransaction, row: &price::Model) -> Result<(), AdminError> {
    match prices::other_length(transaction, row).await? {
        None => Ok(()),
        Some(unit) => Err(AdminError::conflict(
            "overlaps",
            format!("From the same moment on there is a price in {unit}, and both would be billed."),
        )),
    }
}

fn overlap(error: AdminError) -> AdminError {
    match error {
        AdminError::Conflict { code: "already_exists", .. } => {
            AdminError::conflict("overlaps", "There is a price for the same from the same moment on.")
        }
        other => other,
    }
}
