//! What was created under an idempotency key, to be answered alike once more.

use sea_orm::entity::prelude::*;

/// One row of `idempotency_keys`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// Digest of who asked, what, and under which key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Of the request; another body under the same key is refused.
    pub body_hash: String,
    /// Of the answer.
    pub status: i32,
    /// The answer, sealed: it may hold a secret that is shown once.
    pub sealed: Option<Vec<u8>>,
    /// When it was made; forgotten a day later.
    pub created_at: TimeDateTimeWithTimeZone,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
