//! Days summed anew from their records: after an upgrade, which finds records without roll-ups, and
//! whenever somebody doubts them.
//!
//! A day is one transaction that has the day alone, so that what gateways add meanwhile is either in
//! the records that are read or added afterwards. Gateways that add to other days do not wait, unless a
//! record of the same month names a user or tags; those that do wait keep their records in their journals.

use entities::{setting, usage_record};
use sea_orm::sea_query::{ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use time::OffsetDateTime;

use crate::sql::{since, until};
use crate::tables::{DAILY, DAILY_ALL, HOURLY, HOURLY_ALL, LABELS, MEASURES, MONTHLY_LABEL_DIMENSIONS, MONTHLY_LABELS};
use crate::tally::{Tally, floor, month_floor};
use crate::{DAY, Sql, keep, write};

/// Row of `settings` while records of before an upgrade are not summed: `all`, or the seconds since
/// 1970 of the newest day that is left.
const PENDING: &str = "usage_rollups_pending";
/// Row of `settings`: the start of the first day whose records are all kept, in seconds since 1970.
const KEPT_SINCE: &str = "usage_records_kept_since";
/// Records read at once.
const PAGE: u64 = 1_000;
/// Rows of roll-ups held in memory before they are written.
const MAX_ROWS: usize = 10_000;

/// What summing anew came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Days.
    pub days: u64,
    /// Records read.
    pub records: u64,
    /// Days left as they are, because their records are deleted in part or as a whole.
    pub skipped: u64,
}

/// Sums every day from that of `from` to that of `to` anew, each in a transaction of its own.
///
/// # Errors
/// The database's; the days before the one that failed stay summed.
pub async fn rebuild(db: &DatabaseConnection, from: OffsetDateTime, to: OffsetDateTime) -> Result<Rebuilt, DbErr> {
    let mut rebuilt = Rebuilt::default();
    let mut start = floor(from.unix_timestamp(), DAY);
    let last = floor(to.unix_timestamp(), DAY);
    while start <= last {
        let transaction = keep::begin(db).await?;
        match rebuild_day(&transaction, start).await? {
            Some(records) => {
                rebuilt.days += 1;
                rebuilt.records += records;
            }
            None => rebuilt.skipped += 1,
        }
        transaction.commit().await?;
        start += DAY;
    }
    Ok(rebuilt)
}

/// The first and the last moment of which there is a record.
///
/// # Errors
/// The database's.
pub async fn extent(db: &impl ConnectionTrait) -> Result<Option<(OffsetDateTime, OffsetDateTime)>, DbErr> {
    let one = |order| usage_record::Entity::find().order_by(usage_record::Column::StartedAt, order).one(db);
    let Some(first) = one(sea_orm::Order::Asc).await? else { return Ok(None) };
    let last = one(sea_orm::Order::Desc).await?;
    Ok(last.map(|last| (first.started_at, last.started_at)))
}

/// Whether records of before an upgrade wait to be summed.
///
/// # Errors
/// The database's.
pub async fn is_pending(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(read_setting(db, PENDING).await?.is_some())
}

/// Sums the next day of records of before an upgrade, the newest first; false when none is left. Called
/// again after a crash, it goes on where it was; several callers share the days.
///
/// # Errors
/// The database's; nothing is changed then.
pub async fn catch_up_one_day(db: &DatabaseConnection) -> Result<bool, DbErr> {
    // Asked without a lock first: this is nearly always the answer.
    if !is_pending(db).await? {
        return Ok(false);
    }
    let transaction = keep::begin(db).await?;
    let Some(pending) = read_setting(&transaction, PENDING).await? else { return Ok(false) };
    let newest_left = pending.parse::<i64>().ok();
    let mut newest = usage_record::Entity::find().order_by_desc(usage_record::Column::StartedAt);
    if let Some(start) = newest_left {
        newest = newest.filter(until(transaction.get_database_backend(), start + DAY)?);
    }
    let newest = newest.one(&transaction).await?;
    if let Some(record) = &newest {
        let start = floor(record.started_at.unix_timestamp(), DAY);
        rebuild_day(&transaction, start).await?;
        write_setting(&transaction, PENDING, &(start - DAY).to_string()).await?;
    } else {
        setting::Entity::delete_by_id(PENDING).exec(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(newest.is_some())
}

/// Sums the day that begins at `start` inside a transaction of `keep::begin`. Gives how many records it
/// has, and nothing where they are no longer all there.
async fn rebuild_day(db: &impl ConnectionTrait, start: i64) -> Result<Option<u64>, DbErr> {
    keep::lock_day_alone(db, start / DAY).await?;
    if kept_since(db).await?.is_some_and(|kept| start < kept) {
        return Ok(None);
    }
    keep::lock_month_alone(db, month_floor(start)).await?;
    take_from_month(db, start).await?;
    for table in [HOURLY, DAILY, LABELS, HOURLY_ALL, DAILY_ALL] {
        let mut sql = Sql::new(db.get_database_backend(), format!("DELETE FROM {table} WHERE bucket_start >= "));
        sql.bind(start).push(" AND bucket_start < ").bind(start + DAY);
        sql.execute(db).await?;
    }
    let mut tally = Tally::default();
    let mut records = 0;
    let mut after: Option<usage_record::Model> = None;
    loop {
        let mut page = page(db, start, after.as_ref()).await?;
        records += u64::try_from(page.len()).unwrap_or(u64::MAX);
        page.iter().for_each(|record| tally.count(record));
        after = page.pop();
        if tally.rows() > MAX_ROWS || after.is_none() {
            write::add(db, &std::mem::take(&mut tally)).await?;
        }
        if after.is_none() {
            return Ok(Some(records));
        }
    }
}

/// Takes what a day's labels come to out of its month.
async fn take_from_month(db: &impl ConnectionTrait, start: i64) -> Result<(), DbErr> {
    let key = MONTHLY_LABEL_DIMENSIONS.join(", ");
    let less: Vec<String> = MEASURES.iter().map(|sum| format!("CAST(-SUM({sum}) AS bigint)")).collect();
    let sums: Vec<String> =
        MEASURES.iter().map(|sum| format!("{sum} = {MONTHLY_LABELS}.{sum} + excluded.{sum}")).collect();
    let into = format!("INSERT INTO {MONTHLY_LABELS} ({key}, {}) SELECT ", MEASURES.join(", "));
    let mut sql = Sql::new(db.get_database_backend(), into);
    sql.push(&month_floor(start).to_string());
    sql.push(&format!(", tenant_id, label_kind, label, {} FROM {LABELS} WHERE bucket_start = ", less.join(", ")));
    sql.bind(start).push(" GROUP BY tenant_id, label_kind, label");
    sql.push(&format!(" ON CONFLICT ({key}) DO UPDATE SET {}", sums.join(", ")));
    sql.execute(db).await.map(drop)
}

/// The records of a day behind `after`.
async fn page(
    db: &impl ConnectionTrait,
    start: i64,
    after: Option<&usage_record::Model>,
) -> Result<Vec<usage_record::Model>, DbErr> {
    let backend = db.get_database_backend();
    let mut records = usage_record::Entity::find()
        .filter(since(backend, start)?)
        .filter(until(backend, start + DAY)?)
        .order_by_asc(usage_record::Column::StartedAt)
        .order_by_asc(usage_record::Column::Id)
        .limit(PAGE);
    if let Some(after) = after {
        let same = usage_record::Column::StartedAt.eq(after.started_at).and(usage_record::Column::Id.gt(after.id));
        let later = usage_record::Column::StartedAt.gt(after.started_at);
        // The first of these is what an index is walked by.
        records = records
            .filter(usage_record::Column::StartedAt.gte(after.started_at))
            .filter(Condition::any().add(later).add(same));
    }
    records.all(db).await
}

/// The start of the first day whose records are all kept; none while nothing was ever deleted.
///
/// # Errors
/// The database's.
pub async fn kept_since(db: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    Ok(read_setting(db, KEPT_SINCE).await?.and_then(|start| start.parse().ok()))
}

/// Notes that records before the day of `moment` are deleted from now on. Returns false, and notes
/// nothing, while records of before an upgrade are not summed.
///
/// # Errors
/// The database's.
pub async fn keep_since(db: &DatabaseConnection, moment: OffsetDateTime) -> Result<bool, DbErr> {
    let transaction = keep::begin(db).await?;
    if is_pending(&transaction).await? {
        return Ok(false);
    }
    let start = floor(moment.unix_timestamp(), DAY);
    if kept_since(&transaction).await?.is_none_or(|kept| kept < start) {
        write_setting(&transaction, KEPT_SINCE, &start.to_string()).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

pub(crate) async fn read_setting(db: &impl ConnectionTrait, name: &str) -> Result<Option<String>, DbErr> {
    Ok(setting::Entity::find_by_id(name).one(db).await?.map(|row| row.value))
}

pub(crate) async fn write_setting(db: &impl ConnectionTrait, name: &str, value: &str) -> Result<(), DbErr> {
    let row = setting::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) };
    let update = OnConflict::column(setting::Column::Name).update_column(setting::Column::Value).to_owned();
    setting::Entity::insert(row).on_conflict(update).exec_without_returning(db).await.map(drop)
}
