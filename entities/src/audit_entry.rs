//! Who changed what: append-only, each row bound to the one before by its hash.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `audit_log`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// `platform`, or the id of a tenant.
    pub chain: String,
    /// Position in the chain, from 1.
    pub sequence: i64,
    /// RFC 3339 in UTC; text, since it is hashed.
    pub at: String,
    /// Whose object it was; null for the platform's.
    pub tenant_id: Option<Id>,
    /// `user`, `token`, `command_line` or `system`.
    pub actor_kind: String,
    /// Which one.
    pub actor_id: Option<String>,
    /// What people call it.
    pub actor_name: String,
    /// Where the request came from.
    pub address: Option<String>,
    /// As `x-request-id` says.
    pub request_id: Option<String>,
    /// Such as `create` or `revoke`.
    pub action: String,
    /// Such as `key`.
    pub object_kind: String,
    /// Which one.
    pub object_id: Option<String>,
    /// JSON of what was, secrets masked.
    pub before: Option<String>,
    /// JSON of what is, secrets masked.
    pub after: Option<String>,
    /// Hash of the row before, in hex.
    pub previous_hash: String,
    /// Of this row and the one before, in hex.
    pub hash: String,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
