//! Accounts at providers.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `providers`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "providers")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Unique configured name.
    pub name: String,
    /// Provider kind.
    pub kind: String,
    /// Base URL; empty for in-process providers.
    pub base_url: String,
    /// The sealed credential.
    pub credential: Option<Vec<u8>>,
    /// Where it runs.
    pub region: Option<String>,
    /// Plain `http` and private addresses are permitted.
    pub allow_insecure: bool,
    /// `file`, `api`, `cli` or `environment`.
    pub managed_by: String,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
