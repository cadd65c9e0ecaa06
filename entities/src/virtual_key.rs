//! Virtual keys: hashes and policies, never the secrets.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `virtual_keys`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "virtual_keys")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// Whose it is.
    pub tenant_id: Id,
    /// What people call it.
    pub name: String,
    /// HMAC-SHA-256 of the key under the pepper; unique.
    pub hash: Vec<u8>,
    /// Which pepper.
    pub pepper_version: i32,
    /// What a person may see of it.
    pub redacted: String,
    /// JSON array of operations; empty for all.
    pub operations: String,
    /// JSON array of patterns; empty for all.
    pub models: String,
    /// Requests per minute.
    pub rpm: Option<i64>,
    /// Realtime sessions at once.
    pub max_sessions: Option<i64>,
    /// Budget in nano-dollars.
    pub budget_nano_usd: Option<i64>,
    /// `total`, `daily` or `monthly`.
    pub budget_window: Option<String>,
    /// Upload limit in bytes.
    pub max_upload_bytes: Option<i64>,
    /// Models without a price are refused.
    pub refuse_unpriced: bool,
    /// Paths of a vendor that are not known here are forwarded all the same.
    pub passthrough: bool,
    /// Its calls may say by `x-antiphon-strategy` how targets are ordered.
    pub allow_strategy: bool,
    /// After this the key is refused.
    pub expires_at: Option<TimeDateTimeWithTimeZone>,
    /// Since then the key is refused.
    pub revoked_at: Option<TimeDateTimeWithTimeZone>,
    /// Who revoked it: `file` (no longer declared), `api` or `cli`.
    pub revoked_by: Option<String>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// Since then it is kept for the ledger alone and shown no more.
    pub deleted_at: Option<TimeDateTimeWithTimeZone>,
    /// `file`, `api` or `cli`.
    pub managed_by: String,
    /// When it was made.
    pub created_at: TimeDateTimeWithTimeZone,
    /// HMAC of the secret that a rotation replaced; unique.
    pub previous_hash: Option<Vec<u8>>,
    /// What a person may see of that one.
    pub previous_redacted: Option<String>,
    /// Until then that one is valid too.
    pub previous_expires_at: Option<TimeDateTimeWithTimeZone>,
    /// When the secret was last replaced.
    pub rotated_at: Option<TimeDateTimeWithTimeZone>,
    /// Raised by each change.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
