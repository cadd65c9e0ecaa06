//! The agent's socket: opened when enough is known, spoken to, opened anew behind the client's back where the
//! vendor allows it, and left.

use super::agent::{Agent, Incoming, Order, Plan, Said, Way};
use super::output::Outcome;
use super::session::ConversationSession;
use super::setup::Setup;
use crate::live::events::Refusal;
use crate::live::{Frame, LiveFault};
use crate::translation::Effect;
use domain::audio::RealtimeFormat;

/// How long the first audio waits for a configuration.
pub(super) const CONFIGURED_WITHIN_MS: u64 = 250;
/// A socket that was opened for one that broke has served when it has held so long.
const PROVEN_MS: u64 = 10_000;
/// The agent is told the time no more often than this.
const TICK_MS: u64 = 5;
/// So long before the vendor leaves, the socket is changed whatever is being said.
const MARGIN_MS: u64 = 2_000;

/// Where the socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// There is none yet.
    #[default]
    Idle,
    /// The vendor is asked for its address.
    Asking,
    /// It is being opened.
    Opening,
    /// It is open, and the agent will say when it is ready.
    Greeting { until: u64 },
    /// The conversation runs.
    Live,
    /// The session is over.
    Ended,
}

/// The agent and its socket.
#[derive(Default)]
pub(super) struct Link {
    pub(super) stage: Stage,
    pub(super) agent: Option<Box<dyn Agent>>,
    plan: Option<Plan>,
    /// What the agent is configured with.
    pub(super) setup: Option<Setup>,
    /// The socket is opened then, with what is known.
    pub(super) open_at: Option<u64>,
    /// Updates of the session that wait to be confirmed.
    pub(super) updates: u32,
    /// The agent has not confirmed its configuration yet.
    pub(super) configuring: bool,
    /// Opening was tried again.
    retried: bool,
    /// When the socket was last changed because one broke.
    mended_at: Option<u64>,
    /// The vendor will leave: the socket is changed before then.
    pub(super) leaves_at: Option<u64>,
    opened_at: Option<u64>,
    /// Time of the sockets before.
    before_ms: u64,
    pub(super) last_sent: u64,
    /// When the agent was last told that time has passed.
    pub(super) ticked_at: Option<u64>,
    said: Vec<Said>,
    out: Vec<Frame>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// Whether there is a socket that speaks.
    pub(super) fn open(&self) -> bool {
        matches!(self.stage, Stage::Live | Stage::Greeting { .. })
    }

    /// When the agent wants to be told that time has passed. One that was told and is not content waits.
    pub(super) fn agent_due(&self) -> Option<u64> {
        let due = self.agent.as_ref()?.next_tick()?;
        Some(self.ticked_at.map_or(due, |at| due.max(at.saturating_add(TICK_MS))))
    }

    /// Time of all sockets together. One that was opened has begun its first millisecond.
    pub(super) fn connected_ms(&self, now: u64) -> u64 {
        self.before_ms + self.opened_at.map_or(0, |at| now.saturating_sub(at).max(1))
    }

    fn left(&mut self, now: u64) {
        self.before_ms = self.connected_ms(now);
        self.opened_at = None;
        self.leaves_at = None;
    }
}

impl ConversationSession {
    /// Opens the socket, where there is none yet.
    pub(super) fn open(&mut self, effects: &mut Vec<Effect>) {
        if self.link.stage != Stage::Idle {
            return;
        }
        let history = self.texts.take_history();
        let setup = Setup { history, ..self.settings.setup(&self.target) };
        match self.opener.plan(&setup) {
            Ok(plan) => {
                self.link.agent = Some(self.opener.agent(&setup));
                self.settings.agent_transcribes.clone_from(&setup.transcription);
                self.link.setup = Some(setup);
                self.reach(plan, effects);
            }
            Err(Refusal { code, message, .. }) => {
                self.fail(&LiveFault { kind: "invalid_request_error", code, message }, effects);
            }
        }
    }

    fn reach(&mut self, plan: Plan, effects: &mut Vec<Effect>) {
        match &plan.way {
            Way::Socket(endpoint) => {
                self.link.stage = Stage::Opening;
                effects.push(Effect::Open(endpoint.clone()));
            }
            Way::Asked { endpoint, body } => {
                self.link.stage = Stage::Asking;
                effects.push(Effect::Ask { endpoint: endpoint.clone(), body: body.clone() });
            }
        }
        self.link.plan = Some(plan);
    }

    /// The vendor has told where its socket is.
    pub(super) fn invited(&mut self, body: &[u8], effects: &mut Vec<Effect>) {
        let (Stage::Asking, Some(agent)) = (self.link.stage, &mut self.link.agent) else { return };
        match agent.invited(body) {
            Ok(address) => {
                self.link.stage = Stage::Opening;
                effects.push(Effect::Join(address));
            }
            Err(fault) => self.fail(&fault, effects),
        }
    }

    /// The socket is open.
    pub(super) fn joined(&mut self, effects: &mut Vec<Effect>) {
        let (Stage::Opening, Some(agent)) = (self.link.stage, &mut self.link.agent) else { return };
        let until = self.now.saturating_add(agent.habits().greets_within_ms);
        let mut out = Vec::new();
        agent.opened(self.now, &mut out);
        self.link.stage = Stage::Greeting { until };
        self.link.opened_at = Some(self.now);
        self.link.last_sent = self.now;
        self.post(&mut out, effects);
    }

    /// The socket could not be had.
    pub(super) fn not_opened(&mut self, fault: &LiveFault, again: bool, effects: &mut Vec<Effect>) {
        if !matches!(self.link.stage, Stage::Asking | Stage::Opening) {
            return;
        }
        match self.link.plan.clone() {
            Some(plan) if again && !self.link.retried => {
                self.link.retried = true;
                self.reach(plan, effects);
            }
            _ => self.fail(fault, effects),
        }
    }

    /// The agent is ready, for audio of these formats where they are other than planned.
    fn ready(&mut self, input: Option<RealtimeFormat>, output: Option<RealtimeFormat>, effects: &mut Vec<Effect>) {
        let (Stage::Greeting { .. }, Some(plan)) = (self.link.stage, &self.link.plan) else { return };
        let (input, output) = (input.unwrap_or(plan.input), output.unwrap_or(plan.output));
        self.link.stage = Stage::Live;
        self.link.retried = false;
        self.link.configuring = false;
        let tuned = self.input.connect(input, self.now, self.new_converter);
        let tuned = tuned.and(self.output.connect(output, self.new_converter));
        if let Err(message) = tuned {
            return self.fail(&LiveFault::upstream(message), effects);
        }
        let setup = self.settings.setup(&self.target);
        if self.differs(&setup) {
            match self.configure(setup, effects) {
                Ok(()) => return,
                Err(refusal) => self.writer.refusal(None, &refusal, effects),
            }
        }
        self.configured(effects);
    }

    /// Tells the agent what has changed.
    pub(super) fn configure(&mut self, setup: Setup, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.order(Order::Configure(&setup), effects)?;
        self.settings.agent_transcribes.clone_from(&setup.transcription);
        self.link.setup = Some(setup);
        self.link.configuring = true;
        Ok(())
    }

    fn configured(&mut self, effects: &mut Vec<Effect>) {
        self.link.configuring = false;
        for _ in 0..std::mem::take(&mut self.link.updates) {
            self.tell_updated(effects);
        }
    }

    /// Gives the agent an order.
    pub(super) fn order(&mut self, order: Order<'_>, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let Some(agent) = self.link.agent.as_mut().filter(|_| self.link.stage == Stage::Live) else {
            return Err(Refusal::new("server_error", "The agent is not connected.", None));
        };
        let mut out = Vec::new();
        agent.order(order, self.now, &mut out)?;
        self.post(&mut out, effects);
        Ok(())
    }

    /// Sends audio in the agent's format.
    pub(super) fn post_audio(&mut self, bytes: &[u8], effects: &mut Vec<Effect>) {
        let Some(agent) = self.link.agent.as_mut().filter(|_| !bytes.is_empty()) else { return };
        let mut out = std::mem::take(&mut self.link.out);
        agent.audio(bytes, &mut out);
        self.post(&mut out, effects);
        self.link.out = out;
    }

    /// Passes frames on.
    pub(super) fn post(&mut self, out: &mut Vec<Frame>, effects: &mut Vec<Effect>) {
        if !out.is_empty() {
            self.link.last_sent = self.now;
        }
        effects.extend(out.drain(..).map(Effect::ToVendor));
    }

    /// A frame from the vendor.
    pub(super) fn hear_agent(&mut self, frame: Incoming<'_>, effects: &mut Vec<Effect>) {
        let now = self.now;
        self.ask_agent(|agent, said, out| agent.read(frame, now, said, out), effects);
    }

    /// Lets the agent do something that may make it speak.
    pub(super) fn ask_agent(
        &mut self,
        ask: impl FnOnce(&mut dyn Agent, &mut Vec<Said>, &mut Vec<Frame>),
        effects: &mut Vec<Effect>,
    ) {
        let Some(agent) =
            self.link.agent.as_mut().filter(|_| matches!(self.link.stage, Stage::Live | Stage::Greeting { .. }))
        else {
            return;
        };
        let (mut said, mut out) = (std::mem::take(&mut self.link.said), std::mem::take(&mut self.link.out));
        ask(agent.as_mut(), &mut said, &mut out);
        self.post(&mut out, effects);
        self.link.out = out;
        for said in said.drain(..) {
            if self.link.open() {
                self.said(said, effects);
            }
        }
        self.link.said = said;
    }

    fn said(&mut self, said: Said, effects: &mut Vec<Effect>) {
        match said {
            // Until it is ready, an agent has nothing to say to the client.
            Said::SpeechStarted
            | Said::SpeechStopped
            | Said::Heard(_)
            | Said::HeardAll(_)
            | Said::ResponseStarted
            | Said::Text(_)
            | Said::TextAll(_)
            | Said::Audio(_)
            | Said::ToolCall { .. }
                if !self.link.live() => {}
            Said::Ready { input, output } => self.ready(input, output, effects),
            Said::Configured => self.configured(effects),
            Said::SpeechStarted => self.speech_started(effects),
            Said::SpeechStopped => self.speech_stopped(effects),
            Said::Heard(text) => self.heard(&text, effects),
            Said::HeardAll(text) => self.heard_all(&text, effects),
            Said::ResponseStarted => self.response_started(effects),
            Said::Text(text) => self.text(&text, effects),
            Said::TextAll(text) => self.text_all(&text, effects),
            Said::TextCorrected(text) => self.text_corrected(text),
            Said::Audio(audio) => self.audio(&audio, effects),
            Said::ToolCall { call_id, name, arguments } => self.tool_call(&call_id, &name, &arguments, effects),
            Said::ToolCallsEnded => self.calls_ended(effects),
            Said::ToolCallWithdrawn { call_id } => self.tools.withdraw(&call_id),
            Said::ResponseEnded => self.response_ended(Outcome::Completed, effects),
            Said::ResponseCut(cut) => self.response_ended(cut.into(), effects),
            Said::Interrupted => self.interrupted(effects),
            Said::Usage(usage) => {
                let (fresh, owed) = super::usage::beyond(&usage, &self.output.owed);
                self.output.owed = owed;
                let before = self.output.usage.unwrap_or_default();
                self.output.usage = Some(before.plus(&fresh));
            }
            Said::Complaint(fault) => self.writer.fault(&fault, effects),
            Said::Leaving { within_ms } => {
                let at = self.now.saturating_add(within_ms.saturating_sub(MARGIN_MS));
                self.link.leaves_at = Some(self.link.leaves_at.map_or(at, |before| before.min(at)));
            }
            Said::Ended => self.over(effects),
            Said::Failed(fault) => self.fail(&fault, effects),
        }
    }

    /// The socket is closed.
    pub(super) fn dropped(&mut self, code: u16, reason: &str, effects: &mut Vec<Effect>) {
        let greeting = matches!(self.link.stage, Stage::Greeting { .. });
        let Some(agent) = self.link.agent.as_ref().filter(|_| self.link.open()) else { return };
        match agent.closed(code, reason) {
            None if !greeting => self.over(effects),
            fault => {
                let unready = "The provider closed the connection before the conversation began.";
                let fault = fault.unwrap_or_else(|| LiveFault::upstream(unready));
                let proven = self.link.mended_at.is_none_or(|at| self.now >= at.saturating_add(PROVEN_MS));
                if !proven || !self.resume(&fault, effects) {
                    return self.fail(&fault, effects);
                }
                self.link.mended_at = Some(self.now);
            }
        }
    }

    /// Goes on with another socket, where the vendor allows it. A response that is being made is lost.
    fn resume(&mut self, fault: &LiveFault, effects: &mut Vec<Effect>) -> bool {
        let setup = self.settings.setup(&self.target);
        let Some(plan) = self.link.agent.as_mut().and_then(|agent| agent.resumed(&setup)) else { return false };
        self.finish_response(Outcome::Failed(fault.clone()), effects);
        self.output.muted = None;
        effects.push(Effect::Leave);
        self.link.left(self.now);
        self.link.setup = Some(setup);
        self.link.retried = false;
        self.reach(plan, effects);
        true
    }

    /// Changes the socket before the vendor leaves: between turns, or when there is no more time.
    pub(super) fn renew(&mut self, effects: &mut Vec<Effect>) {
        let Some(at) = self.link.leaves_at.filter(|_| self.link.live()) else { return };
        let asked = self.hearing.answer_comes(self.now) || self.tools.pending || self.tools.waits();
        let quiet = self.output.open.is_none() && !self.hearing.speaking() && !asked;
        if !quiet && at > self.now {
            return;
        }
        let fault = LiveFault::upstream("The provider renewed the connection in the middle of the response.");
        // Where it cannot be had now it is tried again after the next turn, and in the end the vendor leaves.
        if !self.resume(&fault, effects) && at <= self.now {
            self.link.leaves_at = None;
        }
    }

    /// The session cannot go on.
    pub(super) fn fail(&mut self, fault: &LiveFault, effects: &mut Vec<Effect>) {
        self.finish_response(Outcome::Failed(fault.clone()), effects);
        self.complete_heard(effects);
        self.writer.fault(fault, effects);
        self.end(1011, &fault.message, effects);
    }

    /// The agent has ended the conversation.
    pub(super) fn over(&mut self, effects: &mut Vec<Effect>) {
        self.finish_response(Outcome::Completed, effects);
        self.complete_heard(effects);
        self.end(1000, "The agent has ended the conversation.", effects);
    }

    fn end(&mut self, code: u16, reason: &str, effects: &mut Vec<Effect>) {
        self.link.left(self.now);
        self.link.stage = Stage::Ended;
        effects.push(Effect::Leave);
        effects.push(Effect::End(code, reason.to_owned()));
    }

    /// The client is gone.
    pub(super) fn say_goodbye(&mut self, effects: &mut Vec<Effect>) {
        if self.link.open()
            && let Some(agent) = &mut self.link.agent
        {
            let mut out = Vec::new();
            agent.goodbye(&mut out);
            self.post(&mut out, effects);
        }
        self.link.left(self.now);
        self.link.stage = Stage::Ended;
    }
}
