//! `/api/v1/tenants`

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::tenants::{CreateTenant, ListTenants, SuspendTenant, Tenant, UpdateTenant};
use entities::tenant;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::{resource, stored, tenants};
use crate::resource::{One, created};

const MAX_NAME_BYTES: usize = 64;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_tenants)
        .service(create_tenant)
        .service(get_tenant)
        .service(update_tenant)
        .service(delete_tenant)
        .service(suspend_tenant)
        .service(resume_tenant);
}

/// The tenants: all of them for a platform administrator, their own for others.
#[utoipa::path(tag = "tenants", params(ListTenants), responses(
    (status = 200, description = "One page", body = Page<Tenant>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/tenants")]
pub(crate) async fn list_tenants(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListTenants>,
) -> Result<HttpResponse, AdminError> {
    let page = tenants::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a tenant.
#[utoipa::path(tag = "tenants", request_body = CreateTenant,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = Tenant, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/tenants")]
pub(crate) async fn create_tenant(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateTenant>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    check_name(&asked.name)?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        let row = tenants::fresh(asked, OffsetDateTime::now_utc());
        let row = resource::insert(transaction, row).await?;
        created::<tenant::Entity>(transaction, &actor, row, "/api/v1/tenants").await
    })
    .await
}

/// One tenant.
#[utoipa::path(tag = "tenants", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The tenant", body = Tenant, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/tenants/{id}")]
pub(crate) async fn get_tenant(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<tenant::Entity>().await
}

/// Changes a tenant.
#[utoipa::path(tag = "tenants", request_body = UpdateTenant,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Tenant, headers(("ETag" = String))),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or the configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/tenants/{id}")]
pub(crate) async fn update_tenant(one: One, body: Body<UpdateTenant>) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    if let Some(name) = &asked.name {
        check_name(name)?;
    }
    one.change::<tenant::Entity>("update", async |_, row| {
        is_not_declared(row)?;
        row.name = asked.name.unwrap_or_else(|| row.name.clone());
        row.refuse_unpriced = asked.refuse_unpriced.unwrap_or(row.refuse_unpriced);
        if let Some(when_away) = asked.when_away {
            row.when_away = when_away.map(tenants::word);
        }
        Ok(())
    })
    .await
}

/// Removes a tenant with everything it owns. What it has used stays in the ledger.
#[utoipa::path(tag = "tenants",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/tenants/{id}")]
pub(crate) async fn delete_tenant(one: One) -> Result<HttpResponse, AdminError> {
    one.remove::<tenant::Entity>(async |_, row| is_not_declared(row)).await
}

/// Suspends a tenant: its keys are refused and its sessions ended on every gateway at once, and its people
/// cannot sign in.
#[utoipa::path(tag = "tenants", request_body = SuspendTenant, params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = Tenant, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/tenants/{id}/suspend")]
pub(crate) async fn suspend_tenant(one: One, body: Body<SuspendTenant>) -> Result<HttpResponse, AdminError> {
    let reason = body.value.reason;
    if reason.trim().is_empty() || reason.chars().count() > 200 {
        return Err(AdminError::field("reason", "must have 1 to 200 characters"));
    }
    one.change::<tenant::Entity>("suspend", async |_, row| {
        row.suspended_at = Some(row.suspended_at.unwrap_or_else(|| stored(OffsetDateTime::now_utc())));
        row.suspended_reason = Some(reason);
        Ok(())
    })
    .await
}

/// Takes a suspension back.
#[utoipa::path(tag = "tenants", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = Tenant, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/tenants/{id}/resume")]
pub(crate) async fn resume_tenant(one: One) -> Result<HttpResponse, AdminError> {
    one.change::<tenant::Entity>("resume", async |_, row| {
        row.suspended_at = None;
        row.suspended_reason = None;
        Ok(())
    })
    .await
}

/// What the configuration declares of a tenant stays; suspended it may be all the same.
fn is_not_declared(row: &tenant::Model) -> Result<(), AdminError> {
    if row.managed_by == "file" { Err(AdminError::managed_by_file()) } else { Ok(()) }
}

pub(super) fn check_name(name: &str) -> Result<(), AdminError> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if begins && name.len() <= MAX_NAME_BYTES && name.chars().all(is_allowed) {
        return Ok(());
    }
    let detail =
        format!("must be 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` or `.`, beginning with a letter or digit");
    Err(AdminError::field("name", detail))
}
