//! Links that work once: an invitation, or a new password.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `one_time_links`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "one_time_links")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Whose password it sets.
    pub user_id: Id,
    /// `invitation` or `password_reset`.
    pub purpose: String,
    /// Keyed digest of the link's token; unique.
    pub hash: Vec<u8>,
    /// After this it is refused.
    pub expires_at: TimeDateTimeWithTimeZone,
    /// When it was used.
    pub used_at: Option<TimeDateTimeWithTimeZone>,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
