//! `response.create` and `response.cancel`, and the clock of a session.

use serde_json::{Map, Value};

use super::abilities::{Ability, Support};
use super::agent::Order;
use super::asked::Asked;
use super::input::Job;
use super::link::Stage;
use super::output::Outcome;
use super::session::ConversationSession;
use super::setup::Role;
use crate::live::LiveFault;
use crate::live::events::Refusal;
use crate::translation::Effect;

/// An agent that was asked answers within this, and goes on with its answer within it.
const ANSWER_MS: u64 = 60_000;
/// ... where the client has a function to answer first.
const FUNCTIONS_MS: u64 = 600_000;

impl ConversationSession {
    /// The client wants an answer.
    pub(super) fn respond(
        &mut self,
        response: &Map<String, Value>,
        event_id: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let asked = Asked::read(response, &self.settings, &self.gate())?;
        if let Some(open) = &self.output.open {
            // A client that has given a function's output asks for what the agent does unasked.
            if !std::mem::take(&mut self.tools.unasked) {
                let message = format!(
                    "Conversation already has an active response in progress: {}. Wait until the response is \
                     finished before creating a new one.",
                    open.id
                );
                return Err(Refusal::new("conversation_already_has_active_response", message, None));
            }
            if self.tools.pending {
                self.output.claim = Some(asked);
            }
            return Ok(());
        }
        let anew = !self.texts.is_empty() || self.input.utterance;
        let comes = self.tools.pending || self.hearing.answer_comes(self.now);
        if !anew && !comes && asked.instructions.is_none() {
            let late = std::mem::take(&mut self.tools.unasked);
            if late && (self.tools.unwanted || self.gate().refuses(Ability::Respond)) {
                // The agent has told what it made of the output already, or did not want it.
                self.begin_response(asked, effects);
                self.finish_response(Outcome::Completed, effects);
                return Ok(());
            }
            if !self.gate().lets(Ability::Respond, "response.create")? && !late {
                return Ok(());
            }
        }
        self.tools.unasked = false;
        self.open(effects);
        if self.link.stage == Stage::Ended {
            return Ok(());
        }
        self.ask(&asked, anew || !comes, event_id);
        self.begin_response(asked, effects);
        Ok(())
    }

    /// Puts the question behind all that was said. `put` says that the agent does not answer unasked.
    fn ask(&mut self, asked: &Asked, put: bool, event_id: Option<&str>) {
        self.release_texts();
        self.output.expect();
        let instructions = asked.instructions.clone();
        // Where nothing is told with the question, the system may tell it before.
        let put = put || (instructions.is_some() && self.gate().refuses(Ability::SystemText));
        self.output.asked_at = Some(self.now);
        let answers = if self.input.utterance {
            let silence_ends = self.habits().is_some_and(|habits| habits.turn_end_silence_ms.is_some());
            if silence_ends && let Some(text) = instructions.clone() {
                self.input.push(Job::Say { role: Role::System, text });
            }
            self.end_utterance()
        } else {
            if !put && let Some(text) = instructions.clone() {
                self.input.push(Job::Say { role: Role::System, text });
            }
            !put
        };
        if !answers {
            self.input.push(Job::Respond { instructions, event_id: event_id.map(ToOwned::to_owned) });
        }
    }

    /// The client wants no more of the response.
    pub(super) fn cancel(&mut self, response: Option<&str>, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let open = self.output.open.as_ref().filter(|open| response.is_none_or(|id| id == open.id));
        let Some(begun) = open.map(|open| open.begun) else {
            let message = "Cancellation failed: no active response found";
            return Err(Refusal::new("response_cancel_not_active", message, None));
        };
        let put = !self.input.unask();
        if put && self.link.live() {
            match self.gate().abilities.of(Ability::Cancel) {
                Support::Ignored(_) => {}
                Support::Refused(why) => return Err(self.gate().refusal("response.cancel", why)),
                Support::Native | Support::Emulated(_) => self.order(Order::Cancel, effects)?,
            }
        }
        self.finish_response(Outcome::Cancelled("client_cancelled"), effects);
        if begun || put {
            self.output.mute(self.now, begun);
        }
        Ok(())
    }

    /// What was asked could not be done.
    pub(super) fn give_up(&mut self, refusal: &Refusal, effects: &mut Vec<Effect>) {
        if self.output.open.as_ref().is_none_or(|open| open.begun) {
            return;
        }
        self.input.unask();
        let fault = LiveFault { kind: "invalid_request_error", code: refusal.code, message: refusal.message.clone() };
        self.finish_response(Outcome::Failed(fault), effects);
    }

    /// When the agent should have answered, or gone on with its answer.
    fn answer_due(&self) -> Option<u64> {
        // An agent may hold its tongue until it has the outputs of its functions.
        let within = if self.tools.waits() { FUNCTIONS_MS } else { ANSWER_MS };
        let waits = self.output.open.is_some() && self.link.live();
        self.output.asked_at.filter(|_| waits).map(|at| at.saturating_add(within))
    }

    /// When time is to be passed.
    pub(super) fn due(&self) -> Option<u64> {
        match self.link.stage {
            Stage::Idle => self.link.open_at,
            Stage::Asking | Stage::Opening | Stage::Ended => None,
            Stage::Greeting { until } => [Some(until), self.link.agent_due()].into_iter().flatten().min(),
            Stage::Live => {
                let agent = self.link.agent.as_ref()?;
                let habits = agent.habits();
                let alive = self.link.last_sent.saturating_add(habits.keep_alive_ms);
                let input = self.input.due(habits.pace_ahead_ms, habits.continuous);
                [Some(alive), self.link.agent_due(), input, self.link.leaves_at, self.answer_due()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Time has passed.
    pub(super) fn pass_time(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        if self.link.open_at.is_some_and(|at| at <= now) {
            self.link.open_at = None;
            self.open(effects);
        }
        if matches!(self.link.stage, Stage::Greeting { until } if until <= now) {
            return self.fail(&LiveFault::upstream("The provider did not become ready in time."), effects);
        }
        if self.link.agent_due().is_some_and(|at| at <= now) {
            self.link.ticked_at = Some(now);
            self.ask_agent(|agent, said, out| agent.tick(now, said, out), effects);
        }
        let Some(habits) = self.habits().filter(|_| self.link.live()) else { return };
        self.pump(effects);
        if habits.continuous && self.link.live() {
            self.fill_with_silence(effects);
        }
        if self.answer_due().is_some_and(|at| at <= now) {
            let fault = LiveFault::upstream("The provider did not answer in time.");
            self.finish_response(Outcome::Failed(fault), effects);
            // Whatever the agent was to go on with, the next question is put to it.
            self.tools.pending = false;
        }
        if self.link.last_sent.saturating_add(habits.keep_alive_ms) <= now {
            let mut out = Vec::new();
            if let Some(agent) = self.link.agent.as_mut().filter(|_| self.link.stage == Stage::Live) {
                agent.keep_alive(&mut out);
            }
            // An agent that needs no sign is asked again after the same time.
            self.link.last_sent = now;
            self.post(&mut out, effects);
        }
    }
}
