//! What cannot be meant in a scenario, by the field that says it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::upstream::behaviour::CUT_BYTES;

use super::{Operations, Scenario, Sessions, Span, Traffic};

/// Most realtime sessions that are held: what a gateway takes unless told.
const MOST_SESSIONS: usize = 10_000;

impl Scenario {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        crate::profile::shipped(&self.upstream.profile).context("upstream.profile")?;
        self.upstream.faults.check().map_err(|wrong| anyhow::anyhow!("upstream.{wrong}"))?;
        ensure!(self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "name: letters, digits, -");
        ensure!(!self.name.is_empty(), "name: it has none");
        match (&self.traffic, &self.sessions, self.lasts) {
            (None, None, _) => bail!("traffic: a scenario has traffic, sessions, or both"),
            (Some(_), _, Some(_)) => bail!("lasts: the phases of the traffic say how long it lasts"),
            (None, Some(_), None) => bail!("lasts: how long are the sessions held?"),
            _ => {}
        }
        if let Some(traffic) = &self.traffic {
            traffic.check()?;
        }
        if let Some(sessions) = &self.sessions {
            sessions.check()?;
        }
        let speech = self.traffic.as_ref().and_then(|traffic| traffic.operations.speech.as_ref());
        let is_long = speech.is_none_or(|speech| u64::from(speech.kib) * 1024 > CUT_BYTES as u64);
        let cut = self.upstream.faults.speech.cut;
        ensure!(
            cut == 0.0 || is_long,
            "traffic.operations.speech.kib: it is cut after {CUT_BYTES} bytes, and has fewer"
        );
        ensure!(self.duration() >= Duration::from_secs(1), "lasts: it takes at least a second");
        Ok(())
    }
}

impl Traffic {
    fn check(&self) -> anyhow::Result<()> {
        self.phases.check().context("traffic.phases")?;
        ensure!((0.0..=1.0).contains(&self.hang_ups), "traffic.hang_ups: a share is between 0 and 1");
        ensure!(self.patience.get() >= Duration::from_secs(1), "traffic.patience: at least a second");
        let weights = self.operations.weights();
        for (name, weight) in &weights {
            let fits = weight.is_finite() && *weight > 0.0;
            ensure!(fits, "traffic.operations.{name}.weight: a weight is above 0");
        }
        ensure!(!weights.is_empty(), "traffic.operations: there is none");
        let Operations { speech, speech_events, transcription, conversation } = &self.operations;
        for (name, speech) in [("speech", speech), ("speech_events", speech_events)] {
            let fits = speech.as_ref().is_none_or(|speech| (1..=65_536).contains(&speech.kib));
            ensure!(fits, "traffic.operations.{name}.kib: 1 to 65536");
        }
        let fits = transcription.as_ref().is_none_or(|transcription| (1..=780).contains(&transcription.seconds));
        ensure!(fits, "traffic.operations.transcription.seconds: 1 to 780, as 25 MiB are the most");
        if let Some(conversation) = conversation {
            ensure!((1..=1_000).contains(&conversation.turns), "traffic.operations.conversation.turns: 1 to 1000");
            let speaks = conversation.speaks.get();
            let fits = speaks >= Duration::from_millis(100) && speaks <= Duration::from_secs(60);
            ensure!(fits, "traffic.operations.conversation.speaks: 100ms to 60s");
        }
        Ok(())
    }
}

impl Sessions {
    fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=MOST_SESSIONS).contains(&self.held), "sessions.held: 1 to {MOST_SESSIONS}");
        ensure!(self.echo_every > 0, "sessions.echo_every: at least 1");
        let pause = self.frame_every.get();
        ensure!(pause >= Duration::from_millis(20), "sessions.frame_every: a frame is 20ms of audio");
        // A gateway ends a session in which nothing happens.
        ensure!(pause <= Duration::from_secs(120), "sessions.frame_every: at most 2m, or they are idle");
        let lives = self.lives.map(Span::get);
        ensure!(lives.is_none_or(|lives| lives >= Duration::from_secs(1)), "sessions.lives: at least a second");
        Ok(())
    }
}
