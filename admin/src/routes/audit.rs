//! `/api/v1/audit`

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use admin_types::audit::{AuditEntry, AuditFormat, AuditVerification, ExportAudit, ListAudit};
use admin_types::page::Page;
use admin_types::problem::Problem;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::audit::{export, verify};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{PathId, Query};
use crate::repositories::audit;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    // Before the ids, which are whatever else stands in their place.
    config.service(verify_audit).service(export_audit).service(list_audit).service(get_audit_entry);
}

/// Who changed what, newest first.
#[utoipa::path(tag = "audit", params(ListAudit), responses(
    (status = 200, description = "One page", body = Page<AuditEntry>),
    (status = 403, description = "Viewers do not read it", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/audit")]
pub(crate) async fn list_audit(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListAudit>,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(audit::list(&control.database, actor.scope(), &list.0).await?))
}

/// Walks the chains: every one for a platform administrator, their tenant's own for others. The first bad
/// entry of each is named.
#[utoipa::path(tag = "audit", responses(
    (status = 200, description = "What was found", body = AuditVerification),
    (status = 403, description = "Viewers do not read it", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/audit/verify")]
pub(crate) async fn verify_audit(control: Data<Control>, actor: Actor) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(verify::verify(&control.database, actor.scope()).await?))
}

/// The log as a file, newest first.
#[utoipa::path(tag = "audit", params(ExportAudit), responses(
    (status = 200, description = "Every entry that was asked for", content(
        (String = "text/csv"),
        (Vec<AuditEntry> = "application/json"),
    )),
    (status = 403, description = "Viewers do not read it", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/audit/export")]
pub(crate) async fn export_audit(
    control: Data<Control>,
    actor: Actor,
    asked: Query<ExportAudit>,
) -> Result<HttpResponse, AdminError> {
    let ExportAudit { format, tenant_id, actor: by, action, object_kind, object_id, from, to, q } = asked.0;
    let list = ListAudit { tenant_id, actor: by, action, object_kind, object_id, from, to, q, ..ListAudit::default() };
    let format = format.unwrap_or_default();
    let (kind, name) = match format {
        AuditFormat::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
        AuditFormat::Json => ("application/json", "attachment; filename=\"audit.json\""),
    };
    let stream = export::stream(control.database.clone(), actor.scope(), list, format);
    Ok(HttpResponse::Ok().content_type(kind).insert_header((CONTENT_DISPOSITION, name)).streaming(Box::pin(stream)))
}

/// One entry.
#[utoipa::path(tag = "audit", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The entry", body = AuditEntry),
    (status = 403, description = "Viewers do not read it", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/audit/{id}")]
pub(crate) async fn get_audit_entry(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(audit::find(&control.database, actor.scope(), id.0).await?))
}
