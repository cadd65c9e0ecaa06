//! Refresh tokens: each is used once, and a second use voids its family.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `refresh_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The sign-in it descends from.
    pub family_id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// Keyed digest of the token; unique.
    pub hash: Vec<u8>,
    /// The user's when it was given.
    pub session_epoch: i64,
    /// Where it was given to.
    pub address: String,
    /// To which program.
    pub user_agent: Option<String>,
    /// When it was given.
    pub created_at: TimeDateTimeWithTimeZone,
    /// After this it is refused.
    pub expires_at: TimeDateTimeWithTimeZone,
    /// When it was exchanged for the next.
    pub used_at: Option<TimeDateTimeWithTimeZone>,
    /// Since then its family is void.
    pub revoked_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
