//! The configuration of Deepgram's agent as it changes: what it was told, what it shall be, and what it has
//! acknowledged.
//!
//! Source: Deepgram's pages on the agent's updates, read 2026-11-21.

use serde_json::json;

use super::agent::message;
use super::agent_settings::Configuration;
use crate::conversation::agent::Said;
use crate::conversation::setup::Setup;
use crate::live::Frame;
use crate::live::events::Refusal;

/// Configurations that the agent has not confirmed.
const MAX_UNCONFIRMED: usize = 64;

/// The configuration of one socket.
#[derive(Debug)]
pub(super) struct Configured {
    setup: Setup,
    /// What the operator said beside the instructions, later on.
    added: String,
    /// As it shall be.
    wanted: Result<Configuration, Refusal>,
    /// As the agent was told it.
    told: Option<Configuration>,
    /// The agent has taken what it was told first; changes may be told.
    settled: bool,
    /// Acknowledgements that are awaited, and the configurations that are in force with the last of them.
    acknowledgements: u64,
    unconfirmed: usize,
    /// When a configuration is confirmed of which the agent needs no word.
    confirms_at: Option<u64>,
}

impl Configured {
    /// What a socket begins with.
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            added: String::new(),
            wanted: Configuration::of(setup, ""),
            told: None,
            settled: false,
            acknowledgements: 0,
            unconfirmed: 0,
            confirms_at: None,
        }
    }

    /// The client's configuration.
    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The first message.
    ///
    /// # Errors
    /// Says what the agent cannot be.
    pub(super) fn settings(&mut self) -> Result<String, Refusal> {
        let wanted = self.wanted.clone()?;
        let settings = wanted.settings(&self.setup);
        self.told = Some(wanted);
        Ok(settings)
    }

    /// The first message was taken: what has changed since then follows.
    pub(super) fn settled(&mut self, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        self.settled = true;
        self.tell(out);
        self.confirm(said);
    }

    /// Replaces what is other than wanted.
    fn tell(&mut self, out: &mut Vec<Frame>) {
        let (Ok(wanted), Some(told)) = (&self.wanted, &mut self.told) else { return };
        let parts = [
            ("UpdateListen", "listen", &wanted.listen, &mut told.listen),
            ("UpdateThink", "think", &wanted.think, &mut told.think),
            ("UpdateSpeak", "speak", &wanted.speak, &mut told.speak),
        ];
        for (kind, name, wanted, told) in parts {
            if wanted != told {
                out.push(message(&json!({"type": kind, name: wanted})));
                told.clone_from(wanted);
                self.acknowledgements = self.acknowledgements.saturating_add(1);
            }
        }
    }

    /// A part that was replaced is in force.
    pub(super) fn acknowledged(&mut self, said: &mut Vec<Said>) {
        self.acknowledgements = self.acknowledgements.saturating_sub(1);
        self.confirm(said);
    }

    /// What was told is in force once all of it is acknowledged.
    fn confirm(&mut self, said: &mut Vec<Said>) {
        if self.acknowledgements == 0 {
            self.confirms_at = None;
            said.extend(std::iter::repeat_n(Said::Configured, std::mem::take(&mut self.unconfirmed)));
        }
    }

    /// The configuration is this from now on.
    ///
    /// # Errors
    /// Names the field that the agent cannot change.
    pub(super) fn change(&mut self, setup: &Setup, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        if self.unconfirmed == MAX_UNCONFIRMED {
            let message = "Deepgram has not confirmed the changes before this one.";
            return Err(Refusal::value("session", message));
        }
        let next = Configuration::of(setup, &self.added)?;
        if let Some(told) = &self.told {
            told.can_become(&next)?;
        }
        self.setup = setup.clone();
        self.wanted = Ok(next);
        self.unconfirmed += 1;
        if self.settled {
            self.tell(out);
            if self.acknowledgements == 0 {
                self.confirms_at = Some(now);
            }
        }
        Ok(())
    }

    /// Adds to the prompt, which the agent's own message does as well.
    ///
    /// # Errors
    /// The prompt would be too long.
    pub(super) fn instruct(&mut self, text: &str, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        let separator = if self.added.is_empty() { "" } else { "\n\n" };
        let added = format!("{}{separator}{text}", self.added);
        let next = Configuration::of(&self.setup, &added)
            .map_err(|refusal| Refusal { param: Some("item.content"), ..refusal })?;
        if let Some(told) = self.told.as_mut().filter(|_| self.settled) {
            out.push(message(&json!({"type": "UpdatePrompt", "prompt": text})));
            told.think.clone_from(&next.think);
        }
        self.added = added;
        self.wanted = Ok(next);
        Ok(())
    }

    /// When [`Self::tick`] is due: not while the agent's own word is awaited.
    pub(super) fn confirms_at(&self) -> Option<u64> {
        self.confirms_at.filter(|_| self.acknowledgements == 0)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.confirms_at.is_some_and(|at| at <= now) {
            self.confirm(said);
        }
    }
}
