//! `/api/v1/auth`: signing in and out, and what callers do with their own account.

use actix_web::http::header::{HeaderValue, SET_COOKIE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use admin_types::auth::{AcceptLink, AccessToken, ChangePassword, ListSignIns, Login, Me, SignIn};
use admin_types::page::Page;
use admin_types::problem::Problem;
use entities::{Id, user};
use std::time::Duration;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::sessions::{self, Origin, Tokens};
use crate::auth::{Actor, bearer, cookies, links, login, signing};
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::repositories::{Scope, refresh_tokens, resource, stored, users};
use crate::telemetry;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(sign_in)
        .service(refresh)
        .service(sign_out)
        .service(accept_link)
        .service(change_password)
        .service(get_me)
        .service(list_sign_ins)
        .service(end_sign_in);
}

/// Signs in with e-mail address and password: gives an access token, and a refresh token in a cookie.
#[utoipa::path(tag = "auth", request_body = Login, security(()), responses(
    (status = 200, description = "Signed in", body = AccessToken),
    (status = 401, description = "The address or the password is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many have failed", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
))]
#[post("/api/v1/auth/login")]
pub(crate) async fn sign_in(
    control: Data<Control>,
    request: HttpRequest,
    body: Body<Login>,
) -> Result<HttpResponse, AdminError> {
    let pepper = &control.secrets.token_pepper;
    let account = login::normalised(&body.value.email);
    let device = cookies::device(pepper, &account, &request);
    let tokens = login::sign_in(&control, &body.value, device, &Origin::of(&request)).await;
    let tokens = tokens.inspect_err(telemetry::refused)?;
    let mut response = HttpResponse::Ok();
    response.append_header((SET_COOKIE, refresh_cookie(&control, &request, &tokens)));
    if device.is_none() {
        let secure = cookies::must_be_secure(&control.settings, &request);
        response.append_header((SET_COOKIE, cookies::known_device(pepper, &account, secure)?));
    }
    Ok(response.json(answer(tokens.access)))
}

/// Gives the next access token for the refresh token in the cookie, which is exchanged for the next one.
#[utoipa::path(tag = "auth", security(()),
    params(("x-antiphon-refresh" = String, Header, description = "`1`: that a page of another site has not asked")),
    responses(
        (status = 200, description = "Still signed in", body = AccessToken),
        (status = 401, description = "Not signed in any more", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The header is missing", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another tab has just done so; try again", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/auth/refresh")]
pub(crate) async fn refresh(control: Data<Control>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    if !cookies::is_confirmed(&request) {
        return Err(AdminError::Forbidden(format!("The header {} must be 1.", cookies::CONFIRMATION)));
    }
    let token = cookies::read(&request, cookies::REFRESH).ok_or(AdminError::Unauthenticated)?;
    let tokens = sessions::refresh(&control, token, &Origin::of(&request)).await?;
    let cookie = refresh_cookie(&control, &request, &tokens);
    Ok(HttpResponse::Ok().append_header((SET_COOKIE, cookie)).json(answer(tokens.access)))
}

/// Signs out: the sign-in of the access token, and the one of the cookie, are void at once.
#[utoipa::path(tag = "auth", security((), ("bearer" = [])),
    params(("x-antiphon-refresh" = Option<String>, Header, description = "`1`: that the cookie may be used")),
    responses((status = 204, description = "Signed out, or was not signed in")))]
#[post("/api/v1/auth/logout")]
pub(crate) async fn sign_out(control: Data<Control>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let origin = Origin::of(&request);
    if let Some(token) = bearer(&request)
        && let Some(claims) = signing::verify(&control, token).await?
    {
        sessions::end(&control, Id(claims.sub), claims.sid, |user| origin.by(user)).await?;
    }
    let cookie = cookies::read(&request, cookies::REFRESH).filter(|_| cookies::is_confirmed(&request));
    if let Some(token) = cookie
        && let Some((user, session)) = sessions::owner(&control, token).await?
    {
        sessions::end(&control, user, session, |user| origin.by(user)).await?;
    }
    let secure = cookies::must_be_secure(&control.settings, &request);
    let gone = cookies::set(cookies::REFRESH, "", Duration::ZERO, "Strict", secure);
    Ok(HttpResponse::NoContent().append_header((SET_COOKIE, gone)).finish())
}

/// Sets a password with the token of a one-time link: of an invitation, or of a reset. Then one signs in.
#[utoipa::path(tag = "auth", request_body = AcceptLink, security(()), responses(
    (status = 204, description = "The password is set, and every sign-in of before is void"),
    (status = 422, description = "The link or the password cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many sign in at this moment", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
))]
#[post("/api/v1/auth/accept")]
pub(crate) async fn accept_link(
    control: Data<Control>,
    request: HttpRequest,
    body: Body<AcceptLink>,
) -> Result<HttpResponse, AdminError> {
    links::accept(&control, &body.value.token, &body.value.password, &Origin::of(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Changes the caller's password. Their other sign-ins are void then; this one goes on with a new access
/// token.
#[utoipa::path(tag = "auth", request_body = ChangePassword, responses(
    (status = 200, description = "Changed", body = AccessToken),
    (status = 403, description = "Not with a personal access token", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The old password is wrong or the new one cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many have failed", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
))]
#[post("/api/v1/auth/password")]
pub(crate) async fn change_password(
    control: Data<Control>,
    actor: Actor,
    request: HttpRequest,
    body: Body<ChangePassword>,
) -> Result<HttpResponse, AdminError> {
    let session = actor.signed_in()?;
    let device = cookies::device(&control.secrets.token_pepper, &login::normalised(&actor.email), &request);
    let asked = &body.value;
    let access = login::change_password(&control, &actor, session, asked, device, &Origin::of(&request)).await?;
    Ok(HttpResponse::Ok().json(answer(access)))
}

/// The caller, and what they may do.
#[utoipa::path(tag = "auth", responses((status = 200, description = "The caller", body = Me)))]
#[get("/api/v1/auth/me")]
pub(crate) async fn get_me(control: Data<Control>, actor: Actor) -> Result<HttpResponse, AdminError> {
    let user = resource::find::<user::Entity>(&control.database, Scope::All, actor.user).await?;
    Ok(HttpResponse::Ok().json(Me {
        user: users::view(&user)?,
        role: actor.role,
        tenant_id: actor.tenant.map(|tenant| tenant.0),
        session_id: actor.session,
        token_id: actor.token,
    }))
}

/// Where the caller is signed in, the newest first.
#[utoipa::path(tag = "auth", params(ListSignIns), responses(
    (status = 200, description = "One page", body = Page<SignIn>),
    (status = 403, description = "Not with a personal access token", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/auth/sessions")]
pub(crate) async fn list_sign_ins(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListSignIns>,
) -> Result<HttpResponse, AdminError> {
    let session = actor.signed_in()?;
    let user = resource::find::<user::Entity>(&control.database, Scope::All, actor.user).await?;
    let now = stored(OffsetDateTime::now_utc());
    let page = refresh_tokens::list(&control.database, &user, session, &list.0, now).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Ends one of the caller's sign-ins.
#[utoipa::path(tag = "auth", params(("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "Ended"),
    (status = 403, description = "Not with a personal access token", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none of the caller's", body = Problem, content_type = "application/problem+json"),
))]
#[delete("/api/v1/auth/sessions/{id}")]
pub(crate) async fn end_sign_in(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    actor.signed_in()?;
    if !sessions::end(&control, Id(actor.user), id.0, |_| actor.by()).await? {
        return Err(AdminError::NotFound);
    }
    Ok(HttpResponse::NoContent().finish())
}

fn answer(access_token: String) -> AccessToken {
    AccessToken { access_token, token_type: "Bearer".to_owned(), expires_in: signing::LIFETIME.as_secs() }
}

pub(crate) fn refresh_cookie(control: &Control, request: &HttpRequest, tokens: &Tokens) -> HeaderValue {
    let secure = cookies::must_be_secure(&control.settings, request);
    cookies::set(cookies::REFRESH, &tokens.refresh, tokens.lifetime, "Strict", secure)
}
