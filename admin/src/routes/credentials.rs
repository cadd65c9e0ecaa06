//! `/api/v1/providers/{id}/credentials`: written, never read.

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::providers::{CreateCredential, Credential, ListCredentials, UpdateCredential};
use dialects::registry::{self, AuthStyle};
use domain::ids::{CredentialId, ProviderId};
use domain::provider::ProviderKind;
use domain::seal;
use entities::{Id, provider, provider_credential};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::resource::{self, owner};
use crate::repositories::{credentials, stored};
use crate::resource::{One, created, lock_unversioned};
use crate::{Control, sealing};

/// Credentials of one provider.
const MAX_CREDENTIALS: u64 = 100;
const MAX_LABEL_CHARS: usize = 64;
const MAX_SECRET_BYTES: usize = 16 * 1024;
const MAX_WEIGHT: u32 = 1_000_000;
/// Least characters of a credential whose end is shown.
const MIN_SHOWN_CHARS: usize = 16;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_credentials)
        .service(create_credential)
        .service(get_credential)
        .service(update_credential)
        .service(delete_credential);
}

/// The credentials of a provider, without themselves.
#[utoipa::path(tag = "providers", params(("id" = uuid::Uuid, Path), ListCredentials), responses(
    (status = 200, description = "One page", body = Page<Credential>),
    (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/providers/{id}/credentials")]
pub(crate) async fn list_credentials(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    list: Query<ListCredentials>,
) -> Result<HttpResponse, AdminError> {
    let provider = readable(&control.database, &actor, id.0).await?;
    Ok(HttpResponse::Ok().json(credentials::list(&control.database, provider.id, &list.0).await?))
}

/// Keeps a credential. It is sealed, and shown to nobody again.
#[utoipa::path(tag = "providers", request_body = CreateCredential,
    params(("id" = uuid::Uuid, Path), ("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Kept", body = Credential, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The label is taken, or the configuration declares the provider", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/providers/{id}/credentials")]
pub(crate) async fn create_credential(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    key: Idempotency,
    body: Body<CreateCredential>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    check_label(&asked.label)?;
    check_weight(asked.weight)?;
    if asked.max_concurrent == Some(0) {
        return Err(AdminError::field("max_concurrent", "must be above 0, or absent for no bound"));
    }
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        let provider = lock_unversioned::<provider::Entity>(transaction, &actor, id.0).await?;
        if credentials::count(transaction, provider.id).await? >= MAX_CREDENTIALS {
            let detail = format!("A provider has at most {MAX_CREDENTIALS} credentials.");
            return Err(AdminError::conflict("too_many_credentials", detail));
        }
        let now = stored(OffsetDateTime::now_utc());
        let mut row = provider_credential::Model {
            id: Id(Uuid::now_v7()),
            provider_id: provider.id,
            tenant_id: provider.tenant_id,
            label: asked.label,
            sealed: Vec::new(),
            last4: String::new(),
            fingerprint: String::new(),
            weight: asked.weight.into(),
            max_concurrent: asked.max_concurrent.map(i64::from),
            enabled: asked.enabled,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        keep(&control, transaction, &provider, &mut row, &asked.secret).await?;
        let row = resource::insert(transaction, row).await?;
        let path = format!("/api/v1/providers/{}/credentials", provider.id);
        created::<provider_credential::Entity>(transaction, &actor, row, &path).await
    })
    .await
}

/// One credential, without itself.
#[utoipa::path(tag = "providers", params(("id" = uuid::Uuid, Path), ("credential" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The credential", body = Credential, headers(("ETag" = String))),
    (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/providers/{id}/credentials/{credential}")]
pub(crate) async fn get_credential(one: One) -> Result<HttpResponse, AdminError> {
    let db = &one.control.database;
    let provider = readable(db, &one.actor, one.id.0).await?;
    let row = credentials::of(provider.id, credential_id(&one)?).one(db).await?.ok_or(AdminError::NotFound)?;
    one.answer::<provider_credential::Entity>(db, row).await
}

/// Changes a credential, or puts another one in its place.
#[utoipa::path(tag = "providers", request_body = UpdateCredential,
    params(("id" = uuid::Uuid, Path), ("credential" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Credential, headers(("ETag" = String))),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The label is taken, or the configuration declares the provider", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/providers/{id}/credentials/{credential}")]
pub(crate) async fn update_credential(one: One, body: Body<UpdateCredential>) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    let transaction = one.control.begin().await?;
    let (provider, row) = lock(&one, &transaction).await?;
    let row = one.write::<provider_credential::Entity>(&transaction, "update", row, async |transaction, row| {
        edit(&one.control, transaction, &provider, row, asked).await
    });
    let row = row.await?;
    let answer = one.answer::<provider_credential::Entity>(&transaction, row).await?;
    one.commit::<provider_credential::Entity>(transaction).await?;
    Ok(answer)
}

/// Removes a credential.
#[utoipa::path(tag = "providers",
    params(("id" = uuid::Uuid, Path), ("credential" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The configuration declares the provider", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/providers/{id}/credentials/{credential}")]
pub(crate) async fn delete_credential(one: One) -> Result<HttpResponse, AdminError> {
    let transaction = one.control.begin().await?;
    let (_, row) = lock(&one, &transaction).await?;
    one.erase::<provider_credential::Entity>(&transaction, row).await?;
    one.commit::<provider_credential::Entity>(transaction).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A provider whose credentials the caller may see: the platform's are shown to its administrators alone.
async fn readable(db: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<provider::Model, AdminError> {
    let row = resource::find::<provider::Entity>(db, actor.scope(), id).await?;
    actor.may_change(owner(row.tenant_id))?;
    Ok(row)
}

/// The credential that a path names, and its provider. Of a provider that the caller may not change no
/// credential is looked for.
async fn lock(
    one: &One,
    transaction: &DatabaseTransaction,
) -> Result<(provider::Model, provider_credential::Model), AdminError> {
    let provider = lock_unversioned::<provider::Entity>(transaction, &one.actor, one.id.0).await?;
    let find = resource::locked(transaction, credentials::of(provider.id, credential_id(one)?));
    let row = find.one(transaction).await?.ok_or(AdminError::NotFound)?;
    one.expects(row.version)?;
    Ok((provider, row))
}

async fn edit(
    control: &Control,
    transaction: &DatabaseTransaction,
    provider: &provider::Model,
    row: &mut provider_credential::Model,
    asked: UpdateCredential,
) -> Result<(), AdminError> {
    if let Some(label) = asked.label {
        check_label(&label)?;
        row.label = label;
    }
    if let Some(weight) = asked.weight {
        check_weight(weight)?;
        row.weight = weight.into();
    }
    if let Some(most) = asked.max_concurrent {
        row.max_concurrent = (most > 0).then_some(most.into());
    }
    row.enabled = asked.enabled.unwrap_or(row.enabled);
    match &asked.secret {
        Some(secret) => keep(control, transaction, provider, row, secret).await,
        None => Ok(()),
    }
}

fn credential_id(one: &One) -> Result<Uuid, AdminError> {
    let text = one.request.match_info().get("credential").unwrap_or_default();
    Uuid::try_parse(text).map_err(|_| AdminError::NotFound)
}

/// Seals a credential for its row, and keeps of it what may be shown.
async fn keep(
    control: &Control,
    transaction: &DatabaseTransaction,
    provider: &provider::Model,
    row: &mut provider_credential::Model,
    secret: &str,
) -> Result<(), AdminError> {
    let secret = secret.trim();
    check_secret(provider, secret)?;
    let tenant = owner(provider.tenant_id);
    let place = seal::credential_binding(CredentialId(row.id.0), ProviderId(provider.id.0), tenant);
    row.sealed = sealing::seal(transaction, &control.secrets.sealing, &place, secret.as_bytes()).await?;
    row.last4 = last4(secret);
    row.fingerprint = seal::fingerprint(&control.secrets.key_pepper, secret);
    Ok(())
}

/// The end of a credential that is long enough to stay a secret without it.
fn last4(secret: &str) -> String {
    let length = secret.chars().count();
    if is_service_account(secret) || length < MIN_SHOWN_CHARS {
        return String::new();
    }
    secret.chars().skip(length - 4).collect()
}

fn is_service_account(secret: &str) -> bool {
    secret.starts_with('{')
}

fn check_secret(provider: &provider::Model, secret: &str) -> Result<(), AdminError> {
    let refuse = |detail: &str| Err(AdminError::field("secret", detail));
    if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
        return refuse("must have 1 to 16384 bytes");
    }
    if !is_service_account(secret) {
        let fits = secret.bytes().all(|byte| byte.is_ascii_graphic());
        return if fits { Ok(()) } else { refuse("must be printable ASCII without spaces, as headers need it") };
    }
    let kind = provider.kind.parse::<ProviderKind>().ok().and_then(registry::provider);
    if !kind.is_some_and(|row| matches!(row.auth, AuthStyle::KeyOrServiceAccount(_))) {
        return refuse("is JSON, which this kind of provider takes no credential in");
    }
    let account: Option<serde_json::Value> = serde_json::from_str(secret).ok();
    let has = |name: &str| account.as_ref().is_some_and(|account| account[name].is_string());
    if has("client_email") && has("private_key") {
        return Ok(());
    }
    refuse("is not the JSON of a service account with client_email and private_key")
}

fn check_label(label: &str) -> Result<(), AdminError> {
    let length = label.chars().count();
    if (1..=MAX_LABEL_CHARS).contains(&length) && !label.chars().any(char::is_control) && label.trim() == label {
        return Ok(());
    }
    Err(AdminError::field("label", format!("must have 1 to {MAX_LABEL_CHARS} characters, without spaces around them")))
}

fn check_weight(weight: u32) -> Result<(), AdminError> {
    if weight <= MAX_WEIGHT {
        return Ok(());
    }
    Err(AdminError::field("weight", format!("must be at most {MAX_WEIGHT}")))
}
