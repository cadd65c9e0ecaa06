//! Keys that sign access tokens.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `signing_keys`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// Stands in the token's header.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// When it was made; the newest one signs.
    pub created_at: TimeDateTimeWithTimeZone,
    /// Since then nothing it signed is accepted.
    pub retired_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
