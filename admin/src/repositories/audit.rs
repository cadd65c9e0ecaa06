//! The audit log, as it is read.

use admin_types::audit::{AuditEntry, ListAudit};
use admin_types::page::Page;
use entities::{Id, audit_entry};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Scope, contains};
use crate::error::AdminError;
use crate::paging::Position;

/// Entries of an export that are held at once.
const BATCH: u64 = 500;
/// Bits of an id below its milliseconds.
const BELOW_MILLISECONDS: u32 = 80;

/// A row as it is shown.
fn view(row: audit_entry::Model) -> AuditEntry {
    // Somebody may have altered the row; then its text is shown as it is.
    let json = |text: Option<String>| text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
    AuditEntry {
        id: row.id.0,
        chain: row.chain,
        sequence: row.sequence,
        at: row.at,
        tenant_id: row.tenant_id.map(|id| id.0),
        actor_kind: row.actor_kind,
        actor_id: row.actor_id,
        actor_name: row.actor_name,
        address: row.address,
        request_id: row.request_id,
        action: row.action,
        object_kind: row.object_kind,
        object_id: row.object_id,
        before: json(row.before),
        after: json(row.after),
        previous_hash: row.previous_hash,
        hash: row.hash,
    }
}

/// One page of the entries that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAudit,
) -> Result<Page<AuditEntry>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), None)?;
    let select = audit_entry::Entity::find().filter(asked(scope, list));
    Ok(position.page(db, select, audit_entry::Column::Id).await?.map(view))
}

/// The entries that follow `after` in an export; none at its end.
///
/// # Errors
/// The database's.
pub(crate) async fn following(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAudit,
    after: Option<Uuid>,
) -> Result<Vec<AuditEntry>, AdminError> {
    let mut asked = asked(scope, list);
    if let Some(after) = after {
        asked = asked.add(audit_entry::Column::Id.lt(Id(after)));
    }
    let select = audit_entry::Entity::find().filter(asked);
    let rows = select.order_by_desc(audit_entry::Column::Id).limit(BATCH).all(db).await?;
    Ok(rows.into_iter().map(view).collect())
}

/// One entry that the caller may see.
///
/// # Errors
/// The database's, [`AdminError::NotFound`].
pub(crate) async fn find(db: &impl ConnectionTrait, scope: Scope, id: Uuid) -> Result<AuditEntry, AdminError> {
    let own = scope.own(audit_entry::Column::TenantId);
    let row = audit_entry::Entity::find_by_id(Id(id)).filter(own).one(db).await?;
    row.map(view).ok_or(AdminError::NotFound)
}

/// What the caller may see of what is asked for.
fn asked(scope: Scope, list: &ListAudit) -> Condition {
    use audit_entry::Column;
    let equal = |column: Column, text: &Option<String>| text.as_deref().map(|text| column.eq(text));
    let actor = |actor: &str| Condition::any().add(Column::ActorId.eq(actor)).add(Column::ActorName.eq(actor));
    let text = |text: &str| {
        let columns = [Column::ActorName, Column::Before, Column::After];
        columns.into_iter().fold(Condition::any(), |any, column| any.add(contains(column, text)))
    };
    scope
        .own(Column::TenantId)
        .add_option(list.tenant_id.map(|tenant| Column::TenantId.eq(Id(tenant))))
        .add_option(equal(Column::Action, &list.action))
        .add_option(equal(Column::ObjectKind, &list.object_kind))
        .add_option(equal(Column::ObjectId, &list.object_id))
        .add_option(list.actor.as_deref().map(actor))
        .add_option(list.from.map(|from| Column::Id.gte(first_id(from))))
        .add_option(list.to.map(|to| Column::Id.lt(first_id(to))))
        .add_option(list.q.as_deref().map(text))
}

/// The least id that can be made at a moment: ids begin with the milliseconds of their time.
fn first_id(moment: OffsetDateTime) -> Id {
    let milliseconds = u128::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let most = u128::MAX >> BELOW_MILLISECONDS;
    Id(Uuid::from_u128(milliseconds.min(most) << BELOW_MILLISECONDS))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn moments_stand_between_the_ids_of_their_time() {
        let id = Uuid::now_v7();
        let now = OffsetDateTime::now_utc();
        assert!(first_id(now - time::Duration::seconds(1)).0 < id && id < first_id(now + time::Duration::seconds(1)).0);
        assert_eq!(first_id(datetime!(1969-12-31 0:00 UTC)).0, Uuid::nil());
        assert!(first_id(datetime!(9999-12-31 23:59 -12)).0 > id);
    }
}
