//! What a running process does for the database beside its work.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use usage_store::rebuild::catch_up_one_day;

/// How long a database that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// Sums the usage records that an earlier version wrote, day by day and the newest first, until none is
/// left. Nothing waits for it; after a crash the next start goes on.
pub(crate) async fn sum_earlier_records(db: DatabaseConnection) {
    let mut days = 0_u64;
    loop {
        match catch_up_one_day(&db).await {
            Ok(true) => days += 1,
            Ok(false) => break,
            Err(error) => {
                tracing::warn!(%error, "earlier usage records cannot be summed; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    if days > 0 {
        tracing::info!(days, "the usage records of earlier versions are summed");
    }
}
