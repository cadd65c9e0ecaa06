//! Credentials of providers, sealed.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `provider_credentials`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "provider_credentials")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Whose credential it is.
    pub provider_id: Id,
    /// The tenant of that provider; `None` is the platform.
    pub tenant_id: Option<Id>,
    /// What people call it, unique within its provider.
    pub label: String,
    /// The credential itself, sealed for this row.
    pub sealed: Vec<u8>,
    /// Its last characters, where it is long enough to show them.
    pub last4: String,
    /// A keyed digest by which equal credentials are recognised.
    pub fingerprint: String,
    /// Its share of the provider's calls; 0 is used when no other can be.
    pub weight: i64,
    /// Calls and sessions at once; `None` is unlimited.
    pub max_concurrent: Option<i64>,
    /// Whether it is used.
    pub enabled: bool,
    /// Raised by each change.
    pub version: i64,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// When it was changed last.
    pub updated_at: TimeDateTimeWithTimeZone,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("id", &self.id).field("label", &self.label).finish_non_exhaustive()
    }
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
