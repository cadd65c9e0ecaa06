//! Which targets serve a model, and in which order they are tried.

use serde::{Deserialize, Serialize};

use crate::provider::named;

named! {
    /// How the targets of a route are ordered.
    Strategy, "strategy", {
        /// Lowest time to first byte first.
        Latency = "latency",
        /// Lowest expected cost of this request first.
        Cost = "cost",
        /// Highest configured quality first.
        Quality = "quality",
        /// Nearest region first.
        Geographic = "geographic",
        /// At random by weight.
        Weighted = "weighted",
        /// Lowest number first.
        Priority = "priority",
    }
}

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

/// What is known of one candidate when a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// Decayed time to first byte, in milliseconds.
    pub ttfb_ms: Option<f64>,
    /// Expected cost of this request in nano-dollars.
    pub cost_nano_usd: Option<i64>,
    /// Whether the target is in the caller's region.
    pub in_region: bool,
}

/// The order in which `targets` are tried: indices into it, best first. `draw` is a random number
/// from 0 (inclusive) to 1 for `weighted`. Ties keep the configured order; what is unknown comes
/// last, except under `latency`, where an unmeasured target comes first so that it is measured.
#[must_use]
pub fn order(strategy: Strategy, targets: &[Target], measures: &[Measure], draw: f64) -> Vec<usize> {
    let measure = |index: usize| measures.get(index).copied().unwrap_or_default();
    let mut indices: Vec<usize> = (0..targets.len()).collect();
    let by = |key: &dyn Fn(usize, &Target) -> f64, indices: &mut Vec<usize>| {
        let mut keyed: Vec<(f64, usize)> = indices
            .iter()
            .filter_map(|index| targets.get(*index).map(|target| (key(*index, target), *index)))
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        *indices = keyed.into_iter().map(|(_, index)| index).collect();
    };
    match strategy {
        Strategy::Priority => by(&|_, target| f64::from(target.priority), &mut indices),
        Strategy::Quality => by(&|_, target| -target.quality.unwrap_or(0.0), &mut indices),
        Strategy::Latency => by(&|index, _| measure(index).ttfb_ms.unwrap_or(-1.0), &mut indices),
        #[expect(clippy::cast_precision_loss, reason = "an order, not an amount")]
        Strategy::Cost => {
            by(&|index, _| measure(index).cost_nano_usd.map_or(f64::INFINITY, |cost| cost as f64), &mut indices)
        }
        Strategy::Geographic => by(&|index, _| f64::from(u8::from(!measure(index).in_region)), &mut indices),
        Strategy::Weighted => {
            let total: f64 = targets.iter().map(|target| f64::from(target.weight)).sum();
            let mut left = draw.clamp(0.0, 1.0) * total;
            let first = targets.iter().position(|target| {
                left -= f64::from(target.weight);
                left < 0.0
            });
            if let Some(first) = first {
                indices.retain(|index| *index != first);
                indices.insert(0, first);
            }
        }
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(weight: u32, priority: i32, quality: Option<f64>) -> Target {
        Target {
            provider: "p".into(),
            model: "m".into(),
            weight,
            priority,
            quality,
            region: None,
            options: Default::default(),
        }
    }

    #[test]
    fn each_strategy_orders_by_its_own_measure() {
        let targets = [target(1, 2, Some(0.5)), target(0, 1, None), target(3, 1, Some(0.9))];
        let measures = [
            Measure { ttfb_ms: Some(20.0), cost_nano_usd: None, in_region: false },
            Measure { ttfb_ms: Some(10.0), cost_nano_usd: Some(5), in_region: true },
            Measure { ttfb_ms: None, cost_nano_usd: Some(2), in_region: false },
        ];
        let order = |strategy, draw| super::order(strategy, &targets, &measures, draw);
        assert_eq!(order(Strategy::Priority, 0.0), [1, 2, 0]);
        assert_eq!(order(Strategy::Quality, 0.0), [2, 0, 1]);
        assert_eq!(order(Strategy::Latency, 0.0), [2, 1, 0]);
        assert_eq!(order(Strategy::Cost, 0.0), [2, 1, 0]);
        assert_eq!(order(Strategy::Geographic, 0.0), [1, 0, 2]);
        assert_eq!(order(Strategy::Weighted, 0.2), [0, 1, 2]);
        assert_eq!(order(Strategy::Weighted, 0.3), [2, 0, 1], "a weight of 0 is never drawn first");
    }
}
