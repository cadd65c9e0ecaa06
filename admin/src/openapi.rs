//! The OpenAPI document, made of the handlers themselves.

use actix_web::App;
use actix_web::web::Bytes;
use admin_types::alerts::AlertMessage;
use admin_types::problem::Problem;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
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
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete(operation);
        }
    }
    document
}

/// What every operation has alike: whatever it does not tell is a problem, and a version is an entity tag.
fn complete(operation: &mut Operation) {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let problem = ResponseBuilder::new()
        .description("Whatever else there is to say, such as 401, 403, 415, 429 or 503")
        .content("application/problem+json", problem);
    operation.responses.responses.entry("default".to_owned()).or_insert(problem.build().into());
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.name == "If-Match" {
            let tag = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r#"^(\*|"[0-9]{1,18}")$"#));
            parameter.schema = Some(tag.into());
        }
    }
}
