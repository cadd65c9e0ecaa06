//! The last row of each audit chain, so that a chain cannot be cut short unnoticed.

use sea_orm::entity::prelude::*;

/// One row of `audit_heads`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_heads")]
pub struct Model {
    /// `platform`, or the id of a tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chain: String,
    /// Of the last row.
    pub sequence: i64,
    /// Of the last row.
    pub hash: String,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
