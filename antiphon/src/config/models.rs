//! `models`: the names clients ask for, and what serves them.

use domain::routing::{Strategies, Target};
use serde::Deserialize;

/// One model name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelConfig {
    /// What a client sends as `model`.
    pub(crate) name: String,
    /// The tenant it belongs to; without one it is every tenant's.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// How targets are ordered: one strategy, or a list where each decides what the one before it leaves about
    /// equal. Default `priority`.
    #[serde(default)]
    pub(crate) strategy: Strategies,
    /// What serves it: at least one.
    pub(crate) targets: Vec<Target>,
}
