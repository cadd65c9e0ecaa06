//! Tells Redis what the ledger has delivered; while Redis is away, keeps it until it can.

use std::sync::Arc;
use std::time::Duration;

use replicas::{Keeper, Record, ReplicasError};
use sea_orm::DatabaseConnection;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::MissedTickBehavior;

use super::Core;
use crate::ledger::{InsertError, Sink, UsageRecord};

/// Records that are kept for Redis, of about 64 bytes each. What is beyond is found by the next reading of the past.
const KEPT: usize = 200_000;
/// Batches of the ledger that wait while Redis is told of others.
pub(super) const QUEUED: usize = 64;
/// Pauses between attempts while Redis is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The database as the ledger's sink, which tells of what it has taken.
#[derive(Debug)]
pub struct Delivered {
    database: DatabaseConnection,
    tell: Option<Sender<Vec<Record>>>,
}

impl Delivered {
    /// Tells nobody where there is nobody to `tell`.
    #[must_use]
    pub fn new(database: DatabaseConnection, tell: Option<Sender<Vec<Record>>>) -> Self {
        Self { database, tell }
    }
}

impl Sink for Delivered {
    async fn insert(&self, records: &[UsageRecord]) -> Result<(), InsertError> {
        self.database.insert(records).await?;
        if let Some(tell) = &self.tell {
            let counted = records.iter().filter(|record| record.cost.is_some_and(|cost| cost.0 > 0));
            // What finds no room, or nobody who listens, is found by the next reading of the past.
            tell.try_send(counted.map(counted_as).collect()).ok();
        }
        Ok(())
    }
}

fn counted_as(record: &UsageRecord) -> Record {
    Record { id: record.id, key: record.key_id, cost: record.cost, started_at: record.started_at }
}

/// Tells Redis of records, and that this gateway lives. While Redis is away it tries again; what it keeps meanwhile
/// is bounded, since it takes records as they come.
pub(super) async fn run(core: Arc<Core>, keeper: Arc<Keeper>, mut told: Receiver<Vec<Record>>, beats: Duration) {
    let mut kept: Vec<Record> = Vec::new();
    let mut beats = tokio::time::interval(beats);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = FIRST_PAUSE;
    loop {
        let mut beat = false;
        tokio::select! {
            records = told.recv() => match records {
                Some(records) => keep(&mut kept, records),
                None => return,
            },
            _ = beats.tick() => beat = true,
            () = core.lost.notified() => {}
            () = tokio::time::sleep(pause), if core.is_away() => {
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                if catch_up(&core, &keeper, &mut kept).await.is_ok() {
                    core.is_back();
                    pause = FIRST_PAUSE;
                }
            }
        }
        while let Ok(records) = told.try_recv() {
            keep(&mut kept, records);
        }
        if !core.is_away() && tell(&core, &mut kept, beat).await.is_err() {
            core.went_away();
        }
    }
}

/// Everything that Redis must know before it is asked again: what was spent, what is held, who lives.
async fn catch_up(core: &Core, keeper: &Keeper, kept: &mut Vec<Record>) -> Result<(), ReplicasError> {
    tell(core, kept, true).await?;
    keeper.renew().await
}

async fn tell(core: &Core, kept: &mut Vec<Record>, beat: bool) -> Result<(), ReplicasError> {
    if beat {
        core.beat(&[]).await?;
    }
    core.replicas.committed(kept).await?;
    kept.clear();
    Ok(())
}

fn keep(kept: &mut Vec<Record>, records: Vec<Record>) {
    let room = KEPT.saturating_sub(kept.len());
    kept.extend(records.into_iter().take(room));
}
