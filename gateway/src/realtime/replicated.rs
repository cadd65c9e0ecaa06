//! The open sessions of this gateway in Redis, where gateways share one: listed there by tenant and by key while they
//! live, ended from there, and forgotten when their gateway died. The database has them besides; neither waits for the
//! other, so that one of them being away hides no session and keeps none open.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use changes::Signal;
use domain::ids::{SessionId, TenantId};
use replicas::{LiveSession, ReplicasError, Termination};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Gateway;
use crate::limits::shared::Shared;
use crate::realtime::live::{Live, SoFar};

/// How often what has changed is told.
const BEAT: Duration = Duration::from_secs(1);
/// How long the last words of a gateway that stops may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is told of a session beside whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// What people call the gateway that holds it.
    pub gateway: String,
    /// Stands for that process.
    pub gateway_id: Uuid,
    /// `realtime`, `transcription` or `vendor`.
    pub kind: String,
    /// The model that the client named; empty until it has.
    pub model_asked: String,
    /// Configured name of the provider, once one is chosen.
    pub provider: Option<String>,
    /// Its model.
    pub model_served: Option<String>,
    /// When it was opened.
    #[serde(serialize_with = "time::serde::rfc3339::serialize")]
    pub started_at: OffsetDateTime,
    /// Turns recorded.
    pub turns: u64,
}

/// Tells Redis of the sessions until `stop` is cancelled, then that they are gone.
pub(crate) async fn tell(gateway: Arc<Gateway>, stop: CancellationToken) {
    let Some(shared) = &gateway.shared else { return };
    let mut told = Told::default();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beat.tick() => {}
        }
        // While Redis is away nobody asks it; afterwards everything is told anew.
        if shared.is_away() || told.beat(&gateway, shared).await.is_err() {
            told = Told::default();
        }
    }
    let left: Vec<LiveSession> = told.sessions.into_values().map(|(_, session)| session).collect();
    if !matches!(tokio::time::timeout(LAST_WORDS, shared.replicas().end_sessions(&left)).await, Ok(Ok(()))) {
        tracing::debug!("Redis was not told that the last sessions are gone; it finds out");
    }
}

/// Wakes `changed` whenever another process tells through Redis that something was changed, and ends the sessions
/// that anybody asks for there. A message that is lost only delays: changes are looked for besides, and a session
/// that shall end is noted where its gateway beats. Returns at once where nothing is shared.
pub async fn hear(gateway: Arc<Gateway>, changed: Signal) {
    let Some(shared) = &gateway.shared else { return };
    let messages = match shared.replicas().listen() {
        Ok(messages) => messages,
        Err(error) => return tracing::error!(%error, "Redis cannot be listened to"),
    };
    let (mut changes, mut terminations) = (messages.changes(), messages.terminations());
    loop {
        tokio::select! {
            heard = changes.changed() => match heard {
                Ok(()) => changed.wake(),
                Err(_) => return,
            },
            heard = terminations.recv() => match heard {
                Ok(Termination { session, reason }) => gateway.sessions.terminate(session, &reason),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}

/// What Redis was told last.
#[derive(Debug, Default)]
struct Told {
    /// Each session with the revision that was told.
    sessions: HashMap<SessionId, (u64, LiveSession)>,
    /// When all of them were told together.
    whole: Option<Instant>,
}

impl Told {
    async fn beat(&mut self, gateway: &Gateway, shared: &Shared) -> Result<(), ReplicasError> {
        let replicas = shared.replicas();
        let open = gateway.sessions.list();
        let ended = self.take_ended(&open);
        let changed = self.take_changed(gateway, &open);
        let all = self.whole.is_none_or(|at| at.elapsed() >= replicas.beats());
        let due = if all { self.sessions.values().map(|(_, session)| session.clone()).collect() } else { changed };
        if all || !due.is_empty() {
            shared.beat(&tenants(&due)).await?;
            for Termination { session, reason } in replicas.beat_sessions(&due).await? {
                gateway.sessions.terminate(session, &reason);
            }
        }
        if all {
            self.whole = Some(Instant::now());
        }
        replicas.end_sessions(&ended).await
    }

    fn take_ended(&mut self, open: &[Arc<Live>]) -> Vec<LiveSession> {
        let open: HashSet<SessionId> = open.iter().map(|live| live.id).collect();
        self.sessions.extract_if(|id, _| !open.contains(id)).map(|(_, (_, session))| session).collect()
    }

    fn take_changed(&mut self, gateway: &Gateway, open: &[Arc<Live>]) -> Vec<LiveSession> {
        let mut changed = Vec::new();
        for live in open {
            let seen = self.sessions.get(&live.id).map(|(revision, _)| *revision);
            let Some(so_far) = live.since(seen) else { continue };
            let session = described(gateway, live, &so_far);
            self.sessions.insert(live.id, (so_far.revision, session.clone()));
            changed.push(session);
        }
        changed
    }
}

fn tenants(sessions: &[LiveSession]) -> Vec<TenantId> {
    let mut tenants: Vec<TenantId> = sessions.iter().map(|session| session.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
}

fn described(gateway: &Gateway, live: &Live, so_far: &SoFar) -> LiveSession {
    let (provider, model_served) = so_far.served_by.clone().unzip();
    let about = About {
        gateway: gateway.settings.name.clone(),
        gateway_id: gateway.reports.id,
        kind: live.kind.as_str().to_owned(),
        model_asked: so_far.model_asked.clone(),
        provider,
        model_served,
        started_at: live.started_at,
        turns: so_far.turns,
    };
    let about = serde_json::to_string(&about).unwrap_or_default();
    LiveSession { id: live.id, tenant: live.key.tenant, key: live.key.id, about }
}
