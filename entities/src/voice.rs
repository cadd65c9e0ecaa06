//! Voice names that work on every provider.

use sea_orm::entity::prelude::*;

/// One row of `voices`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "voices")]
pub struct Model {
    /// The name a client asks for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// JSON object: provider name or kind → that provider's voice.
    pub map: String,
    /// `file`, `api` or `cli`.
    pub managed_by: String,
    /// Raised by each change.
    pub version: i64,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
