//! Virtual keys, and what they have spent.

use std::collections::HashSet;

use admin_types::keys::{Budget, BudgetWindow, KeySort, KeyState, KeyUsage, ListKeys, PreviousSecret, VirtualKey};
use admin_types::page::Page;
use domain::ids::TenantId;
use domain::money::NanoUsd;
use entities::{Id, tenant, usage_record, virtual_key};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};
use usage_store::Sql;
use usage_store::rebuild::kept_since;
use usage_store::tables::DAILY;
use uuid::Uuid;

use super::resource::{Head, Resource};
use super::{Scope, contains};
use crate::error::AdminError;
use crate::paging::Position;

/// Rows of one statement, far below what either database takes.
const CHUNK: usize = 500;

/// A row as it is shown.
///
/// # Errors
/// A column holds what nobody has written there.
pub(crate) fn view(row: virtual_key::Model, now: OffsetDateTime) -> Result<VirtualKey, AdminError> {
    let budget = budget_of(&row)?;
    let state = match (row.revoked_at, row.expires_at) {
        (Some(_), _) => KeyState::Revoked,
        (None, Some(expiry)) if expiry <= now => KeyState::Expired,
        _ => KeyState::Active,
    };
    let previous = match (row.previous_redacted, row.previous_expires_at) {
        (Some(redacted), Some(expires_at)) if expires_at > now && row.revoked_at.is_none() => {
            Some(PreviousSecret { redacted, expires_at })
        }
        _ => None,
    };
    Ok(VirtualKey {
        id: row.id.0,
        tenant_id: row.tenant_id.0,
        name: row.name,
        redacted: row.redacted,
        state,
        operations: serde_json::from_str(&row.operations).map_err(|error| AdminError::internal(&error))?,
        models: serde_json::from_str(&row.models).map_err(|error| AdminError::internal(&error))?,
        requests_per_minute: row.rpm.map(count).transpose()?,
        max_concurrent_sessions: row.max_sessions.map(count).transpose()?,
        budget,
        max_upload_bytes: row.max_upload_bytes.map(count).transpose()?,
        refuse_unpriced: row.refuse_unpriced,
        passthrough: row.passthrough,
        allow_strategy: row.allow_strategy,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        revoked_by: row.revoked_by,
        revoked_reason: row.revoked_reason,
        previous,
        rotated_at: row.rotated_at,
        managed_by: row.managed_by,
        created_at: row.created_at,
        updated_at: row.updated_at.unwrap_or(row.created_at),
    })
}

fn count<T: TryFrom<i64>>(number: i64) -> Result<T, AdminError> {
    T::try_from(number).map_err(|_| AdminError::internal(&format!("{number} in virtual_keys is no count")))
}

fn budget_of(row: &virtual_key::Model) -> Result<Option<Budget>, AdminError> {
    let (Some(amount), Some(window)) = (row.budget_nano_usd, &row.budget_window) else { return Ok(None) };
    let window = BudgetWindow::ALL.into_iter().find(|known| known.as_str() == window);
    let window = window.ok_or_else(|| AdminError::internal(&"virtual_keys has an unknown budget window"))?;
    Ok(Some(Budget { usd: NanoUsd(amount).to_string(), window }))
}

impl Resource for virtual_key::Entity {
    const KIND: &'static str = "key";
    const ANNOUNCED: bool = true;
    type View = VirtualKey;

    fn visible(scope: Scope) -> Condition {
        shown(scope)
    }

    fn head(row: &virtual_key::Model) -> Head {
        Head {
            id: row.id,
            owner: Some(TenantId(row.tenant_id.0)),
            version: row.version,
            is_declared: row.managed_by == "file",
        }
    }

    fn renew(row: &mut virtual_key::Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = Some(now);
    }

    async fn view(_: &impl ConnectionTrait, row: virtual_key::Model, _: Scope) -> Result<VirtualKey, AdminError> {
        view(row, OffsetDateTime::now_utc())
    }
}

/// One page of the keys that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListKeys,
    now: OffsetDateTime,
) -> Result<Page<VirtualKey>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, KeySort::Name | KeySort::NameDescending).then_some(virtual_key::Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add_option(list.tenant_id.map(|tenant| virtual_key::Column::TenantId.eq(Id(tenant))))
        .add_option(list.q.as_deref().map(|text| contains(virtual_key::Column::Name, text)))
        .add_option(list.managed_by.map(|origin| virtual_key::Column::ManagedBy.eq(origin.as_str())))
        .add_option(list.state.map(|state| in_state(state, now)));
    let select = virtual_key::Entity::find().filter(virtual_key::Entity::visible(scope)).filter(asked);
    position.page(db, select, virtual_key::Column::Id).await?.try_map(|row| view(row, now))
}

/// The caller's keys that are not removed.
fn shown(scope: Scope) -> Condition {
    scope.own(virtual_key::Column::TenantId).add(virtual_key::Column::DeletedAt.is_null())
}

fn in_state(state: KeyState, now: OffsetDateTime) -> Condition {
    let (revoked, expiry) = (virtual_key::Column::RevokedAt, virtual_key::Column::ExpiresAt);
    // SQLite compares text, in which `…:05.5Z` stands before `…:05Z`: whole seconds compare as they should.
    let now = now.replace_nanosecond(0).unwrap_or(now);
    match state {
        KeyState::Revoked => Condition::all().add(revoked.is_not_null()),
        KeyState::Expired => Condition::all().add(revoked.is_null()).add(expiry.lte(now)),
        KeyState::Active => {
            Condition::all().add(revoked.is_null()).add(Condition::any().add(expiry.is_null()).add(expiry.gt(now)))
        }
    }
}

/// Adds keys.
///
/// # Errors
/// The database's.
pub(crate) async fn insert(db: &impl ConnectionTrait, rows: &[virtual_key::Model]) -> Result<(), DbErr> {
    for rows in rows.chunks(CHUNK) {
        let rows = rows.iter().cloned().map(virtual_key::ActiveModel::from);
        virtual_key::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The tenant that the caller may see under a name or an id.
///
/// # Errors
/// The database's.
pub(crate) async fn tenant_called(
    db: &impl ConnectionTrait,
    scope: Scope,
    text: &str,
) -> Result<Option<TenantId>, DbErr> {
    let by = match Uuid::try_parse(text) {
        Ok(id) => tenant::Column::Id.eq(Id(id)),
        Err(_) => tenant::Column::Name.eq(text),
    };
    let row = tenant::Entity::find().filter(scope.own(tenant::Column::Id)).filter(by).one(db).await?;
    Ok(row.map(|row| TenantId(row.id.0)))
}

/// Which of these names a tenant's keys have already, revoked ones left out.
///
/// # Errors
/// The database's.
pub(crate) async fn names_taken(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    names: &[&str],
) -> Result<HashSet<String>, DbErr> {
    let mut taken = HashSet::new();
    for names in names.chunks(CHUNK) {
        let found: Vec<String> = virtual_key::Entity::find()
            .select_only()
            .column(virtual_key::Column::Name)
            .filter(virtual_key::Column::TenantId.eq(Id(tenant.0)))
            .filter(virtual_key::Column::RevokedAt.is_null())
            .filter(virtual_key::Column::Name.is_in(names.iter().copied()))
            .into_tuple()
            .all(db)
            .await?;
        taken.extend(found);
    }
    Ok(taken)
}

/// What a key has spent in the window of its budget that holds `now`, by the ledger.
///
/// # Errors
/// The database's.
pub(crate) async fn usage(
    db: &impl ConnectionTrait,
    key: &virtual_key::Model,
    now: OffsetDateTime,
) -> Result<KeyUsage, AdminError> {
    let budget = budget_of(key)?;
    let window = budget.as_ref().map_or_else(BudgetWindow::default, |budget| budget.window);
    let bounds = bounds(window, now);
    let sums = sums(db, key, bounds.map(|(start, _)| start.unix_timestamp())).await?;
    let left = key.budget_nano_usd.map(|amount| (i128::from(amount) - sums.nano_usd.max(0)).max(0));
    Ok(KeyUsage {
        key_id: key.id.0,
        budget,
        window,
        window_start: bounds.map(|(start, _)| start),
        window_end: bounds.map(|(_, end)| end),
        spent_usd: usd(sums.nano_usd),
        remaining_usd: left.map(usd),
        records: count(sums.records)?,
        unpriced_records: count(sums.unpriced)?,
    })
}

/// What records come to.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    records: i64,
    unpriced: i64,
    nano_usd: i128,
}

/// What a key has spent since a day began, or ever: by its records, and of days whose records are deleted by
/// the sums of the days. Gateways count the same.
async fn sums(db: &impl ConnectionTrait, key: &virtual_key::Model, begin: Option<i64>) -> Result<Spent, AdminError> {
    loop {
        let kept = kept_since(db).await?;
        let mut spent = by_records(db, key, Ord::max(begin, kept)).await?;
        if let Some(end) = kept.filter(|kept| begin.is_none_or(|begin| begin < *kept)) {
            let deleted = by_days(db, key, begin, end).await?;
            spent.records += deleted.records;
            spent.unpriced += deleted.unpriced;
            spent.nano_usd += deleted.nano_usd;
        }
        // Records that were deleted in between would be missed.
        if kept_since(db).await? == kept {
            return Ok(spent);
        }
    }
}

async fn by_records(
    db: &impl ConnectionTrait,
    key: &virtual_key::Model,
    begin: Option<i64>,
) -> Result<Spent, AdminError> {
    let begin = begin.map(|second| usage_store::since(db.get_database_backend(), second)).transpose()?;
    let sums: Option<(i64, i64, Option<String>)> = usage_record::Entity::find()
        .select_only()
        .column_as(usage_record::Column::Id.count(), "records")
        .column_as(usage_record::Column::CostNanoUsd.count(), "priced")
        // As text: PostgreSQL sums integers into a number of any length.
        .column_as(usage_record::Column::CostNanoUsd.sum().cast_as("text"), "spent")
        .filter(usage_record::Column::KeyId.eq(key.id))
        .filter(usage_record::Column::TenantId.eq(key.tenant_id))
        .filter(Condition::all().add_option(begin))
        .into_tuple()
        .one(db)
        .await?;
    let (records, priced, spent) = sums.unwrap_or_default();
    let nano_usd = spent.map_or(Ok(0), |text| text.parse()).map_err(|error| AdminError::internal(&error))?;
    Ok(Spent { records, unpriced: records - priced, nano_usd })
}

async fn by_days(
    db: &impl ConnectionTrait,
    key: &virtual_key::Model,
    begin: Option<i64>,
    end: i64,
) -> Result<Spent, DbErr> {
    let sums = ["requests", "unpriced", "cost_nano_usd"].map(|sum| format!("CAST(COALESCE(SUM({sum}), 0) AS bigint)"));
    let mut sql = Sql::new(db.get_database_backend(), format!("SELECT {} FROM {DAILY}", sums.join(", ")));
    sql.push(" WHERE key_id = ").bind(key.id).push(" AND tenant_id = ").bind(key.tenant_id);
    sql.push(" AND bucket_start < ").bind(end);
    if let Some(begin) = begin {
        sql.push(" AND bucket_start >= ").bind(begin);
    }
    let Some(row) = sql.one(db).await? else { return Ok(Spent::default()) };
    let nano_usd: i64 = row.try_get_by_index(2)?;
    let (records, unpriced) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    Ok(Spent { records, unpriced, nano_usd: nano_usd.into() })
}

fn usd(nano: i128) -> String {
    NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX)).to_string()
}

/// The window that holds `now`: its first moment and the first one after it; `None` for the whole life. The
/// same by which gateways admit.
fn bounds(window: BudgetWindow, now: OffsetDateTime) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let day = now.to_offset(UtcOffset::UTC).date();
    let (start, end) = match window {
        BudgetWindow::Total => return None,
        BudgetWindow::Daily => (day, day.next_day().unwrap_or(Date::MAX)),
        BudgetWindow::Monthly => (day.replace_day(1).unwrap_or(day), next_month(day)),
    };
    Some((start.with_time(Time::MIDNIGHT).assume_utc(), end.with_time(Time::MIDNIGHT).assume_utc()))
}

fn next_month(day: Date) -> Date {
    let year = if day.month() == Month::December { day.year() + 1 } else { day.year() };
    Date::from_calendar_date(year, day.month().next(), 1).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn windows_begin_and_end_in_utc() {
        let day = bounds(BudgetWindow::Daily, datetime!(2026-12-31 23:30 -5)).unwrap();
        assert_eq!(day, (datetime!(2027-01-01 0:00 UTC), datetime!(2027-01-02 0:00 UTC)));
        let month = bounds(BudgetWindow::Monthly, datetime!(2026-12-31 23:30 UTC)).unwrap();
        assert_eq!(month, (datetime!(2026-12-01 0:00 UTC), datetime!(2027-01-01 0:00 UTC)));
        assert_eq!(bounds(BudgetWindow::Total, datetime!(2026-12-31 23:30 UTC)), None);
    }
}
