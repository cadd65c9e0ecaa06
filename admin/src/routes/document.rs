//! `/api/v1/openapi.json`

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::openapi::Document;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_document);
}

/// This document.
#[utoipa::path(tag = "document", security(()), responses(
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value),
))]
#[get("/api/v1/openapi.json")]
pub(crate) async fn get_document(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.text.clone())
}
