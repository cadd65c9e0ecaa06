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
    /// Whose it is; `None` is the platform, which shares it with every tenant.
    pub tenant_id: Option<Id>,
    /// Configured name, unique within its tenant or the platform.
    pub name: String,
    /// Provider kind.
    pub kind: String,
    /// Base URL; empty for in-process providers.
    pub base_url: String,
    /// Where it runs.
    pub region: Option<String>,
    /// Plain `http` and private addresses are permitted.
    pub allow_insecure: bool,
    /// Whether it is used.
    pub enabled: bool,
    /// `file`, `api`, `cli` or `environment`.
    pub managed_by: String,
    /// Raised by each change.
    pub version: i64,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// When it was changed last.
    pub updated_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
