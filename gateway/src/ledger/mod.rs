//! The usage ledger: one immutable record per billed operation or realtime turn.
//!
//! A record is in the journal before the client has its last byte, reaches the database in batches,
//! and is replayed after a crash: its id makes a second insert do nothing. `Ledger::settle` is
//! synchronous, so that a guard's drop can call it. Nothing leaves the journal before the database
//! has answered for it; what it refuses for good is set aside in a file, and what the disk does not take is kept until
//! it does. What a call would leave if the process died before its record is complete
//! stands in a slot of its own from the moment that a provider is about to have the call whole.

mod database;
mod journal;
mod open_calls;
mod queue;
mod record;
mod refused;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use self::journal::Recovery;
use self::journal::{Journal, Position};
use self::open_calls::OpenCalls;
pub use self::open_calls::{Note, OpenCall};
use self::queue::{Kept, Queue};
pub use self::record::{FailedAttempt, RoutedCandidate, Routing, UsageRecord};
pub use self::writer::{InsertError, Sink};

/// Bounds of a journal and its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Bytes of all segments together. At this bound `record` fails; new work is refused earlier, so
    /// that what is running still finds room.
    pub max_bytes: u64,
    /// Bytes after which a segment is closed and the next begun.
    pub segment_bytes: u64,
    /// Records kept in memory for the writer. More than these stay in the journal alone and are read
    /// back when their turn comes.
    pub max_queued: usize,
    /// Calls in flight that are noted against a kill, at 4 KiB each on disk.
    pub max_open_calls: u32,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024 * 1024,
            segment_bytes: 8 * 1024 * 1024,
            max_queued: 10_000,
            max_open_calls: 65_536,
        }
    }
}

impl JournalLimits {
    /// Bytes from which on new work is refused: seven eighths of the bound.
    #[must_use]
    pub const fn refuse_work_from(&self) -> u64 {
        self.max_bytes - self.max_bytes / 8
    }
}

/// Why the ledger could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has the journal's directory.
    #[error("the journal in {} is in use by another process; give each process its own directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The database has been away for so long that the journal's bound is reached.
    #[error("the journal holds {bytes} of {max_bytes} bytes; the database must take records first")]
    Full {
        /// Bytes on disk.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// One record is larger than an entry may be.
    #[error("a usage record of {bytes} bytes does not fit a journal entry")]
    TooLarge {
        /// Bytes of its JSON.
        bytes: usize,
    },
    /// A record could not be written as JSON.
    #[error("a usage record could not be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The file system failed.
    #[error("the journal at {} failed: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LedgerError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What readiness and metrics say about the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerHealth {
    /// Records that the database has not answered for.
    pub pending_records: u64,
    /// Bytes of the journal on disk, records already answered for included until their segment goes.
    pub pending_bytes: u64,
    /// Whether the last insert succeeded; true before the first.
    pub database_ok: bool,
    /// Whether new work may be begun.
    pub accepts_work: bool,
}

/// The journal and the task that empties it into the database. Clones are the same ledger; when the
/// last is dropped the task ends and the journal keeps what is pending.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    recovery: Recovery,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the callers and the writer share.
#[derive(Debug)]
struct Shared {
    journal: Journal,
    open_calls: Arc<OpenCalls>,
    limits: JournalLimits,
    queue: Mutex<Queue>,
    /// Rung when something was appended.
    appended: Notify,
    /// Asks the writer not to wait for a full batch.
    hurry: Notify,
    /// Up to where the database has answered.
    done: watch::Sender<Position>,
    database_ok: AtomicBool,
}

impl Ledger {
    /// Opens the journal in `dir`, begins to replay what an earlier process left in it, and starts the
    /// writer. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The directory is another process's, or cannot be read or written.
    pub fn open(dir: &Path, limits: JournalLimits, sink: impl Sink) -> Result<Self, LedgerError> {
        let (journal, recovery) = Journal::open(dir, limits)?;
        let open_calls = OpenCalls::create(dir, limits.max_open_calls).map_err(LedgerError::io(dir))?;
        if recovery != Recovery::default() {
            tracing::info!(?recovery, "an earlier process left usage records, which are replayed");
        }
        if recovery.in_flight > 0 {
            tracing::warn!(calls = recovery.in_flight, "calls were in flight at a kill: recorded as estimated");
        }
        let acknowledged = journal.acknowledged();
        let queue = Queue::new(acknowledged, journal.end(), recovery.records + recovery.in_flight);
        let shared = Arc::new(Shared {
            journal,
            open_calls: Arc::new(open_calls),
            limits,
            queue: Mutex::new(queue),
            appended: Notify::new(),
            hurry: Notify::new(),
            done: watch::Sender::new(acknowledged),
            database_ok: AtomicBool::new(true),
        });
        let tasks = vec![
            tokio::spawn(writer::run(Arc::clone(&shared), sink)),
            tokio::spawn(writer::sync_now_and_then(Arc::clone(&shared))),
        ];
        Ok(Self(Arc::new(Handle { shared, recovery, tasks: Mutex::new(tasks) })))
    }

    /// What an earlier process had left.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.0.recovery
    }

    /// Notes what `call` leaves if the process dies before it is settled: `record`, whose id must be the
    /// one that the call is settled under. A later claim of the same call takes the place of this one.
    /// A disk that takes nothing is logged and counted; the call goes on.
    pub fn claim(&self, call: &mut OpenCall, record: &UsageRecord) {
        if write_entry(call, record) {
            self.0.shared.open_calls.claim(call);
        }
    }

    /// As [`Ledger::claim`], but nothing is noted before the note that this gives is written.
    pub fn prepare(&self, call: &mut OpenCall, record: &UsageRecord) -> Note {
        if write_entry(call, record) { self.0.shared.open_calls.prepare(call) } else { Note::none() }
    }

    /// The call leaves no record: no provider has done anything for it.
    pub fn withdraw(&self, call: &mut OpenCall) {
        call.take_back();
        self.0.shared.open_calls.withdraw(call);
    }

    /// Appends a call's record to the journal and hands it to the writer. When this returns, a crash of
    /// the process cannot lose the record.
    ///
    /// # Errors
    /// The journal is full or the file system failed. The record is kept then, in memory and in a slot for
    /// the next start, and is appended as soon as that can be.
    pub fn settle(&self, call: &mut OpenCall, record: UsageRecord) -> Result<(), LedgerError> {
        call.take_back();
        segment::encode(&record, &mut call.entry)?;
        let shared = &self.0.shared;
        let wake = {
            // The queue's lock spans the append, so that both have one order, and the slot's release,
            // so that the writer clears it before it lets go of the journal's entry.
            let mut queue = shared.queue();
            let place = match shared.journal.append(&call.entry) {
                Ok(place) => place,
                Err(error) => {
                    queue.keep(&shared.open_calls, call, record, shared.limits.max_queued);
                    return Err(error);
                }
            };
            shared.open_calls.ended(call);
            queue.push(place, record, shared.limits.max_queued)
        };
        if wake {
            shared.appended.notify_one();
        }
        Ok(())
    }

    /// Appends the record of something that was never claimed; else as [`Ledger::settle`].
    ///
    /// # Errors
    /// As [`Ledger::settle`].
    pub fn record(&self, record: UsageRecord) -> Result<(), LedgerError> {
        self.settle(&mut OpenCall::default(), record)
    }

    /// Whether new work may be begun; asked at admission, so that the record of what is running still
    /// finds room when it ends.
    ///
    /// # Errors
    /// `Full`, or `Io` while the disk takes nothing; a client sees either as 503 `overloaded`.
    pub fn accepts(&self) -> Result<(), LedgerError> {
        self.0.shared.journal.probe(|| self.0.shared.append_kept())?;
        let bytes = self.0.shared.journal.bytes();
        if bytes < self.0.shared.limits.refuse_work_from() {
            return Ok(());
        }
        Err(LedgerError::Full { bytes, max_bytes: self.0.shared.limits.max_bytes })
    }

    /// How it stands.
    #[must_use]
    pub fn health(&self) -> LedgerHealth {
        let shared = &self.0.shared;
        let pending_records = {
            let queue = shared.queue();
            queue.pending()
        };
        LedgerHealth {
            pending_records,
            pending_bytes: shared.journal.bytes(),
            database_ok: shared.database_ok.load(Ordering::Relaxed),
            accepts_work: self.accepts().is_ok(),
        }
    }

    /// Waits until everything recorded so far is in the database, for as long as that takes.
    pub async fn flush(&self) {
        let last = self.0.shared.queue().last;
        let mut done = self.0.shared.done.subscribe();
        self.0.shared.hurry.notify_one();
        // The sender lives in what `self` holds, so the wait can end in no other way.
        drop(done.wait_for(|done| *done >= last).await);
    }

    /// Flushes until `deadline` has passed, then stops the writer. What is left stays in the journal
    /// for the next start, as does what is recorded after this.
    pub async fn close(&self, deadline: Duration) -> LedgerHealth {
        if let Err(error) = self.0.shared.append_kept() {
            tracing::error!(%error, "usage records that the journal does not take stay in their slots");
        }
        let flushed = tokio::time::timeout(deadline, self.flush()).await.is_ok();
        self.0.stop();
        self.0.shared.open_calls.clear_ended();
        if flushed && self.health().pending_records == 0 {
            self.0.shared.journal.tidy();
        }
        if let Err(error) = self.0.shared.journal.sync() {
            tracing::error!(%error, "the journal could not be synced");
        }
        self.health()
    }
}

/// Makes the entry of `call` the one of `record`.
fn write_entry(call: &mut OpenCall, record: &UsageRecord) -> bool {
    call.take_back();
    let written = segment::encode(record, &mut call.entry);
    if let Err(error) = &written {
        tracing::error!(%error, "a call in flight cannot be noted");
    }
    written.is_ok()
}

impl Handle {
    fn stop(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Appends what the journal did not take when it was settled, as far as it takes it now.
    fn append_kept(&self) -> Result<(), LedgerError> {
        let mut wake = false;
        let outcome = loop {
            // For each anew, so that calls that settle meanwhile do not wait for all.
            let mut queue = self.queue();
            let Some(Kept { mut call, record }) = queue.kept.pop_front() else { break Ok(()) };
            match self.journal.append(&call.entry) {
                Ok(place) => {
                    self.open_calls.ended(&mut call);
                    wake |= queue.push(place, record, self.limits.max_queued);
                }
                Err(error) => {
                    queue.kept.push_front(Kept { call, record });
                    break Err(error);
                }
            }
        };
        if wake {
            self.appended.notify_one();
        }
        outcome
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
