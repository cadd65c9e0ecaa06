//! What each gateway knows of the health of targets.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `target_health`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "target_health")]
pub struct Model {
    /// Which gateway.
    #[sea_orm(primary_key, auto_increment = false)]
    pub gateway_id: Id,
    /// Which provider.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider_id: Id,
    /// Which of its models.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// Configured name of the provider.
    pub provider: String,
    /// Whose provider it is; null for the platform's.
    pub tenant_id: Option<Id>,
    /// `closed`, `half_open` or `open`.
    pub breaker: String,
    /// Failures in a row.
    pub failures: i64,
    /// JSON object: operation to the decayed mean of the time to the first byte.
    pub ttfb_ms: String,
    /// When this was written.
    pub updated_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
