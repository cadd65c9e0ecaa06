//! Which targets serve a model, and in which order they are tried.
//!
//! Everything here is a function of its arguments: moments are monotonic times since any fixed start, and
//! what is random is drawn by the caller. A request goes through it so:
//!
//! 1. Each target's [`TargetHealth`] says what its breaker allows and how soon it answers.
//! 2. Targets whose breaker is open are left out, unless too few would be left ([`breaker::panics`]).
//! 3. [`order`] sorts what is left by the route's [`Strategies`], and lets a conversation stay where it is.
//! 4. Right before a target is asked, [`TargetHealth::may_ask`] takes the probe that it needs.
//! 5. Whatever comes of it is told to [`TargetHealth::succeeded`] or [`TargetHealth::failed`]; after a failure
//!    [`retry::next`] says whether another is asked.

pub mod breaker;
pub mod health;
pub mod hedge;
pub mod latency;
pub mod order;
pub mod region;
pub mod retry;
pub mod sticky;
pub mod strategy;

use serde::{Deserialize, Serialize};

pub use self::health::TargetHealth;
pub use self::hedge::Hedge;
pub use self::order::{Draws, Order, Seen, order};
pub use self::strategy::{Strategies, StrategiesError, Strategy};

/// One provider and its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name of the configured provider.
    pub provider: String,
    /// The provider's own name of the model.
    pub model: String,
    /// Share under `weighted`; 1 unless told.
    #[serde(default = "one")]
    pub weight: u32,
    /// Order under `priority`: the lower goes first.
    #[serde(default)]
    pub priority: i32,
    /// Score from 0 to 1 under `quality`.
    #[serde(default)]
    pub quality: Option<f64>,
    /// Where the provider runs.
    #[serde(default)]
    pub region: Option<String>,
    /// What a provider wants beside a model, such as Azure's `deployment`.
    #[serde(default)]
    pub options: std::collections::BTreeMap<String, String>,
}

const fn one() -> u32 {
    1
}
