//! Scenarios: what load is put on a gateway, read from a file. `loadtest/README.md` explains every field.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::upstream::behaviour::Faults;

mod check;
pub mod phases;
mod span;

pub use phases::{Phase, Phases};
pub use span::Span;

const SHIPPED: [(&str, &str); 6] = [
    ("smoke", include_str!("../../scenarios/smoke.yaml")),
    ("mixed", include_str!("../../scenarios/mixed.yaml")),
    ("ramp", include_str!("../../scenarios/ramp.yaml")),
    ("sessions", include_str!("../../scenarios/sessions.yaml")),
    ("soak", include_str!("../../scenarios/soak.yaml")),
    ("compare", include_str!("../../scenarios/compare.yaml")),
];

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Decides what is drawn: arrivals, operations, latencies, faults.
    #[serde(default = "one")]
    pub seed: u64,
    /// How the scripted upstream behaves.
    #[serde(default)]
    pub upstream: Upstream,
    /// The first phase's load for so long before anything is counted.
    #[serde(default)]
    pub warm_up: Span,
    /// The operations, and how often they are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// The realtime sessions that are held meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Sessions>,
    /// How long it lasts, where there is no traffic whose phases say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

/// How the scripted upstream behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// One of `profiles.yaml`.
    pub profile: String,
    /// What goes wrong, and how often.
    pub faults: Faults,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { profile: "instant".to_owned(), faults: Faults::default() }
    }
}

/// The operations, and how often they are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Whether operations arrive, or workers repeat them.
    pub arrivals: Arrivals,
    /// What is done.
    pub operations: Operations,
    /// Level over time: operations a second, or workers where it is a closed loop.
    pub phases: Phases,
    /// Share of speech that is sent as audio, and of transcriptions, whose client hangs up before it has its answer.
    #[serde(default)]
    pub hang_ups: f64,
    /// How long a client waits for the end of an operation.
    #[serde(default = "half_a_minute")]
    pub patience: Span,
}

/// How operations come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// They arrive at random, independently of each other (a Poisson process), whether or not others are answered.
    Random,
    /// They arrive at even distances.
    Even,
    /// Workers: each begins its next one when the last has ended.
    Closed,
}

/// What is done, and how much of all of it each is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operations {
    /// Speech that is sent as audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech: Option<Speech>,
    /// Speech that is sent as events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech_events: Option<Speech>,
    /// An upload and its transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcription: Option<Transcription>,
    /// A realtime session of some turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Conversation>,
}

/// Speech.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speech {
    /// Its share of all, in relation to the others.
    pub weight: f64,
    /// KiB of audio to be had.
    pub kib: u32,
}

/// A transcription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcription {
    /// Its share of all, in relation to the others.
    pub weight: f64,
    /// Seconds of audio to upload, at 31.25 KiB each.
    pub seconds: u32,
}

/// A realtime session of some turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// Its share of all, in relation to the others.
    pub weight: f64,
    /// Turns in a session.
    pub turns: u32,
    /// How long the user speaks in each, in frames of 20 ms.
    pub speaks: Span,
}

/// Realtime sessions that are held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// How many.
    pub held: usize,
    /// They are opened one after the other over this time.
    pub open_over: Span,
    /// Each sends a frame of 20 ms of audio so often.
    pub frame_every: Span,
    /// The upstream sends every n-th frame back.
    #[serde(default = "one_u32")]
    pub echo_every: u32,
    /// Each is closed and opened anew after this time; held to the end without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives: Option<Span>,
}

fn one() -> u64 {
    1
}

fn one_u32() -> u32 {
    1
}

fn half_a_minute() -> Span {
    Span::seconds(30)
}

impl Scenario {
    /// A shipped scenario by its name, or one in a file.
    ///
    /// # Errors
    /// When it is neither, or what it says cannot be meant; the field is named.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        if let Some((_, text)) = SHIPPED.iter().find(|(have, _)| *have == name) {
            return Self::parse(text);
        }
        let shipped = SHIPPED.map(|(name, _)| name).join(", ");
        let text = fs::read_to_string(Path::new(name))
            .with_context(|| format!("{name} is no file, and none of the scenarios {shipped}"))?;
        Self::parse(&text).with_context(|| name.to_owned())
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// When it is no scenario or what it says cannot be meant; the field is named.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_saphyr::from_str(text)?;
        let scenario: Self = serde_path_to_error::deserialize(value)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// How long it lasts, without its warm-up.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let phases = self.traffic.as_ref().map(|traffic| traffic.phases.duration());
        phases.or(self.lasts.map(Span::get)).unwrap_or_default()
    }

    /// The same load over another time: phases are stretched or shortened together, the warm-up is a quarter at
    /// most, and sessions are open after half of it.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        let factor = duration.as_secs_f64() / self.duration().as_secs_f64();
        if let Some(traffic) = self.traffic.as_mut() {
            traffic.phases.stretch(factor);
        }
        self.lasts = self.lasts.map(|lasts| lasts.times(factor));
        if let Some(sessions) = self.sessions.as_mut() {
            sessions.open_over = sessions.open_over.min(Span::from(duration / 2));
        }
        self.warm_up = self.warm_up.min(Span::from(duration / 4));
        self
    }

    /// The load of the warm-up alone; `None` where there is none.
    #[must_use]
    pub fn warming_up(&self) -> Option<Self> {
        let lasts = self.warm_up;
        if lasts == Span::default() {
            return None;
        }
        let mut warming = Self { warm_up: Span::default(), ..self.clone() };
        match warming.traffic.as_mut() {
            Some(traffic) => traffic.phases = traffic.phases.beginning(lasts),
            None => warming.lasts = Some(lasts),
        }
        Some(warming)
    }
}

impl Operations {
    /// The weights of those that are done, by name.
    #[must_use]
    pub fn weights(&self) -> BTreeMap<&'static str, f64> {
        let speech = |speech: &Option<Speech>| speech.as_ref().map(|speech| speech.weight);
        [
            ("speech", speech(&self.speech)),
            ("speech_events", speech(&self.speech_events)),
            ("transcription", self.transcription.as_ref().map(|operation| operation.weight)),
            ("conversation", self.conversation.as_ref().map(|operation| operation.weight)),
        ]
        .into_iter()
        .filter_map(|(name, weight)| Some((name, weight?)))
        .collect()
    }
}

#[cfg(test)]
mod tests;
