//! `/api/v1/keys`

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::keys::{
    CreateKey, DEFAULT_OVERLAP_SECONDS, KeyUsage, KeyWithSecret, ListKeys, MAX_OVERLAP_SECONDS, RevokeKey, RotateKey,
    UpdateKey, VirtualKey,
};
use admin_types::page::Page;
use admin_types::problem::Problem;
use entities::virtual_key;
use time::{Duration, OffsetDateTime};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::keys::policy::{self, Policy};
use crate::keys::{self as virtual_keys, Secret};
use crate::repositories::{keys, resource, stored, tenants};
use crate::resource::One;
use crate::{Control, publish};

/// Characters of a reason.
const MAX_REASON_CHARS: usize = 200;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(super::bulk_keys::create_keys)
        .service(list_keys)
        .service(create_key)
        .service(get_key)
        .service(update_key)
        .service(delete_key)
        .service(rotate_key)
        .service(revoke_key)
        .service(get_key_usage);
}

/// The keys: all of them for a platform administrator, their tenant's for others.
#[utoipa::path(tag = "keys", params(ListKeys), responses(
    (status = 200, description = "One page", body = Page<VirtualKey>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/keys")]
pub(crate) async fn list_keys(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListKeys>,
) -> Result<HttpResponse, AdminError> {
    let page = keys::list(&control.database, actor.scope(), &list.0, OffsetDateTime::now_utc()).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a key. Its secret is shown this once.
#[utoipa::path(tag = "keys", request_body = CreateKey,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = KeyWithSecret, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "Viewers make none, and `passthrough` is the platform's to grant", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for something else", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/keys")]
pub(crate) async fn create_key(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateKey>,
) -> Result<HttpResponse, AdminError> {
    let now = OffsetDateTime::now_utc();
    let owner = actor.owner(body.value.tenant_id)?;
    let tenant = owner.ok_or_else(|| AdminError::field("tenant_id", "a key needs a tenant"))?;
    let policy = Policy::of(body.value, now).map_err(AdminError::Invalid)?;
    policy.check_granted(&actor, None)?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        tenants::check_owner(transaction, owner).await?;
        let secret = Secret::new(&control.secrets)?;
        let row = virtual_keys::row(&control.secrets, tenant, policy, &secret, now)?;
        keys::insert(transaction, std::slice::from_ref(&row)).await?;
        let (id, version) = (row.id, row.version);
        let key = keys::view(row, now)?;
        let change = Change::of("create", "key", id, Some(tenant)).after(&key);
        audit::append(transaction, &actor.by(), change).await?;
        publish::announce(transaction).await?;
        let body = KeyWithSecret { key, secret: secret.text };
        Ok(Created { body, location: format!("/api/v1/keys/{id}"), version: Some(version) })
    })
    .await
}

/// One key.
#[utoipa::path(tag = "keys", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The key", body = VirtualKey, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/keys/{id}")]
pub(crate) async fn get_key(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<virtual_key::Entity>().await
}

/// Changes a key. What it has spent already counts against a new budget.
#[utoipa::path(tag = "keys", request_body = UpdateKey,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = VirtualKey, headers(("ETag" = String))),
        (status = 403, description = "Viewers change none, and `passthrough` is the platform's to grant", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is revoked, or the configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/keys/{id}")]
pub(crate) async fn update_key(one: One, body: Body<UpdateKey>) -> Result<HttpResponse, AdminError> {
    let policy = Policy::changed(body.value, OffsetDateTime::now_utc()).map_err(AdminError::Invalid)?;
    one.change::<virtual_key::Entity>("update", async |_, row| {
        virtual_keys::is_not_revoked(row)?;
        policy.check_granted(&one.actor, Some(row))?;
        policy.write(row)
    })
    .await
}

/// Removes a key: it is revoked for good and shown no more. What it has used stays in the ledger.
#[utoipa::path(tag = "keys",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "Viewers remove none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/keys/{id}")]
pub(crate) async fn delete_key(one: One) -> Result<HttpResponse, AdminError> {
    one.change::<virtual_key::Entity>("delete", async |_, row| {
        let now = OffsetDateTime::now_utc();
        virtual_keys::revoke(row, "deleted", now);
        row.deleted_at = Some(stored(now));
        Ok(())
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives a key another secret, which is shown this once. Everything else stays: its id, its limits, what it
/// has spent. The old secret is valid for a while longer; one that an earlier rotation replaced ends now.
#[utoipa::path(tag = "keys", request_body = RotateKey,
    params(
        ("id" = uuid::Uuid, Path),
        ("If-Match" = Option<String>, Header, description = "Only if it is still this version"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "Replaces it once, however often it is asked"),
    ),
    responses(
        (status = 201, description = "The new secret", body = KeyWithSecret, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "Viewers rotate none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is revoked, or the configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/keys/{id}/rotate")]
pub(crate) async fn rotate_key(one: One, key: Idempotency, body: Body<RotateKey>) -> Result<HttpResponse, AdminError> {
    let seconds = body.value.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS);
    if seconds > MAX_OVERLAP_SECONDS {
        return Err(AdminError::field("overlap_seconds", format!("must be from 0 to {MAX_OVERLAP_SECONDS}")));
    }
    let overlap = Duration::seconds(seconds.into());
    idempotency::create(&one.control, &one.actor, &key, body.digest, async |transaction| {
        let now = OffsetDateTime::now_utc();
        let secret = Secret::new(&one.control.secrets)?;
        let row = one.lock::<virtual_key::Entity>(transaction).await?;
        let row = one.write::<virtual_key::Entity>(transaction, "rotate", row, async |_, row| {
            virtual_keys::is_not_revoked(row)?;
            virtual_keys::rotate(&one.control.secrets, row, &secret, overlap, now);
            Ok(())
        });
        let row = row.await?;
        let (location, version) = (format!("/api/v1/keys/{}", row.id), row.version);
        let body = KeyWithSecret { key: keys::view(row, now)?, secret: secret.text };
        Ok(Created { body, location, version: Some(version) })
    })
    .await
}

/// Revokes a key for good: new requests are refused and its live sessions ended within seconds, on every
/// gateway.
#[utoipa::path(tag = "keys", request_body = RevokeKey,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = VirtualKey, headers(("ETag" = String))),
        (status = 403, description = "Viewers revoke none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is revoked already, or the configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/keys/{id}/revoke")]
pub(crate) async fn revoke_key(one: One, body: Body<RevokeKey>) -> Result<HttpResponse, AdminError> {
    let reason = body.value.reason;
    policy::check_text(&reason, MAX_REASON_CHARS).map_err(|detail| AdminError::field("reason", detail))?;
    one.change::<virtual_key::Entity>("revoke", async |_, row| {
        virtual_keys::is_not_revoked(row)?;
        virtual_keys::revoke(row, &reason, OffsetDateTime::now_utc());
        Ok(())
    })
    .await
}

/// What a key has spent in the window of its budget, and what is left, by the ledger. Calls and sessions
/// that run now are reserved in the gateways and are not in it.
#[utoipa::path(tag = "keys", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "Spent and left", body = KeyUsage),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/keys/{id}/usage")]
pub(crate) async fn get_key_usage(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
) -> Result<HttpResponse, AdminError> {
    let row = resource::find::<virtual_key::Entity>(&control.database, actor.scope(), id.0).await?;
    Ok(HttpResponse::Ok().json(keys::usage(&control.database, &row, OffsetDateTime::now_utc()).await?))
}
