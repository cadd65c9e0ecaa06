//! The sessions that are open in this process, so that they can be counted and ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use domain::ids::{SessionId, VirtualKeyId};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::snapshot::Snapshot;
use crate::telemetry::names;

/// Open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Arc<DashMap<SessionId, Entry>>,
    /// Places that are taken: the map's own length is no bound, since many may enter at once.
    count: Arc<AtomicUsize>,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Entry {
    key: VirtualKeyId,
    revoked: CancellationToken,
}

impl Sessions {
    /// Sessions open now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Enters a session, from before its provider is asked, unless `most` are open; dropping what is
    /// returned takes it out.
    #[must_use]
    pub fn enter(&self, session: SessionId, key: VirtualKeyId, most: usize) -> Option<Entered> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let revoked = CancellationToken::new();
        self.open.insert(session, Entry { key, revoked: revoked.clone() });
        names::sessions(1.0);
        let (open, count) = (Arc::clone(&self.open), Arc::clone(&self.count));
        Some(Entered { open, count, session, revoked, _tracked: self.tracker.token() })
    }

    /// Ends the sessions of keys that a new snapshot has no more, or whose time is over.
    pub fn end_revoked(&self, snapshot: &Snapshot, now: OffsetDateTime) {
        for entry in self.open.iter() {
            let good = snapshot.key_by_id(entry.key).is_some_and(|key| key.expires_at.is_none_or(|at| at > now));
            if !good {
                entry.revoked.cancel();
            }
        }
    }

    /// Waits until every session has ended. None may be entered meanwhile.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// A session's place among the open ones.
#[derive(Debug)]
pub struct Entered {
    open: Arc<DashMap<SessionId, Entry>>,
    count: Arc<AtomicUsize>,
    session: SessionId,
    /// Cancelled when the key is revoked.
    pub revoked: CancellationToken,
    _tracked: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.open.remove(&self.session);
        self.count.fetch_sub(1, Ordering::Relaxed);
        names::sessions(-1.0);
    }
}
