//! `/api/v1/providers`

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::providers::{CreateProvider, DeleteProvider, ListProviders, Provider, UpdateProvider};
use dialects::address;
use dialects::registry;
use domain::ids::TenantId;
use domain::provider::ProviderKind;
use entities::{Id, provider};
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::tenants::check_name;
use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::resource::{self, owner};
use crate::repositories::{credentials, providers, stored, tenants};
use crate::resource::{One, created};

const MAX_REGION_CHARS: usize = 64;
const MAX_URL_BYTES: usize = 2048;
/// Names of routes that a refusal lists.
const MAX_NAMED: usize = 5;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_providers)
        .service(create_provider)
        .service(get_provider)
        .service(update_provider)
        .service(delete_provider);
}

/// The providers that the caller may use: the platform's, and their tenant's own.
#[utoipa::path(tag = "providers", params(ListProviders), responses(
    (status = 200, description = "One page", body = Page<Provider>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/providers")]
pub(crate) async fn list_providers(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListProviders>,
) -> Result<HttpResponse, AdminError> {
    let page = providers::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a provider. Its credentials are given to it afterwards.
#[utoipa::path(tag = "providers", request_body = CreateProvider,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = Provider, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/providers")]
pub(crate) async fn create_provider(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateProvider>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    check_name(&asked.name)?;
    let tenant = actor.owner(asked.tenant_id)?;
    let kind = check_kind(&asked.kind)?;
    let given = asked.base_url.as_deref().or_else(|| registry::provider(kind).and_then(|row| row.base_url));
    let given = given.ok_or_else(|| AdminError::field("base_url", "must be given for this kind"))?;
    let base_url = check_address(given, asked.allow_insecure, tenant)?;
    let now = stored(OffsetDateTime::now_utc());
    let row = provider::Model {
        id: Id(Uuid::now_v7()),
        tenant_id: tenant.map(|tenant| Id(tenant.0)),
        name: asked.name,
        kind: kind.as_str().to_owned(),
        base_url,
        region: asked.region.map(check_region).transpose()?.flatten(),
        allow_insecure: asked.allow_insecure,
        enabled: asked.enabled,
        managed_by: "api".to_owned(),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        tenants::check_owner(transaction, tenant).await?;
        let row = resource::insert(transaction, row).await?;
        created::<provider::Entity>(transaction, &actor, row, "/api/v1/providers").await
    })
    .await
}

/// One provider.
#[utoipa::path(tag = "providers", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The provider", body = Provider, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/providers/{id}")]
pub(crate) async fn get_provider(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<provider::Entity>().await
}

/// Changes a provider.
#[utoipa::path(tag = "providers", request_body = UpdateProvider,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Provider, headers(("ETag" = String))),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, the configuration declares it, or its credentials are another host's", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/providers/{id}")]
pub(crate) async fn update_provider(one: One, body: Body<UpdateProvider>) -> Result<HttpResponse, AdminError> {
    one.change::<provider::Entity>("update", async |transaction, row| {
        let before = row.clone();
        edit(row, body.value)?;
        check_credentials_stay(transaction, &before, row).await
    })
    .await
}

/// Removes a provider with its credentials. What was used there stays in the ledger.
#[utoipa::path(tag = "providers",
    params(("id" = uuid::Uuid, Path), DeleteProvider, ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Routes name it, or the configuration declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/providers/{id}")]
pub(crate) async fn delete_provider(one: One, asked: Query<DeleteProvider>) -> Result<HttpResponse, AdminError> {
    one.remove::<provider::Entity>(async |transaction, row| {
        if asked.0.force { Ok(()) } else { check_unnamed(providers::routes_to(transaction, row).await?) }
    })
    .await
}

fn edit(row: &mut provider::Model, asked: UpdateProvider) -> Result<(), AdminError> {
    if let Some(name) = asked.name {
        check_name(&name)?;
        row.name = name;
    }
    if let Some(region) = asked.region {
        row.region = check_region(region)?;
    }
    row.enabled = asked.enabled.unwrap_or(row.enabled);
    row.allow_insecure = asked.allow_insecure.unwrap_or(row.allow_insecure);
    let base_url = asked.base_url.as_deref().unwrap_or(&row.base_url);
    row.base_url = check_address(base_url, row.allow_insecure, owner(row.tenant_id))?;
    Ok(())
}

/// Whoever may change an address could have the credentials sent there, which are shown to nobody.
async fn check_credentials_stay(
    transaction: &DatabaseTransaction,
    before: &provider::Model,
    row: &provider::Model,
) -> Result<(), AdminError> {
    if address::same_server(&before.base_url, &row.base_url) || credentials::count(transaction, row.id).await? == 0 {
        return Ok(());
    }
    let detail = "Its credentials were given for another server: remove them first, and give them again afterwards.";
    Err(AdminError::conflict("credentials_in_place", detail))
}

fn check_unnamed(routes: Vec<String>) -> Result<(), AdminError> {
    if routes.is_empty() {
        return Ok(());
    }
    let named = routes.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = if routes.len() > MAX_NAMED { " and others" } else { "" };
    let detail = format!("The models {named}{more} have targets there. `force=true` removes it all the same.");
    Err(AdminError::conflict("named_by_routes", detail))
}

fn check_kind(kind: &str) -> Result<ProviderKind, AdminError> {
    let known = kind.parse::<ProviderKind>().ok().filter(|kind| registry::provider(*kind).is_some());
    let known = known.ok_or_else(|| AdminError::field("kind", "is no kind of provider that is known here"))?;
    if registry::provider(known).is_some_and(|row| row.in_process) {
        return Err(AdminError::field("kind", "runs in the gateway itself, which has it already"));
    }
    Ok(known)
}

fn check_address(text: &str, allow_insecure: bool, tenant: Option<TenantId>) -> Result<String, AdminError> {
    if allow_insecure && tenant.is_some() {
        return Err(AdminError::field("allow_insecure", "is the platform's alone"));
    }
    if text.len() > MAX_URL_BYTES {
        return Err(AdminError::field("base_url", format!("must have at most {MAX_URL_BYTES} bytes")));
    }
    address::base_url(text, allow_insecure).map_err(|error| {
        let detail = error.to_string();
        AdminError::field("base_url", detail.strip_prefix("base_url ").unwrap_or(&detail))
    })
}

fn check_region(region: String) -> Result<Option<String>, AdminError> {
    if region.chars().count() > MAX_REGION_CHARS || region.chars().any(char::is_control) {
        return Err(AdminError::field("region", format!("must have at most {MAX_REGION_CHARS} characters")));
    }
    Ok(Some(region).filter(|region| !region.is_empty()))
}
