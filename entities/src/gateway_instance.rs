//! Gateway processes that run.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `gateway_instances`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gateway_instances")]
pub struct Model {
    /// Made when the process starts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The machine that it runs on.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// When it started.
    pub started_at: TimeDateTimeWithTimeZone,
    /// When it last said that it lives, by the clock that gateways share.
    pub heartbeat_at: TimeDateTimeWithTimeZone,
    /// It takes no new sessions.
    pub draining: bool,
    /// Sessions open at its last heartbeat.
    pub open_sessions: i64,
    /// Usage records that were not in the database yet then.
    pub journal_records: i64,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
