//! Prices: what a provider bills for a unit, from a date on; the platform's, or a tenant's own.

use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::words::words;

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Price {
    /// Its id.
    pub id: Uuid,
    /// Whose price; null for the platform's, which holds for every tenant that has none of its own.
    pub tenant_id: Option<Uuid>,
    /// Kind of the provider that bills it.
    #[schema(schema_with = provider_kinds)]
    pub provider_kind: String,
    /// The provider's model.
    pub model: String,
    /// For which operation.
    #[schema(schema_with = operations)]
    pub operation: String,
    /// For what.
    #[schema(schema_with = units)]
    pub unit: String,
    /// US dollars for one unit, as decimal text.
    pub price_usd: String,
    /// Least audio billed per request, in milliseconds.
    pub minimum_ms: i64,
    /// Audio is billed in whole steps of this many milliseconds; 0 bills what was measured.
    pub rounding_ms: i64,
    /// From this moment on, until the next price for the same.
    #[serde(with = "time::serde::rfc3339")]
    pub effective_from: OffsetDateTime,
    /// Where it was read.
    pub source: String,
    /// The day it was read.
    pub read_on: String,
    /// `seed` for what comes with the program, `api` or `cli`.
    pub managed_by: String,
}

/// A price to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePrice {
    /// Whose own price; without it the platform's.
    pub tenant_id: Option<Uuid>,
    /// Kind of the provider that bills it.
    #[schema(schema_with = provider_kinds)]
    pub provider_kind: String,
    /// The provider's model.
    #[schema(min_length = 1, max_length = 200, pattern = r"^\S(.*\S)?$")]
    pub model: String,
    /// For which operation.
    #[schema(schema_with = operations)]
    pub operation: String,
    /// For what.
    #[schema(schema_with = units)]
    pub unit: String,
    /// US dollars for one unit, as decimal text of at most 28 digits.
    #[schema(schema_with = dollars)]
    pub price_usd: String,
    /// Least audio billed per request, in milliseconds; for units of length alone.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub minimum_ms: u32,
    /// Audio is billed in whole steps of this many milliseconds; for units of length alone.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub rounding_ms: u32,
    /// From this moment on; whole seconds count.
    #[serde(with = "crate::moment")]
    pub effective_from: OffsetDateTime,
    /// Where it was read.
    #[schema(min_length = 1, max_length = 2000, pattern = r"\S")]
    pub source: String,
    /// The day it was read; today unless told.
    #[schema(min_length = 1, max_length = 40, pattern = r"^\S(.*\S)?$")]
    pub read_on: Option<String>,
}

/// What changes of a price; what is absent stays. A price that has begun and decided a cost is not
/// changed: make another with a later `effective_from`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePrice {
    /// US dollars for one unit, as decimal text of at most 28 digits.
    #[schema(schema_with = dollars)]
    pub price_usd: Option<String>,
    /// Least audio billed per request, in milliseconds.
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub minimum_ms: Option<u32>,
    /// Audio is billed in whole steps of this many milliseconds.
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub rounding_ms: Option<u32>,
    /// From this moment on; whole seconds count.
    #[serde(default, with = "crate::moment::option")]
    pub effective_from: Option<OffsetDateTime>,
    /// Where it was read.
    #[schema(min_length = 1, max_length = 2000, pattern = r"\S")]
    pub source: Option<String>,
    /// The day it was read.
    #[schema(min_length = 1, max_length = 40, pattern = r"^\S(.*\S)?$")]
    pub read_on: Option<String>,
}

macro_rules! with_filters {
    ($(#[$doc:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Only this tenant's own.
            pub tenant_id: Option<Uuid>,
            /// Only the platform's, or only tenants' own.
            pub platform: Option<bool>,
            /// Only of this kind of provider.
            #[param(max_length = 200)]
            pub provider_kind: Option<String>,
            /// Only of this model.
            #[param(max_length = 200)]
            pub model: Option<String>,
            /// Only for this operation.
            #[param(max_length = 200)]
            pub operation: Option<String>,
            /// Only for this unit.
            #[param(max_length = 200)]
            pub unit: Option<String>,
            /// Only those in force at this moment: begun by then, and not followed by another.
            #[serde(default, with = "crate::moment::option")]
            pub in_force_at: Option<OffsetDateTime>,
            /// Only those made so: `seed`, `api` or `cli`.
            #[param(max_length = 200)]
            pub managed_by: Option<String>,
            /// Only those whose model or source contains this.
            #[param(max_length = 200)]
            pub q: Option<String>,
            $($more)*
        }

        impl From<&$name> for PriceFilter {
            fn from(asked: &$name) -> Self {
                Self {
                    tenant_id: asked.tenant_id,
                    platform: asked.platform,
                    provider_kind: asked.provider_kind.clone(),
                    model: asked.model.clone(),
                    operation: asked.operation.clone(),
                    unit: asked.unit.clone(),
                    in_force_at: asked.in_force_at,
                    managed_by: asked.managed_by.clone(),
                    q: asked.q.clone(),
                }
            }
        }
    };
}

with_filters! {
    /// Which prices are meant.
    PriceFilter {}
}

with_filters! {
    /// Which prices are listed.
    ListPrices {
        /// `created_at` (unless told), `model` or `effective_from`; `-` before it is descending.
        #[param(inline)]
        pub sort: Option<PriceSort>,
        /// Entries of a page; 50 unless told.
        #[param(minimum = 1, maximum = 500)]
        pub limit: Option<u16>,
        /// `next_cursor` of the page before.
        #[param(max_length = 1000)]
        pub cursor: Option<String>,
    }
}

with_filters! {
    /// Which prices are exported.
    ExportPrices {
        /// `csv` unless told.
        #[param(inline)]
        pub format: Option<ListFormat>,
    }
}

words! {
    /// Orders of a list of prices.
    #[derive(Default)]
    PriceSort {
        /// Oldest row first.
        #[default]
        CreatedAt = "created_at",
        /// Newest row first.
        CreatedAtDescending = "-created_at",
        /// By model.
        Model = "model",
        /// By model, backwards.
        ModelDescending = "-model",
        /// By the date, the earliest first.
        EffectiveFrom = "effective_from",
        /// By the date, the latest first.
        EffectiveFromDescending = "-effective_from",
    }
}

/// How a list of prices is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListFormat {
    /// Comma-separated values with a line of column names.
    #[default]
    Csv,
    /// JSON: one list of objects; an import takes one object a line too.
    Json,
}

/// What one row at fault does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// It keeps the whole list out.
    #[default]
    AllOrNothing,
    /// It is left out.
    SkipBad,
}

/// What an import tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportTells {
    /// Counts and the first problems.
    #[default]
    Summary,
    /// What became of each row, too: one JSON object a line.
    Rows,
}

/// How a list is imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportPrices {
    /// `all_or_nothing` unless told.
    #[param(inline)]
    pub mode: Option<ImportMode>,
    /// Nothing is written; the report says what would be.
    pub dry_run: Option<bool>,
    /// `csv` unless told, or as `Content-Type` says.
    #[param(inline)]
    pub format: Option<ListFormat>,
    /// `summary` unless told.
    #[param(inline)]
    pub report: Option<ImportTells>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// Whether the rows have been written.
    pub applied: bool,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// Rows of the list.
    pub rows: u64,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that change one that is there.
    pub updated: u64,
    /// Rows that are there already.
    pub unchanged: u64,
    /// Rows that cannot be used.
    pub refused: u64,
    /// The first 100 of those.
    pub problems: Vec<RowProblem>,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowProblem {
    /// Its line in the list, the line of column names being 1; in a JSON list its place, counted from 1.
    pub row: u64,
    /// Why, beginning with the name of the column where it is one column's.
    pub detail: String,
}

/// Which uses without a price are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListUnpriced {
    /// Only of this tenant.
    pub tenant_id: Option<Uuid>,
    /// Only of this configured provider.
    #[param(max_length = 200)]
    pub provider: Option<String>,
    /// Only of this provider's model.
    #[param(max_length = 200)]
    pub model: Option<String>,
    /// Only for this operation.
    #[param(max_length = 200)]
    pub operation: Option<String>,
    /// Only what began at this moment or later; whole seconds count.
    #[serde(default, with = "crate::moment::option")]
    pub from: Option<OffsetDateTime>,
    /// Only what began before this moment; whole seconds count.
    #[serde(default, with = "crate::moment::option")]
    pub to: Option<OffsetDateTime>,
    /// `tenant` (as told nothing), `-tenant`, `model`, `-model`, `records` or `-records`; `-` is descending.
    #[param(inline)]
    pub sort: Option<UnpricedSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 2000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of what was used without a price.
    #[derive(Default)]
    UnpricedSort {
        /// By tenant, then by provider and model.
        #[default]
        Tenant = "tenant",
        /// By tenant, backwards.
        TenantDescending = "-tenant",
        /// By model.
        Model = "model",
        /// By model, backwards.
        ModelDescending = "-model",
        /// Fewest records first.
        Records = "records",
        /// Most records first.
        RecordsDescending = "-records",
    }
}

/// A model that was used without a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnpricedUse {
    /// Whose use.
    pub tenant_id: Uuid,
    /// The configured provider that served.
    pub provider: String,
    /// Its kind, for which a price is made; null where no such provider is configured any more.
    pub provider_kind: Option<String>,
    /// That provider's model.
    pub model: String,
    /// For which operation.
    pub operation: String,
    /// How many records have no cost.
    pub records: u64,
    /// When the first of them began.
    #[serde(with = "time::serde::rfc3339")]
    pub first_used_at: OffsetDateTime,
    /// When the last of them began.
    #[serde(with = "time::serde::rfc3339")]
    pub last_used_at: OffsetDateTime,
    /// Milliseconds of audio in.
    pub audio_in_ms: u64,
    /// Milliseconds of audio out.
    pub audio_out_ms: u64,
    /// Characters spoken.
    pub characters: u64,
    /// Text tokens in.
    pub text_tokens_in: u64,
    /// Text tokens out.
    pub text_tokens_out: u64,
    /// Audio tokens in.
    pub audio_tokens_in: u64,
    /// Audio tokens out.
    pub audio_tokens_out: u64,
    /// Cached tokens of every kind.
    pub cached_tokens: u64,
}

/// Which records without a cost get one, from the prices that were in force when they began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reprice {
    /// Nothing is written; the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// Only of this tenant.
    pub tenant_id: Option<Uuid>,
    /// Only of this configured provider.
    #[schema(max_length = 200)]
    pub provider: Option<String>,
    /// Only of this provider's model.
    #[schema(max_length = 200)]
    pub model: Option<String>,
    /// Only for this operation.
    #[schema(max_length = 200)]
    pub operation: Option<String>,
    /// Only what began at this moment or later; whole seconds count.
    #[serde(default, with = "crate::moment::option")]
    pub from: Option<OffsetDateTime>,
    /// Only what began before this moment; whole seconds count.
    #[serde(default, with = "crate::moment::option")]
    pub to: Option<OffsetDateTime>,
    /// `next_cursor` of the answer before.
    #[schema(max_length = 1000)]
    pub cursor: Option<String>,
}

/// What was priced, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repriced {
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// Records that were looked at.
    pub examined: u64,
    /// Records that got a cost.
    pub repriced: u64,
    /// The sum of those costs in US dollars, as decimal text.
    pub cost_usd: String,
    /// What stays without a cost, and why.
    pub left: Vec<LeftUnpriced>,
    /// Where records are left to be looked at, give it as `cursor` and ask again; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Records that stay without a cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftUnpriced {
    /// Whose.
    pub tenant_id: Uuid,
    /// The configured provider.
    pub provider: String,
    /// That provider's model.
    pub model: String,
    /// For which operation.
    pub operation: String,
    /// Why.
    pub reason: LeftReason,
    /// How many.
    pub records: u64,
}

/// Why a record stays without a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// No provider of that name is configured any more, so its kind is not known.
    UnknownProvider,
    /// There was no price in force when it began.
    NoPrice,
    /// A quantity has no price, or one that is billed was not counted.
    QuantityWithoutPrice,
    /// What the record keeps does not decide the cost, such as cached tokens of more than one kind.
    QuantitiesNotKept,
}

fn one_of(names: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

fn provider_kinds() -> Object {
    one_of(ProviderKind::ALL.iter().map(|kind| kind.as_str()))
}

fn operations() -> Object {
    one_of(Operation::ALL.iter().map(|operation| operation.as_str()))
}

fn units() -> Object {
    one_of(Unit::ALL.iter().map(|unit| unit.as_str()))
}

fn dollars() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9]{1,28}([.][0-9]{1,27})?$"))
        .max_length(Some(28))
        .examples(["0.006"])
        .build()
}
