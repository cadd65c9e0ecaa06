//! `/api/v1/alerts` and `/api/v1/alerts/deliveries`

use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use admin_types::alerts::{Alert, AlertDelivery, ListAlertDeliveries, ListAlerts};
use admin_types::page::Page;
use admin_types::problem::Problem;
use domain::ids::TenantId;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{PathId, Query};
use crate::repositories::alerts::{deliveries, events};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_alerts).service(list_alert_deliveries).service(get_alert).service(acknowledge_alert);
}

/// The alerts of your rules: those that fire and those that are over.
#[utoipa::path(tag = "alerts", params(ListAlerts), responses(
    (status = 200, description = "One page", body = Page<Alert>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts")]
pub(crate) async fn list_alerts(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListAlerts>,
) -> Result<HttpResponse, AdminError> {
    let page = events::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// What was sent to your channels, and what waits to be: kept for 30 days. A webhook's request has the body
/// `AlertMessage`.
#[utoipa::path(tag = "alerts", params(ListAlertDeliveries), responses(
    (status = 200, description = "One page", body = Page<AlertDelivery>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/deliveries")]
pub(crate) async fn list_alert_deliveries(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListAlertDeliveries>,
) -> Result<HttpResponse, AdminError> {
    let page = deliveries::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// One alert.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The alert", body = Alert),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/{id}")]
pub(crate) async fn get_alert(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    let row = events::find(&control.database, actor.scope(), id.0, false).await?;
    Ok(HttpResponse::Ok().json(events::view(row)?))
}

/// Takes note of an alert: of one that nobody was told of yet nobody is told any more. Done twice, the first
/// time counts.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = Alert),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/alerts/{id}/acknowledge")]
pub(crate) async fn acknowledge_alert(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
) -> Result<HttpResponse, AdminError> {
    let transaction = control.begin().await?;
    let row = events::find(&transaction, actor.scope(), id.0, true).await?;
    if row.acknowledged_at.is_some() {
        return Ok(HttpResponse::Ok().json(events::view(row)?));
    }
    let before = events::view(row.clone())?;
    let row = events::acknowledge(&transaction, row, &actor.email, OffsetDateTime::now_utc()).await?;
    let tenant = row.tenant_id.map(|id| TenantId(id.0));
    let after = events::view(row)?;
    let change = Change::of("acknowledge", "alert", id.0, tenant).before(&before).after(&after);
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    Ok(HttpResponse::Ok().json(after))
}
