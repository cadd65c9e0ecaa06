//! The one task that moves records from the journal into the database. While the database is away it
//! tries again for as long as it takes; a record that the database will never take is set aside, so
//! that it holds up nobody else's.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::journal::{Batch, Position};
use super::{Shared, UsageRecord, refused};
use crate::telemetry::names;

/// Records of one insert: what they add to the roll-ups is written once, so many at a time cost less.
pub(super) const BATCH_RECORDS: usize = 2_000;
/// How long the first record of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// Pauses between attempts while the database is away.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After so long without an answer the database counts as away. It is waited for all the same.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// After so long the attempt is given up: a server that vanished without a word never answers on its old connections,
/// and the next attempt takes another. Doubles with each attempt, so that one that is only slow gets its time.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How often the journal is synced: at most this much is lost with the machine's power.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Where records end up.
pub trait Sink: Send + Sync + 'static {
    /// Inserts `records`; one whose id is there already changes nothing.
    ///
    /// # Errors
    /// Why not. Some of the records may be inserted; all may come again.
    fn insert(&self, records: &[UsageRecord]) -> impl Future<Output = Result<(), InsertError>> + Send;
}

/// Why records were not inserted, with a text for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertError {
    /// The database is not there or cannot work now: it may take the same records later.
    Away(String),
    /// The database does not take what is in one of the records, now or later.
    Refused(String),
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

/// Asks the disk for everything appended, now and then, and appends what it did not take.
pub(super) async fn sync_now_and_then(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SYNC_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shared = Arc::clone(&shared);
        let synced = move || {
            // Whoever settled it has told of the error, and readiness does.
            drop(shared.append_kept());
            shared.journal.sync()
        };
        if let Err(error) = blocking(synced).await {
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

/// Inserts all records, but for those that are refused: these are set aside.
async fn insert(shared: &Arc<Shared>, sink: &impl Sink, records: &[UsageRecord]) {
    if records.is_empty() || insert_or_refuse(shared, sink, records).await.is_ok() {
        return;
    }
    for record in records {
        if let Err(reason) = insert_or_refuse(shared, sink, std::slice::from_ref(record)).await {
            set_aside(shared, record, &reason).await;
        }
    }
}

/// Inserts for as long as it takes, unless the database refuses what is in a record, and why.
async fn insert_or_refuse(shared: &Shared, sink: &impl Sink, records: &[UsageRecord]) -> Result<(), String> {
    let (mut pause, mut patience) = (FIRST_PAUSE, GIVE_UP_AFTER);
    loop {
        let away = match answer_within(patience, shared, sink, records).await {
            Err(InsertError::Away(error)) => error,
            inserted_or_refused => {
                shared.database_ok.store(true, Ordering::Relaxed);
                return match inserted_or_refused {
                    Err(InsertError::Refused(reason)) => Err(reason),
                    _ => Ok(()),
                };
            }
        };
        shared.database_ok.store(false, Ordering::Relaxed);
        tracing::error!(error = %away, records = records.len(), "usage records could not be inserted; trying again");
        pause = pause_and_double(pause).await;
        patience = patience.saturating_mul(2).min(LONGEST_WAIT);
    }
}

/// One attempt. What the database does with it after all changes nothing: the records come again with their ids.
async fn answer_within(
    patience: Duration,
    shared: &Shared,
    sink: &impl Sink,
    records: &[UsageRecord],
) -> Result<(), InsertError> {
    let mut insert = pin!(sink.insert(records));
    if let Ok(answer) = tokio::time::timeout(SILENT_AFTER, &mut insert).await {
        return answer;
    }
    shared.database_ok.store(false, Ordering::Relaxed);
    tracing::error!(records = records.len(), "the database does not answer; usage records wait for it");
    let answer = tokio::time::timeout(patience.saturating_sub(SILENT_AFTER), insert).await;
    answer.unwrap_or_else(|_| Err(InsertError::Away(format!("no answer within {} s", patience.as_secs()))))
}

/// Keeps a record beside the journal, which lets go of it then, for as long as it takes.
async fn set_aside(shared: &Arc<Shared>, record: &UsageRecord, reason: &str) {
    tracing::error!(usage_record.id = %record.id, %reason, "the database refuses a usage record, which is set aside");
    names::record_refused();
    let mut pause = FIRST_PAUSE;
    loop {
        let (dir, record, reason) = (shared.journal.dir().to_owned(), record.clone(), reason.to_owned());
        match blocking(move || refused::append(&dir, &record, &reason)).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "a refused usage record could not be kept; trying again"),
        }
        pause = pause_and_double(pause).await;
    }
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
