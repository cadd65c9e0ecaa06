//! How requests went, by minute: also those that leave no usage record.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `request_minutes`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "request_minutes")]
pub struct Model {
    /// Stands for the four columns below, which are unique.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The minute's begin.
    pub minute: TimeDateTimeWithTimeZone,
    /// Whose key it was; null where no key was accepted.
    pub tenant_id: Option<Id>,
    /// Operation; empty where no key was accepted.
    pub operation: String,
    /// Configured name of the provider that was asked last; empty where none was.
    pub provider: String,
    /// Requests that were answered, in whatever way.
    pub requests: i64,
    /// Of these: refused for what the client sent.
    pub client_errors: i64,
    /// Of these: refused by a limit or a budget of ours, with 429.
    pub refused: i64,
    /// Of these, and of sessions and streams that began before: failed by the provider.
    pub upstream_errors: i64,
    /// Of these: failed by the gateway.
    pub gateway_errors: i64,
    /// Answers whose time to the first byte is known.
    pub ttfb_count: i64,
    /// Sum of these times in milliseconds.
    pub ttfb_ms_sum: i64,
    /// Of these: at most 100 ms.
    pub ttfb_le_100: i64,
    /// At most 300 ms.
    pub ttfb_le_300: i64,
    /// At most 1 s.
    pub ttfb_le_1000: i64,
    /// At most 3 s.
    pub ttfb_le_3000: i64,
    /// At most 10 s.
    pub ttfb_le_10000: i64,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
