//! Sign-ins that an identity provider has not answered yet.

use sea_orm::entity::prelude::*;

/// One row of `oidc_sign_ins`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "oidc_sign_ins")]
pub struct Model {
    /// Keyed digest of the state that comes back.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Nonce and code verifier, sealed.
    pub sealed: Vec<u8>,
    /// After this the answer is refused.
    pub expires_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
