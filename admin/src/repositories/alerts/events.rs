//! Alerts that were raised.

use admin_types::alerts::{Alert, AlertKind, AlertState, ListAlerts, Severity};
use admin_types::page::Page;
use entities::alert_event::{ActiveModel, Column, Entity, Model};
use entities::{Id, alert_rule};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    QueryOrder,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::resource::locked;
use super::super::{Scope, is_there, stored, unreadable};
use crate::alerts::Reading;
use crate::alerts::message::summary;
use crate::error::AdminError;
use crate::paging::Position;

/// It has not lasted long enough to fire. Nobody sees it yet.
const PENDING: &str = "pending";

/// A row as it is shown.
///
/// # Errors
/// The row holds what no version of this program writes there.
pub(crate) fn view(row: Model) -> Result<Alert, DbErr> {
    let decimal = |column: &str, text: &str| text.parse::<Decimal>().map_err(|_| unreadable(column));
    let kind = AlertKind::named(&row.kind).ok_or_else(|| unreadable("alert_events.kind"))?;
    let value = decimal("alert_events.value", &row.value)?;
    let threshold = decimal("alert_events.threshold", &row.threshold)?;
    Ok(Alert {
        id: row.id.0,
        rule_id: row.rule_id.0,
        rule_name: row.rule_name,
        tenant_id: row.tenant_id.map(|id| id.0),
        kind,
        severity: Severity::named(&row.severity).ok_or_else(|| unreadable("alert_events.severity"))?,
        state: AlertState::named(&row.state).ok_or_else(|| unreadable("alert_events.state"))?,
        subject: row.subject,
        summary: summary(kind, &row.subject_name, value, threshold),
        subject_name: row.subject_name,
        value,
        threshold,
        unit: kind.unit(),
        started_at: row.started_at,
        resolved_at: row.resolved_at,
        notified_at: row.notified_at,
        acknowledged_by: row.acknowledged_by,
        acknowledged_at: row.acknowledged_at,
    })
}

/// Whether it fires.
pub(crate) fn is_firing(row: &Model) -> bool {
    row.state == AlertState::Firing.as_str()
}

/// The alerts that the caller may see.
fn visible(scope: Scope) -> Condition {
    scope.own(Column::TenantId).add(Column::State.ne(PENDING))
}

/// One page of the alerts that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAlerts,
) -> Result<Page<Alert>, AdminError> {
    let sort = list.sort.unwrap_or_default().as_str();
    let position = Position::new(list.limit, list.cursor.as_deref(), sort, None)?;
    let asked = Condition::all()
        .add_option(list.tenant_id.map(|tenant| Column::TenantId.eq(Id(tenant))))
        .add_option(list.state.map(|state| Column::State.eq(state.as_str())))
        .add_option(list.severity.map(|severity| Column::Severity.eq(severity.as_str())))
        .add_option(list.kind.map(|kind| Column::Kind.eq(kind.as_str())))
        .add_option(list.rule_id.map(|rule| Column::RuleId.eq(Id(rule))))
        .add_option(is_there(Column::AcknowledgedAt, list.acknowledged));
    let select = Entity::find().filter(visible(scope)).filter(asked);
    Ok(position.page(db, select, Column::Id).await?.try_map(view)?)
}

/// One alert that the caller may see. Locked until the transaction ends, where it is for a change.
///
/// # Errors
/// The database's, [`AdminError::NotFound`].
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
    for_change: bool,
) -> Result<Model, AdminError> {
    let find = Entity::find_by_id(Id(id)).filter(visible(scope));
    let find = if for_change { locked(db, find) } else { find };
    find.one(db).await?.ok_or(AdminError::NotFound)
}

/// Writes that somebody has taken note.
///
/// # Errors
/// The database's.
pub(crate) async fn acknowledge(
    db: &impl ConnectionTrait,
    row: Model,
    by: &str,
    now: OffsetDateTime,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        id: Set(row.id),
        acknowledged_by: Set(Some(by.to_owned())),
        acknowledged_at: Set(Some(stored(now))),
        ..Default::default()
    };
    row.update(db).await
}

/// Every alert that is not resolved.
///
/// # Errors
/// The database's.
pub(crate) async fn open(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::State.ne(AlertState::Resolved.as_str())).all(db).await
}

/// Those of one rule.
///
/// # Errors
/// The database's.
pub(crate) async fn open_of(db: &impl ConnectionTrait, rule: Id) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RuleId.eq(rule))
        .filter(Column::State.ne(AlertState::Resolved.as_str()))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Begins one.
///
/// # Errors
/// The database's; the rule has an open one of this subject.
pub(crate) async fn begin(
    db: &impl ConnectionTrait,
    rule: &alert_rule::Model,
    reading: &Reading,
    threshold: Decimal,
    firing: bool,
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    let state = if firing { AlertState::Firing.as_str() } else { PENDING };
    let row = Model {
        id: Id(Uuid::now_v7()),
        rule_id: rule.id,
        rule_name: rule.name.clone(),
        tenant_id: rule.tenant_id,
        kind: rule.kind.clone(),
        severity: rule.severity.clone(),
        subject: reading.subject.clone(),
        subject_name: reading.name.clone(),
        state: state.to_owned(),
        value: reading.value.normalize().to_string(),
        threshold: threshold.normalize().to_string(),
        started_at: stored(now),
        notified_at: None,
        resolved_at: None,
        acknowledged_by: None,
        acknowledged_at: None,
    };
    Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(db).await.map(drop)
}

/// Lets one fire that has lasted long enough.
///
/// # Errors
/// The database's.
pub(crate) async fn fire(db: &impl ConnectionTrait, id: Id, value: Decimal) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(id),
        state: Set(AlertState::Firing.as_str().to_owned()),
        value: Set(value.normalize().to_string()),
        ..Default::default()
    };
    row.update(db).await.map(drop)
}

/// Ends one. One that never fired is removed, and nothing is given.
///
/// # Errors
/// The database's.
pub(crate) async fn close(db: &impl ConnectionTrait, row: &Model, now: OffsetDateTime) -> Result<Option<Model>, DbErr> {
    if !is_firing(row) {
        Entity::delete_by_id(row.id).exec(db).await?;
        return Ok(None);
    }
    let row = ActiveModel {
        id: Set(row.id),
        state: Set(AlertState::Resolved.as_str().to_owned()),
        resolved_at: Set(Some(stored(now))),
        ..Default::default()
    };
    row.update(db).await.map(Some)
}

/// Writes that the channels were told that it fires.
///
/// # Errors
/// The database's.
pub(crate) async fn mark_told(db: &impl ConnectionTrait, row: Model, now: OffsetDateTime) -> Result<Model, DbErr> {
    let row = ActiveModel { id: Set(row.id), notified_at: Set(Some(stored(now))), ..Default::default() };
    row.update(db).await
}
