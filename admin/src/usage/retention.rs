//! Records and hourly sums that have had their time go, a few at a time.

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use time::OffsetDateTime;
use usage_store::retain::{Deleted, delete_hours, delete_records};

/// How often it is looked whether a day has had its time.
const EVERY: Duration = Duration::from_secs(3_600);
/// Between two batches, so that gateways write meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// How long what is kept; `None` for ever. Sums by day are kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Days of records.
    pub record_days: Option<u32>,
    /// Days of hourly sums.
    pub hourly_days: Option<u32>,
}

/// Deletes what has had its time, at once and then every hour, until it is aborted. A database that does
/// not answer is asked again an hour later.
pub async fn run(database: DatabaseConnection, retention: Retention) {
    if retention == Retention::default() {
        return;
    }
    loop {
        match sweep(&database, retention, OffsetDateTime::now_utc()).await {
            Ok((Deleted { records: 0, .. }, 0)) => {}
            Ok((Deleted { records, unpriced }, hours)) => {
                tracing::info!(records, hours, "usage beyond its time is deleted");
                if unpriced > 0 {
                    tracing::warn!(unpriced, "usage records beyond their time were deleted that never got a cost");
                }
            }
            Err(error) => tracing::warn!(%error, "usage beyond its time cannot be deleted; trying again in an hour"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Deletes what has had its time at `now`. Gives how many records and hourly sums went.
///
/// # Errors
/// The database's; what went before stays gone.
pub async fn sweep(
    database: &DatabaseConnection,
    retention: Retention,
    now: OffsetDateTime,
) -> Result<(Deleted, u64), DbErr> {
    let before = |days: u32| now - time::Duration::days(i64::from(days));
    let (mut records, mut hours) = (Deleted::default(), 0);
    if let Some(days) = retention.record_days {
        loop {
            let deleted = delete_records(database, before(days)).await?;
            records.records += deleted.records;
            records.unpriced += deleted.unpriced;
            if deleted.records == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    if let Some(days) = retention.hourly_days {
        loop {
            let deleted = delete_hours(database, before(days)).await?;
            hours += deleted;
            if deleted == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok((records, hours))
}
