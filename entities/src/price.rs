//! The price list, every row ever in force.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `prices`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prices")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Null for the platform's list; a tenant's row overrides it.
    pub tenant_id: Option<Id>,
    /// Provider kind.
    pub provider_kind: String,
    /// The provider's model.
    pub model: String,
    /// Operation.
    pub operation: String,
    /// Unit.
    pub unit: String,
    /// US dollars for one unit as decimal text: SQLite would make a float of a number.
    pub usd: String,
    /// Least audio billed per request, in milliseconds.
    pub minimum_ms: i64,
    /// Audio is billed in whole steps of this many milliseconds.
    pub rounding_ms: i64,
    /// From this moment on.
    pub effective_from: TimeDateTimeWithTimeZone,
    /// Where it was read.
    pub source: String,
    /// The day it was read.
    pub read_on: String,
    /// `seed`, `api` or `cli`.
    pub managed_by: String,
    /// Raised by each change.
    pub version: i64,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
