//! What is watched.

use std::collections::HashMap;

use admin_types::alerts::{AlertKind, AlertRule, AlertSort, Condition, ListAlertRules, Severity};
use admin_types::page::Page;
use entities::alert_rule::{Column, Entity, Model};
use entities::{Id, alert_channel, alert_rule_channel};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::resource::{Head, Resource, owner};
use super::super::{Scope, contains, unreadable};
use crate::error::AdminError;
use crate::paging::Position;

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
        severity: Severity::named(&row.severity).ok_or_else(|| unreadable("alert_rules.severity"))?,
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

impl Resource for Entity {
    const KIND: &'static str = "alert_rule";
    const ANNOUNCED: bool = false;
    type View = AlertRule;

    fn visible(scope: Scope) -> sea_orm::Condition {
        scope.own(Column::TenantId)
    }

    fn head(row: &Model) -> Head {
        Head { id: row.id, owner: owner(row.tenant_id), version: row.version, is_declared: false }
    }

    fn renew(row: &mut Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = now;
    }

    async fn view(db: &impl ConnectionTrait, row: Model, _: Scope) -> Result<AlertRule, AdminError> {
        let channels = channels_of(db, std::iter::once(row.id)).await?.remove(&row.id).unwrap_or_default();
        view(row, channels)
    }
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
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, AlertSort::Name | AlertSort::NameDescending).then_some(Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = sea_orm::Condition::all()
        .add_option(list.tenant_id.map(|tenant| Column::TenantId.eq(Id(tenant))))
        .add_option(list.q.as_deref().map(|text| contains(Column::Name, text)))
        .add_option(list.kind.map(|kind| Column::Kind.eq(kind.as_str())));
    let select = Entity::find().filter(Entity::visible(scope)).filter(asked);
    let page = position.page(db, select, Column::Id).await?;
    let mut channels = channels_of(db, page.data.iter().map(|row| row.id)).await?;
    page.try_map(|row| {
        let channels = channels.remove(&row.id).unwrap_or_default();
        view(row, channels)
    })
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
pub(crate) async fn set_channels(db: &impl ConnectionTrait, rule: &Model, channels: &[Uuid]) -> Result<(), AdminError> {
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
    Ok(())
}
