//! `/api/v1/providers/{id}/credentials`: written, never read.

use actix_web::http::header::ETAG;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::providers::{CreateCredential, Credential, ListCredentials, UpdateCredential};
use dialects::registry::{self, AuthStyle};
use domain::ids::{CredentialId, ProviderId};
use domain::provider::ProviderKind;
use domain::seal;
use entities::{Id, provider, provider_credential};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::providers::changeable;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::etag::{self, IfMatch};
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::repositories::{credentials, providers, stored};
use crate::{Control, publish, random};

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
        let provider = changeable(transaction, &actor, id.0).await?;
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
        keep(&control, &provider, &mut row, &asked.secret)?;
        let row = credentials::insert(transaction, row).await?;
        credentials::check_sealing(transaction, control.secrets.sealing.key_id()).await?;
        let (id, version) = (row.id, row.version);
        let shown = credentials::view(row);
        let change = Change::of("create", "credential", id, providers::owner(&provider)).after(&shown);
        audit::append(transaction, &actor.by(), change).await?;
        publish::announce(transaction).await?;
        let location = format!("/api/v1/providers/{}/credentials/{id}", provider.id);
        Ok(Created { body: shown, location, version: Some(version) })
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
pub(crate) async fn get_credential(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let provider = readable(&control.database, &actor, id.0).await?;
    Ok(show(credentials::find(&control.database, provider.id, credential_id(&request)?, false).await?))
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
pub(crate) async fn update_credential(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
    body: Body<UpdateCredential>,
) -> Result<HttpResponse, AdminError> {
    let expected = IfMatch::of(&request)?;
    let transaction = control.begin().await?;
    let provider = changeable(&transaction, &actor, id.0).await?;
    let mut row = credentials::find(&transaction, provider.id, credential_id(&request)?, true).await?;
    expected.check(row.version)?;
    let before = credentials::view(row.clone());
    let asked = body.value;
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
    if let Some(secret) = &asked.secret {
        keep(&control, &provider, &mut row, secret)?;
    }
    let row = credentials::update(&transaction, row, OffsetDateTime::now_utc()).await?;
    if asked.secret.is_some() {
        credentials::check_sealing(&transaction, control.secrets.sealing.key_id()).await?;
    }
    let change = Change::of("update", "credential", row.id, providers::owner(&provider))
        .before(&before)
        .after(&credentials::view(row.clone()));
    audit::append(&transaction, &actor.by(), change).await?;
    publish::announce(&transaction).await?;
    control.commit(transaction).await?;
    Ok(show(row))
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
pub(crate) async fn delete_credential(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let expected = IfMatch::of(&request)?;
    let transaction = control.begin().await?;
    let provider = changeable(&transaction, &actor, id.0).await?;
    let row = credentials::find(&transaction, provider.id, credential_id(&request)?, true).await?;
    expected.check(row.version)?;
    credentials::delete(&transaction, row.id).await?;
    let change = Change::of("delete", "credential", row.id, providers::owner(&provider));
    audit::append(&transaction, &actor.by(), change.before(&credentials::view(row))).await?;
    publish::announce(&transaction).await?;
    control.commit(transaction).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A provider whose credentials the caller may see: the platform's are shown to its administrators alone.
async fn readable(db: &impl ConnectionTrait, actor: &Actor, id: Uuid) -> Result<provider::Model, AdminError> {
    let row = providers::find(db, actor.scope(), id, false).await?;
    actor.may_change(providers::owner(&row))?;
    Ok(row)
}

fn credential_id(request: &HttpRequest) -> Result<Uuid, AdminError> {
    let text = request.match_info().get("credential").unwrap_or_default();
    Uuid::try_parse(text).map_err(|_| AdminError::NotFound)
}

/// Seals a credential for its row, and keeps of it what may be shown.
fn keep(
    control: &Control,
    provider: &provider::Model,
    row: &mut provider_credential::Model,
    secret: &str,
) -> Result<(), AdminError> {
    let secret = secret.trim();
    check_secret(provider, secret)?;
    let tenant = providers::owner(provider);
    let place = seal::credential_binding(CredentialId(row.id.0), ProviderId(provider.id.0), tenant);
    row.sealed = control.secrets.sealing.seal(secret.as_bytes(), &place, random()?);
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

fn show(row: provider_credential::Model) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag::tag(row.version))).json(credentials::view(row))
}
