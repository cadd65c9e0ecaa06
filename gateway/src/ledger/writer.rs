//! The one task that moves records from the journal into the database.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::journal::{Batch, Position};
use super::{Shared, UsageRecord};

/// Records of one insert.
pub(super) const BATCH_RECORDS: usize = 500;
/// How long the first record of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// Pauses between attempts while the database is away.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the journal is synced: at most this much is lost with the machine's power.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Where records end up.
pub trait Sink: Send + Sync + 'static {
    /// Inserts `records`; one whose id is there already changes nothing.
    ///
    /// # Errors
    /// A text for the log. The same records come again.
    fn insert(&self, records: &[UsageRecord]) -> impl Future<Output = Result<(), String>> + Send;
}

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>, sink: impl Sink) {
    loop {
        wait_for_records(&shared).await;
        while let Some(batch) = take(&shared).await {
            insert(&shared, &sink, &batch.records).await;
            // Before the journal lets go of its entries: from then on only an empty slot says that a
            // call has ended.
            shared.open_calls.clear_ended();
            shared.journal.acknowledge(batch.upto);
            shared.queue().inserted(batch.records.len(), batch.upto);
            shared.done.send_replace(batch.upto);
        }
    }
}

/// Asks the disk for everything appended, now and then.
pub(super) async fn sync_now_and_then(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SYNC_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shared = Arc::clone(&shared);
        if let Err(error) = blocking(move || shared.journal.sync()).await {
            tracing::error!(%error, "the journal could not be synced");
        }
    }
}

/// Returns when there is a record and either a batch is full, the wait is over, or somebody flushes.
async fn wait_for_records(shared: &Shared) {
    while shared.waiting() == 0 {
        shared.appended.notified().await;
    }
    let full = async {
        while shared.waiting() < BATCH_RECORDS {
            shared.appended.notified().await;
        }
    };
    tokio::select! {
        () = full => {}
        () = shared.hurry.notified() => {}
        () = tokio::time::sleep(BATCH_WAIT) => {}
    }
}

/// The next batch, out of memory or out of the journal.
async fn take(shared: &Arc<Shared>) -> Option<Batch> {
    let (from, last) = {
        let mut queue = shared.queue();
        if let Some(batch) = queue.pop(BATCH_RECORDS) {
            return Some(batch);
        }
        if !queue.spilled {
            return None;
        }
        (queue.taken, queue.last)
    };
    let batch = read_back(shared, from, last).await;
    shared.queue().took(batch.upto);
    Some(batch)
}

/// Reads from the journal for as long as it takes: giving up would lose what is there.
async fn read_back(shared: &Arc<Shared>, from: Position, last: Position) -> Batch {
    let mut pause = FIRST_PAUSE;
    loop {
        let journal = Arc::clone(shared);
        match blocking(move || journal.journal.read(from, last, BATCH_RECORDS)).await {
            Ok(batch) => return batch,
            Err(error) => tracing::error!(%error, "the journal could not be read back; trying again"),
        }
        pause = pause_and_double(pause).await;
    }
}

/// Inserts for as long as it takes.
async fn insert(shared: &Shared, sink: &impl Sink, records: &[UsageRecord]) {
    if records.is_empty() {
        return;
    }
    let mut pause = FIRST_PAUSE;
    while let Err(error) = sink.insert(records).await {
        shared.database_ok.store(false, Ordering::Relaxed);
        tracing::error!(%error, records = records.len(), "usage records could not be inserted; trying again");
        pause = pause_and_double(pause).await;
    }
    shared.database_ok.store(true, Ordering::Relaxed);
}

async fn pause_and_double(pause: Duration) -> Duration {
    tokio::time::sleep(pause).await;
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

impl Shared {
    fn waiting(&self) -> usize {
        self.queue().waiting()
    }
}
