//! Personal access tokens, for programs.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `access_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "access_tokens")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// What people call it.
    pub name: String,
    /// Keyed digest of the token; unique.
    pub hash: Vec<u8>,
    /// What a person may see of it.
    pub redacted: String,
    /// At most this role, whatever the user's is.
    pub role: String,
    /// Bound to this tenant.
    pub tenant_id: Option<Id>,
    /// After this it is refused.
    pub expires_at: Option<TimeDateTimeWithTimeZone>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<TimeDateTimeWithTimeZone>,
    /// Since then it is refused.
    pub revoked_at: Option<TimeDateTimeWithTimeZone>,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
