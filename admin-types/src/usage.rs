//! Usage: records, their sums, and how they compare with a provider's invoice.

use domain::routing::Strategies;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::models::strategies;
use crate::words::words;

/// One billed operation, or one turn of a realtime session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageRecord {
    /// Its id.
    pub id: Uuid,
    /// As `x-request-id` said.
    pub request_id: Uuid,
    /// The realtime session.
    pub session_id: Option<Uuid>,
    /// Turn in the session; 0 for single operations.
    pub sequence: i64,
    /// Who pays.
    pub tenant_id: Uuid,
    /// By which key.
    pub key_id: Uuid,
    /// As `x-antiphon-user` said.
    pub user_tag: Option<String>,
    /// As `x-antiphon-tags` said.
    pub tags: Option<String>,
    /// Operation.
    pub operation: String,
    /// The model the client named.
    pub model_asked: String,
    /// Configured name of the provider that served.
    pub provider: String,
    /// That provider's model.
    pub model_served: String,
    /// Milliseconds of audio in.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out.
    pub audio_out_ms: i64,
    /// Characters spoken.
    pub characters: i64,
    /// Text tokens in, cached ones included.
    pub text_tokens_in: i64,
    /// Text tokens out.
    pub text_tokens_out: i64,
    /// Audio tokens in, cached ones included.
    pub audio_tokens_in: i64,
    /// Audio tokens out.
    pub audio_tokens_out: i64,
    /// Cached tokens of every kind.
    pub cached_tokens: i64,
    /// What the provider adds to its price for what was asked beside the usual, in percent.
    pub surcharge_percent: i64,
    /// `reported`, `measured` or `estimated`.
    pub usage_source: String,
    /// The cost in US dollars, exactly; null while it is not known.
    pub cost_usd: Option<String>,
    /// The cost in nano-dollars; null while it is not known.
    pub cost_nano_usd: Option<i64>,
    /// The price row that decided most of the cost.
    pub price_id: Option<Uuid>,
    /// `ok`, `client_closed`, `upstream_error`, `ended_by_policy` or `refused_late`.
    pub status: String,
    /// Targets tried.
    pub attempts: i64,
    /// Those that failed before another served.
    pub failed_attempts: Vec<FailedAttempt>,
    /// How the call was routed, where its route had a choice; a session's first record tells it.
    pub routing: Option<Routing>,
    /// Cache result.
    pub cache: Option<String>,
    /// Milliseconds to the first byte.
    pub ttfb_ms: Option<i64>,
    /// Milliseconds to the end.
    pub latency_ms: i64,
    /// When it was admitted.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
}

/// A target that was asked and did not serve, so that another did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedAttempt {
    /// Configured name of the provider.
    pub provider: String,
    /// That provider's model.
    pub model: String,
    /// The code of the error, as clients get it; `hedge_lost` for one that was slower than another asked beside it.
    pub error: String,
}

/// How a call was routed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Routing {
    /// By which strategies the targets were ordered: one, or a list where each decides what the one before it leaves
    /// about equal.
    #[schema(schema_with = strategies)]
    pub strategy: Strategies,
    /// The route's targets: those that could serve in the order in which they were to be tried, then those that were
    /// left out.
    pub candidates: Vec<RoutedCandidate>,
}

/// What was decided about one target of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutedCandidate {
    /// Configured name of the provider.
    pub provider: String,
    /// That provider's model.
    pub model: String,
    /// Why it was left out, by the codes of a simulated call; `null` where it was not.
    pub dropped: Option<String>,
    /// Typical time to first byte that was known, in milliseconds.
    pub ttfb_ms: Option<u32>,
    /// What the call was expected to cost there, in nano-dollars, where the order asked for it.
    #[serde(alias = "expected_cost")]
    pub expected_cost_nano_usd: Option<i64>,
    /// It went first to be measured, and not because it was the best.
    #[serde(default)]
    pub to_measure: bool,
    /// It had failed too often of late, and was kept because too few others were left.
    #[serde(default)]
    pub ejected: bool,
}

macro_rules! with_filters {
    ($(#[$doc:meta])* $name:ident { $($first:tt)* } { $($last:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($first)*
            /// Of one tenant.
            pub tenant_id: Option<Uuid>,
            /// Of one key.
            pub key_id: Option<Uuid>,
            /// Of one `x-antiphon-user`.
            #[param(max_length = 512)]
            pub user: Option<String>,
            /// With one of `x-antiphon-tags`, such as `team=a`.
            #[param(max_length = 512)]
            pub tag: Option<String>,
            /// Of one provider, by its configured name.
            #[param(max_length = 255)]
            pub provider: Option<String>,
            /// Of one model, asked for or served.
            #[param(max_length = 255)]
            pub model: Option<String>,
            /// Of one operation.
            #[param(max_length = 64)]
            pub operation: Option<String>,
            /// That ended so.
            #[param(max_length = 64)]
            pub status: Option<String>,
            /// Of one realtime session.
            pub session_id: Option<Uuid>,
            /// Of one request.
            pub request_id: Option<Uuid>,
            /// With a known cost, or without.
            pub priced: Option<bool>,
            /// Begun at this moment or later, to the second.
            #[serde(default, with = "crate::moment::option")]
            pub from: Option<OffsetDateTime>,
            /// Begun before this moment, to the second.
            #[serde(default, with = "crate::moment::option")]
            pub to: Option<OffsetDateTime>,
            $($last)*
        }

        impl From<&$name> for UsageFilter {
            fn from(asked: &$name) -> Self {
                Self {
                    tenant_id: asked.tenant_id,
                    key_id: asked.key_id,
                    user: asked.user.clone(),
                    tag: asked.tag.clone(),
                    provider: asked.provider.clone(),
                    model: asked.model.clone(),
                    operation: asked.operation.clone(),
                    status: asked.status.clone(),
                    session_id: asked.session_id,
                    request_id: asked.request_id,
                    priced: asked.priced,
                    from: asked.from,
                    to: asked.to,
                }
            }
        }
    };
}

with_filters! {
    /// Which records are meant.
    UsageFilter {} {}
}

with_filters! {
    /// Which records are listed.
    ListUsage {} {
        /// `-time` (newest first, as told nothing), `time`; `-cost` and `-latency` for at most 7 days between
        /// `from` and `to`, the first without records whose cost is not known.
        #[param(inline)]
        pub sort: Option<UsageSort>,
        /// Entries of a page; 50 unless told. With `tag` a page may have fewer.
        #[param(minimum = 1, maximum = 500)]
        pub limit: Option<u16>,
        /// `next_cursor` of the page before.
        #[param(max_length = 1000)]
        pub cursor: Option<String>,
    }
}

words! {
    /// Orders of a list of records.
    #[derive(Default)]
    UsageSort {
        /// Newest first.
        #[default]
        TimeDescending = "-time",
        /// Oldest first.
        Time = "time",
        /// Dearest first.
        CostDescending = "-cost",
        /// Slowest first.
        LatencyDescending = "-latency",
    }
}

with_filters! {
    /// Which records are exported: all that [`ListUsage`] would list, the oldest first.
    ExportUsage {
        /// `csv` unless told, `json` (one list) or `jsonl` (one object a line).
        #[param(inline)]
        pub format: Option<ExportFormat>,
    } {}
}

/// How an export is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// A line of names, then a line for each record. Cells that a spreadsheet would run begin with `'`.
    #[default]
    Csv,
    /// One list of objects.
    Json,
    /// One object a line.
    Jsonl,
}

/// What is summed, by what, and over what time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AggregateUsage {
    /// From this moment on: the start of its hour, or of its day where only days are kept.
    #[serde(with = "crate::moment")]
    pub from: OffsetDateTime,
    /// Up to this moment, not included: the end of its hour or day, likewise.
    #[serde(with = "crate::moment")]
    pub to: OffsetDateTime,
    /// Up to four of `tenant`, `key`, `user`, `tag:NAME`, `provider`, `model`, `model_asked` and `operation`,
    /// with commas between.
    #[param(max_length = 700)]
    pub group_by: Option<String>,
    /// `none` unless told, `hour` (up to 31 days), `day` or `month`, in UTC.
    #[param(inline)]
    pub bucket: Option<UsageBucket>,
    /// Of one tenant.
    pub tenant_id: Option<Uuid>,
    /// Of one key.
    pub key_id: Option<Uuid>,
    /// Of one `x-antiphon-user`.
    #[param(max_length = 512)]
    pub user: Option<String>,
    /// With one of `x-antiphon-tags`, such as `team=a`.
    #[param(max_length = 512)]
    pub tag: Option<String>,
    /// Of one provider, by its configured name.
    #[param(max_length = 255)]
    pub provider: Option<String>,
    /// Of the model that served.
    #[param(max_length = 255)]
    pub model: Option<String>,
    /// Of the model that clients named.
    #[param(max_length = 255)]
    pub model_asked: Option<String>,
    /// Of one operation.
    #[param(max_length = 64)]
    pub operation: Option<String>,
    /// Groups that are told apart, the dearest first; 50 unless told. The others are summed in `other`.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// Whether there are `latency` and `ttfb`, as unless told; without them an answer is there in half the
    /// time.
    pub percentiles: Option<bool>,
}

/// Over what time each sum goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UsageBucket {
    /// All of it.
    #[default]
    None,
    /// Hours.
    Hour,
    /// Days in UTC.
    Day,
    /// Months in UTC.
    Month,
}

/// Sums of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageAggregates {
    /// The first moment that is summed.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The moment behind the last that is summed.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// By bucket, and within it the group first that is dearest over the whole time.
    pub data: Vec<UsageSum>,
    /// What the groups beyond the limit come to, by bucket.
    pub other: Vec<UsageSum>,
    /// Everything together. Grouped by a tag, a record that has several values of it counts for each.
    pub total: UsageSum,
    /// False while records of before an upgrade are still being summed.
    pub complete: bool,
}

/// What some records come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageSum {
    /// When the bucket begins.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub bucket_start: Option<OffsetDateTime>,
    /// What the group is, in the order of `group_by`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<UsageGroup>,
    /// Records.
    pub requests: i64,
    /// Those that a provider failed, or that were refused after it had been asked.
    pub errors: i64,
    /// Those whose cost is not known, which `cost_usd` is without.
    pub unpriced: i64,
    /// Realtime sessions, counted where their first turn is.
    pub sessions: i64,
    /// The known costs in US dollars, exactly.
    pub cost_usd: String,
    /// The known costs in nano-dollars.
    pub cost_nano_usd: i64,
    /// Milliseconds of audio in.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out.
    pub audio_out_ms: i64,
    /// Characters spoken.
    pub characters: i64,
    /// Text tokens in, cached ones included.
    pub text_tokens_in: i64,
    /// Text tokens out.
    pub text_tokens_out: i64,
    /// Audio tokens in, cached ones included.
    pub audio_tokens_in: i64,
    /// Audio tokens out.
    pub audio_tokens_out: i64,
    /// Cached tokens of every kind.
    pub cached_tokens: i64,
    /// Times to the end; null where there are none or nobody asked, and for users and tags.
    pub latency: Option<UsageTimes>,
    /// Times to the first byte, likewise.
    pub ttfb: Option<UsageTimes>,
}

/// What a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageGroup {
    /// As in `group_by`.
    pub by: String,
    /// The id, name or value.
    pub value: String,
    /// The name of a tenant or key that is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How long calls took, in milliseconds. Percentiles are interpolated in a histogram, and `null` where they lie
/// above its last bound of 177,828 ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageTimes {
    /// The mean.
    pub mean_ms: i64,
    /// Half of the calls took no longer.
    pub p50_ms: Option<i64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<i64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<i64>,
}

/// Whose invoice is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CompareUsage {
    /// The provider, by its configured name.
    #[param(min_length = 1, max_length = 255)]
    pub provider: String,
    /// What one tenant has used alone.
    pub tenant_id: Option<Uuid>,
}

/// An invoice beside what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceComparison {
    /// The provider.
    pub provider: String,
    /// `day` or `month`: what the invoice goes by.
    pub period: String,
    /// By period and model. Every period that the invoice names is there with all its models.
    pub data: Vec<InvoiceDifference>,
    /// What was recorded in these periods, in US dollars.
    pub ours_usd: String,
    /// What the invoice says.
    pub theirs_usd: String,
    /// Theirs less ours.
    pub difference_usd: String,
    /// Lines of the invoice that are not counted, and why: the first 1,000.
    pub problems: Vec<InvoiceProblem>,
    /// How many there are.
    pub problem_count: u64,
}

/// One period and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceDifference {
    /// `2026-11-22` or `2026-11`.
    pub period: String,
    /// The provider's model.
    pub model: String,
    /// What was recorded, in US dollars; null when nothing was.
    pub ours_usd: Option<String>,
    /// What the invoice says; null when it says nothing.
    pub theirs_usd: Option<String>,
    /// Theirs less ours, with nothing counted as 0.
    pub difference_usd: String,
    /// Records.
    pub requests: i64,
    /// Those whose cost is not known, which may be the difference.
    pub unpriced: i64,
    /// Quantities that the invoice tells, by unit.
    pub quantities: Vec<InvoiceQuantity>,
}

/// A quantity of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceQuantity {
    /// As the invoice names it.
    pub unit: String,
    /// As the invoice says it.
    pub quantity: String,
}

/// A line of an invoice that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceProblem {
    /// The line, from 1, with that of the names counted and empty ones not.
    pub row: u64,
    /// The column at fault, where it is one.
    pub column: Option<String>,
    /// What is wrong.
    pub detail: String,
}
