//! Organisations.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `tenants`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenants")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Unique name.
    pub name: String,
    /// Models without a price are refused for every key of the tenant.
    pub refuse_unpriced: bool,
    /// `local_share`, `open` or `closed`: what holds for its keys while Redis is away; null for what holds for all.
    pub when_away: Option<String>,
    /// `file`, `api` or `cli`.
    pub managed_by: String,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// Since then nobody of the tenant is served.
    pub suspended_at: Option<TimeDateTimeWithTimeZone>,
    /// Why.
    pub suspended_reason: Option<String>,
    /// Raised by each change.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
