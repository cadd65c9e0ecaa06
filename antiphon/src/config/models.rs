//! `models`: the names clients ask for, and what serves them.

use std::fmt;
use std::time::Duration;

use domain::routing::hedge::{Hedge, UNMEASURED_MS};
use domain::routing::{Strategies, Target};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
    /// Whether a second target is asked beside a first one that is slow to speak: `true`, `false`, or how long the
    /// first one has while its times are not known. Default `false`.
    #[serde(default, deserialize_with = "hedge")]
    pub(crate) hedge: Option<Hedge>,
}

/// How a model's calls are hedged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HedgeConfig {
    /// How long the first target has while its times are not known. Default `1s`.
    #[serde(default = "unmeasured", deserialize_with = "super::value::duration")]
    unmeasured: Duration,
}

const fn unmeasured() -> Duration {
    Duration::from_millis(UNMEASURED_MS as u64)
}

fn hedge<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hedge>, D::Error> {
    deserializer.deserialize_any(HedgeReader)
}

/// Reads `true`, `false` or a section.
struct HedgeReader;

impl<'de> Visitor<'de> for HedgeReader {
    type Value = Option<Hedge>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or `{ unmeasured: 1s }`")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            "true" => Ok(Some(Hedge::default())),
            "false" => Ok(None),
            _ => Err(E::custom("hedge: expected `true`, `false` or `{ unmeasured: 1s }`")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let HedgeConfig { unmeasured } = HedgeConfig::deserialize(MapAccessDeserializer::new(map))?;
        let told = u32::try_from(unmeasured.as_millis()).ok().map(|unmeasured_ms| Hedge { unmeasured_ms });
        match told.filter(|hedge| hedge.is_sane()) {
            None => Err(A::Error::custom("hedge.unmeasured: expected 10ms to 60s")),
            told => Ok(told),
        }
    }
}
