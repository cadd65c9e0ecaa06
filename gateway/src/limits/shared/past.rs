//! What keys have spent, as the database has it: for Redis where it does not know, and for this gateway where it
//! goes on alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::VirtualKeyId;
use replicas::{Past, Reading, Replicas};
use sea_orm::{DatabaseConnection, DbErr};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Shared;
use crate::Gateway;
use crate::limits::{Limits, PastSpend, bounds};
use crate::repositories::usage;
use crate::snapshot::BudgetWindow;

/// Records beside a sum that one reading brings. Redis has most of them anyway, and the next reading finds the rest.
const MOST_PRESENT: u64 = 20_000;
/// How long records on their way into the database are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the database is waited for. A call stands still meanwhile.
const LONGEST_READING: Duration = Duration::from_secs(10);

/// Why the past of a key is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The database does not tell it.
    #[error("the database: {0}")]
    Database(#[from] DbErr),
    /// The database does not answer, as is known already.
    #[error("the database does not answer")]
    Unreachable,
    /// Redis did not take it.
    #[error(transparent)]
    Redis(#[from] replicas::ReplicasError),
}

/// Reads what Redis asks for, and tells it.
pub(super) async fn answer(
    replicas: &Replicas,
    database: &DatabaseConnection,
    reading: &Reading,
) -> Result<(), Unread> {
    let (day, month) = (reading.day_start(), reading.month_start());
    let (present, sums) = in_time(async {
        let present = usage::at_or_above(database, reading.key, reading.before(), MOST_PRESENT).await?;
        Ok((present, usage::spent_before(database, &[(reading.key, reading.before())], day, month).await?))
    })
    .await?;
    let PastSpend { total, month, day } = sums.get(&reading.key).copied().unwrap_or_default();
    // Where the horizon has risen meanwhile, whoever asks again is told what to read.
    replicas.set_past(reading, Past { total, month, day }, &present).await?;
    Ok(())
}

/// Bounds a reading: a server that has vanished without a word never answers.
async fn in_time<T>(reading: impl Future<Output = Result<T, DbErr>>) -> Result<T, Unread> {
    let read = tokio::time::timeout(LONGEST_READING, reading).await;
    read.map_err(|_| Unread::Unreachable)?.map_err(Unread::Database)
}

/// What the database has of a key now, in all, in this month and today.
pub(super) async fn spent(
    database: &DatabaseConnection,
    key: VirtualKeyId,
    now: OffsetDateTime,
) -> Result<PastSpend, DbErr> {
    let start = |window| bounds(window, now).map_or(OffsetDateTime::UNIX_EPOCH, |(start, _)| start);
    let (day, month) = (start(BudgetWindow::Daily), start(BudgetWindow::Monthly));
    let spent = usage::spent_before(database, &[(key, Uuid::max())], day, month).await?;
    Ok(spent.get(&key).copied().unwrap_or_default())
}

impl Gateway {
    /// Makes sure that what `key` had spent at all gateways is known here, once for each outage of Redis.
    pub(super) async fn recall_alone(&self, shared: &Shared, key: VirtualKeyId) -> Result<(), Unread> {
        let outage = shared.core.outage();
        if self.limits.knows_past_of(key, outage) {
            return Ok(());
        }
        let _reading = match shared.reading(key) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        if self.limits.knows_past_of(key, outage) {
            return Ok(());
        }
        if !self.ledger.health().database_ok {
            return Err(Unread::Unreachable);
        }
        let here = self.limits.here(key);
        // What has not arrived is counted here and in the sum that is read: too much rather than too little.
        let delivered = tokio::time::timeout(PATIENCE, self.ledger.flush()).await.is_ok();
        let now = OffsetDateTime::now_utc();
        let past = in_time(spent(&self.database, key, now)).await?;
        self.limits.count_alone(key, past, here.filter(|_| delivered), now, outage);
        Ok(())
    }
}

type Here = [(time::Date, i128); 3];

impl Limits {
    pub(in crate::limits) fn knows_past_of(&self, key: VirtualKeyId, outage: u64) -> bool {
        self.keys.get(&key).map(|entry| Arc::clone(&entry)).is_some_and(|entry| entry.lock().outage == outage)
    }

    pub(in crate::limits) fn here(&self, key: VirtualKeyId) -> Option<Here> {
        let entry = self.keys.get(&key).map(|entry| Arc::clone(&entry));
        entry.map(|entry| entry.lock().account.here())
    }

    /// Sets what the database has, of which `here` was counted by this gateway.
    pub(in crate::limits) fn count_alone(
        &self,
        key: VirtualKeyId,
        past: PastSpend,
        here: Option<Here>,
        now: OffsetDateTime,
        outage: u64,
    ) {
        let entry = self.entry(key, now, Instant::now(), Uuid::now_v7);
        let mut state = entry.lock();
        state.pinned = true;
        state.past_is_known = true;
        state.outage = outage;
        if let Some(here) = here {
            state.account.forget_here(here);
        }
        state.account.set_past(past, now);
    }
}
