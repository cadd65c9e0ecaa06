//! The sessions that are open in this process, so that they can be counted, listed and ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use domain::ids::SessionId;
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

use crate::realtime::live::{Live, Why};
use crate::snapshot::Snapshot;
use crate::telemetry::names;

/// Open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Arc<DashMap<SessionId, Arc<Live>>>,
    /// Places that are taken: the map's own length is no bound, since many may enter at once.
    count: Arc<AtomicUsize>,
    tracker: TaskTracker,
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

    /// The sessions open now.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Live>> {
        self.open.iter().map(|entry| Arc::clone(entry.value())).collect()
    }

    /// Enters a session, from before its provider is asked, unless `most` are open; dropping what is
    /// returned takes it out.
    #[must_use]
    pub fn enter(&self, live: Live, most: usize) -> Option<Entered> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let live = Arc::new(live);
        self.open.insert(live.id, Arc::clone(&live));
        names::sessions(1.0);
        let (open, count) = (Arc::clone(&self.open), Arc::clone(&self.count));
        Some(Entered { open, count, live, _tracked: self.tracker.token() })
    }

    /// Ends the sessions of keys that a new snapshot has no more, or whose time is over.
    pub fn end_revoked(&self, snapshot: &Snapshot, now: OffsetDateTime) {
        for live in self.open.iter() {
            let good = snapshot.key_by_id(live.key.id).is_some_and(|key| key.expires_at.is_none_or(|at| at > now));
            if !good {
                live.end(Why::Revoked);
            }
        }
    }

    /// Ends a session for an administrator, where it is open here.
    pub fn terminate(&self, session: SessionId, reason: &str) {
        if let Some(live) = self.open.get(&session) {
            live.end(Why::Terminated(reason.to_owned()));
        }
    }

    /// Ends every session that is open now.
    pub fn end_all(&self, why: &Why) {
        for live in self.open.iter() {
            live.end(why.clone());
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
    open: Arc<DashMap<SessionId, Arc<Live>>>,
    count: Arc<AtomicUsize>,
    /// The session.
    pub live: Arc<Live>,
    _tracked: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.open.remove(&self.live.id);
        self.count.fetch_sub(1, Ordering::Relaxed);
        names::sessions(-1.0);
    }
}
