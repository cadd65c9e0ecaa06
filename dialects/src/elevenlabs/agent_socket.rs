//! One socket of a conversation with one of `ElevenLabs`' agents.
//!
//! Everything travels as JSON in text frames, audio in base64.
//!
//! Source: `ElevenLabs`' `AsyncAPI` document of agents (2026-08-22), API reference and SDKs, read 2026-11-21.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::audio::{RealtimeFormat, SampleRate};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::{Override, USUAL, initiation, is_text_only, may_override};
use super::agent_faults::{closed, fault};
use super::agent_hearing::Hearing;
use super::agent_turn::Turn;
use crate::conversation::agent::{Agent, Habits, Incoming, Order, Said};
use crate::conversation::setup::{Medium, Message, Role, Setup};
use crate::live::events::Refusal;
use crate::live::{Frame, LiveFault};

/// The agent leaves a user from whom nothing comes for 60 seconds.
const KEEP_ALIVE_MS: u64 = 30_000;
/// ... nor do answers to its pings count, which whoever owns the socket may take for a sign of life.
const UNHEARD_MS: u64 = 40_000;
/// The silence that ends a turn.
const TURN_END_MS: u64 = 600;
/// What an agent was sent it begins to answer within this, or not at all.
const ANSWER_MS: u64 = 10_000;
/// Text of the user that waits for being answered, in bytes.
const MAX_PENDING_BYTES: usize = 256 * 1024;
/// Calls whose outputs are awaited.
const MAX_CALLS: usize = 128;
/// What the user says who wants the agent to speak without having said anything.
const GO_ON: &str = "Please go on.";

/// One socket.
pub(super) struct Socket {
    setup: Setup,
    text_only: bool,
    input: RealtimeFormat,
    output: RealtimeFormat,
    ready: bool,
    hearing: Hearing,
    turn: Turn,
    /// Text of the user that is not answered yet.
    pending: String,
    /// The last text that was sent, of which a copy may come back.
    sent: String,
    /// Until then the agent is expected to answer something that it was sent.
    answers_until: u64,
    /// Calls whose outputs are awaited.
    calls: Vec<String>,
    /// A configuration is in force that was not told yet.
    configured: bool,
    /// When something of the user was sent.
    fed_at: u64,
    now: u64,
}

/// The most frequent message; others are read by [`Socket::message`].
#[derive(Deserialize)]
struct Spoken<'a> {
    #[serde(borrow)]
    audio_event: Speech<'a>,
}

#[derive(Deserialize)]
struct Speech<'a> {
    #[serde(borrow)]
    audio_base_64: Cow<'a, str>,
    #[serde(default)]
    event_id: Value,
}

impl Socket {
    pub(super) fn new(setup: &Setup) -> Self {
        let mut setup = setup.clone();
        // What the user wrote last is still to be answered.
        let told = setup.history.iter().rposition(|message| message.role != Role::User).map_or(0, |last| last + 1);
        let open = setup.history.split_off(told);
        let pending = open.into_iter().map(|message| message.text).collect::<Vec<_>>().join("\n");
        let text_only = is_text_only(&setup);
        Self {
            setup,
            text_only,
            input: USUAL,
            output: USUAL,
            ready: false,
            hearing: Hearing::default(),
            turn: Turn::new(text_only),
            pending,
            sent: String::new(),
            answers_until: 0,
            calls: Vec::new(),
            configured: false,
            fed_at: 0,
            now: 0,
        }
    }

    fn at(&mut self, now: u64) {
        self.now = now.max(self.now);
    }

    fn send(&mut self, message: &Value, out: &mut Vec<Frame>) {
        self.fed_at = self.now;
        out.push(Frame::Text(message.to_string()));
    }

    /// Tells the agent something that it does not answer.
    fn update(&mut self, text: &str, out: &mut Vec<Frame>) {
        self.send(&json!({"type": "contextual_update", "text": text}), out);
    }

    /// Tells the agent its instructions, in place of those it was told before.
    fn instruct(&mut self, out: &mut Vec<Frame>) {
        let text = format!("From now on these are your instructions:\n{}", self.setup.instructions);
        self.send(&json!({"type": "contextual_update", "text": text, "context_id": "instructions"}), out);
    }

    fn ask(&mut self, text: &str, out: &mut Vec<Frame>) {
        text.clone_into(&mut self.sent);
        self.answers_until = self.now.saturating_add(ANSWER_MS);
        self.send(&json!({"type": "user_message", "text": text}), out);
    }

    fn respond(&mut self, instructions: Option<&str>, out: &mut Vec<Frame>) {
        let text = std::mem::take(&mut self.pending);
        let answers_anyway = self.now < self.answers_until;
        match (text.is_empty(), instructions) {
            (true, Some(instructions)) if !answers_anyway => self.ask(instructions, out),
            (true, None) if !answers_anyway => self.ask(GO_ON, out),
            (empty, instructions) => {
                if let Some(instructions) = instructions {
                    self.update(instructions, out);
                }
                if !empty {
                    self.ask(&text, out);
                }
            }
        }
    }

    fn configure(&mut self, setup: &Setup, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        let fixed = [
            (setup.voice == self.setup.voice, "session.audio.output.voice"),
            ((setup.speed - self.setup.speed).abs() < f64::EPSILON, "session.audio.output.speed"),
            (setup.output == self.setup.output, "session.output_modalities"),
        ];
        if let Some((_, param)) = fixed.into_iter().find(|(same, _)| !same) {
            return Err(Refusal::value(param, "ElevenLabs' agents keep this as their conversation began."));
        }
        let instructed = setup.instructions == self.setup.instructions;
        self.setup.instructions.clone_from(&setup.instructions);
        self.setup.tools.clone_from(&setup.tools);
        if !instructed {
            self.instruct(out);
        }
        self.configured = true;
        Ok(())
    }

    fn answer_call(&mut self, call_id: &str, output: &str, is_error: bool, out: &mut Vec<Frame>) {
        let result =
            json!({"type": "client_tool_result", "tool_call_id": call_id, "result": output, "is_error": is_error});
        self.answers_until = self.now.saturating_add(ANSWER_MS);
        self.send(&result, out);
    }

    fn message(&mut self, message: &Value, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        let (now, id) = (self.now, |event: &Value| number(event.get("event_id")));
        let of = |name: &str| message.get(name).unwrap_or(&Value::Null);
        match message.get("type").and_then(Value::as_str).unwrap_or_default() {
            "ping" => {
                if let Some(event_id) = of("ping_event").get("event_id").filter(|id| id.is_number()) {
                    // It is no word of the user's.
                    out.push(Frame::Text(json!({"type": "pong", "event_id": event_id}).to_string()));
                }
            }
            "conversation_initiation_metadata" => {
                self.greeted(of("conversation_initiation_metadata_event"), said, out);
            }
            "vad_score" => {
                if let Some(score) = of("vad_score_event").get("vad_score").and_then(Value::as_f64) {
                    self.hearing.score(score, now, said);
                }
            }
            "tentative_user_transcript" => {
                let event = of("tentative_user_transcription_event");
                self.hearing.tentative(text(event, "user_transcript"), id(event), now, said);
            }
            "user_transcript" => {
                let event = of("user_transcription_event");
                self.transcript(text(event, "user_transcript"), id(event), said);
            }
            "agent_response" => {
                let event = of("agent_response_event");
                self.turn.whole(text(event, "agent_response"), id(event), now, said);
            }
            "agent_chat_response_part" => {
                let part = of("text_response_part");
                self.turn.part(text(part, "text"), id(part), now, said);
            }
            "agent_response_correction" => {
                let event = of("agent_response_correction_event");
                if let Some(text) = event.get("corrected_agent_response").and_then(Value::as_str) {
                    said.push(Said::TextCorrected(text.to_owned()));
                }
            }
            "agent_response_complete" => self.turn.told_end(now, said),
            "interruption" => self.turn.interrupted(id(of("interruption_event")), now, said),
            "client_tool_call" => self.called(of("client_tool_call"), said, out),
            "agent_tool_response" => self.withdrawn(of("agent_tool_response"), said),
            "error" => failed(of("error_event"), said),
            // Among them what happens between the agent and others than its user.
            _ => {}
        }
    }

    fn greeted(&mut self, event: &Value, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        if std::mem::replace(&mut self.ready, true) {
            return;
        }
        let read = |name: &str| event.get(name).map_or(Some(USUAL), |format| format_of(format.as_str()?));
        let (Some(input), Some(output)) = (read("user_input_audio_format"), read("agent_output_audio_format")) else {
            let message = "ElevenLabs' agent has an audio format that is not known here.";
            return said.push(Said::Failed(LiveFault::upstream(message)));
        };
        (self.input, self.output) = (input, output);
        let other = |format: RealtimeFormat| Some(format).filter(|format| *format != USUAL);
        said.push(Said::Ready { input: other(input), output: other(output) });
        if !self.setup.instructions.is_empty() && !may_override(&self.setup.options, Override::Prompt) {
            self.instruct(out);
        }
        let history = std::mem::take(&mut self.setup.history);
        if !history.is_empty() {
            let lines: Vec<String> = history.iter().map(line).collect();
            self.update(&format!("This was said before:\n{}", lines.join("\n")), out);
        }
    }

    fn transcript(&mut self, text: &str, id: Option<u64>, said: &mut Vec<Said>) {
        // What was written is not heard, though it may be told like speech.
        let written = std::mem::take(&mut self.sent);
        if self.hearing.speaking() || written.is_empty() || written != text {
            self.hearing.transcript(text, id, said);
        }
    }

    fn called(&mut self, call: &Value, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        let (call_id, name) = (text(call, "tool_call_id"), text(call, "tool_name"));
        if call_id.is_empty() || self.calls.iter().any(|known| known == call_id) {
            return;
        }
        if self.calls.len() == MAX_CALLS || !self.setup.tools.iter().any(|tool| tool.name == name) {
            // The agent waits for an output, which nobody would give.
            return self.answer_call(call_id, "The client does not have this tool.", true, out);
        }
        self.turn.call(self.now, said);
        self.calls.push(call_id.to_owned());
        let arguments = call.get("parameters").filter(|parameters| parameters.is_object());
        said.push(Said::ToolCall {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.map_or_else(|| "{}".to_owned(), Value::to_string),
        });
    }

    /// The agent went on without an output that did not come in time.
    fn withdrawn(&mut self, response: &Value, said: &mut Vec<Said>) {
        let call_id = text(response, "tool_call_id");
        let failed = response.get("is_error") == Some(&Value::Bool(true));
        if let Some(at) = self.calls.iter().position(|known| known == call_id).filter(|_| failed) {
            said.push(Said::ToolCallWithdrawn { call_id: self.calls.remove(at) });
        }
    }

    /// What follows from what was just said: the user who speaks has not waited for an answer to a text.
    fn settle(&mut self, since: usize, said: &[Said], out: &mut Vec<Frame>) {
        let fresh = said.get(since..).unwrap_or_default();
        if fresh.contains(&Said::ResponseStarted) {
            self.answers_until = 0;
        }
        if fresh.contains(&Said::SpeechStarted) && !self.pending.is_empty() {
            let text = std::mem::take(&mut self.pending);
            self.update(&format!("The user wrote: {text}"), out);
        }
    }

    fn speech(&mut self, speech: &Speech<'_>, said: &mut Vec<Said>) {
        let Ok(bytes) = STANDARD.decode(speech.audio_base_64.as_bytes()) else { return };
        let heard = !bytes.is_empty()
            && self.turn.audio(bytes.len(), self.output, number(Some(&speech.event_id)), self.now, said);
        if heard && self.setup.output == Medium::Audio {
            said.push(Said::Audio(bytes));
        }
    }
}

impl Agent for Socket {
    fn habits(&self) -> Habits {
        Habits {
            greets_within_ms: 10_000,
            keep_alive_ms: KEEP_ALIVE_MS,
            // The vendor's own clients send audio only as it is recorded.
            pace_ahead_ms: Some(1_000),
            continuous: false,
            turn_end_silence_ms: Some(TURN_END_MS),
        }
    }

    fn invited(&mut self, body: &[u8]) -> Result<String, LiveFault> {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let address = text(&answer, "signed_url");
        if !address.starts_with("wss://") && !address.starts_with("ws://") {
            return Err(LiveFault::upstream("ElevenLabs gave no signed address for the agent."));
        }
        Ok(address.to_owned())
    }

    fn opened(&mut self, now: u64, out: &mut Vec<Frame>) {
        self.at(now);
        self.fed_at = self.now;
        out.push(Frame::Text(initiation(&self.setup)));
    }

    fn audio(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        if self.text_only {
            return;
        }
        self.fed_at = self.now;
        let mut text = String::with_capacity(bytes.len() / 3 * 4 + 32);
        text.push_str(r#"{"user_audio_chunk":""#);
        STANDARD.encode_string(bytes, &mut text);
        text.push_str(r#""}"#);
        out.push(Frame::Text(text));
    }

    fn order(&mut self, order: Order<'_>, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        self.at(now);
        match order {
            Order::Configure(setup) => return self.configure(setup, out),
            Order::UserText(text) => {
                if self.pending.len() + text.len() > MAX_PENDING_BYTES {
                    let message = "Too much text waits for a response.";
                    return Err(Refusal::new("item_too_long", message, Some("item.content")));
                }
                if !self.pending.is_empty() {
                    self.pending.push('\n');
                }
                self.pending.push_str(text);
            }
            Order::SystemText(text) => self.update(text, out),
            Order::AssistantText(text) => self.update(&format!("You said: {text}"), out),
            Order::ToolOutput { call_id, output, .. } => {
                let Some(at) = self.calls.iter().position(|known| known == call_id) else {
                    let message = "ElevenLabs' agent does not wait for the output of this call.";
                    return Err(Refusal::value("item.call_id", message));
                };
                self.calls.remove(at);
                self.answer_call(call_id, output, false, out);
            }
            Order::Respond { instructions } => self.respond(instructions, out),
            // The silence behind the utterance ends it. What is dropped and shortened, the session does alone.
            Order::EndTurn | Order::Cancel | Order::Truncate { .. } => {}
        }
        Ok(())
    }

    fn read(&mut self, frame: Incoming<'_>, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        self.at(now);
        let text = match frame {
            Incoming::Text(text) => text,
            Incoming::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        };
        let since = said.len();
        if let Ok(spoken) = serde_json::from_str::<Spoken<'_>>(text) {
            self.speech(&spoken.audio_event, said);
        } else if let Ok(message) = serde_json::from_str(text) {
            self.message(&message, said, out);
        }
        self.settle(since, said, out);
    }

    fn next_tick(&self) -> Option<u64> {
        let at_once = self.configured.then_some(self.now);
        let unheard = self.ready.then(|| self.fed_at.saturating_add(UNHEARD_MS));
        [at_once, unheard, self.hearing.due(), self.turn.due()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        self.at(now);
        if std::mem::take(&mut self.configured) {
            said.push(Said::Configured);
        }
        self.hearing.tick(self.now, said);
        self.turn.tick(self.now, said);
        if self.ready && self.fed_at.saturating_add(UNHEARD_MS) <= self.now {
            self.keep_alive(out);
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<Frame>) {
        self.send(&json!({"type": "user_activity"}), out);
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        closed(code, reason)
    }
}

/// A text field, empty where there is none.
fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An id, which is a number; some were seen as text.
fn number(id: Option<&Value>) -> Option<u64> {
    let id = id?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

fn format_of(name: &str) -> Option<RealtimeFormat> {
    match name {
        "ulaw_8000" => Some(RealtimeFormat::Pcmu),
        "pcm_8000" | "pcm_16000" | "pcm_22050" | "pcm_24000" | "pcm_44100" | "pcm_48000" => {
            name.strip_prefix("pcm_")?.parse().ok().map(|rate| RealtimeFormat::Pcm16(SampleRate(rate)))
        }
        _ => None,
    }
}

fn line(message: &Message) -> String {
    let who = match message.role {
        Role::System => "Instructions",
        Role::User => "User",
        Role::Assistant => "You",
    };
    format!("{who}: {}", message.text)
}

/// The agent says why it will close.
fn failed(event: &Value, said: &mut Vec<Said>) {
    let kind = text(event, "error_type");
    let told = [text(event, "message"), text(event, "reason")].into_iter().find(|told| !told.is_empty());
    if kind == "max_duration_exceeded" || event.get("code").and_then(Value::as_u64) == Some(1000) {
        return said.push(Said::Ended);
    }
    said.push(Said::Failed(fault(kind, told.unwrap_or_default())));
}
