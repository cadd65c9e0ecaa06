//! What an upstream does to requests at random: how long it takes, by a profile, and how often it fails. A seed
//! decides: the n-th request of an operation draws the same with the same seed, whichever request that is.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::profile::{Profile, Timing};

/// What is drawn for every request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Decides all draws.
    pub seed: u64,
    /// How long answers take; at once without it.
    pub profile: Option<Profile>,
    /// How often what goes wrong.
    pub faults: Faults,
}

/// Faults by operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Of speech.
    pub speech: Shares,
    /// Of transcriptions.
    pub transcription: Shares,
    /// Of realtime sessions.
    pub realtime: Shares,
}

/// Shares of the requests of one operation, from 0 to 1, of which at most one is drawn for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Refused with this status.
    pub status: BTreeMap<u16, f64>,
    /// Takes `slow_ms` longer.
    pub slow: f64,
    /// How much longer that is, in milliseconds.
    pub slow_ms: u64,
    /// Never answered.
    pub hang: f64,
    /// Speech that is sent as audio: the connection breaks after 40,000 bytes of it. As events it is sent whole.
    pub cut: f64,
    /// Sessions: closed with 1011 after their first turn.
    pub close: f64,
}

/// So much of speech has come before its connection breaks: more than one piece, so that somebody has heard some.
pub(crate) const CUT_BYTES: usize = 40_000;

impl Faults {
    /// Whether none is drawn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Says by its field what cannot be meant.
    ///
    /// # Errors
    /// When a share is none, the shares of an operation are more than all, or an operation cannot have such a fault.
    pub fn check(&self) -> Result<(), String> {
        for (name, shares) in
            [("speech", &self.speech), ("transcription", &self.transcription), ("realtime", &self.realtime)]
        {
            shares.check().map_err(|wrong| format!("faults.{name}.{wrong}"))?;
        }
        let (speech, transcription, realtime) = (&self.speech, &self.transcription, &self.realtime);
        for (field, share) in [
            ("speech.close", speech.close),
            ("transcription.close", transcription.close),
            ("transcription.cut", transcription.cut),
            ("realtime.cut", realtime.cut),
            ("realtime.hang", realtime.hang),
        ] {
            if share > 0.0 {
                return Err(format!("faults.{field}: this operation has no such fault"));
            }
        }
        Ok(())
    }
}

impl Shares {
    fn check(&self) -> Result<(), String> {
        let of_status = self.status.iter().map(|(status, share)| (format!("status.{status}"), *share));
        let others = [("slow", self.slow), ("hang", self.hang), ("cut", self.cut), ("close", self.close)];
        let mut sum = 0.0;
        for (name, share) in of_status.chain(others.map(|(name, share)| (name.to_owned(), share))) {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name}: a share is between 0 and 1, not {share}"));
            }
            sum += share;
        }
        if sum > 1.0 {
            return Err(format!("status: all shares together are {sum}, more than 1"));
        }
        if let Some(status) = self.status.keys().find(|status| !(400..=599).contains(*status)) {
            return Err(format!("status.{status}: a refusal has a status from 400 to 599"));
        }
        if self.slow > 0.0 && self.slow_ms == 0 {
            return Err("slow_ms: how much longer do slow ones take?".to_owned());
        }
        Ok(())
    }

    /// Puts what is drawn into the fault and gives its name.
    fn draw(&self, rng: &mut Rng, fault: &mut Fault) -> Option<String> {
        let mut left = rng.f64();
        let mut drawn = |share: f64| {
            left -= share;
            left < 0.0
        };
        for (status, share) in &self.status {
            if drawn(*share) {
                fault.status = Some(*status);
                return Some(status.to_string());
            }
        }
        if drawn(self.slow) {
            fault.delay_ms = Some(fault.delay_ms.unwrap_or(0) + self.slow_ms);
            return Some("slow".to_owned());
        }
        if drawn(self.hang) {
            fault.hang = true;
            return Some("hang".to_owned());
        }
        if drawn(self.cut) {
            fault.cut_audio_bytes = Some(CUT_BYTES);
            return Some("cut".to_owned());
        }
        if drawn(self.close) {
            fault.close_after_turns = Some(1);
            return Some("close".to_owned());
        }
        None
    }
}

/// A behaviour that draws.
#[derive(Debug)]
pub(super) struct Dice {
    behaviour: Behaviour,
    speech: Rng,
    transcription: Rng,
    realtime: Rng,
    turns: Rng,
    drawn: BTreeMap<String, u64>,
}

impl Dice {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        let rng = |operation: u64| Rng::with_seed(behaviour.seed.wrapping_mul(8).wrapping_add(operation));
        let (speech, transcription, realtime, turns) = (rng(1), rng(2), rng(3), rng(4));
        Self { behaviour, speech, transcription, realtime, turns, drawn: BTreeMap::new() }
    }

    /// How often which fault was drawn, by `operation fault`.
    pub(super) fn drawn(&self) -> &BTreeMap<String, u64> {
        &self.drawn
    }

    /// Adds what is drawn for a request of this path; what its script wants stays.
    pub(super) fn apply(&mut self, path: &str, fault: &mut Fault) {
        let profile = self.behaviour.profile.as_ref();
        let faults = &self.behaviour.faults;
        let (name, shares, timing, rng) = match path {
            "audio/speech" => ("speech", &faults.speech, profile.map(|profile| &profile.speech), &mut self.speech),
            "audio/transcriptions" | "audio/translations" => {
                let timing = profile.map(|profile| &profile.transcription);
                ("transcription", &faults.transcription, timing, &mut self.transcription)
            }
            "realtime" => {
                let timing = profile.map(|profile| &profile.session);
                ("realtime", &faults.realtime, timing, &mut self.realtime)
            }
            _ => return,
        };
        if let Some(timing) = timing {
            take_time(timing, rng, fault);
        }
        if let Some(drawn) = shares.draw(rng, fault) {
            *self.drawn.entry(format!("{name} {drawn}")).or_default() += 1;
        }
    }

    /// How long a response of a session lets its client wait.
    pub(super) fn thinks(&mut self) -> Option<Duration> {
        let timing = &self.behaviour.profile.as_ref()?.turn;
        Some(Duration::from_secs_f64(timing.first_byte_ms.at(self.turns.f64()) / 1000.0))
    }
}

fn take_time(timing: &Timing, rng: &mut Rng, fault: &mut Fault) {
    let (first, pace) = (rng.f64(), rng.f64());
    fault.delay_ms.get_or_insert_with(|| timing.first_byte_ms.whole(first));
    if let Some(piece_ms) = &timing.piece_ms {
        fault.chunk_ms.get_or_insert_with(|| piece_ms.whole(pace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(text: &str) -> Shares {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_same_seed_draws_the_same_and_about_as_often_as_told() {
        let faults = Faults { speech: shares(r#"{"status": {"503": 0.1}, "cut": 0.1}"#), ..Faults::default() };
        let run = |seed| {
            let mut dice = Dice::new(Behaviour { seed, faults: faults.clone(), profile: None });
            let drawn: Vec<Fault> = (0..2_000)
                .map(|_| {
                    let mut fault = Fault::default();
                    dice.apply("audio/speech", &mut fault);
                    fault
                })
                .collect();
            (drawn, dice.drawn().clone())
        };
        let (one, counts) = run(7);
        assert!(one == run(7).0 && one != run(8).0);
        assert!((150..250).contains(&counts["speech 503"]) && (150..250).contains(&counts["speech cut"]), "{counts:?}");
        assert_eq!(one.iter().filter(|fault| fault.status.is_some()).count() as u64, counts["speech 503"]);
    }

    #[test]
    fn shares_that_cannot_be_are_named() {
        let wrong = |of: fn(&mut Faults) -> &mut Shares, text: &str| {
            let mut faults = Faults::default();
            *of(&mut faults) = shares(text);
            faults.check().unwrap_err()
        };
        assert!(wrong(|faults| &mut faults.speech, r#"{"cut": 1.5}"#).starts_with("faults.speech.cut"));
        assert!(wrong(|faults| &mut faults.speech, r#"{"cut": 0.6, "hang": 0.6}"#).contains("more than 1"));
        assert!(wrong(|faults| &mut faults.speech, r#"{"status": {"200": 0.1}}"#).contains("status.200"));
        assert!(wrong(|faults| &mut faults.speech, r#"{"slow": 0.1}"#).contains("slow_ms"));
        assert!(wrong(|faults| &mut faults.transcription, r#"{"cut": 0.1}"#).contains("transcription.cut"));
    }
}
