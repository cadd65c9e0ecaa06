//! `/api/v1/users`

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::users::{CreateUser, InvitedUser, ListUsers, OneTimeLink, UpdateUser, User};
use entities::user;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::repositories::users as rows;
use crate::resource::One;
use crate::users;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_users)
        .service(create_user)
        .service(get_user)
        .service(update_user)
        .service(delete_user)
        .service(reset_password);
}

/// The users: all of them for a platform administrator, their tenant's for its administrators.
#[utoipa::path(tag = "users", params(ListUsers), responses(
    (status = 200, description = "One page", body = Page<User>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/users")]
pub(crate) async fn list_users(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListUsers>,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(rows::list(&control.database, actor.scope(), &list.0).await?))
}

/// Invites somebody: gives a link, once, with which they set their password.
#[utoipa::path(tag = "users", request_body = CreateUser,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Invited; the link is shown this once", body = InvitedUser, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "Platform administrators are made by their like", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is a user of this address", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/users")]
pub(crate) async fn create_user(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateUser>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        let (row, invitation) = users::invite(&control, transaction, &actor, asked).await?;
        let location = format!("/api/v1/users/{}", row.id);
        Ok(Created { body: InvitedUser { user: rows::view(&row)?, invitation }, location, version: Some(row.version) })
    })
    .await
}

/// One user.
#[utoipa::path(tag = "users", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The user", body = User, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/users/{id}")]
pub(crate) async fn get_user(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<user::Entity>().await
}

/// Changes a user. Another role or tenant, or being disabled, ends their sign-ins; another role or tenant removes
/// their one-time links and tokens too.
#[utoipa::path(tag = "users", request_body = UpdateUser,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = User, headers(("ETag" = String))),
        (status = 403, description = "Platform administrators are made by their like", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "They are the last platform administrator", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/users/{id}")]
pub(crate) async fn update_user(one: One, body: Body<UpdateUser>) -> Result<HttpResponse, AdminError> {
    users::change(&one, body.value).await
}

/// Removes a user with their tokens and sign-ins.
#[utoipa::path(tag = "users",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "They are the last platform administrator", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/users/{id}")]
pub(crate) async fn delete_user(one: One) -> Result<HttpResponse, AdminError> {
    users::remove(&one).await
}

/// Makes a link, shown once, with which another user sets a new password. The old one works until then.
#[utoipa::path(tag = "users", params(("id" = uuid::Uuid, Path)), responses(
    (status = 201, description = "The link", body = OneTimeLink),
    (status = 403, description = "Not with a personal access token, nor for oneself", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/users/{id}/reset-password")]
pub(crate) async fn reset_password(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Created().json(users::reset_password(&control, &actor, id.0).await?))
}
