//! `/api/v1/instance`: what the sign-in page must know before anybody has signed in.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use admin_types::instance::{Instance, SignInWays};
use url::Url;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_instance);
}

/// The installation that answers.
#[utoipa::path(tag = "document", security(()), responses(
    (status = 200, description = "Its version, where the gateways are, and how people sign in", body = Instance),
))]
#[get("/api/v1/instance")]
pub(crate) async fn get_instance(control: Data<Control>) -> HttpResponse {
    let oidc = control.settings.oidc.as_ref();
    // People know their identity provider by its address, if by anything.
    let issuer = oidc.and_then(|oidc| Url::parse(&oidc.issuer).ok());
    let oidc_name = issuer.and_then(|issuer| issuer.host_str().map(str::to_owned));
    HttpResponse::Ok().json(Instance {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        gateway_url: control.settings.gateway_url(),
        sign_in: SignInWays { oidc: oidc.is_some(), oidc_name },
    })
}
