//! What is watched.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `alert_rules`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_rules")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Whose it is; null for the platform's.
    pub tenant_id: Option<Id>,
    /// What people call it; unique for its owner.
    pub name: String,
    /// Such as `budget_share`.
    pub kind: String,
    /// The condition as JSON.
    pub parameters: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// It is not looked at while this is false.
    pub enabled: bool,
    /// Until then nobody is told.
    pub muted_until: Option<TimeDateTimeWithTimeZone>,
    /// Raised by each change.
    pub version: i64,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// When it was last changed.
    pub updated_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
