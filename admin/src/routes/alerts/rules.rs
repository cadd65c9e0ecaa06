//! `/api/v1/alerts/rules`

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::alerts::{AlertRule, CreateAlertRule, ListAlertRules, MuteAlertRule, UpdateAlertRule};
use admin_types::page::Page;
use admin_types::problem::Problem;
use entities::{Id, alert_rule};
use time::{Duration, OffsetDateTime};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::check;
use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::alerts::rules;
use crate::repositories::resource::{self, owner};
use crate::repositories::{stored, tenants};
use crate::resource::{One, created};

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
        (status = 409, description = "The name is taken, or the owner has as many as it may", body = Problem, content_type = "application/problem+json"),
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
        tenants::check_owner(transaction, owner).await?;
        check::room::<alert_rule::Entity>(transaction, owner, alert_rule::Column::TenantId).await?;
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
        let row = resource::insert(transaction, row).await?;
        rules::set_channels(transaction, &row, &asked.channel_ids).await?;
        created::<alert_rule::Entity>(transaction, &actor, row, "/api/v1/alerts/rules").await
    })
    .await
}

/// One rule.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The rule", body = AlertRule, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/rules/{id}")]
pub(crate) async fn get_alert_rule(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<alert_rule::Entity>().await
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
pub(crate) async fn update_alert_rule(one: One, body: Body<UpdateAlertRule>) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    asked.name.as_deref().map_or(Ok(()), check::name)?;
    asked.condition.as_ref().map_or(Ok(()), check::condition)?;
    asked.channel_ids.as_deref().map_or(Ok(()), check::channel_ids)?;
    one.change::<alert_rule::Entity>("update", async |transaction, row| {
        if let Some(condition) = &asked.condition {
            check::key(transaction, owner(row.tenant_id), condition).await?;
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
pub(crate) async fn delete_alert_rule(one: One) -> Result<HttpResponse, AdminError> {
    one.remove::<alert_rule::Entity>(async |_, _| Ok(())).await
}

/// Mutes a rule: it is looked at, and nobody is told. What still fires when that ends is told then.
#[utoipa::path(tag = "alerts", request_body = MuteAlertRule, params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = AlertRule, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/alerts/rules/{id}/mute")]
pub(crate) async fn mute_alert_rule(one: One, body: Body<MuteAlertRule>) -> Result<HttpResponse, AdminError> {
    one.change::<alert_rule::Entity>("mute", async |_, row| {
        row.muted_until = Some(stored(muted_until(body.value, OffsetDateTime::now_utc())?));
        Ok(())
    })
    .await
}

fn muted_until(asked: MuteAlertRule, now: OffsetDateTime) -> Result<OffsetDateTime, AdminError> {
    match (asked.until, asked.minutes) {
        (Some(_), Some(_)) => Err(AdminError::field("minutes", "must not stand beside `until`")),
        (Some(until), None) if until > now => Ok(until),
        (Some(_), None) => Err(AdminError::field("until", "must lie in the future")),
        (None, Some(minutes)) if (1..=MAX_MUTED_MINUTES).contains(&minutes) => {
            Ok(now + Duration::minutes(minutes.into()))
        }
        (None, Some(_)) => Err(AdminError::field("minutes", format!("must be from 1 to {MAX_MUTED_MINUTES}"))),
        (None, None) => Err(AdminError::field("minutes", "is missing, and so is `until`")),
    }
}

/// Lets a rule be heard again.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "As it is now", body = AlertRule, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/alerts/rules/{id}/unmute")]
pub(crate) async fn unmute_alert_rule(one: One) -> Result<HttpResponse, AdminError> {
    one.change::<alert_rule::Entity>("unmute", async |_, row| {
        row.muted_until = None;
        Ok(())
    })
    .await
}
