//! Messages to channels: what waits to be said, and what was.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `alert_deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_deliveries")]
pub struct Model {
    /// `UUIDv7`; the same in every attempt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The alert; null for a test.
    pub event_id: Option<Id>,
    /// To where.
    pub channel_id: Id,
    /// Whose channel it is; null for the platform's.
    pub tenant_id: Option<Id>,
    /// `firing`, `resolved` or `test`.
    pub message: String,
    /// The message as JSON.
    pub payload: String,
    /// How often it was tried.
    pub attempts: i64,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// Of the last answer.
    pub http_status: Option<i32>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The begin of the last answer's body.
    pub answer: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<TimeDateTimeWithTimeZone>,
    /// When it was written.
    pub created_at: TimeDateTimeWithTimeZone,
    /// When it was taken.
    pub delivered_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
