//! `/api/v1/voices`: one voice name on every provider. They are the platform's, and every tenant's to use.

use std::collections::BTreeMap;

use actix_web::http::header::ETAG;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use admin_types::page::Page;
use admin_types::problem::{FieldProblem, Problem};
use admin_types::voices::{ListVoices, MAX_ENTRIES, MAX_NAME_CHARS, PutVoice, Voice};
use domain::provider::ProviderKind;
use entities::voice;
use sea_orm::DatabaseTransaction;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::etag::{self, IfMatch};
use crate::extract::{Body, Query};
use crate::repositories::{models, voices};
use crate::{Control, publish};

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_voices).service(get_voice).service(put_voice).service(delete_voice);
}

/// The voices.
#[utoipa::path(tag = "voices", params(ListVoices), responses(
    (status = 200, description = "One page", body = Page<Voice>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/voices")]
pub(crate) async fn list_voices(
    control: Data<Control>,
    _actor: Actor,
    list: Query<ListVoices>,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(voices::list(&control.database, &list.0).await?))
}

/// One voice.
#[utoipa::path(tag = "voices", params(("name" = String, Path)), responses(
    (status = 200, description = "The voice", body = Voice, headers(("ETag" = String))),
    (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/voices/{name}")]
pub(crate) async fn get_voice(
    control: Data<Control>,
    _actor: Actor,
    name: Path<String>,
) -> Result<HttpResponse, AdminError> {
    let found = if is_name(&name) { voices::find(&control.database, &name, false).await? } else { None };
    show(HttpResponse::Ok(), found.ok_or(AdminError::NotFound)?)
}

/// Makes a voice, or says anew what it means.
#[utoipa::path(tag = "voices", request_body = PutVoice,
    params(("name" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = Voice, headers(("ETag" = String))),
        (status = 201, description = "Made", body = Voice, headers(("ETag" = String))),
        (status = 409, description = "The configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile, or not there yet", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[put("/api/v1/voices/{name}")]
pub(crate) async fn put_voice(
    control: Data<Control>,
    actor: Actor,
    name: Path<String>,
    request: HttpRequest,
    body: Body<PutVoice>,
) -> Result<HttpResponse, AdminError> {
    if !is_name(&name) {
        let detail = format!("must be 1 to {MAX_NAME_CHARS} characters without control characters");
        return Err(AdminError::field("name", detail));
    }
    let expected = IfMatch::of(&request)?;
    let transaction = control.begin().await?;
    let found = voices::find(&transaction, &name, true).await?;
    expected.check_any(found.as_ref().map(|found| found.version))?;
    let before = found.clone().map(changeable).transpose()?;
    check(&transaction, &body.value.map).await?;
    let row = voices::put(&transaction, found, &name, &body.value.map).await?;
    let mut change = Change::of(if before.is_some() { "update" } else { "create" }, "voice", &*name, None);
    if let Some(before) = &before {
        change = change.before(before);
    }
    audit::append(&transaction, &actor.by(), change.after(&voices::view(row.clone())?)).await?;
    publish::announce(&transaction).await?;
    control.commit(transaction).await?;
    show(if before.is_some() { HttpResponse::Ok() } else { HttpResponse::Created() }, row)
}

/// Removes a voice.
#[utoipa::path(tag = "voices",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The configuration file declares it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/voices/{name}")]
pub(crate) async fn delete_voice(
    control: Data<Control>,
    actor: Actor,
    name: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let expected = IfMatch::of(&request)?;
    if !is_name(&name) {
        return Err(AdminError::NotFound);
    }
    let transaction = control.begin().await?;
    let row = voices::find(&transaction, &name, true).await?.ok_or(AdminError::NotFound)?;
    expected.check(row.version)?;
    let before = changeable(row)?;
    voices::delete(&transaction, &name).await?;
    let change = Change::of("delete", "voice", &*name, None).before(&before);
    audit::append(&transaction, &actor.by(), change).await?;
    publish::announce(&transaction).await?;
    control.commit(transaction).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What it was, where it may be changed here.
fn changeable(row: voice::Model) -> Result<Voice, AdminError> {
    if row.managed_by == "file" {
        return Err(AdminError::managed_by_file());
    }
    voices::view(row)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control)
}

/// # Errors
/// 422 with every entry at fault, or the database's.
async fn check(transaction: &DatabaseTransaction, map: &BTreeMap<String, String>) -> Result<(), AdminError> {
    if map.is_empty() || map.len() > MAX_ENTRIES {
        return Err(AdminError::field("map", format!("must have 1 to {MAX_ENTRIES} entries")));
    }
    let providers = models::provider_names(transaction, None).await?;
    let mut problems = Vec::new();
    for (provider, voice) in map {
        let field = || format!("map.{provider}");
        if !providers.contains(provider) && provider.parse::<ProviderKind>().is_err() {
            let detail = "there is no such provider, and no such kind".to_owned();
            problems.push(FieldProblem { field: field(), detail });
        }
        if !is_name(voice) {
            let detail = format!("must be 1 to {MAX_NAME_CHARS} characters without control characters");
            problems.push(FieldProblem { field: field(), detail });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(AdminError::Invalid(problems)) }
}

fn show(mut response: actix_web::HttpResponseBuilder, row: voice::Model) -> Result<HttpResponse, AdminError> {
    let tag = etag::tag(row.version);
    Ok(response.insert_header((ETAG, tag)).json(voices::view(row)?))
}
