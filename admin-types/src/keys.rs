//! Virtual keys: what API clients send, with what each of them may do and spend.

use domain::provider::Operation;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::given;

use crate::words::words;

/// Characters of a name.
pub const MAX_NAME_CHARS: usize = 100;
/// Patterns of models of one key.
pub const MAX_MODELS: usize = 100;
/// Characters of a pattern.
pub const MAX_MODEL_CHARS: usize = 200;
/// Bytes of the largest upload limit.
pub const MAX_UPLOAD_BYTES: u64 = 1 << 40;
/// Seconds for which a replaced secret stays valid, at most.
pub const MAX_OVERLAP_SECONDS: u32 = 30 * 24 * 3600;
/// Seconds for which a replaced secret stays valid where nothing is told.
pub const DEFAULT_OVERLAP_SECONDS: u32 = 24 * 3600;

/// A virtual key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VirtualKey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// What people call it.
    pub name: String,
    /// What may be shown of the secret, such as `sk-ap-…wXyZ`.
    pub redacted: String,
    /// Whether gateways take it.
    pub state: KeyState,
    /// What it may do; empty for everything.
    #[schema(schema_with = operations)]
    pub operations: Vec<Operation>,
    /// Patterns with `*` of the models it may use; empty for all.
    pub models: Vec<String>,
    /// Requests per minute; null is unlimited.
    pub requests_per_minute: Option<u32>,
    /// Realtime sessions at once, on all gateways together; null is unlimited.
    pub max_concurrent_sessions: Option<u32>,
    /// What it may spend; null is unlimited.
    pub budget: Option<Budget>,
    /// Bytes of an upload; null for the gateway's own limit.
    pub max_upload_bytes: Option<u64>,
    /// Models without a price are refused instead of served and recorded as unpriced.
    pub refuse_unpriced: bool,
    /// Paths of a vendor that are not known here are forwarded all the same, recorded as unpriced.
    pub passthrough: bool,
    /// Its calls may say by `x-antiphon-strategy` how targets are ordered.
    pub allow_strategy: bool,
    /// From then on it is refused.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Since then it is refused.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// How it was revoked: `file` (no longer declared there), `api` or `cli`.
    pub revoked_by: Option<String>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// The secret that a rotation replaced, while it is valid.
    pub previous: Option<PreviousSecret>,
    /// When the secret was last replaced.
    #[serde(with = "time::serde::rfc3339::option")]
    pub rotated_at: Option<OffsetDateTime>,
    /// `file`, `api` or `cli`; what the configuration file declares is changed there alone.
    pub managed_by: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Whether gateways take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// They do.
    Active,
    /// Somebody revoked it.
    Revoked,
    /// Its time is over.
    Expired,
}

/// The secret that a rotation replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviousSecret {
    /// What may be shown of it.
    pub redacted: String,
    /// Until then it is valid beside the new one.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// What a key may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// US dollars, as decimal text above 0 with at most 9 digits on either side of the point.
    #[schema(pattern = r"^(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,9})?$", example = "100.00")]
    pub usd: String,
    /// When it begins anew.
    #[serde(default)]
    pub window: BudgetWindow,
}

/// When a budget begins anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BudgetWindow {
    /// Never: it is for the key's whole life.
    #[default]
    Total,
    /// At midnight in UTC.
    Daily,
    /// On the first of the month, in UTC.
    Monthly,
}

impl BudgetWindow {
    /// Every window.
    pub const ALL: [Self; 3] = [Self::Total, Self::Daily, Self::Monthly];

    /// As it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        }
    }
}

/// A key to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Whose it is. A platform administrator must name it; for others it is their own tenant.
    pub tenant_id: Option<Uuid>,
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub name: String,
    /// What it may do; everything unless told.
    #[serde(default)]
    #[schema(schema_with = operations)]
    pub operations: Vec<Operation>,
    /// Patterns with `*` of the models it may use; every model unless told.
    #[serde(default)]
    #[schema(schema_with = models)]
    pub models: Vec<String>,
    /// Requests per minute; unlimited unless told.
    #[schema(format = Int64, maximum = 4_294_967_295_u32)]
    pub requests_per_minute: Option<u32>,
    /// Realtime sessions at once, on all gateways together; unlimited unless told.
    #[schema(format = Int64, maximum = 4_294_967_295_u32)]
    pub max_concurrent_sessions: Option<u32>,
    /// What it may spend; unlimited unless told.
    pub budget: Option<Budget>,
    /// Bytes of an upload; the gateway's own limit unless told.
    #[schema(minimum = 1, maximum = 1_099_511_627_776_u64)]
    pub max_upload_bytes: Option<u64>,
    /// Models without a price are refused instead of served and recorded as unpriced.
    #[serde(default)]
    pub refuse_unpriced: bool,
    /// Paths of a vendor that are not known here are forwarded all the same, recorded as unpriced.
    #[serde(default)]
    pub passthrough: bool,
    /// Its calls may say by `x-antiphon-strategy` how targets are ordered.
    #[serde(default)]
    pub allow_strategy: bool,
    /// From then on it is refused; in the future.
    #[serde(default, with = "crate::moment::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// What changes of a key; what is absent stays, and null takes a limit away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateKey {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub name: Option<String>,
    /// What it may do; empty for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = operations_or_null, required = false)]
    pub operations: Option<Vec<Operation>>,
    /// Patterns with `*` of the models it may use; empty for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = models_or_null, required = false)]
    pub models: Option<Vec<String>>,
    /// Requests per minute; null is unlimited.
    #[serde(default, deserialize_with = "given::or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, required = false, format = Int64, maximum = 4_294_967_295_u32)]
    pub requests_per_minute: Option<Option<u32>>,
    /// Realtime sessions at once, on all gateways together; null is unlimited.
    #[serde(default, deserialize_with = "given::or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, required = false, format = Int64, maximum = 4_294_967_295_u32)]
    pub max_concurrent_sessions: Option<Option<u32>>,
    /// What it may spend; null is unlimited. What is spent already counts against a new budget.
    #[serde(default, deserialize_with = "given::or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Budget>, required = false)]
    pub budget: Option<Option<Budget>>,
    /// Bytes of an upload; null for the gateway's own limit.
    #[serde(default, deserialize_with = "given::or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, required = false, minimum = 1, maximum = 1_099_511_627_776_u64)]
    pub max_upload_bytes: Option<Option<u64>>,
    /// Models without a price are refused instead of served and recorded as unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse_unpriced: Option<bool>,
    /// Paths of a vendor that are not known here are forwarded all the same, recorded as unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<bool>,
    /// Its calls may say by `x-antiphon-strategy` how targets are ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_strategy: Option<bool>,
    /// From then on it is refused, in the future; null for never.
    #[serde(default, with = "given::moment", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OffsetDateTime>, required = false)]
    pub expires_at: Option<Option<OffsetDateTime>>,
}

/// A key with its secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyWithSecret {
    /// The key.
    #[serde(flatten)]
    pub key: VirtualKey,
    /// What API clients send. It is shown this once and kept nowhere.
    pub secret: String,
}

/// How a secret is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// Seconds for which the old secret stays valid beside the new one: a day unless told, 0 to end it at
    /// once, 30 days at most.
    #[schema(maximum = 2_592_000)]
    pub overlap_seconds: Option<u32>,
}

/// Why a key is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// For people, such as `leaked in a log`.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub reason: String,
}

/// What a key has spent in the window of its budget, by the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyUsage {
    /// The key.
    pub key_id: Uuid,
    /// Its budget; null is unlimited.
    pub budget: Option<Budget>,
    /// The window that is summed up: that of the budget, or `total` where there is none.
    pub window: BudgetWindow,
    /// Its first moment; null for the key's whole life.
    #[serde(with = "time::serde::rfc3339::option")]
    pub window_start: Option<OffsetDateTime>,
    /// The first moment after it; null for the key's whole life.
    #[serde(with = "time::serde::rfc3339::option")]
    pub window_end: Option<OffsetDateTime>,
    /// US dollars of the records that have a price. What runs now is reserved in the gateways and counts
    /// here when it has ended.
    pub spent_usd: String,
    /// What is left of the budget, never below 0; null where there is none.
    pub remaining_usd: Option<String>,
    /// Usage records in the window.
    pub records: u64,
    /// Those among them whose cost is not known. They are not in `spent_usd`.
    pub unpriced_records: u64,
}

/// Which keys are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListKeys {
    /// Only those of this tenant.
    pub tenant_id: Option<Uuid>,
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only those that gateways take, that are revoked, or whose time is over.
    #[param(inline)]
    pub state: Option<KeyState>,
    /// Only those that were made so: `file`, `api` or `cli`.
    #[param(inline)]
    pub managed_by: Option<KeyOrigin>,
    /// `created_at` (as told nothing), `-created_at`, `name` or `-name`; `-` is descending.
    #[param(inline)]
    pub sort: Option<KeySort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

/// How a key came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyOrigin {
    /// The configuration file declares it.
    File,
    /// Made here.
    Api,
    /// Made on the command line.
    Cli,
}

impl KeyOrigin {
    /// As it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Cli => "cli",
        }
    }
}

words! {
    /// Orders of a list of keys.
    #[derive(Default)]
    KeySort {
        /// Oldest first.
        #[default]
        CreatedAt = "created_at",
        /// Newest first.
        CreatedAtDescending = "-created_at",
        /// By name.
        Name = "name",
        /// By name, backwards.
        NameDescending = "-name",
    }
}

/// How many keys are made from a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BulkKeysOptions {
    /// Only check the file; nothing is made.
    pub dry_run: Option<bool>,
    /// How the keys are answered: `json` unless told, or `csv`.
    #[param(inline)]
    pub format: Option<BulkFormat>,
    /// Whose the keys are whose line has no `tenant`.
    pub tenant_id: Option<Uuid>,
}

/// Forms of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BulkFormat {
    /// JSON.
    #[default]
    Json,
    /// Comma-separated values.
    Csv,
}

/// What came of a file of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkKeys {
    /// Lines that ask for a key.
    pub rows: u64,
    /// The keys with their secrets, which are shown this once; empty after a dry run.
    pub keys: Vec<KeyWithSecret>,
    /// What a dry run has found to be wrong; nothing is made while there is anything.
    pub errors: Vec<RowProblem>,
}

/// What is wrong with one line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowProblem {
    /// The row as a spreadsheet counts them: the header is row 1.
    pub row: u64,
    /// The column; null where the whole row is at fault.
    pub column: Option<String>,
    /// What is wrong.
    pub detail: String,
}

/// Names of operations, from the one list of them.
fn operations() -> Array {
    let names = Operation::ALL.iter().map(|operation| operation.as_str());
    let item = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    list(item.build(), "What the key may do; empty for everything.")
}

fn operations_or_null() -> Array {
    or_null(operations())
}

fn models() -> Array {
    let item = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_MODEL_CHARS))
        .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$"));
    list(item.build(), "Patterns with `*` of the models it may use; empty for all.")
}

fn models_or_null() -> Array {
    or_null(models())
}

fn list(item: Object, description: &str) -> Array {
    ArrayBuilder::new().items(item).max_items(Some(MAX_MODELS)).description(Some(description)).build()
}

/// In a change, null is as good as absent.
fn or_null(mut list: Array) -> Array {
    list.schema_type = SchemaType::from_iter([Type::Array, Type::Null]);
    list
}
