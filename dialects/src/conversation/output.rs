//! What the agent answers: one response at a time, with its items, parts and pieces in `OpenAI`'s order.

use domain::audio::RealtimeFormat;
use domain::usage::Usage;
use serde_json::{Value, json};

use super::agent::Cut;
use super::asked::Asked;
use super::items::{Body, Item};
use super::session::ConversationSession;
use super::settings::modalities;
use super::setup::{Medium, Role};
use super::writer::Writer;
use crate::live::settings::shown_format;
use crate::live::{Converter, LiveFault, NewConverter, ticks};
use crate::translation::Effect;

/// What a response may hold.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
const MAX_RESPONSE_ITEMS: usize = 256;
/// What still comes of a response that was cut short begins to come within the first, and pauses no longer
/// than the second: an agent that does not say where a response ends is believed after that.
const LEFTOVER_WITHIN_MS: u64 = 400;
const LEFTOVER_PAUSE_MS: u64 = 1_500;

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
    medium: Medium,
    metadata: Value,
    /// The agent has begun with it.
    pub(super) begun: bool,
    /// All its text.
    text: String,
    message: Option<Message>,
    /// Its items that are done.
    done: Vec<Value>,
    bytes: usize,
}

/// The message that is being said.
#[derive(Debug)]
struct Message {
    id: String,
    output_index: usize,
    /// Where its text begins in the response's.
    from: usize,
    /// Its ids as JSON.
    ids: String,
    /// Bytes of audio that the client has had.
    audio_bytes: u64,
}

/// What still comes of a response that was cut short is dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mute {
    /// Until when something of it may come.
    until: u64,
}

/// The way from the agent.
#[derive(Default)]
pub(super) struct Output {
    agent: Option<RealtimeFormat>,
    converter: Option<Box<dyn Converter>>,
    /// Half a sample at the end of a piece.
    odd: Option<u8>,
    pub(super) open: Option<Response>,
    pub(super) muted: Option<Mute>,
    /// A question that the agent's next response answers.
    pub(super) claim: Option<Asked>,
    /// What was reported and not told yet: what comes late is told with the next response.
    pub(super) usage: Option<Usage>,
    /// When the agent was last given something to answer.
    pub(super) asked_at: Option<u64>,
    /// The text of the response before.
    last_text: String,
}

impl Output {
    pub(super) fn new(agent: RealtimeFormat) -> Self {
        Self { agent: Some(agent), ..Self::default() }
    }

    pub(super) fn connect(
        &mut self,
        agent: RealtimeFormat,
        client: RealtimeFormat,
        new: NewConverter,
    ) -> Result<(), String> {
        self.agent = Some(agent);
        self.convert_to(client, new)
    }

    /// The client wants this from now on.
    pub(super) fn convert_to(&mut self, client: RealtimeFormat, new: NewConverter) -> Result<(), String> {
        self.odd = None;
        self.converter = match self.agent {
            Some(agent) if agent != client => Some(new(agent, client)?),
            _ => None,
        };
        Ok(())
    }

    /// What still comes of a response that was cut short now is dropped.
    pub(super) fn mute(&mut self, now: u64) {
        self.muted = Some(Mute { until: now.saturating_add(LEFTOVER_WITHIN_MS) });
    }

    /// The agent has ended what is not told any more; `true` where that was so.
    pub(super) fn unmuted_by_end(&mut self) -> bool {
        self.open.is_none() && self.muted.take().is_some()
    }

    /// Whether what comes now is of a response that was cut short.
    fn is_leftover(&mut self, now: u64) -> bool {
        let Some(mute) = &mut self.muted else { return false };
        if now > mute.until {
            self.muted = None;
            return false;
        }
        mute.until = now.saturating_add(LEFTOVER_PAUSE_MS);
        true
    }

    /// Speech in the client's format, where there is a whole sample.
    fn speech<'a>(&mut self, audio: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, String> {
        let mut audio = std::borrow::Cow::Borrowed(audio);
        if matches!(self.agent, Some(RealtimeFormat::Pcm16(_))) {
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
        self.output.muted = None;
        if self.output.open.as_ref().is_some_and(|open| open.message.is_some() || !open.done.is_empty()) {
            self.finish_response(Outcome::Completed, effects);
        }
        self.agent_begins(effects);
    }

    /// Makes sure that a response is open, and says that the agent is at it.
    fn agent_begins(&mut self, effects: &mut Vec<Effect>) {
        if self.output.open.is_none() {
            self.user_first(effects);
            let asked = self.output.claim.take().unwrap_or_default();
            self.begin_response(asked, effects);
        }
        self.tools.pending = false;
        self.output.asked_at = None;
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
            done: Vec::new(),
            bytes: 0,
        };
        let shown = self.shown_response(&response, "in_progress", &Value::Null, &Value::Null);
        self.writer.event("response.created", json!({"response": shown}), effects);
        self.output.open = Some(response);
    }

    fn shown_response(&self, response: &Response, status: &str, details: &Value, usage: &Value) -> Value {
        json!({
            "id": response.id, "object": "realtime.response", "status": status, "status_details": details,
            "output": response.done, "conversation_id": self.writer.conversation_id(),
            "output_modalities": modalities(response.medium),
            "max_output_tokens": self.settings.shown_max_tokens(),
            "audio": {"output": {
                "format": shown_format(self.settings.output_format), "voice": self.settings.voice,
            }},
            "metadata": response.metadata, "usage": usage,
        })
    }

    /// A piece of text.
    pub(super) fn text(&mut self, text: &str, effects: &mut Vec<Effect>) {
        if text.is_empty() || self.output.is_leftover(self.now) {
            return;
        }
        self.agent_begins(effects);
        self.begin_message(effects);
        let Some(open) = &mut self.output.open else { return };
        open.text.push_str(text);
        open.bytes += text.len();
        let (medium, too_much) = (open.medium, open.bytes > MAX_RESPONSE_BYTES);
        let Some(message) = &open.message else { return };
        let delta = json!({
            "response_id": open.id, "item_id": message.id, "output_index": message.output_index,
            "content_index": 0, "delta": text,
        });
        let kind = match medium {
            Medium::Audio => "response.output_audio_transcript.delta",
            Medium::Text => "response.output_text.delta",
        };
        self.writer.event(kind, delta, effects);
        self.passed.written_bytes += text.len() as u64;
        if too_much {
            self.cut_short(effects);
        }
    }

    /// All of the text so far: the rest of it is told.
    pub(super) fn text_all(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let told = match &self.output.open {
            Some(open) => open.text.as_str(),
            // The end of a response may come before its text is told once more.
            None if text.trim() == self.output.last_text.trim() => return,
            None => "",
        };
        if let Some(rest) = text.strip_prefix(told) {
            self.text(&rest.to_owned(), effects);
        }
    }

    /// What the agent had really said of what was cut short.
    pub(super) fn text_corrected(&mut self, text: String) {
        let Some(id) = self.items.last_cut().map(|item| item.id.clone()) else { return };
        self.items.change(&id, |item| match &mut item.body {
            Body::Spoken { transcript, .. } => *transcript = text,
            Body::Text { texts, .. } => *texts = vec![text],
            _ => {}
        });
    }

    /// A piece of speech.
    pub(super) fn audio(&mut self, audio: &[u8], effects: &mut Vec<Effect>) {
        if audio.is_empty() || self.output.is_leftover(self.now) {
            return;
        }
        self.agent_begins(effects);
        if self.output.open.as_ref().is_none_or(|open| open.medium == Medium::Text) {
            return;
        }
        self.begin_message(effects);
        match self.output.speech(audio) {
            Ok(speech) => self.speak(&speech, effects),
            Err(message) => self.fail(&LiveFault::upstream(message), effects),
        }
    }

    fn speak(&mut self, speech: &[u8], effects: &mut Vec<Effect>) {
        let message = self.output.open.as_mut().and_then(|open| open.message.as_mut());
        let Some(message) = message.filter(|_| !speech.is_empty()) else { return };
        message.audio_bytes += speech.len() as u64;
        self.passed.spoken_ticks += ticks(self.settings.output_format, speech.len() as u64);
        self.writer.speech(&message.ids, speech, effects);
    }

    /// How much the client has had of a message that is being said.
    pub(super) fn spoken_ms(&self, id: &str) -> Option<u64> {
        let message = self.output.open.as_ref()?.message.as_ref().filter(|message| message.id == id)?;
        Some(self.settings.output_format.duration_ms(message.audio_bytes))
    }

    /// Gives what the converter holds.
    pub(super) fn flush_speech(&mut self, effects: &mut Vec<Effect>) {
        self.output.odd = None;
        let Some(converter) = &mut self.output.converter else { return };
        match converter.flush() {
            Ok(rest) => self.speak(&rest, effects),
            Err(message) => {
                // The response goes on; its last milliseconds are missing.
                self.writer.fault(&LiveFault::upstream(message), effects);
            }
        }
    }

    fn begin_message(&mut self, effects: &mut Vec<Effect>) {
        let Some(open) = self.output.open.as_mut().filter(|open| open.message.is_none()) else { return };
        let id = self.writer.id("item");
        let (response, output_index, medium) = (open.id.clone(), open.done.len(), open.medium);
        open.message = Some(Message {
            id: id.clone(),
            output_index,
            from: open.text.len(),
            ids: Writer::ids(&open.id, &id, output_index),
            audio_bytes: 0,
        });
        let item = json!({
            "id": id, "object": "realtime.item", "type": "message", "status": "in_progress",
            "role": "assistant", "content": [],
        });
        let added = json!({"response_id": response, "output_index": output_index, "item": item});
        self.writer.event("response.output_item.added", added, effects);
        let body = match medium {
            Medium::Audio => Body::Spoken { transcript: String::new(), ms: 0 },
            Medium::Text => Body::Text { role: Role::Assistant, texts: Vec::new() },
        };
        let previous = self.items.push(Item { id: id.clone(), body, status: "in_progress" });
        let added = json!({"previous_item_id": previous, "item": item});
        self.writer.event("conversation.item.added", added, effects);
        let part = match medium {
            Medium::Audio => json!({"type": "audio", "transcript": ""}),
            Medium::Text => json!({"type": "text", "text": ""}),
        };
        let part = json!({
            "response_id": response, "item_id": id, "output_index": output_index, "content_index": 0, "part": part,
        });
        self.writer.event("response.content_part.added", part, effects);
    }

    /// The message that is being said is whole, or as much of it as there will be.
    fn end_message(&mut self, whole: bool, effects: &mut Vec<Effect>) {
        if self.output.open.as_ref().is_none_or(|open| open.message.is_none()) {
            return;
        }
        if whole {
            self.flush_speech(effects);
        } else {
            self.drop_speech();
        }
        let Some(open) = &mut self.output.open else { return };
        let Some(message) = open.message.take() else { return };
        let text = open.text.get(message.from..).unwrap_or_default().to_owned();
        let fields = |more: Value| {
            let mut fields = json!({
                "response_id": open.id, "item_id": message.id,
                "output_index": message.output_index, "content_index": 0,
            });
            if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
                fields.extend(more);
            }
            fields
        };
        let part = match open.medium {
            Medium::Audio => {
                self.writer.event("response.output_audio.done", fields(json!({})), effects);
                let done = fields(json!({"transcript": text}));
                self.writer.event("response.output_audio_transcript.done", done, effects);
                json!({"type": "audio", "transcript": text})
            }
            Medium::Text => {
                self.writer.event("response.output_text.done", fields(json!({"text": text})), effects);
                json!({"type": "text", "text": text})
            }
        };
        self.writer.event("response.content_part.done", fields(json!({"part": part})), effects);
        let ms = self.settings.output_format.duration_ms(message.audio_bytes);
        let body = match open.medium {
            Medium::Audio => Body::Spoken { transcript: text, ms },
            Medium::Text => Body::Text { role: Role::Assistant, texts: vec![text] },
        };
        let item = Item { id: message.id, body, status: if whole { "completed" } else { "incomplete" } };
        self.end_item(item, message.output_index, effects);
    }

    /// An item of the response is done.
    fn end_item(&mut self, item: Item, output_index: usize, effects: &mut Vec<Effect>) {
        let Some(open) = &mut self.output.open else { return };
        let shown = item.shown();
        let done = json!({"response_id": open.id, "output_index": output_index, "item": shown});
        open.done.push(shown.clone());
        self.writer.event("response.output_item.done", done, effects);
        let done = json!({"previous_item_id": self.items.before(&item.id), "item": shown});
        self.writer.event("conversation.item.done", done, effects);
        let id = item.id.clone();
        self.items.change(&id, |kept| *kept = item);
    }

    /// A function is to be called.
    pub(super) fn tool_call(&mut self, call: &str, name: &str, arguments: &str, effects: &mut Vec<Effect>) {
        if self.output.is_leftover(self.now) {
            return;
        }
        self.agent_begins(effects);
        self.end_message(true, effects);
        let id = self.writer.id("item");
        let body = |arguments: &str| Body::Call {
            call_id: call.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let item = Item { id: id.clone(), body: body(""), status: "in_progress" };
        let Some(open) = &mut self.output.open else { return };
        let (response, output_index) = (open.id.clone(), open.done.len());
        open.bytes += arguments.len();
        let too_much = open.bytes > MAX_RESPONSE_BYTES || output_index + 1 >= MAX_RESPONSE_ITEMS;
        let shown = item.shown();
        let added = json!({"response_id": response, "output_index": output_index, "item": shown});
        self.writer.event("response.output_item.added", added, effects);
        let previous = self.items.push(item);
        let added = json!({"previous_item_id": previous, "item": shown});
        self.writer.event("conversation.item.added", added, effects);
        let ids = json!({
            "response_id": response, "item_id": id, "output_index": output_index, "call_id": call,
        });
        let with = |field: &str, more: &[(&str, &str)]| {
            let mut ids = ids.clone();
            if let Some(ids) = ids.as_object_mut() {
                ids.insert(field.to_owned(), arguments.into());
                ids.extend(more.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
            }
            ids
        };
        self.writer.event("response.function_call_arguments.delta", with("delta", &[]), effects);
        let done = with("arguments", &[("name", name)]);
        self.writer.event("response.function_call_arguments.done", done, effects);
        self.tools.called(call, name);
        self.passed.written_bytes += arguments.len() as u64;
        self.end_item(Item::new(id, body(arguments)), output_index, effects);
        if too_much {
            self.cut_short(effects);
        }
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
        // What the client has asked for and the agent has not begun is another one.
        let other = self.output.open.as_ref().is_some_and(|open| !open.begun);
        if !(leftover && other) {
            self.finish_response(outcome, effects);
        }
    }

    /// A response that grows without end.
    fn cut_short(&mut self, effects: &mut Vec<Effect>) {
        self.finish_response(Outcome::Incomplete("max_output_tokens"), effects);
        self.output.mute(self.now);
    }

    fn drop_speech(&mut self) {
        self.output.odd = None;
        if let Some(converter) = &mut self.output.converter {
            // What it holds belongs to a response that is over.
            drop(converter.flush());
        }
    }

    /// The response is over, if there is one.
    pub(super) fn finish_response(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        self.end_message(outcome == Outcome::Completed, effects);
        let Some(response) = self.output.open.take() else { return };
        self.output.asked_at = None;
        let passed = std::mem::take(&mut self.passed);
        let usage = super::usage::shown(self.output.usage.take(), passed);
        let shown = self.shown_response(&response, outcome.status(), &outcome.details(), &usage);
        self.writer.event("response.done", json!({"response": shown}), effects);
        self.output.last_text = response.text;
        self.settle_heard(effects);
    }
}
