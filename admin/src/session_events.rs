//! The open sessions as a stream of events, for a dashboard. Each stream looks for itself, tells only what
//! has changed, and holds one event at a time: a reader that stalls is told less, and nothing piles up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data};
use admin_types::sessions::OpenSessions;
use futures_util::Stream;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Control;
use crate::auth::{self, Actor};
use crate::error::AdminError;
use crate::repositories::{Scope, sessions};
use crate::telemetry;

/// Streams of one process.
const MAX_STREAMS: usize = 64;
/// Of them, those of one user.
const MAX_OF_USER: usize = 8;
/// How often a stream looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether the caller may still see what it is told.
const RECOGNISE_EVERY: Duration = Duration::from_secs(3);
/// Silence after which a comment says that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What is told when there are too many streams.
const COME_BACK: Duration = Duration::from_secs(10);

/// How many streams each user has open.
type Open = Arc<Mutex<HashMap<Uuid, usize>>>;

/// The streams that are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    open: Open,
    stopping: CancellationToken,
}

/// A stream's place among them.
#[derive(Debug)]
pub(crate) struct Place {
    user: Uuid,
    open: Open,
    stopping: CancellationToken,
}

impl Streams {
    /// One more of a user, unless there are too many.
    pub(crate) fn enter(&self, user: Uuid) -> Result<Place, AdminError> {
        let full = |detail: &str| AdminError::TooMany { detail: detail.to_owned(), retry_after: COME_BACK };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= MAX_STREAMS {
            return Err(full("Too many watch already."));
        }
        let own = open.entry(user).or_default();
        if *own >= MAX_OF_USER {
            return Err(full("You watch in too many places already."));
        }
        *own += 1;
        telemetry::streams(1.0);
        Ok(Place { user, open: Arc::clone(&self.open), stopping: self.stopping.clone() })
    }

    /// Ends every stream, since the process ends.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.user);
            }
        }
        telemetry::streams(-1.0);
    }
}

/// What is open now, as an event; nothing, for a caller who asked for another tenant's.
///
/// # Errors
/// The database's.
pub(crate) async fn event(control: &Control, scope: Option<Scope>) -> Result<Bytes, AdminError> {
    let (sessions, total) = match scope {
        Some(scope) => sessions::newest(&control.database, scope).await?,
        None => (Vec::new(), 0),
    };
    let open = serde_json::to_string(&OpenSessions { sessions, total });
    let open = open.map_err(|error| AdminError::internal(&error))?;
    Ok(format!("event: sessions\ndata: {open}\n\n").into())
}

/// One stream.
pub(crate) struct Watch {
    pub(crate) control: Data<Control>,
    /// Has the token, which may be good no more.
    pub(crate) request: HttpRequest,
    pub(crate) actor: Actor,
    pub(crate) scope: Option<Scope>,
    pub(crate) place: Place,
}

/// What a stream has told.
struct Told {
    event: Bytes,
    at: Instant,
    recognised: Instant,
    is_first: bool,
}

impl Watch {
    /// The events, `first` before all.
    pub(crate) fn events(self, first: Bytes) -> impl Stream<Item = Result<Bytes, AdminError>> {
        let now = Instant::now();
        let told = Told { event: first, at: now, recognised: now, is_first: true };
        futures_util::stream::unfold((self, told), |(watch, mut told)| async move {
            let next = watch.next(&mut told).await?;
            Some((Ok(next), (watch, told)))
        })
    }

    /// Waits for what is told next; `None` ends the stream.
    async fn next(&self, told: &mut Told) -> Option<Bytes> {
        if std::mem::take(&mut told.is_first) {
            return Some(told.event.clone());
        }
        loop {
            tokio::select! {
                () = self.place.stopping.cancelled() => return None,
                () = sleep(LOOK_EVERY) => {}
            }
            if told.recognised.elapsed() >= RECOGNISE_EVERY {
                self.still_permitted().await?;
                told.recognised = Instant::now();
            }
            // A database that is away ends the stream: whoever watches comes back and is told why.
            let event = event(&self.control, self.scope).await.ok()?;
            let is_new = event != told.event;
            if is_new || told.at.elapsed() >= KEEP_ALIVE {
                told.at = Instant::now();
                let next = if is_new { event.clone() } else { Bytes::from_static(b": nothing new\n\n") };
                told.event = event;
                return Some(next);
            }
        }
    }

    /// `None` when the token is expired or revoked, or says something else by now.
    async fn still_permitted(&self) -> Option<()> {
        let now = auth::recognise(&self.control, &self.request).await.ok()?;
        (now.user == self.actor.user && now.role == self.actor.role && now.tenant == self.actor.tenant).then_some(())
    }
}
