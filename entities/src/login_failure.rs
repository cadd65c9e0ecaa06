//! Failed guesses of passwords.

use sea_orm::entity::prelude::*;

/// One row of `login_failures`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_failures")]
pub struct Model {
    /// Keyed digest of the account or the address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    /// In a row.
    pub failures: i64,
    /// Until then no guess is looked at.
    pub blocked_until: Option<TimeDateTimeWithTimeZone>,
    /// When the last one came.
    pub updated_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
