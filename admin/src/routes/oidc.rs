//! `/api/v1/auth/oidc`: signing in with an identity provider, by way of the browser.

use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use admin_types::auth::OidcCallback;
use admin_types::problem::Problem;
use std::time::Duration;
use subtle::ConstantTimeEq;
use utoipa_actix_web::service_config::ServiceConfig;

use super::auth::refresh_cookie;
use crate::Control;
use crate::auth::oidc::{self, Failure};
use crate::auth::sessions::{Origin, Tokens};
use crate::auth::{cookies, oidc_users, throttle};
use crate::error::AdminError;
use crate::extract::Query;
use crate::{http, telemetry};

/// Ties an answer to the browser that began the sign-in. Browsers send it along when the provider sends them
/// back, which they do not do with stricter ones.
const STATE: &str = "antiphon_oidc";

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(start_oidc).service(finish_oidc);
}

/// Sends the browser to the identity provider.
#[utoipa::path(tag = "auth", security(()), responses(
    (status = 303, description = "To the identity provider", headers(("Location" = String))),
    (status = 404, description = "No identity provider is configured", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many sign-ins wait", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
    (status = 502, description = "The identity provider does not answer", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/auth/oidc/start")]
pub(crate) async fn start_oidc(control: Data<Control>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let settings = control.settings.oidc.as_ref().ok_or(AdminError::NotFound)?;
    let start = oidc::start(&control, settings, http::address(&request).as_deref()).await?;
    let secure = cookies::must_be_secure(&control.settings, &request);
    let cookie = cookies::set(STATE, &start.state, oidc::PATIENCE, "Lax", secure);
    Ok(to(start.url.as_str()).append_header((SET_COOKIE, cookie)).finish())
}

/// Where the identity provider sends the browser back to. Signed in, it goes on to `/`, else to
/// `/login?error=` and a code.
#[utoipa::path(tag = "auth", security(()), params(OidcCallback), responses(
    (status = 303, description = "To the dashboard, signed in or not", headers(("Location" = String))),
    (status = 404, description = "No identity provider is configured", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/auth/oidc/callback")]
pub(crate) async fn finish_oidc(
    control: Data<Control>,
    request: HttpRequest,
    answer: Query<OidcCallback>,
) -> Result<HttpResponse, AdminError> {
    if control.settings.oidc.is_none() {
        return Err(AdminError::NotFound);
    }
    let secure = cookies::must_be_secure(&control.settings, &request);
    let used = cookies::set(STATE, "", Duration::ZERO, "Lax", secure);
    match signed_in(&control, &request, answer.0).await {
        Ok(tokens) => {
            let mut response = to("/");
            response.append_header((SET_COOKIE, used));
            Ok(response.append_header((SET_COOKIE, refresh_cookie(&control, &request, &tokens))).finish())
        }
        Err(failure) => {
            telemetry::refused_by_oidc(failure.code());
            tracing::warn!(reason = %failure, "a sign-in with the identity provider has failed");
            let location = format!("/login?error={}", failure.code());
            Ok(to(&location).append_header((SET_COOKIE, used)).finish())
        }
    }
}

async fn signed_in(control: &Control, request: &HttpRequest, answer: OidcCallback) -> Result<Tokens, Failure> {
    let settings = control.settings.oidc.as_ref().ok_or(Failure::Internal)?;
    let state = answer.state.unwrap_or_default();
    let of_browser = cookies::read(request, STATE).unwrap_or_default();
    if state.is_empty() || !bool::from(state.as_bytes().ct_eq(of_browser.as_bytes())) {
        return Err(Failure::State);
    }
    if let Some(error) = answer.error {
        // It goes to the log alone, and there as one short line.
        let shown = error.chars().filter(|letter| letter.is_ascii_graphic()).take(60).collect();
        return Err(Failure::Refused(shown));
    }
    let code = answer.code.filter(|code| !code.is_empty()).ok_or(Failure::State)?;
    let identity = oidc::finish(control, settings, &state, code).await?;
    let origin = Origin::of(request);
    let tokens = oidc_users::sign_in(control, settings, identity, &origin).await?;
    throttle::ended_elsewhere(control, origin.address.as_deref()).await?;
    Ok(tokens)
}

fn to(location: &str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, location));
    response
}
