//! Where alerts are told.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `alert_channels`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_channels")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Whose it is; null for the platform's.
    pub tenant_id: Option<Id>,
    /// What people call it; unique for its owner.
    pub name: String,
    /// `webhook`, `slack` or `email`.
    pub kind: String,
    /// Address of a webhook, a masked one where it is a secret, or a JSON array of e-mail addresses.
    pub target: String,
    /// The secret of a webhook or the address of a Slack-compatible one, sealed for this row.
    pub sealed: Option<Vec<u8>>,
    /// It may be plain http and in a private network.
    pub allow_insecure: bool,
    /// Nothing is told through it while this is false.
    pub enabled: bool,
    /// Raised by each change.
    pub version: i64,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// When it was last changed.
    pub updated_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
