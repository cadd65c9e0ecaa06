//! Models: the names clients ask for, and which targets serve them.

use std::collections::BTreeMap;

use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategies, Strategy, hedge};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::given;
use crate::words::words;

/// A model name with what serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its id.
    pub id: Uuid,
    /// What a client sends as `model`; unique within its tenant, or among the platform's.
    pub name: String,
    /// Whose it is; `null` for the platform's, which every tenant may name.
    pub tenant_id: Option<Uuid>,
    /// How the targets are ordered: one strategy, or a list where each decides what the one before it leaves about
    /// equal.
    #[schema(schema_with = strategies)]
    pub strategy: Strategies,
    /// What serves it.
    pub targets: Vec<ModelTarget>,
    /// Whether a second target is asked beside a first one that is slow to speak; `null` where none is.
    pub hedge: Option<ModelHedge>,
    /// `file`, `api` or `cli`; what the configuration file declares is changed there alone.
    pub managed_by: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A second target is asked as well where the first one has not begun to speak in the time in which it nearly always
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelHedge {
    /// Milliseconds that the first target has while too few of its times are known.
    #[serde(default = "unmeasured_ms")]
    #[schema(format = Int64, minimum = 10, maximum = 60_000)]
    pub unmeasured_ms: u32,
}

const fn unmeasured_ms() -> u32 {
    hedge::UNMEASURED_MS
}

/// One provider and its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelTarget {
    /// Name of the provider.
    #[schema(min_length = 1, max_length = 64)]
    pub provider: String,
    /// The provider's own name of the model.
    #[schema(min_length = 1, max_length = 256)]
    pub model: String,
    /// Share under `weighted`.
    #[serde(default = "one")]
    #[schema(maximum = 1_000_000)]
    pub weight: u32,
    /// Order under `priority`: the lower goes first.
    #[serde(default)]
    pub priority: i32,
    /// Score from 0 to 1 under `quality`.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub quality: Option<f64>,
    /// Where it runs, where that is not where its provider does.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub region: Option<String>,
    /// What a provider wants beside a model, such as Azure's `deployment`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

const fn one() -> u32 {
    1
}

/// A model to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateModel {
    /// What a client sends as `model`: letters, digits and `-_.:/@+`, beginning with a letter or digit.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
    pub name: String,
    /// Whose it is. Absent: your own tenant's, or the platform's where you are its administrator.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
    /// How the targets are ordered; `priority` unless told.
    #[serde(default)]
    #[schema(schema_with = strategies)]
    pub strategy: Strategies,
    /// What serves it.
    #[schema(min_items = 1, max_items = 64)]
    pub targets: Vec<ModelTarget>,
    /// Whether a second target is asked beside a first one that is slow to speak; none unless told.
    #[serde(default)]
    pub hedge: Option<ModelHedge>,
}

/// One strategy, or a list of them.
pub(crate) fn strategies() -> Schema {
    either().build().into()
}

fn either() -> OneOfBuilder {
    let list = ArrayBuilder::new().items(strategy()).min_items(Some(1)).max_items(Some(Strategy::ALL.len()));
    OneOfBuilder::new().item(strategy()).item(list.unique_items(true))
}

fn strategy() -> Object {
    let names = Strategy::ALL.iter().map(|strategy| strategy.as_str());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// As [`strategies`], or `null`.
fn told_strategies() -> Schema {
    either().item(ObjectBuilder::new().schema_type(Type::Null)).build().into()
}

/// Several are told in a query with commas between them.
fn strategies_text() -> Object {
    let names = Strategy::ALL.iter().map(|strategy| strategy.as_str()).collect::<Vec<_>>().join("|");
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(format!("^({names})(,({names}))*$"))).build()
}

/// What a model can be asked for.
pub(crate) fn operation() -> Object {
    let names = Operation::ALL.iter().filter(|operation| **operation != Operation::Passthrough);
    let names = names.map(|operation| operation.as_str());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// A model as it is to be from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceModel {
    /// What a client sends as `model`.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
    pub name: String,
    /// How the targets are ordered: one strategy, or a list where each decides what the one before it leaves about
    /// equal.
    #[schema(schema_with = strategies)]
    pub strategy: Strategies,
    /// What serves it.
    #[schema(min_items = 1, max_items = 64)]
    pub targets: Vec<ModelTarget>,
    /// Whether a second target is asked beside a first one that is slow to speak; none unless told.
    #[serde(default)]
    pub hedge: Option<ModelHedge>,
}

/// What changes of a model; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateModel {
    /// What a client sends as `model`.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
    pub name: Option<String>,
    /// How the targets are ordered.
    #[schema(schema_with = strategies, required = false)]
    pub strategy: Option<Strategies>,
    /// What serves it: all of its targets, in the place of those that it has.
    #[schema(min_items = 1, max_items = 64)]
    pub targets: Option<Vec<ModelTarget>>,
    /// Whether a second target is asked beside a first one that is slow to speak; `null` for none.
    #[serde(default, deserialize_with = "given::or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ModelHedge>, required = false)]
    pub hedge: Option<Option<ModelHedge>>,
}

/// Which models are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListModels {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only this tenant's own.
    pub tenant_id: Option<Uuid>,
    /// Only those whose targets are ordered exactly so; several with commas between them.
    #[param(schema_with = strategies_text, required = false)]
    pub strategy: Option<Strategies>,
    /// Only those declared so: `file`, `api` or `cli`.
    #[param(max_length = 20)]
    pub managed_by: Option<String>,
    /// `created_at` (as told nothing), `-created_at`, `name` or `-name`; `-` is descending.
    #[param(inline)]
    pub sort: Option<ModelSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of models.
    #[derive(Default)]
    ModelSort {
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

/// A call that nobody makes, to see which target would serve it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// What a client would send as `model`. It is said where the path names no model, and only there.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 512)]
    pub model: Option<String>,
    /// What is asked for.
    #[schema(schema_with = operation)]
    pub operation: Operation,
    /// For which tenant. Absent: your own, or that of the key; for the platform a tenant without models of its own.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
    /// By which virtual key; absent for one that may do everything.
    #[serde(default)]
    pub key_id: Option<Uuid>,
    /// As `x-antiphon-region` would name it.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub region: Option<String>,
    /// As `x-antiphon-strategy` would name it, instead of the model's own.
    #[serde(default)]
    #[schema(schema_with = told_strategies)]
    pub strategy: Option<Strategies>,
    /// `response_format`, of speech or of a transcript.
    #[serde(default)]
    #[schema(max_length = 32)]
    pub format: Option<String>,
    /// Language of the audio, ISO 639-1.
    #[serde(default)]
    #[schema(max_length = 32)]
    pub language: Option<String>,
    /// The answer is wanted while it is made.
    #[serde(default)]
    pub streaming: bool,
    /// Length of the text that is to be spoken or read; 100 unless told.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub characters: Option<u64>,
    /// Length of the audio; 60 unless told.
    #[serde(default)]
    #[schema(minimum = 0.001, maximum = 86_400)]
    pub audio_seconds: Option<f64>,
    /// Who is to speak; absent for a voice that each target has.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub voice: Option<String>,
    /// The realtime session is one that transcribes (`intent=transcription`).
    #[serde(default)]
    pub transcription_session: bool,
}

/// Which target would serve a call, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Simulation {
    /// What was asked for.
    pub model: String,
    /// What is to be done.
    #[schema(schema_with = operation)]
    pub operation: Operation,
    /// How the targets are ordered; `null` where the name means nothing.
    #[schema(schema_with = told_strategies)]
    pub strategy: Option<Strategies>,
    /// The answer that the caller would have instead of a served call.
    pub refused: Option<SimulatedRefusal>,
    /// Every target: the kept ones in the order in which they are tried, then the others.
    pub targets: Vec<SimulatedTarget>,
    /// Whether breakers and measured times are those of a running gateway. Where no gateway runs in the process
    /// that was asked, every target counts as well and unmeasured.
    pub live: bool,
}

/// What a caller is told instead of a served call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedRefusal {
    /// HTTP status.
    pub status: u16,
    /// As `error.code` has it.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What becomes of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedTarget {
    /// Name of the provider.
    pub provider: String,
    /// Its kind, where there is such a provider.
    #[schema(value_type = Option<String>)]
    pub provider_kind: Option<ProviderKind>,
    /// The provider's model.
    pub model: String,
    /// Place in the order, from 1; `null` for a target that is not tried.
    pub place: Option<u32>,
    /// Why it is not tried; `null` for one that is.
    pub dropped: Option<SimulatedReason>,
    /// What decides the order.
    pub measures: SimulatedMeasures,
}

/// Why a target is not tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedReason {
    /// What a program decides by, such as `breaker_open` or `format_unsupported`.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What is known of a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedMeasures {
    /// Share under `weighted`.
    pub weight: u32,
    /// Order under `priority`.
    pub priority: i32,
    /// Score under `quality`.
    pub quality: Option<f64>,
    /// Where the target says that it runs.
    pub region: Option<String>,
    /// Whether it is in the region that was asked for.
    pub in_region: bool,
    /// Typical time to first byte of late in milliseconds: the mean without the slowest; `null` while unmeasured.
    pub ttfb_ms: Option<f64>,
    /// 95th percentile of it; `null` while too little is measured.
    pub p95_ms: Option<f64>,
    /// Share of its calls that failed of late, from 0 to 1.
    pub failed_share: f64,
    /// Under `latency`: it goes first so that it is measured, and not because it is the best.
    pub to_measure: bool,
    /// What this call is expected to cost, in US dollars; `null` while unpriced, or where it is not tried.
    pub expected_cost_usd: Option<String>,
    /// It failed of late, and its next call finds out whether it is well again.
    pub half_open: bool,
    /// It fails, and is tried all the same since too few targets of the model are well.
    pub ejected: bool,
}
