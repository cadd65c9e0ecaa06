//! `/api/v1/alerts/rules`

use actix_web::http::header::ETAG;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use admin_types::alerts::{AlertRule, CreateAlertRule, ListAlertRules, MuteAlertRule, UpdateAlertRule};
use admin_types::page::Page;
use admin_types::problem::Problem;
use domain::ids::TenantId;
use entities::{Id, alert_rule};
use sea_orm::DatabaseTransaction;
use time::{Duration, OffsetDateTime};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::check;
use crate::Control;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::etag::{self, IfMatch};
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::repositories::alerts::rules;
use crate::repositories::stored;

/// Minutes of a year.
const MAX_MUTED_MINUTES: u32 = 525_600;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_alert_rules)
        .service(create_alert_rule)
        .service(get_alert_rule)
        .service(update_alert_rule)
        .service(delete_alert_rule)
        .service(mute_alert_rule)
        .service(unmute_alert_rule);
}

/// The rules: all of them for a platform administrator, their tenant's for others.
#[utoipa::path(tag = "alerts", params(ListAlertRules), responses(
    (status = 200, description = "One page", body = Page<AlertRule>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/rules")]
pub(crate) async fn list_alert_rules(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListAlertRules>,
) -> Result<HttpResponse, AdminError> {
    let page = rules::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a rule.
#[utoipa::path(tag = "alerts", request_body = CreateAlertRule,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = AlertRule, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/alerts/rules")]
pub(crate) async fn create_alert_rule(
    control: Data<Control>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateAlertRule>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    check::name(&asked.name)?;
    check::condition(&asked.condition)?;
    check::channel_ids(&asked.channel_ids)?;
    let owner = actor.owner(asked.tenant_id)?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        check::key(transaction, owner, &asked.condition).await?;
        let now = stored(OffsetDateTime::now_utc());
        let mut row = alert_rule::Model {
            id: Id(Uuid::now_v7()),
            tenant_id: owner.map(|tenant| Id(tenant.0)),
            name: asked.name.clone(),
            kind: String::new(),
            parameters: String::new(),
            severity: asked.severity.as_str().to_owned(),
            enabled: asked.enabled,
            muted_until: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        rules::watch(&mut row, &asked.condition)?;
        let row = rules::insert(transaction, row).await?;
        let (id, version) = (row.id, row.version);
        let channels = rules::set_channels(transaction, &row, &asked.channel_ids).await?;
        let shown = rules::view(row, channels)?;
        let change = Change::of("create", "alert_rule", id, owner).after(&shown);
        audit::append(transaction, &actor.by(), change).await?;
        Ok(Created { body: shown, location: format!("/api/v1/alerts/rules/{id}"), version: Some(version) })
    })
    .await
}

/// One rule.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The rule", body = AlertRule, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/rules/{id}")]
pub(crate) async fn get_alert_rule(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
) -> Result<HttpResponse, AdminError> {
    let row = rules::find(&control.database, actor.scope(), id.0, false).await?;
    let version = row.version;
    let mut channels = rules::channels_of(&control.database, std::iter::once(row.id)).await?;
    let channels = channels.remove(&row.id).unwrap_or_default();
    Ok(show(version, &rules::view(row, channels)?))
}

/// Changes a rule. Its alerts follow at the next look.
#[utoipa::path(tag = "alerts", request_body = UpdateAlertRule,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = AlertRule, headers(("ETag" = String))),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/alerts/rules/{id}")]
pub(crate) async fn update_alert_rule(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
    body: Body<UpdateAlertRule>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    asked.name.as_deref().map_or(Ok(()), check::name)?;
    asked.condition.as_ref().map_or(Ok(()), check::condition)?;
    asked.channel_ids.as_deref().map_or(Ok(()), check::channel_ids)?;
    let changing = Changing { control: &control, actor: &actor, id, request: &request, action: "update" };
    change(changing, async |transaction, row| {
        if let Some(condition) = &asked.condition {
            check::key(transaction, row.tenant_id.map(|id| TenantId(id.0)), condition).await?;
            rules::watch(row, condition)?;
        }
        if let Some(channels) = &asked.channel_ids {
            rules::set_channels(transaction, row, channels).await?;
        }
        row.name = asked.name.unwrap_or_else(|| row.name.clone());
        row.severity = asked.severity.map_or_else(|| row.severity.clone(), |severity| severity.as_str().to_owned());
        row.enabled = asked.enabled.unwrap_or(row.enabled);
        Ok(())
    })
    .await
}

/// Removes a rule. Its alerts stay known; those that fire are over, and nobody is told.
#[utoipa::path(tag = "alerts",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/alerts/rules/{id}")]
pub(crate) async fn delete_alert_rule(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let expected = IfMatch::of(&request)?;
    let transaction = control.begin().await?;
    let row = rules::find(&transaction, actor.scope(), id.0, true).await?;
    expected.check(row.version)?;
    let (row_id, owner) = (row.id, row.tenant_id.map(|id| TenantId(id.0)));
    let channels = rules::channels_of(&transaction, std::iter::once(row_id)).await?.remove(&row_id);
    let before = rules::view(row, channels.unwrap_or_default())?;
    rules::delete(&transaction, row_id).await?;
    let change = Change::of("delete", "alert_rule", row_id, owner).before(&before);
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Mutes a rule: it is looked at, and nobody is told. What still fires when that ends is told then.
#[utoipa::path(tag = "alerts", request_body = MuteAlertRule, params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = AlertRule, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/alerts/rules/{id}/mute")]
pub(crate) async fn mute_alert_rule(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
    body: Body<MuteAlertRule>,
) -> Result<HttpResponse, AdminError> {
    let until = match body.value {
        MuteAlertRule::Until { until } => until,
        MuteAlertRule::Minutes { minutes } if (1..=MAX_MUTED_MINUTES).contains(&minutes) => {
            OffsetDateTime::now_utc() + Duration::minutes(minutes.into())
        }
        MuteAlertRule::Minutes { .. } => {
            return Err(AdminError::field("minutes", format!("must be from 1 to {MAX_MUTED_MINUTES}")));
        }
    };
    let changing = Changing { control: &control, actor: &actor, id, request: &request, action: "mute" };
    change(changing, async |_, row| {
        row.muted_until = Some(stored(until));
        Ok(())
    })
    .await
}

/// Lets a rule be heard again.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = AlertRule, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/alerts/rules/{id}/unmute")]
pub(crate) async fn unmute_alert_rule(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let changing = Changing { control: &control, actor: &actor, id, request: &request, action: "unmute" };
    change(changing, async |_, row| {
        row.muted_until = None;
        Ok(())
    })
    .await
}

/// Who changes which rule.
struct Changing<'a> {
    control: &'a Control,
    actor: &'a Actor,
    id: PathId,
    request: &'a HttpRequest,
    action: &'static str,
}

/// Changes one rule in one transaction, with its audit entry.
async fn change(
    changing: Changing<'_>,
    edit: impl AsyncFnOnce(&DatabaseTransaction, &mut alert_rule::Model) -> Result<(), AdminError>,
) -> Result<HttpResponse, AdminError> {
    let Changing { control, actor, id, request, action } = changing;
    let expected = IfMatch::of(request)?;
    let transaction = control.begin().await?;
    let mut row = rules::find(&transaction, actor.scope(), id.0, true).await?;
    expected.check(row.version)?;
    let channels = rules::channels_of(&transaction, std::iter::once(row.id)).await?.remove(&row.id);
    let before = rules::view(row.clone(), channels.unwrap_or_default())?;
    edit(&transaction, &mut row).await?;
    let row = rules::update(&transaction, row, OffsetDateTime::now_utc()).await?;
    let (version, owner) = (row.version, row.tenant_id.map(|id| TenantId(id.0)));
    let channels = rules::channels_of(&transaction, std::iter::once(row.id)).await?.remove(&row.id);
    let after = rules::view(row, channels.unwrap_or_default())?;
    let change = Change::of(action, "alert_rule", id.0, owner).before(&before).after(&after);
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    Ok(show(version, &after))
}

fn show(version: i64, rule: &AlertRule) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag::tag(version))).json(rule)
}
