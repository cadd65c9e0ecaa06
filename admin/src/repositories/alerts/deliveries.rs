//! Messages to channels.

use admin_types::alerts::{AlertDelivery, AlertMessage, DeliveryStatus, ListAlertDeliveries, MessageKind};
use admin_types::page::Page;
use entities::alert_delivery::{ActiveModel, Column, Entity, Model};
use entities::{Id, alert_channel, alert_event};
use sea_orm::{ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Scope, stored};
use super::events;
use crate::alerts::Outcome;
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown.
pub(crate) fn view(row: Model) -> AlertDelivery {
    AlertDelivery {
        id: row.id.0,
        alert_id: row.event_id.map(|id| id.0),
        channel_id: row.channel_id.0,
        tenant_id: row.tenant_id.map(|id| id.0),
        event: MessageKind::named(&row.message).unwrap_or(MessageKind::Test),
        status: DeliveryStatus::named(&row.status).unwrap_or(DeliveryStatus::Failed),
        attempts: row.attempts,
        http_status: row.http_status.and_then(|status| status.try_into().ok()),
        error: row.error,
        answer: row.answer,
        next_attempt_at: row.next_attempt_at,
        created_at: row.created_at,
        delivered_at: row.delivered_at,
    }
}

/// A message of which nothing was sent yet.
fn new_row(message: &AlertMessage, channel: Id, tenant: Option<Id>) -> Result<Model, DbErr> {
    let payload = serde_json::to_string(message).map_err(|error| DbErr::Custom(error.to_string()))?;
    Ok(Model {
        id: Id(message.id),
        event_id: message.alert.as_ref().map(|alert| Id(alert.id)),
        channel_id: channel,
        tenant_id: tenant,
        message: message.event.as_str().to_owned(),
        payload,
        attempts: 0,
        status: DeliveryStatus::Pending.as_str().to_owned(),
        http_status: None,
        error: None,
        answer: None,
        next_attempt_at: Some(message.created_at),
        created_at: message.created_at,
        delivered_at: None,
    })
}

fn message(event: MessageKind, alert: Option<&alert_event::Model>, now: OffsetDateTime) -> Result<AlertMessage, DbErr> {
    let alert = alert.map(|row| events::view(row.clone())).transpose()?;
    Ok(AlertMessage { id: Uuid::now_v7(), event, created_at: stored(now), alert })
}

/// Writes a message of an alert for each of these channels, to be sent once the transaction stands.
///
/// # Errors
/// The database's.
pub(crate) async fn enqueue(
    db: &impl ConnectionTrait,
    alert: &alert_event::Model,
    event: MessageKind,
    channels: &[Id],
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    for channel in channels {
        let row = new_row(&message(event, Some(alert), now)?, *channel, alert.tenant_id)?;
        Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(db).await?;
    }
    Ok(())
}

/// A test message, not written anywhere yet.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn test(channel: &alert_channel::Model, now: OffsetDateTime) -> Result<Model, DbErr> {
    new_row(&message(MessageKind::Test, None, now)?, channel.id, channel.tenant_id)
}

/// Writes down how a test message fared.
///
/// # Errors
/// The database's.
pub(crate) async fn insert_tried(
    db: &impl ConnectionTrait,
    mut row: Model,
    outcome: &Outcome,
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    let status = if outcome.error.is_none() { DeliveryStatus::Delivered } else { DeliveryStatus::Failed };
    row.status = status.as_str().to_owned();
    row.attempts = 1;
    row.http_status = outcome.http_status.map(i32::from);
    row.error.clone_from(&outcome.error);
    row.answer.clone_from(&outcome.answer);
    row.next_attempt_at = None;
    row.delivered_at = outcome.error.is_none().then_some(stored(now));
    Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(db).await.map(drop)
}

/// One page of the messages that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAlertDeliveries,
) -> Result<Page<AlertDelivery>, AdminError> {
    let sort = list.sort.unwrap_or_default().as_str();
    let position = Position::new(list.limit, list.cursor.as_deref(), sort, None)?;
    let asked = Condition::all()
        .add_option(list.tenant_id.map(|tenant| Column::TenantId.eq(Id(tenant))))
        .add_option(list.alert_id.map(|alert| Column::EventId.eq(Id(alert))))
        .add_option(list.channel_id.map(|channel| Column::ChannelId.eq(Id(channel))))
        .add_option(list.status.map(|status| Column::Status.eq(status.as_str())));
    let select = Entity::find().filter(scope.own(Column::TenantId)).filter(asked);
    Ok(position.page(db, select, Column::Id).await?.map(view))
}
