//! What is no longer kept: records beyond their time, and sums by hour beyond theirs. Days and labels
//! are kept, so that what was used stays known.
//!
//! A mark is written before anything goes, by which everybody knows what is still whole. Rows go in
//! small transactions, between which gateways write.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use time::OffsetDateTime;

use crate::rebuild::{keep_since, read_setting, write_setting};
use crate::sql::moment;
use crate::tables::{HOURLY, HOURLY_ALL};
use crate::tally::floor;
use crate::{DAY, Sql, keep};

/// Row of `settings`: where the hourly roll-up begins, in seconds since 1970.
const HOURS_SINCE: &str = "usage_hourly_kept_since";
/// Records that go at once.
const BATCH: i64 = 1_000;

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Records.
    pub records: u64,
    /// Of these, those without a cost, which can get none any more.
    pub unpriced: u64,
}

/// Deletes some of the records of the days before that of `before`. Gives how many; none when there is
/// nothing more to do.
///
/// # Errors
/// The database's.
pub async fn delete_records(db: &DatabaseConnection, before: OffsetDateTime) -> Result<Deleted, DbErr> {
    let mut deleted = Deleted::default();
    if !keep_since(db, before).await? {
        return Ok(deleted);
    }
    let start = floor(before.unix_timestamp(), DAY);
    let transaction = keep::begin(db).await?;
    let backend = transaction.get_database_backend();
    let mut sql =
        Sql::new(backend, "DELETE FROM usage_records WHERE id IN (SELECT id FROM usage_records WHERE started_at < ");
    sql.bind(moment(backend, start)?).push(" ORDER BY started_at LIMIT ").bind(BATCH);
    sql.push(") RETURNING cost_nano_usd");
    for row in sql.all(&transaction).await? {
        deleted.records += 1;
        deleted.unpriced += u64::from(row.try_get_by_index::<Option<i64>>(0)?.is_none());
    }
    transaction.commit().await?;
    Ok(deleted)
}

/// Deletes one of the days before that of `before` out of the hourly roll-up. Gives how many rows went.
///
/// # Errors
/// The database's.
pub async fn delete_hours(db: &DatabaseConnection, before: OffsetDateTime) -> Result<u64, DbErr> {
    let start = floor(before.unix_timestamp(), DAY);
    let transaction = keep::begin(db).await?;
    if hours_since(&transaction).await?.is_none_or(|since| since < start) {
        write_setting(&transaction, HOURS_SINCE, &start.to_string()).await?;
    }
    let backend = transaction.get_database_backend();
    let oldest = Sql::new(backend, format!("SELECT MIN(bucket_start) FROM {HOURLY}")).one(&transaction).await?;
    let oldest: Option<i64> = oldest.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    let Some(oldest) = oldest.filter(|oldest| *oldest < start) else {
        transaction.commit().await?;
        return Ok(0);
    };
    let mut deleted = 0;
    for table in [HOURLY, HOURLY_ALL] {
        let mut sql = Sql::new(backend, format!("DELETE FROM {table} WHERE bucket_start < "));
        sql.bind(floor(oldest, DAY) + DAY);
        deleted += sql.execute(&transaction).await?.rows_affected();
    }
    transaction.commit().await?;
    Ok(deleted)
}

/// Where the hourly roll-up begins, if hours were ever deleted.
///
/// # Errors
/// The database's.
pub async fn hours_since(db: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    Ok(read_setting(db, HOURS_SINCE).await?.and_then(|start| start.parse().ok()))
}
