//! Latency profiles: how long a model of a provider takes, as distributions of which percentiles are given.
//! `loadtest/profiles.yaml` has those that are shipped and says what they are.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};

const SHIPPED: &str = include_str!("../profiles.yaml");

/// How long a provider takes, by operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is a model of.
    pub about: String,
    /// Speech: to the first byte, and between pieces of the answer.
    pub speech: Timing,
    /// Transcription: to the answer, which comes whole.
    pub transcription: Timing,
    /// Realtime: to `session.created`.
    pub session: Timing,
    /// Realtime: from `response.create` to the response's first event.
    pub turn: Timing,
}

/// How long one operation takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Milliseconds to the answer's first byte.
    pub first_byte_ms: Distribution,
    /// Milliseconds between two pieces of an answer; drawn once for each answer. Nothing without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece_ms: Option<Distribution>,
}

/// A distribution by some of its percentiles, such as `{ p5: 80, p50: 120, p99: 400 }`; between two of them values
/// lie evenly, and none lies outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>", into = "BTreeMap<String, f64>")]
pub struct Distribution(Vec<(f64, f64)>);

impl Distribution {
    /// The value below which a share of all lies.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        let percent = share * 100.0;
        let mut before: Option<(f64, f64)> = None;
        for (at, value) in self.0.iter().copied() {
            if percent <= at {
                let Some((left, low)) = before else { return value };
                return low + (value - low) * (percent - left) / (at - left);
            }
            before = Some((at, value));
        }
        before.map_or(0.0, |(_, value)| value)
    }

    /// The same in whole milliseconds.
    #[must_use]
    pub fn whole(&self, share: f64) -> u64 {
        std::time::Duration::try_from_secs_f64(self.at(share).round() / 1000.0)
            .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }
}

impl TryFrom<BTreeMap<String, f64>> for Distribution {
    type Error = String;

    fn try_from(named: BTreeMap<String, f64>) -> Result<Self, Self::Error> {
        let mut points = Vec::new();
        for (name, value) in named {
            let percent = name.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
            let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
            let percent = percent.ok_or_else(|| format!("{name} is no percentile from p0 to p100"))?;
            if !(0.0..=600_000.0).contains(&value) {
                return Err(format!("{name}: {value} is no number of milliseconds up to ten minutes"));
            }
            points.push((percent, value));
        }
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        if points.is_empty() {
            return Err("a distribution has at least one percentile".to_owned());
        }
        if let Some((low, high)) = points.iter().zip(points.iter().skip(1)).find(|(low, high)| low.1 > high.1) {
            return Err(format!("p{} is less than p{}", high.0, low.0));
        }
        Ok(Self(points))
    }
}

impl From<Distribution> for BTreeMap<String, f64> {
    fn from(distribution: Distribution) -> Self {
        distribution.0.into_iter().map(|(percent, value)| (format!("p{percent}"), value)).collect()
    }
}

/// The profiles of a file.
///
/// # Errors
/// When the text is not a map of profiles, with the field that is wrong.
pub fn parse(text: &str) -> anyhow::Result<BTreeMap<String, Profile>> {
    let value: serde_json::Value = serde_saphyr::from_str(text)?;
    Ok(serde_path_to_error::deserialize(value)?)
}

/// A shipped profile.
///
/// # Errors
/// When there is none of this name.
pub fn shipped(name: &str) -> anyhow::Result<Profile> {
    let mut all = parse(SHIPPED)?;
    let names: Vec<String> = all.keys().cloned().collect();
    all.remove(name).with_context(|| format!("{name} is none of the profiles {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(text: &str) -> Result<Distribution, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn values_lie_evenly_between_two_percentiles_and_never_outside() {
        let drawn = distribution(r#"{"p0": 100, "p50": 200, "p100": 1000}"#).unwrap();
        for (share, value) in [(0.0, 100), (0.25, 150), (0.5, 200), (0.75, 600), (1.0, 1000)] {
            assert_eq!(drawn.whole(share), value, "{share}");
        }
        let inner = distribution(r#"{"p10": 5, "p90": 9}"#).unwrap();
        assert_eq!((inner.whole(0.0), inner.whole(1.0)), (5, 9));
    }

    #[test]
    fn what_is_no_distribution_is_refused_by_name() {
        for (text, wrong) in [
            (r#"{"p101": 1}"#, "p101"),
            (r#"{"median": 1}"#, "median"),
            (r#"{"p50": -1}"#, "p50"),
            (r#"{"p50": 9, "p99": 8}"#, "p99 is less than p50"),
            ("{}", "at least one"),
        ] {
            assert!(distribution(text).unwrap_err().to_string().contains(wrong), "{text}");
        }
        let error = parse("x: { about: a, speech: { first_byte_ms: { p50: fast } } }").unwrap_err();
        assert!(format!("{error:#}").contains("x.speech.first_byte_ms"), "{error:#}");
    }

    #[test]
    fn the_shipped_profiles_are_ordered_from_fast_to_slow() {
        let [fast, usual, slow] = ["fast", "usual", "slow"].map(|name| shipped(name).unwrap());
        for share in [0.05, 0.5, 0.99] {
            let first = |profile: &Profile| profile.speech.first_byte_ms.at(share);
            assert!(first(&fast) < first(&usual) && first(&usual) < first(&slow));
        }
        assert!(shipped("brisk").unwrap_err().to_string().contains("fast, instant, slow, usual"));
    }
}
