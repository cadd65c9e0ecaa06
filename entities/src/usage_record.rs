//! The usage ledger: one immutable row per billed operation or realtime turn.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `usage_records`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_records")]
pub struct Model {
    /// `UUIDv7`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// As `x-request-id` says.
    pub request_id: Id,
    /// The realtime session.
    pub session_id: Option<Id>,
    /// Turn in the session.
    pub sequence: i64,
    /// Who pays.
    pub tenant_id: Id,
    /// By which key.
    pub key_id: Id,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`.
    pub tags: Option<String>,
    /// Operation.
    pub operation: String,
    /// The model the client named.
    pub model_asked: String,
    /// Configured name of the provider.
    pub provider: String,
    /// That provider's model.
    pub model_served: String,
    /// Milliseconds of audio in.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out.
    pub audio_out_ms: i64,
    /// Characters spoken.
    pub characters: i64,
    /// Text tokens in, cached ones included.
    pub text_tokens_in: i64,
    /// Text tokens out.
    pub text_tokens_out: i64,
    /// Audio tokens in, cached ones included.
    pub audio_tokens_in: i64,
    /// Audio tokens out.
    pub audio_tokens_out: i64,
    /// Cached tokens of every kind.
    pub cached_tokens: i64,
    /// What the provider adds to its price for what was asked beside the usual, in percent.
    pub surcharge_percent: i64,
    /// `reported`, `measured` or `estimated`.
    pub usage_source: String,
    /// Null while unpriced.
    pub cost_nano_usd: Option<i64>,
    /// The price row that decided most of the cost.
    pub price_id: Option<Id>,
    /// How it ended.
    pub status: String,
    /// Targets tried.
    pub attempts: i64,
    /// Targets that failed before another served: a list of objects as JSON.
    pub failed_attempts: Option<String>,
    /// How the call was routed, where there was a choice: an object as JSON.
    pub routing: Option<String>,
    /// Cache result.
    pub cache: Option<String>,
    /// Milliseconds to the first byte.
    pub ttfb_ms: Option<i64>,
    /// Milliseconds to the end.
    pub latency_ms: i64,
    /// When it was admitted.
    pub started_at: TimeDateTimeWithTimeZone,
    /// When it ended.
    pub ended_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
