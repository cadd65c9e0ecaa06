//! Sessions that are open now, on any gateway.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::words::words;

/// Most turns that the details of a session hold.
pub const MAX_TURNS: u64 = 1000;
/// Most sessions in an event of the stream of sessions.
pub const MAX_EVENT_SESSIONS: u16 = 500;

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id; usage records of its turns have it too.
    pub id: Uuid,
    /// The gateway that holds it.
    pub gateway_id: Uuid,
    /// The machine that the gateway runs on.
    pub gateway: String,
    /// As `x-request-id` told the client.
    pub request_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// By which key.
    pub key_id: Uuid,
    /// What is asked, such as `realtime`.
    pub operation: String,
    /// How it is held.
    pub kind: SessionKind,
    /// The model that the client named; empty until it has.
    pub model_asked: String,
    /// Configured name of the provider, once one is chosen.
    pub provider: Option<String>,
    /// That provider's model.
    pub model_served: Option<String>,
    /// The address that the client connects from.
    pub client_address: Option<String>,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`.
    pub tags: Option<String>,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it last used something.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen_at: OffsetDateTime,
    /// Turns recorded so far.
    pub turns: i64,
    /// Milliseconds of audio in so far.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out so far.
    pub audio_out_ms: i64,
    /// What is recorded costs so much; absent once something of it has no price.
    pub cost_usd: Option<String>,
    /// Since then it shall end.
    #[serde(with = "time::serde::rfc3339::option")]
    pub terminate_requested_at: Option<OffsetDateTime>,
    /// Why.
    pub terminate_reason: Option<String>,
    /// Who wants it, by e-mail address.
    pub terminated_by: Option<String>,
}

/// How a session is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A conversation at `/v1/realtime`.
    Realtime,
    /// It transcribes and does nothing else.
    Transcription,
    /// On a vendor's own path.
    Vendor,
}

impl SessionKind {
    /// As it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Transcription => "transcription",
            Self::Vendor => "vendor",
        }
    }
}

/// A session with its turns, while it is open and afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionDetails {
    /// Its id.
    pub id: Uuid,
    /// The session as long as it is open.
    pub live: Option<Session>,
    /// What is recorded of it, oldest first, at most 1000 turns.
    pub turns: Vec<SessionTurn>,
    /// There are more turns: the usage records have them all.
    pub more_turns: bool,
}

/// One usage record of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionTurn {
    /// The usage record's id.
    pub id: Uuid,
    /// Its number in the session.
    pub sequence: i64,
    /// Configured name of the provider that served.
    pub provider: String,
    /// That provider's model.
    pub model_served: String,
    /// Milliseconds of audio in.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out.
    pub audio_out_ms: i64,
    /// Text tokens in, cached ones included.
    pub text_tokens_in: i64,
    /// Text tokens out.
    pub text_tokens_out: i64,
    /// Audio tokens in, cached ones included.
    pub audio_tokens_in: i64,
    /// Audio tokens out.
    pub audio_tokens_out: i64,
    /// `reported`, `measured` or `estimated`.
    pub usage_source: String,
    /// Absent while unpriced.
    pub cost_usd: Option<String>,
    /// How it ended.
    pub status: String,
    /// Milliseconds to the first byte.
    pub ttfb_ms: Option<i64>,
    /// Milliseconds to the end.
    pub latency_ms: i64,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
}

/// Why a session shall end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminateSession {
    /// What its client is told, in the `error` event and, as far as it fits, in the close frame.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
}

/// Which sessions are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListSessions {
    /// Only this tenant's.
    pub tenant_id: Option<Uuid>,
    /// Only by this key.
    pub key_id: Option<Uuid>,
    /// Only at this provider, by its configured name.
    #[param(max_length = 200)]
    pub provider: Option<String>,
    /// Only of this model, as asked or as served.
    #[param(max_length = 300)]
    pub model: Option<String>,
    /// Only at this gateway.
    pub gateway_id: Option<Uuid>,
    /// Only those held in this way.
    #[param(inline)]
    pub kind: Option<SessionKind>,
    /// `-started_at` (as told nothing), `started_at`, `turns`, `-turns`, `audio_in_ms` or `-audio_in_ms`; `-` is
    /// descending.
    #[param(inline)]
    pub sort: Option<SessionSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of sessions.
    #[derive(Default)]
    SessionSort {
        /// Newest first.
        #[default]
        StartedAtDescending = "-started_at",
        /// Oldest first.
        StartedAt = "started_at",
        /// Fewest turns first.
        Turns = "turns",
        /// Most turns first.
        TurnsDescending = "-turns",
        /// Least audio in first.
        AudioIn = "audio_in_ms",
        /// Most audio in first.
        AudioInDescending = "-audio_in_ms",
    }
}

/// Of whom the stream of sessions tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WatchSessions {
    /// Only this tenant's.
    pub tenant_id: Option<Uuid>,
}

/// The data of a `sessions` event: what is open now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenSessions {
    /// The newest, at most 500.
    pub sessions: Vec<Session>,
    /// How many there are.
    pub total: u64,
}
