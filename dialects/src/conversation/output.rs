//! What the agent answers: one response at a time, from its beginning to its end. What is in it is in
//! `speak.rs`.

use domain::audio::RealtimeFormat;
use domain::usage::Usage;
use serde_json::{Value, json};

use super::agent::Cut;
use super::asked::Asked;
use super::session::ConversationSession;
use super::settings::modalities;
use super::setup::Medium;
use crate::live::settings::shown_format;
use crate::live::{Converter, LiveFault, NewConverter};
use crate::translation::Effect;

/// What still comes of a response that was cut short begins to come within the first, and pauses no longer
/// than the second: an agent that does not say where a response ends is believed after that.
const LEFTOVER_WITHIN_MS: u64 = 400;
const LEFTOVER_PAUSE_MS: u64 = 1_500;
/// A response that was cancelled before it began may begin all the same within this.
const UNBEGUN_MS: u64 = 10_000;

/// How a response ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Completed,
    Cancelled(&'static str),
    Incomplete(&'static str),
    Failed(LiveFault),
}

impl From<Cut> for Outcome {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::MaxOutputTokens => Self::Incomplete("max_output_tokens"),
            Cut::ContentFilter => Self::Incomplete("content_filter"),
            Cut::Failed(fault) => Self::Failed(fault),
        }
    }
}

impl Outcome {
    fn status(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled(_) => "cancelled",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(_) => "failed",
        }
    }

    fn details(&self) -> Value {
        match self {
            Self::Completed => Value::Null,
            Self::Cancelled(reason) | Self::Incomplete(reason) => json!({"type": self.status(), "reason": reason}),
            Self::Failed(fault) => json!({
                "type": "failed", "error": {"type": fault.kind, "code": fault.code, "message": fault.message},
            }),
        }
    }
}

/// A response that is being made.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) id: String,
    pub(super) medium: Medium,
    metadata: Value,
    /// The agent has begun with it.
    pub(super) begun: bool,
    /// All its text.
    pub(super) text: String,
    pub(super) message: Option<Message>,
    /// Functions are called in it.
    pub(super) calls: bool,
    /// Its items that are done.
    pub(super) done: Vec<Value>,
    pub(super) bytes: usize,
}

/// The message that is being said.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) output_index: usize,
    /// Where its text begins in the response's.
    pub(super) from: usize,
    /// Its ids as JSON.
    pub(super) ids: String,
    /// Audio that the client has had, in ticks.
    pub(super) ticks: u64,
}

/// What still comes of a response that was cut short is dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mute {
    /// Until when something of it may come.
    until: u64,
    /// It has begun.
    begun: bool,
}

/// The way from the agent.
pub(super) struct Output {
    agent: RealtimeFormat,
    /// What the client gets.
    pub(super) client: RealtimeFormat,
    pub(super) converter: Option<Box<dyn Converter>>,
    /// Half a sample at the end of a piece.
    pub(super) odd: Option<u8>,
    pub(super) open: Option<Response>,
    pub(super) muted: Option<Mute>,
    /// A question that the agent's next response answers.
    pub(super) claim: Option<Asked>,
    /// What was reported and not told yet: what comes late is told with the next response.
    pub(super) usage: Option<Usage>,
    /// What was told by estimate and is not reported yet.
    pub(super) owed: Usage,
    /// When the agent was last given something to answer, or told something of its answer.
    pub(super) asked_at: Option<u64>,
    /// The text of the response before.
    pub(super) last_text: String,
}

impl Output {
    pub(super) fn new(agent: RealtimeFormat, client: RealtimeFormat) -> Self {
        Self {
            agent,
            client,
            converter: None,
            odd: None,
            open: None,
            muted: None,
            claim: None,
            usage: None,
            owed: Usage::default(),
            asked_at: None,
            last_text: String::new(),
        }
    }

    /// The agent speaks this from now on.
    pub(super) fn connect(&mut self, agent: RealtimeFormat, new: NewConverter) -> Result<(), String> {
        self.agent = agent;
        self.convert_to(self.client, new)
    }

    /// The client wants this from now on.
    pub(super) fn convert_to(&mut self, client: RealtimeFormat, new: NewConverter) -> Result<(), String> {
        self.odd = None;
        self.client = client;
        self.converter = if self.agent == client { None } else { Some(new(self.agent, client)?) };
        Ok(())
    }

    /// What still comes of a response that was cut short now is dropped.
    pub(super) fn mute(&mut self, now: u64, begun: bool) {
        let within = if begun { LEFTOVER_WITHIN_MS } else { UNBEGUN_MS };
        self.muted = Some(Mute { until: now.saturating_add(within), begun });
    }

    /// The agent is asked anew: what had not begun when it was cancelled is taken for the answer.
    pub(super) fn expect(&mut self) {
        self.muted.take_if(|mute| !mute.begun);
    }

    /// The agent has ended what is not told any more; `true` where that was so.
    pub(super) fn unmuted_by_end(&mut self) -> bool {
        self.open.as_ref().is_none_or(|open| !open.begun) && self.muted.take().is_some()
    }

    /// Whether what comes now is of a response that was cut short.
    pub(super) fn is_leftover(&mut self, now: u64) -> bool {
        let Some(mute) = &mut self.muted else { return false };
        if now > mute.until {
            self.muted = None;
            return false;
        }
        *mute = Mute { until: now.saturating_add(LEFTOVER_PAUSE_MS), begun: true };
        true
    }

    /// Speech in the client's format, where there is a whole sample.
    pub(super) fn speech<'a>(&mut self, audio: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, String> {
        let mut audio = std::borrow::Cow::Borrowed(audio);
        if matches!(self.agent, RealtimeFormat::Pcm16(_)) {
            if let Some(odd) = self.odd.take() {
                audio.to_mut().insert(0, odd);
            }
            if audio.len() % 2 == 1 {
                self.odd = audio.last().copied();
                match &mut audio {
                    std::borrow::Cow::Borrowed(audio) => *audio = audio.split_last().map_or(&[], |(_, rest)| rest),
                    std::borrow::Cow::Owned(audio) => drop(audio.pop()),
                }
            }
        }
        match &mut self.converter {
            None => Ok(audio),
            Some(converter) => converter.convert(&audio).map(std::borrow::Cow::Owned),
        }
    }
}

impl ConversationSession {
    /// The agent begins a response.
    pub(super) fn response_started(&mut self, effects: &mut Vec<Effect>) {
        if self.output.muted.is_some_and(|mute| !mute.begun) && self.output.is_leftover(self.now) {
            return;
        }
        self.output.muted = None;
        if self.output.open.as_ref().is_some_and(|open| open.message.is_some() || !open.done.is_empty()) {
            self.finish_response(Outcome::Completed, effects);
        }
        self.agent_begins(effects);
    }

    /// Makes sure that a response is open, and says that the agent is at it.
    pub(super) fn agent_begins(&mut self, effects: &mut Vec<Effect>) {
        if self.output.open.is_none() {
            self.user_first(effects);
            let asked = self.output.claim.take().unwrap_or_default();
            self.begin_response(asked, effects);
        }
        self.tools.pending = false;
        self.output.asked_at = Some(self.now);
        if let Some(open) = &mut self.output.open {
            open.begun = true;
        }
    }

    /// Tells that there is a response.
    pub(super) fn begin_response(&mut self, asked: Asked, effects: &mut Vec<Effect>) {
        self.hearing.answered();
        let response = Response {
            id: self.writer.id("resp"),
            medium: asked.medium.unwrap_or(self.settings.output),
            metadata: asked.metadata,
            begun: false,
            text: String::new(),
            message: None,
            calls: false,
            done: Vec::new(),
            bytes: 0,
        };
        let shown = self.shown_response(&response, "in_progress", &Value::Null, &Value::Null);
        self.writer.event("response.created", json!({"response": shown}), effects);
        self.output.open = Some(response);
    }

    fn shown_response(&self, response: &Response, status: &str, details: &Value, usage: &Value) -> Value {
        let mut speech = json!({"format": shown_format(self.output.client)});
        self.settings.show_voice(&mut speech);
        json!({
            "id": response.id, "object": "realtime.response", "status": status, "status_details": details,
            "output": response.done, "conversation_id": self.writer.conversation_id(),
            "output_modalities": modalities(response.medium),
            "max_output_tokens": self.settings.shown_max_tokens(), "audio": {"output": speech},
            "metadata": response.metadata, "usage": usage,
        })
    }

    /// The client may answer the calls.
    pub(super) fn calls_ended(&mut self, effects: &mut Vec<Effect>) {
        if self.output.open.as_ref().is_some_and(|open| open.begun) {
            self.finish_response(Outcome::Completed, effects);
        }
    }

    /// The agent has ended a response. One that was cut short before is ended for good.
    pub(super) fn response_ended(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        let leftover = self.output.muted.take().is_some();
        // What the client has asked for and the agent has not begun is another one, unless it could not begin.
        let unbegun = self.output.open.as_ref().is_some_and(|open| !open.begun);
        if !unbegun || !(leftover || outcome == Outcome::Completed) {
            self.finish_response(outcome, effects);
        }
    }

    /// The response is over, if there is one.
    pub(super) fn finish_response(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        self.end_message(outcome == Outcome::Completed, effects);
        let Some(response) = self.output.open.take() else { return };
        self.output.asked_at = None;
        let passed = std::mem::take(&mut self.passed);
        let reported = self.output.usage.take();
        if reported.is_none() {
            self.output.owed = self.output.owed.plus(&passed.estimate());
        }
        let usage = super::usage::shown(reported, passed);
        let shown = self.shown_response(&response, outcome.status(), &outcome.details(), &usage);
        self.writer.event("response.done", json!({"response": shown}), effects);
        self.output.last_text = response.text;
        self.pass_on_outputs();
        self.settle_heard(effects);
    }
}
