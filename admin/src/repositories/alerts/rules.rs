//! What is watched.

use std::collections::HashMap;

use admin_types::alerts::{AlertKind, AlertRule, Condition, ListAlertRules, Severity};
use admin_types::page::Page;
use entities::alert_rule::{ActiveModel, Column, Entity, Model};
use entities::{Id, alert_channel, alert_rule_channel};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Scope, contains, stored};
use super::{narrowed, order};
use crate::error::AdminError;
use crate::paging::{Key, Position};

/// A row as it is shown.
///
/// # Errors
/// Its condition is none.
pub(crate) fn view(row: Model, channel_ids: Vec<Uuid>) -> Result<AlertRule, AdminError> {
    let condition: Condition = serde_json::from_str(&row.parameters).map_err(|error| AdminError::internal(&error))?;
    Ok(AlertRule {
        id: row.id.0,
        tenant_id: row.tenant_id.map(|id| id.0),
        name: row.name,
        condition,
        severity: Severity::named(&row.severity).unwrap_or(Severity::Warning),
        enabled: row.enabled,
        muted_until: row.muted_until,
        channel_ids,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Lets a row watch something.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn watch(row: &mut Model, condition: &Condition) -> Result<(), AdminError> {
    let kind: AlertKind = condition.kind();
    row.kind = kind.as_str().to_owned();
    row.parameters = serde_json::to_string(condition).map_err(|error| AdminError::internal(&error))?;
    Ok(())
}

/// One page of the rules that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAlertRules,
) -> Result<Page<AlertRule>, AdminError> {
    let (sort, by_name, descending) = order(list.sort.unwrap_or_default());
    let position = Position::new(list.limit, list.cursor.as_deref(), sort, descending)?;
    let Some(scope) = narrowed(scope, list.tenant_id) else {
        return Ok(Page { data: Vec::new(), next_cursor: None });
    };
    let mut select = Entity::find().filter(scope.own(Column::TenantId));
    if let Some(text) = &list.q {
        select = select.filter(contains(Column::Name, text));
    }
    if let Some(kind) = list.kind {
        select = select.filter(Column::Kind.eq(kind.as_str()));
    }
    let column = by_name.then_some(Column::Name);
    let rows = position.apply(select, column, Column::Id).all(db).await?;
    let mut channels = channels_of(db, rows.iter().map(|row| row.id)).await?;
    let key = |row: &Model| (if by_name { Key::Text(row.name.clone()) } else { Key::Id }, row.id.0);
    let page = position.page(rows, key, |row| {
        let channels = channels.remove(&row.id).unwrap_or_default();
        view(row, channels)
    });
    let data = page.data.into_iter().collect::<Result<_, _>>()?;
    Ok(Page { data, next_cursor: page.next_cursor })
}

/// The channels of these rules.
///
/// # Errors
/// The database's.
pub(crate) async fn channels_of(
    db: &impl ConnectionTrait,
    rules: impl Iterator<Item = Id>,
) -> Result<HashMap<Id, Vec<Uuid>>, DbErr> {
    use alert_rule_channel::{Column, Entity};
    let rows = Entity::find()
        .filter(Column::RuleId.is_in(rules))
        .order_by_asc(Column::RuleId)
        .order_by_asc(Column::ChannelId)
        .all(db)
        .await?;
    let mut channels: HashMap<Id, Vec<Uuid>> = HashMap::new();
    for row in rows {
        channels.entry(row.rule_id).or_default().push(row.channel_id.0);
    }
    Ok(channels)
}

/// The channels of a rule that are switched on.
///
/// # Errors
/// The database's.
pub(crate) async fn enabled_channels(db: &impl ConnectionTrait, rule: Id) -> Result<Vec<Id>, DbErr> {
    let ids = channels_of(db, std::iter::once(rule)).await?.remove(&rule).unwrap_or_default();
    alert_channel::Entity::find()
        .select_only()
        .column(alert_channel::Column::Id)
        .filter(alert_channel::Column::Id.is_in(ids.into_iter().map(Id)))
        .filter(alert_channel::Column::Enabled.eq(true))
        .order_by_asc(alert_channel::Column::Id)
        .into_tuple()
        .all(db)
        .await
}

/// Lets a rule be told through these channels and no others.
///
/// # Errors
/// The database's; 422 for a channel that is not of the rule's owner, as for one that is not there.
pub(crate) async fn set_channels(
    db: &impl ConnectionTrait,
    rule: &Model,
    channels: &[Uuid],
) -> Result<Vec<Uuid>, AdminError> {
    let mut wanted = channels.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let owner = match rule.tenant_id {
        Some(tenant) => alert_channel::Column::TenantId.eq(tenant),
        None => alert_channel::Column::TenantId.is_null(),
    };
    let there: Vec<Id> = alert_channel::Entity::find()
        .select_only()
        .column(alert_channel::Column::Id)
        .filter(alert_channel::Column::Id.is_in(wanted.iter().copied().map(Id)))
        .filter(owner)
        .into_tuple()
        .all(db)
        .await?;
    if let Some(index) = channels.iter().position(|channel| !there.contains(&Id(*channel))) {
        return Err(AdminError::field(format!("channel_ids[{index}]"), "the rule's owner has no such channel"));
    }
    alert_rule_channel::Entity::delete_many().filter(alert_rule_channel::Column::RuleId.eq(rule.id)).exec(db).await?;
    let rows = wanted
        .iter()
        .map(|channel| alert_rule_channel::ActiveModel { rule_id: Set(rule.id), channel_id: Set(Id(*channel)) });
    if !wanted.is_empty() {
        alert_rule_channel::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(wanted)
}

/// One rule that the caller may see. Locked until the transaction ends, where it is for a change.
///
/// # Errors
/// The database's, [`AdminError::NotFound`].
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
    for_change: bool,
) -> Result<Model, AdminError> {
    let mut find = Entity::find_by_id(Id(id)).filter(scope.own(Column::TenantId));
    if for_change && db.get_database_backend() == DbBackend::Postgres {
        find = find.lock_exclusive();
    }
    find.one(db).await?.ok_or(AdminError::NotFound)
}

/// Makes a rule.
///
/// # Errors
/// The database's; the name is taken.
pub(crate) async fn insert(db: &impl ConnectionTrait, row: Model) -> Result<Model, DbErr> {
    ActiveModel::from(row).reset_all().insert(db).await
}

/// Writes what has changed of a row and raises its version.
///
/// # Errors
/// The database's; the name is taken.
pub(crate) async fn update(db: &impl ConnectionTrait, mut row: Model, now: OffsetDateTime) -> Result<Model, DbErr> {
    row.version += 1;
    row.updated_at = stored(now);
    ActiveModel::from(row).reset_all().update(db).await
}

/// Removes a rule. Its alerts stay known.
///
/// # Errors
/// The database's.
pub(crate) async fn delete(db: &impl ConnectionTrait, id: Id) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await.map(drop)
}
