//! What is known of a session while it lives: for the list of sessions, and to end it from outside.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use domain::error::ErrorKind;
use domain::ids::{RequestId, SessionId};
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::usage::Usage;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::error::GatewayError;
use crate::pipeline::meter::CallFacts;
use crate::pipeline::route::Candidate;
use crate::realtime::close::Ending;
use crate::snapshot::Key;

/// How a session is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A conversation at `/v1/realtime`.
    Realtime,
    /// It transcribes and does nothing else.
    Transcription,
    /// On a vendor's own path.
    Vendor,
}

impl Kind {
    /// As it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Transcription => "transcription",
            Self::Vendor => "vendor",
        }
    }
}

/// Why a session is ended from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Its key is no longer good, or its tenant is suspended.
    Revoked,
    /// An administrator wants it, for this reason.
    Terminated(String),
    /// The gateway stops.
    Draining,
}

impl Why {
    /// What the client is told.
    #[must_use]
    pub fn error(&self) -> GatewayError {
        match self {
            Self::Revoked => GatewayError::unauthenticated(),
            Self::Terminated(reason) => {
                let message = format!("The session was ended by an administrator: {reason}");
                GatewayError::caller(ErrorKind::SessionTerminated, message)
            }
            Self::Draining => {
                GatewayError::caller(ErrorKind::ServerDraining, "The gateway is restarting: open a new session.")
            }
        }
    }

    /// How the session is closed.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::Revoked => Ending::policy(1008, "the key was revoked or has expired"),
            Self::Terminated(reason) => Ending::policy(1008, &format!("ended by an administrator: {reason}")),
            Self::Draining => Ending::policy(1001, "the gateway is restarting"),
        }
    }
}

/// One open session.
#[derive(Debug)]
pub struct Live {
    /// Its id.
    pub id: SessionId,
    /// As `x-request-id` says.
    pub request_id: RequestId,
    /// Whose it is.
    pub key: Arc<Key>,
    /// What is asked.
    pub operation: Operation,
    /// How it is held.
    pub kind: Kind,
    /// The peer's address.
    pub client: Option<String>,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`.
    pub tags: Option<String>,
    /// When it was opened.
    pub started_at: OffsetDateTime,
    so_far: Mutex<SoFar>,
    over: CancellationToken,
    why: OnceLock<Why>,
}

/// What changes in the life of a session.
#[derive(Debug, Clone)]
pub struct SoFar {
    /// Raised by every change.
    pub revision: u64,
    /// The model the client named; empty until it has.
    pub model_asked: String,
    /// Configured name of the provider and its model, once one is chosen.
    pub served_by: Option<(String, String)>,
    /// Turns recorded.
    pub turns: u64,
    /// Milliseconds of audio in.
    pub audio_in_ms: u64,
    /// Milliseconds of audio out.
    pub audio_out_ms: u64,
    /// What is recorded costs so much; `None` once something of it has no price.
    pub cost: Option<NanoUsd>,
    /// When something was last used.
    pub last_seen_at: OffsetDateTime,
}

impl Live {
    /// A session that is about to be opened.
    #[must_use]
    pub fn new(id: SessionId, kind: Kind, facts: &CallFacts, peer: Option<SocketAddr>) -> Self {
        let so_far = SoFar {
            revision: 1,
            model_asked: facts.model_asked.clone(),
            served_by: None,
            turns: 0,
            audio_in_ms: 0,
            audio_out_ms: 0,
            cost: Some(NanoUsd(0)),
            last_seen_at: facts.started_at,
        };
        Self {
            id,
            request_id: facts.request_id,
            key: Arc::clone(&facts.key),
            operation: facts.operation,
            kind,
            client: peer.map(|peer| peer.ip().to_string()),
            user_tag: facts.user_tag.clone(),
            tags: facts.tags.clone(),
            started_at: facts.started_at,
            so_far: Mutex::new(so_far),
            over: CancellationToken::new(),
            why: OnceLock::new(),
        }
    }

    /// What is known now, where that is another revision than `seen`.
    #[must_use]
    pub fn since(&self, seen: Option<u64>) -> Option<SoFar> {
        let so_far = self.lock();
        (Some(so_far.revision) != seen).then(|| so_far.clone())
    }

    /// Ends the session. The first reason stands.
    pub fn end(&self, why: Why) {
        if self.why.set(why).is_ok() {
            self.over.cancel();
        }
    }

    /// Why it is ended from outside, where it is.
    #[must_use]
    pub fn ended(&self) -> Option<&Why> {
        self.why.get()
    }

    /// Waits until it is ended from outside.
    pub async fn over(&self) -> &Why {
        self.over.cancelled().await;
        self.why.get().unwrap_or(&Why::Revoked)
    }

    /// The client has named its model.
    pub(crate) fn asked(&self, model: &str) {
        self.change(|so_far| so_far.model_asked = model.to_owned());
    }

    /// A provider has the session.
    pub(crate) fn served_by(&self, candidate: &Candidate) {
        let served_by = Some((candidate.account.name.clone(), candidate.model.model.clone()));
        self.change(|so_far| so_far.served_by = served_by);
    }

    /// A turn was recorded. Providers that count tokens do not tell of audio, so what `passed` in the whole
    /// session counts where that is more.
    pub(crate) fn turn(&self, usage: &Usage, cost: Option<NanoUsd>, passed: (u64, u64)) {
        self.change(|so_far| {
            so_far.turns += 1;
            so_far.audio_in_ms = so_far.audio_in_ms.saturating_add(usage.audio_in_ms).max(passed.0);
            so_far.audio_out_ms = so_far.audio_out_ms.saturating_add(usage.audio_out_ms).max(passed.1);
            let both = so_far.cost.zip(cost);
            so_far.cost = both.map(|(before, more)| NanoUsd(before.0.saturating_add(more.0)));
        });
    }

    /// What the whole session has used until now, where it has one record.
    pub(crate) fn whole(&self, usage: &Usage, cost: Option<NanoUsd>) {
        self.change(|so_far| {
            so_far.turns = 1;
            so_far.audio_in_ms = usage.audio_in_ms;
            so_far.audio_out_ms = usage.audio_out_ms;
            so_far.cost = cost;
        });
    }

    fn change(&self, change: impl FnOnce(&mut SoFar)) {
        let mut so_far = self.lock();
        change(&mut so_far);
        so_far.revision += 1;
        so_far.last_seen_at = OffsetDateTime::now_utc();
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
