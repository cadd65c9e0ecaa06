//! People who manage Antiphon.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `users`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// In lower case; unique.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// Argon2id; none for those who were only invited or sign in elsewhere.
    pub password_hash: Option<String>,
    /// `platform_admin`, `tenant_admin` or `tenant_viewer`.
    pub role: String,
    /// Null for platform administrators.
    pub tenant_id: Option<Id>,
    /// Since then they cannot sign in.
    pub disabled_at: Option<TimeDateTimeWithTimeZone>,
    /// Access and refresh tokens of an earlier one are void.
    pub session_epoch: i64,
    /// Who vouches for them.
    pub oidc_issuer: Option<String>,
    /// By which name the issuer knows them.
    pub oidc_subject: Option<String>,
    /// When they last signed in.
    pub last_login_at: Option<TimeDateTimeWithTimeZone>,
    /// When the password was last set.
    pub password_changed_at: Option<TimeDateTimeWithTimeZone>,
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
