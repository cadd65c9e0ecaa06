//! The OpenAPI document, made of the handlers themselves.

use actix_web::App;
use actix_web::web::Bytes;
use admin_types::alerts::AlertMessage;
use admin_types::problem::Problem;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_actix_web::AppExt;

use crate::routes;

/// The document as it is served.
#[derive(Debug, Clone)]
pub struct Document {
    /// JSON.
    pub text: Bytes,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Antiphon admin API",
        description = "Manages tenants, keys, providers, models, prices, usage and sessions of an Antiphon installation."
    ),
    components(schemas(Problem, AlertMessage)),
    security(("bearer" = []))
)]
struct Base;

/// The document of every route.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) =
        App::new().into_utoipa_app().openapi(Base::openapi()).configure(routes::configure).split_for_parts();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}
