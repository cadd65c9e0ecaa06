//! The audit log: who changed what.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::words::words;

/// One entry. Entries are never changed; each is bound to the one before by a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its id.
    pub id: Uuid,
    /// `platform`, or the id of a tenant: each has a chain of its own.
    pub chain: String,
    /// Its place in the chain, from 1.
    pub sequence: i64,
    /// When it happened.
    #[schema(format = DateTime)]
    pub at: String,
    /// Whose object it was; null for the platform's.
    pub tenant_id: Option<Uuid>,
    /// `user`, `token`, `command_line` or `system`.
    pub actor_kind: String,
    /// Which one.
    pub actor_id: Option<String>,
    /// What people call it.
    pub actor_name: String,
    /// Where the request came from.
    pub address: Option<String>,
    /// As `x-request-id` said.
    pub request_id: Option<String>,
    /// Such as `create` or `revoke`.
    pub action: String,
    /// Such as `key`.
    pub object_kind: String,
    /// Which one.
    pub object_id: Option<String>,
    /// What was, secrets masked.
    pub before: Option<Value>,
    /// What came of it, secrets masked.
    pub after: Option<Value>,
    /// Hash of the entry before, in hex.
    pub previous_hash: String,
    /// Hash of this entry and the one before, in hex.
    pub hash: String,
}

/// Which entries are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListAudit {
    /// Only those of this tenant.
    pub tenant_id: Option<Uuid>,
    /// Only what this one did: an id or the whole name, such as an e-mail address.
    #[param(max_length = 320)]
    pub actor: Option<String>,
    /// Only this action, such as `revoke`.
    #[param(max_length = 100)]
    pub action: Option<String>,
    /// Only objects of this kind, such as `key`.
    #[param(max_length = 100)]
    pub object_kind: Option<String>,
    /// Only this object.
    #[param(max_length = 200)]
    pub object_id: Option<String>,
    /// Only what happened then or later.
    #[serde(default, with = "crate::moment::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<OffsetDateTime>,
    /// Only what happened before.
    #[serde(default, with = "crate::moment::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<OffsetDateTime>,
    /// Only where an actor's name, what was, or what came of it contains this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// `-at` (as told nothing) or `at`; `-` is descending.
    #[param(inline)]
    pub sort: Option<AuditSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of the audit log.
    #[derive(Default)]
    AuditSort {
        /// Newest first.
        #[default]
        AtDescending = "-at",
        /// Oldest first.
        At = "at",
    }
}

/// Which entries are written out, and how. They come newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportAudit {
    /// `csv` unless told, or `json`.
    #[param(inline)]
    pub format: Option<AuditFormat>,
    /// Only those of this tenant.
    pub tenant_id: Option<Uuid>,
    /// Only what this one did: an id or the whole name, such as an e-mail address.
    #[param(max_length = 320)]
    pub actor: Option<String>,
    /// Only this action, such as `revoke`.
    #[param(max_length = 100)]
    pub action: Option<String>,
    /// Only objects of this kind, such as `key`.
    #[param(max_length = 100)]
    pub object_kind: Option<String>,
    /// Only this object.
    #[param(max_length = 200)]
    pub object_id: Option<String>,
    /// Only what happened then or later.
    #[serde(default, with = "crate::moment::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<OffsetDateTime>,
    /// Only what happened before.
    #[serde(default, with = "crate::moment::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<OffsetDateTime>,
    /// Only where an actor's name, what was, or what came of it contains this.
    #[param(max_length = 200)]
    pub q: Option<String>,
}

/// Forms of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditFormat {
    /// Comma-separated values; cells that a spreadsheet would run begin with `'`.
    #[default]
    Csv,
    /// One list.
    Json,
}

/// What walking the chains has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerification {
    /// Nothing was changed, taken out or cut off.
    pub valid: bool,
    /// Chains that were walked.
    pub chains: u64,
    /// Entries that were walked.
    pub entries: u64,
    /// The first bad entry of each chain that has one, of a thousand chains at most.
    pub faults: Vec<AuditFault>,
}

/// The first bad entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFault {
    /// `platform`, or the id of a tenant.
    pub chain: String,
    /// Its place, from 1.
    pub sequence: i64,
    /// The entry; null where it is missing.
    pub entry_id: Option<Uuid>,
    /// What is wrong with it.
    pub fault: FaultKind,
}

/// What can be wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is not there, and later ones are.
    Missing,
    /// It does not follow from the one before.
    Unlinked,
    /// Its fields are not those it was written with.
    Altered,
    /// It is not there, and was the last one or one of the last.
    CutOff,
    /// It stands behind the end of its chain.
    BehindTheEnd,
}

impl FaultKind {
    /// For a person.
    #[must_use]
    pub const fn as_sentence(self) -> &'static str {
        match self {
            Self::Missing => "the entry is missing",
            Self::Unlinked => "the entry does not follow from the one before",
            Self::Altered => "the entry was altered",
            Self::CutOff => "the entries from here to the end of the chain were removed",
            Self::BehindTheEnd => "the entry stands behind the recorded end of the chain",
        }
    }
}
