//! Routes: the model names clients ask for, and their targets.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `models`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "models")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The name a client asks for; unique within its tenant.
    pub name: String,
    /// Null for the platform's.
    pub tenant_id: Option<Id>,
    /// How targets are ordered.
    pub strategy: String,
    /// JSON array of targets.
    pub targets: String,
    /// How long the first target has while its times are not known, in milliseconds, before a second one is asked as
    /// well; null where none is.
    pub hedge_ms: Option<i32>,
    /// `file`, `api` or `cli`.
    pub managed_by: String,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// Raised by each change.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
