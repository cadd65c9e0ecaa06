//! Sessions that are open now, on any gateway.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `live_sessions`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "live_sessions")]
pub struct Model {
    /// The session's id, as its usage records have it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Where it is.
    pub gateway_id: Id,
    /// As `x-request-id` says.
    pub request_id: Id,
    /// Who pays.
    pub tenant_id: Id,
    /// By which key.
    pub key_id: Id,
    /// Operation.
    pub operation: String,
    /// `realtime`, `transcription` or `vendor`: one on a vendor's own path.
    pub kind: String,
    /// The model the client named; empty until it has.
    pub model_asked: String,
    /// Configured name of the provider, once one is chosen.
    pub provider: Option<String>,
    /// That provider's model.
    pub model_served: Option<String>,
    /// The peer's address.
    pub client_address: Option<String>,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`.
    pub tags: Option<String>,
    /// When it was opened.
    pub started_at: TimeDateTimeWithTimeZone,
    /// When it last used something.
    pub last_seen_at: TimeDateTimeWithTimeZone,
    /// Turns that are recorded.
    pub turns: i64,
    /// Milliseconds of audio in that are recorded.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out that are recorded.
    pub audio_out_ms: i64,
    /// What is recorded costs so much; null once something of it is unpriced.
    pub cost_nano_usd: Option<i64>,
    /// Since then it shall end.
    pub terminate_requested_at: Option<TimeDateTimeWithTimeZone>,
    /// What its client is told.
    pub terminate_reason: Option<String>,
    /// Who ends it.
    pub terminated_by: Option<String>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
