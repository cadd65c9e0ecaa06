//! What keys spent before this process counted them: read from the ledger when a view brings a
//! budget, at the start as later.
//!
//! A key's account counts the records made since it was opened; its past is what the ledger has
//! below that moment. The two never overlap, so the past can be read while the key is in use, and
//! read again once records that were on their way have arrived.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{DatabaseConnection, DbErr};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Limits, bounds};
use crate::Gateway;
use crate::ledger::Ledger;
use crate::repositories::usage;
use crate::snapshot::{BudgetWindow, Snapshot};

/// How long records on their way into the ledger are waited for while the gateway runs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the past of the budgets in `view` that have none yet, before the view is in force. Records
/// on their way into the ledger are not waited for: what else the view changes is more urgent.
///
/// # Errors
/// The database's.
pub async fn recall(limits: &Limits, database: &DatabaseConnection, view: &Snapshot) -> Result<(), DbErr> {
    read(limits, database, view, Upto::Opened, false).await
}

/// Reads the past of every budget in `view` before anything is admitted, once `ledger` has delivered what the last
/// run left or `patience` is over; gives whether it has. All that was recorded is the past then, also under the ids
/// of a clock that was ahead of this one.
///
/// # Errors
/// The database's.
pub async fn recall_at_start(
    limits: &Limits,
    ledger: &Ledger,
    database: &DatabaseConnection,
    view: &Snapshot,
    patience: Duration,
) -> Result<bool, DbErr> {
    recall_delivered(limits, ledger, database, view, Upto::Now, patience).await
}

/// As [`recall`], and for certain once `ledger` has delivered what was on its way. Does nothing when
/// every past is known; gives whether it is now.
///
/// # Errors
/// The database's.
pub async fn recall_for_certain(
    limits: &Limits,
    ledger: &Ledger,
    database: &DatabaseConnection,
    view: &Snapshot,
    patience: Duration,
) -> Result<bool, DbErr> {
    recall_delivered(limits, ledger, database, view, Upto::Opened, patience).await
}

/// Which records are the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upto {
    /// Those made before the account was opened.
    Opened,
    /// All: the account has counted none yet.
    Now,
}

async fn recall_delivered(
    limits: &Limits,
    ledger: &Ledger,
    database: &DatabaseConnection,
    view: &Snapshot,
    upto: Upto,
    patience: Duration,
) -> Result<bool, DbErr> {
    let now = OffsetDateTime::now_utc();
    let keys = view.keys.values().map(Arc::as_ref);
    if limits.without_past(keys, now, Instant::now()).is_empty() {
        return Ok(true);
    }
    let delivered = tokio::time::timeout(patience, ledger.flush()).await.is_ok();
    read(limits, database, view, upto, delivered).await?;
    Ok(delivered)
}

/// [`recall_for_certain`] for the view that is in force in a running gateway.
///
/// # Errors
/// The database's.
pub async fn catch_up(gateway: &Gateway) -> Result<bool, DbErr> {
    let view = gateway.snapshot.load_full();
    recall_for_certain(&gateway.limits, &gateway.ledger, &gateway.database, &view, PATIENCE).await
}

async fn read(
    limits: &Limits,
    database: &DatabaseConnection,
    view: &Snapshot,
    upto: Upto,
    certain: bool,
) -> Result<(), DbErr> {
    let now = OffsetDateTime::now_utc();
    let mut missing = limits.without_past(view.keys.values().map(Arc::as_ref), now, Instant::now());
    if missing.is_empty() {
        return Ok(());
    }
    if upto == Upto::Now {
        missing.iter_mut().for_each(|(_, bound)| *bound = Uuid::max());
    }
    let start = |window| bounds(window, now).map_or(OffsetDateTime::UNIX_EPOCH, |(start, _)| start);
    let (day, month) = (start(BudgetWindow::Daily), start(BudgetWindow::Monthly));
    let past = usage::spent_before(database, &missing, day, month).await?;
    for (key, _) in missing {
        limits.set_past(key, past.get(&key).copied().unwrap_or_default(), certain, now);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use database::connect;
    use domain::key::KeyHash;
    use domain::money::NanoUsd;
    use serde_json::json;

    use crate::ledger::{JournalLimits, UsageRecord};
    use crate::repositories::ManagedBy;
    use crate::repositories::tenants::upsert_tenant;
    use crate::snapshot::{Budget, Key};

    #[tokio::test]
    async fn a_start_counts_what_a_clock_that_was_ahead_has_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let db = connect(&format!("sqlite://{}/a.db", folder.path().display())).await.unwrap();
        migration::up(&db).await.unwrap();
        let (now, id) = (OffsetDateTime::now_utc(), Uuid::now_v7());
        let tenant = upsert_tenant(&db, "acme", Some(false), ManagedBy::File, now).await.unwrap();
        let budget = Some(Budget { amount: NanoUsd(1_000), window: BudgetWindow::Total });
        let key = Key { tenant, budget, ..crate::simulation::bare_key(0) };
        let ahead = u64::try_from(now.unix_timestamp() + 3_600).unwrap();
        let ahead = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, ahead, 0));
        let record: UsageRecord = serde_json::from_value(json!({
            "id": ahead, "request_id": id, "sequence": 0, "tenant_id": tenant, "key_id": key.id,
            "operation": "speech", "model_asked": "tts-1", "provider_kind": "openai", "provider": "openai",
            "model_served": "tts-1", "usage": {}, "usage_source": "measured", "cost": 700, "status": "ok",
            "attempts": 1, "latency_ms": 1,
            "started_at": "2026-11-21T12:00:00Z", "ended_at": "2026-11-21T12:00:01Z",
        }))
        .unwrap();
        usage::insert_batch(&db, &[record]).await.unwrap();

        let mut view = Snapshot::default();
        view.insert_key(KeyHash([0; 32]), key.clone());
        let ledger = Ledger::open(&folder.path().join("journal"), JournalLimits::default(), db.clone()).unwrap();
        let limits = Limits::new();
        assert!(recall_at_start(&limits, &ledger, &db, &view, Duration::from_secs(10)).await.unwrap());
        assert_eq!(limits.spend(&key, now).spent, NanoUsd(700));
    }
}
