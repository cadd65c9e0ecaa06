//! `/api/v1/tokens`: personal access tokens.

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::role::Role;
use admin_types::tokens::{CreateToken, CreatedToken, ListTokens, Token};
use domain::ids::TenantId;
use domain::key::{ACCESS_TOKEN_PREFIX, KeyHash, format_as};
use entities::{Id, access_token};
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::repositories::access_tokens::{self, Reach};
use crate::repositories::{stored, tenants};
use crate::{Control, random};

const MAX_NAME: usize = 200;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_tokens).service(create_token).service(get_token).service(delete_token);
}

/// The caller's tokens; for an administrator, those of the users whom they manage too. A token sees of its user's
/// those that may do no more than it.
#[utoipa::path(tag = "tokens", params(ListTokens), responses(
    (status = 200, description = "One page", body = Page<Token>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/tokens")]
pub(crate) async fn list_tokens(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListTokens>,
) -> Result<HttpResponse, AdminError> {
    let page = access_tokens::list(&control.database, reach(&actor), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a token for the caller, who must have signed in: a token makes no tokens.
#[utoipa::path(tag = "tokens", request_body = CreateToken,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made; the token is shown this once", body = CreatedToken, headers(("Location" = String))),
        (status = 403, description = "Not with a personal access token", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for something else", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/tokens")]
pub(crate) async fn create_token(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateToken>,
) -> Result<HttpResponse, AdminError> {
    actor.signed_in()?;
    let asked = body.value;
    let (role, tenant) = narrowed(&actor, &asked)?;
    check(&asked)?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        tenants::check_owner(transaction, tenant).await?;
        let token = format_as(ACCESS_TOKEN_PREFIX, random()?);
        let row = access_token::Model {
            id: Id(Uuid::now_v7()),
            user_id: Id(actor.user),
            name: asked.name,
            hash: KeyHash::of(&control.secrets.token_pepper, &token).0.to_vec(),
            redacted: redacted(&token),
            role: role.as_str().to_owned(),
            tenant_id: tenant.map(|tenant| Id(tenant.0)),
            expires_at: asked.expires_at.map(stored),
            last_used_at: None,
            revoked_at: None,
            created_at: stored(OffsetDateTime::now_utc()),
        };
        let about = access_tokens::view(&access_tokens::insert(transaction, row).await?)?;
        let change = Change::of("create", "token", about.id, actor.tenant).after(&about);
        audit::append(transaction, &actor.by(), change).await?;
        let location = format!("/api/v1/tokens/{}", about.id);
        Ok(Created { body: CreatedToken { about, token }, location, version: None })
    })
    .await
}

/// One token, without its secret.
#[utoipa::path(tag = "tokens", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The token", body = Token),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/tokens/{id}")]
pub(crate) async fn get_token(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    let row = access_tokens::find(&control.database, reach(&actor), id.0).await?;
    Ok(HttpResponse::Ok().json(access_tokens::view(&row)?))
}

/// Removes a token, which is refused from then on.
#[utoipa::path(tag = "tokens", params(("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "Removed"),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[delete("/api/v1/tokens/{id}")]
pub(crate) async fn delete_token(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    let transaction = control.begin().await?;
    let row = access_tokens::find(&transaction, reach(&actor), id.0).await?;
    access_tokens::delete(&transaction, row.id).await?;
    let tenant = row.tenant_id.map(|id| TenantId(id.0));
    let change = Change::of("delete", "token", row.id, tenant).before(&access_tokens::view(&row)?);
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

fn reach(actor: &Actor) -> Reach {
    let narrowed = actor.token.map(|_| (actor.role, actor.tenant));
    Reach { user: actor.user, narrowed, manages: (actor.role >= Role::TenantAdmin).then(|| actor.scope()) }
}

/// What a new token may do: no more than the caller.
fn narrowed(actor: &Actor, asked: &CreateToken) -> Result<(Role, Option<TenantId>), AdminError> {
    let role = asked.role.unwrap_or(actor.role);
    if role > actor.role {
        return Err(AdminError::field("role", format!("is above your own, {}", actor.role.as_str())));
    }
    let tenant = actor.owner(asked.tenant_id)?;
    match (role, tenant) {
        (Role::PlatformAdmin, Some(_)) => {
            Err(AdminError::field("role", "must be a tenant's where the token is bound to one"))
        }
        (Role::TenantAdmin | Role::TenantViewer, None) => {
            Err(AdminError::field("tenant_id", "is needed for a role of a tenant"))
        }
        _ => Ok((role, tenant)),
    }
}

fn check(asked: &CreateToken) -> Result<(), AdminError> {
    let length = asked.name.chars().count();
    if length == 0 || length > MAX_NAME {
        return Err(AdminError::field("name", format!("must have 1 to {MAX_NAME} characters")));
    }
    if asked.expires_at.is_some_and(|at| at <= OffsetDateTime::now_utc()) {
        return Err(AdminError::field("expires_at", "is over already"));
    }
    Ok(())
}

/// `pat-ap-…` and the last four characters.
fn redacted(token: &str) -> String {
    let last: Vec<char> = token.chars().rev().take(4).collect();
    format!("{ACCESS_TOKEN_PREFIX}…{}", last.into_iter().rev().collect::<String>())
}
