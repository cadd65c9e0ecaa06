//! Keeps the leases of this gateway alive, and sends what calls settle without their waiting for it.
//!
//! A call that ends only puts a note into a bounded queue, so that a drop can do it and no frame waits for Redis.
//! What Redis does not take, as while it fails over, is sent again for as long as the lease can live. What finds no
//! room is let go: the money comes again when the ledger has written the record ([`Replicas::committed`]), and a lease
//! that is not kept here any more ends by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use domain::money::NanoUsd;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::connection::{Count, Replicas};
use crate::{Budget, Keeps, Lease, Record, ReplicasError, Reserved};

/// Notes that wait to be sent.
const QUEUED: usize = 65_536;
/// Notes that are taken together.
const TAKEN_AT_ONCE: usize = 512;
/// Scripts that are on their way at once.
const SENT_AT_ONCE: usize = 64;
/// Calls whose settling is sent again.
const OWED: usize = 4_096;
/// Between two tries to send it.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The leases of this gateway. When it is dropped they are kept no longer.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    replicas: Replicas,
    leases: DashMap<Uuid, Lease>,
    queue: mpsc::Sender<Note>,
}

#[derive(Debug)]
enum Note {
    Settle { lease: Lease, records: Vec<Record>, keeps: Keeps },
    Reached(oneshot::Sender<()>),
}

/// A lease that is kept alive. Its drop gives back what it holds, so that neither a panic nor a hang-up leaks
/// anything.
#[derive(Debug)]
pub struct Held {
    shared: Arc<Shared>,
    call: Uuid,
}

impl Keeper {
    /// Begins to keep. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(replicas: Replicas) -> Self {
        let (queue, notes) = mpsc::channel(QUEUED);
        let shared = Arc::new(Shared { replicas: replicas.clone(), leases: DashMap::new(), queue });
        let tasks = [tokio::spawn(send(replicas, notes)), tokio::spawn(renew(Arc::clone(&shared)))];
        Self { shared, tasks }
    }

    /// Keeps a lease for as long as the answer lives.
    #[must_use]
    pub fn hold(&self, lease: Lease) -> Held {
        let call = lease.call;
        self.shared.leases.insert(call, lease);
        Held { shared: Arc::clone(&self.shared), call }
    }

    /// Leases that are kept now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.leases.len()
    }

    /// Renews everything that is kept, now and not at the next third of a lease's time: for a gateway that held calls
    /// while Redis was away.
    ///
    /// # Errors
    /// `Away`: then some may have been renewed.
    pub async fn renew(&self) -> Result<(), ReplicasError> {
        self.shared.renew().await
    }

    /// Waits until what was noted so far has been sent, at most for `patience`; gives whether it has.
    pub async fn flush(&self, patience: Duration) -> bool {
        let (reached, wait) = oneshot::channel();
        let flushed = async { self.shared.queue.send(Note::Reached(reached)).await.is_ok() && wait.await.is_ok() };
        tokio::time::timeout(patience, flushed).await.unwrap_or(false)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Held {
    /// What is held now.
    #[must_use]
    pub fn reserved(&self) -> NanoUsd {
        self.shared.leases.get(&self.call).map_or(NanoUsd::ZERO, |lease| lease.reserved)
    }

    /// The token that tells this admission from earlier ones of the same key.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.shared.leases.get(&self.call).map_or(0, |lease| lease.fence)
    }

    /// Counts a record out of what is held, which keeps the rest. Does not wait.
    pub fn settle_part(&mut self, record: Record) {
        self.settle(vec![record], Keeps::All);
    }

    /// The session is over; what is reserved for it is kept until its bill is known. Does not wait.
    pub fn free_session(&mut self) {
        let frees = self.shared.leases.get_mut(&self.call).is_some_and(|mut lease| std::mem::take(&mut lease.session));
        if frees {
            self.settle(Vec::new(), Keeps::Money);
        }
    }

    /// Says that all records of this call with ids below `from` are settled, so that a long session does not hold
    /// back what is counted of its key. Does not wait.
    pub fn settled_below(&mut self, from: Uuid) {
        if let Some(mut lease) = self.shared.leases.get_mut(&self.call) {
            lease.from = lease.from.max(from);
        }
    }

    /// Holds `more` beside what is held.
    ///
    /// # Errors
    /// `Away`; what is held stays held.
    pub async fn reserve_more(&mut self, more: NanoUsd, budget: Option<Budget>) -> Result<Reserved, ReplicasError> {
        let Some(mut lease) = self.shared.leases.get(&self.call).map(|lease| lease.clone()) else {
            return Err(ReplicasError::Away { reason: "the lease is kept no longer".to_owned() });
        };
        let reserved = self.shared.replicas.reserve_more(&mut lease, more, budget).await?;
        if let Some(mut kept) = self.shared.leases.get_mut(&self.call) {
            kept.reserved = lease.reserved;
        }
        Ok(reserved)
    }

    /// The call is over: counts its records and gives back the rest. Does not wait.
    pub fn finish(self, records: Vec<Record>) {
        self.end(records);
    }

    fn settle(&self, records: Vec<Record>, keeps: Keeps) {
        let Some(mut kept) = self.shared.leases.get_mut(&self.call) else { return };
        let cost =
            records.iter().fold(0_i64, |sum, record| sum.saturating_add(record.cost.map_or(0, |cost| cost.0.max(0))));
        kept.reserved = NanoUsd(kept.reserved.0.saturating_sub(cost).max(0));
        let lease = kept.clone();
        drop(kept);
        self.shared.note(lease, records, keeps);
    }

    fn end(&self, records: Vec<Record>) {
        if let Some((_, lease)) = self.shared.leases.remove(&self.call) {
            self.shared.note(lease, records, Keeps::Nothing);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(Vec::new());
    }
}

impl Shared {
    async fn renew(&self) -> Result<(), ReplicasError> {
        let leases: Vec<Lease> = self.leases.iter().map(|lease| lease.clone()).collect();
        let renewal = self.replicas.renew(&leases).await?;
        if !renewal.restored.is_empty() {
            tracing::warn!(calls = renewal.restored.len(), "Redis did not have leases of open calls");
        }
        Ok(())
    }

    fn note(&self, lease: Lease, records: Vec<Record>, keeps: Keeps) {
        if self.queue.try_send(Note::Settle { lease, records, keeps }).is_err() {
            self.replicas.add(Count::Dropped, 1);
        }
    }
}

/// Sends what is noted. One batch is answered before the next is taken, so that what one call noted arrives in order.
async fn send(replicas: Replicas, mut notes: mpsc::Receiver<Note>) {
    let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
    let mut owed = Owed { ttl: replicas.settings().lease_ttl, by_call: HashMap::new() };
    let mut again = tokio::time::interval(AGAIN_AFTER);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (settlings, reached): (Vec<Settling>, _) = tokio::select! {
            count = notes.recv_many(&mut taken, TAKEN_AT_ONCE) => {
                if count == 0 {
                    return;
                }
                let (settlings, reached) = merge(taken.drain(..));
                (settlings.into_iter().filter_map(|settling| owed.behind_what_is_owed(settling)).collect(), reached)
            }
            _ = again.tick(), if !owed.by_call.is_empty() => (owed.take(), Vec::new()),
        };
        for some in settlings.chunks(SENT_AT_ONCE) {
            let sent =
                some.iter().map(|Settling { lease, records, keeps, .. }| replicas.settle(lease, records, *keeps));
            let answers = join_all(sent).await;
            for (settling, _) in some.iter().zip(answers).filter(|(_, answer)| answer.is_err()) {
                if !owed.keep(settling.clone()) {
                    replicas.add(Count::Dropped, 1);
                }
            }
        }
        for reached in reached {
            // Whoever waited may have lost patience.
            reached.send(()).ok();
        }
    }
}

/// What Redis did not take. Settling twice changes nothing, so that it may be sent again after an answer was lost.
struct Owed {
    /// A lease that is kept no longer has ended by then, and its money comes by the database.
    ttl: Duration,
    by_call: HashMap<Uuid, Settling>,
}

impl Owed {
    /// Gives it back where it may be sent; else it goes with what its call noted before.
    fn behind_what_is_owed(&mut self, settling: Settling) -> Option<Settling> {
        match self.by_call.get_mut(&settling.lease.call) {
            Some(before) => before.add(settling.records, settling.keeps),
            None => return Some(settling),
        }
        None
    }

    fn take(&mut self) -> Vec<Settling> {
        let ttl = self.ttl;
        self.by_call.drain().map(|(_, settling)| settling).filter(|settling| settling.since.elapsed() < ttl).collect()
    }

    /// Gives whether there was room.
    fn keep(&mut self, settling: Settling) -> bool {
        let has_room = self.by_call.len() < OWED;
        if has_room {
            self.by_call.insert(settling.lease.call, settling);
        }
        has_room
    }
}

/// What one call has noted, since when.
#[derive(Debug, Clone)]
struct Settling {
    lease: Lease,
    records: Vec<Record>,
    keeps: Keeps,
    since: Instant,
}

impl Settling {
    fn add(&mut self, records: Vec<Record>, keeps: Keeps) {
        self.records.extend(records);
        self.keeps = self.keeps.max(keeps);
    }
}

/// One settling for each call, of all that was noted of it.
fn merge(notes: impl Iterator<Item = Note>) -> (Vec<Settling>, Vec<oneshot::Sender<()>>) {
    let mut by_call: HashMap<Uuid, usize> = HashMap::new();
    let mut settlings: Vec<Settling> = Vec::new();
    let mut reached = Vec::new();
    for note in notes {
        let (lease, records, keeps) = match note {
            Note::Settle { lease, records, keeps } => (lease, records, keeps),
            Note::Reached(sender) => {
                reached.push(sender);
                continue;
            }
        };
        if let Some(before) = by_call.get(&lease.call).and_then(|at| settlings.get_mut(*at)) {
            before.add(records, keeps);
        } else {
            by_call.insert(lease.call, settlings.len());
            settlings.push(Settling { lease, records, keeps, since: Instant::now() });
        }
    }
    (settlings, reached)
}

/// Renews everything that is kept, each third of a lease's time.
async fn renew(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(shared.replicas.settings().lease_ttl / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = shared.renew().await {
            tracing::debug!(%error, "leases could not be renewed");
        }
    }
}
