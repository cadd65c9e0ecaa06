//! The audit log, as it is read.

use admin_types::audit::{AuditEntry, ListAudit};
use admin_types::page::Page;
use domain::ids::TenantId;
use entities::{Id, audit_entry};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Scope, contains};
use crate::error::AdminError;
use crate::paging::{Key, Position};

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

/// One page of the entries that the caller may see, newest first.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAudit,
) -> Result<Page<AuditEntry>, AdminError> {
    let position = Position::new(list.limit, list.cursor.as_deref(), "-at", true)?;
    let Some(asked) = asked(scope, list) else {
        return Ok(Page { data: Vec::new(), next_cursor: None });
    };
    let select = audit_entry::Entity::find().filter(asked);
    let rows = position.apply(select, None, audit_entry::Column::Id).all(db).await?;
    Ok(position.page(rows, |row| (Key::Id, row.id.0), view))
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
    let Some(mut asked) = asked(scope, list) else { return Ok(Vec::new()) };
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

/// `None` where the caller may see nothing of what is asked for.
fn asked(scope: Scope, list: &ListAudit) -> Option<Condition> {
    use audit_entry::Column;
    let mut asked = scope.narrow(list.tenant_id.map(TenantId))?.own(Column::TenantId);
    let equal =
        [(Column::Action, &list.action), (Column::ObjectKind, &list.object_kind), (Column::ObjectId, &list.object_id)];
    for (column, text) in equal {
        if let Some(text) = text {
            asked = asked.add(column.eq(text));
        }
    }
    if let Some(actor) = &list.actor {
        asked = asked.add(Condition::any().add(Column::ActorId.eq(actor)).add(Column::ActorName.eq(actor)));
    }
    if let Some(from) = list.from {
        asked = asked.add(Column::Id.gte(first_id(from)));
    }
    if let Some(to) = list.to {
        asked = asked.add(Column::Id.lt(first_id(to)));
    }
    if let Some(text) = &list.q {
        let columns = [Column::ActorName, Column::Before, Column::After];
        let any = columns.into_iter().fold(Condition::any(), |any, column| any.add(contains(column, text)));
        asked = asked.add(any);
    }
    Some(asked)
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
