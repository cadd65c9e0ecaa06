//! Costs that records got after they were written.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `usage_corrections`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_corrections")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The record that got a cost; each gets one at most once.
    pub record_id: Id,
    /// Who pays.
    pub tenant_id: Id,
    /// The price row that decided most of the cost.
    pub price_id: Id,
    /// The cost.
    pub cost_nano_usd: i64,
    /// When.
    pub corrected_at: TimeDateTimeWithTimeZone,
    /// By whom, as the audit log names them.
    pub corrected_by: String,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
