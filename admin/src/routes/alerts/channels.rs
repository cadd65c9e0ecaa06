//! `/api/v1/alerts/channels`

use std::time::Instant;

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, patch, post};
use admin_types::alerts::{AlertChannel, AlertChannelTest, CreateAlertChannel, ListAlertChannels, UpdateAlertChannel};
use admin_types::page::Page;
use admin_types::problem::Problem;
use entities::alert_channel;
use serde_json::json;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use super::check;
use crate::Control;
use crate::alerts::Alerts;
use crate::audit::Change;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::idempotency::{self, Idempotency};
use crate::repositories::alerts::{channels, deliveries};
use crate::repositories::resource::{self, Resource, owner};
use crate::repositories::tenants;
use crate::resource::{One, created};
use crate::routes::provider_tests;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_alert_channels)
        .service(create_alert_channel)
        .service(get_alert_channel)
        .service(update_alert_channel)
        .service(delete_alert_channel)
        .service(test_alert_channel);
}

/// The channels: all of them for a platform administrator, their tenant's for others.
#[utoipa::path(tag = "alerts", params(ListAlertChannels), responses(
    (status = 200, description = "One page", body = Page<AlertChannel>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/channels")]
pub(crate) async fn list_alert_channels(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListAlertChannels>,
) -> Result<HttpResponse, AdminError> {
    let page = channels::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Makes a channel.
#[utoipa::path(tag = "alerts", request_body = CreateAlertChannel,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Makes it once, however often it is asked")),
    responses(
        (status = 201, description = "Made", body = AlertChannel, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "The name is taken, the owner has as many as it may, or no mail server is configured", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/alerts/channels")]
pub(crate) async fn create_alert_channel(
    control: Data<Control>,
    alerts: Data<Alerts>,
    actor: Actor,
    key: Idempotency,
    body: Body<CreateAlertChannel>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    check::name(&asked.name)?;
    let owner = actor.owner(asked.tenant_id)?;
    check::settings(&asked.settings, owner, alerts.has_mail())?;
    idempotency::create(&control, &actor, &key, body.digest, async |transaction| {
        tenants::check_owner(transaction, owner).await?;
        check::room::<alert_channel::Entity>(transaction, owner, alert_channel::Column::TenantId).await?;
        let mut row = channels::new_row(asked.name.clone(), owner, asked.enabled, OffsetDateTime::now_utc());
        channels::lead(transaction, &mut row, asked.settings, &control.secrets.sealing).await?;
        let row = resource::insert(transaction, row).await?;
        created::<alert_channel::Entity>(transaction, &actor, row, "/api/v1/alerts/channels").await
    })
    .await
}

/// One channel.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The channel", body = AlertChannel, headers(("ETag" = String))),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/alerts/channels/{id}")]
pub(crate) async fn get_alert_channel(one: One) -> Result<HttpResponse, AdminError> {
    one.show::<alert_channel::Entity>().await
}

/// Changes a channel.
#[utoipa::path(tag = "alerts", request_body = UpdateAlertChannel,
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 200, description = "As it is now", body = AlertChannel, headers(("ETag" = String))),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or no mail server is configured", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
#[patch("/api/v1/alerts/channels/{id}")]
pub(crate) async fn update_alert_channel(
    alerts: Data<Alerts>,
    one: One,
    body: Body<UpdateAlertChannel>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    asked.name.as_deref().map_or(Ok(()), check::name)?;
    one.change::<alert_channel::Entity>("update", async |transaction, row| {
        if let Some(settings) = asked.settings {
            check::settings(&settings, owner(row.tenant_id), alerts.has_mail())?;
            channels::lead(transaction, row, settings, &one.control.secrets.sealing).await?;
        }
        row.name = asked.name.unwrap_or_else(|| row.name.clone());
        row.enabled = asked.enabled.unwrap_or(row.enabled);
        Ok(())
    })
    .await
}

/// Removes a channel with the messages that were sent to it.
#[utoipa::path(tag = "alerts",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this version")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
#[delete("/api/v1/alerts/channels/{id}")]
pub(crate) async fn delete_alert_channel(one: One) -> Result<HttpResponse, AdminError> {
    one.remove::<alert_channel::Entity>(async |_, _| Ok(())).await
}

/// Sends a test message now, once, and tells how it fared. A channel that is switched off is tried too.
#[utoipa::path(tag = "alerts", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "How it fared", body = AlertChannelTest),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many tests within a minute", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/alerts/channels/{id}/test")]
pub(crate) async fn test_alert_channel(
    control: Data<Control>,
    alerts: Data<Alerts>,
    actor: Actor,
    id: PathId,
) -> Result<HttpResponse, AdminError> {
    let channel = resource::find::<alert_channel::Entity>(&control.database, actor.scope(), id.0).await?;
    let what = json!({ "name": channel.name, "kind": channel.kind });
    let change = Change::of("test", alert_channel::Entity::KIND, channel.id, owner(channel.tenant_id));
    provider_tests::note(&control, &actor, change.after(&what)).await?;
    let message = deliveries::test(&channel, OffsetDateTime::now_utc())?;
    let delivery_id = message.id.0;
    let begun = Instant::now();
    let outcome = alerts.send(&channel, &message.payload, OffsetDateTime::now_utc()).await;
    let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    deliveries::insert_tried(&control.database, message, &outcome, OffsetDateTime::now_utc()).await?;
    Ok(HttpResponse::Ok().json(AlertChannelTest {
        delivered: outcome.error.is_none(),
        delivery_id,
        http_status: outcome.http_status,
        error: outcome.error,
        answer: outcome.answer,
        latency_ms,
    }))
}
