//! Conversations with Ultravox's agents: a call is made over REST and joined once over a socket, with sound
//! in binary frames and messages about it in JSON.
//!
//! Source: Ultravox's `OpenAPI` document, data-message reference and client SDKs, read 2026-11-21.

use serde_json::{Value, json};

use super::agent_abilities::ABILITIES;
use super::agent_asked::{address, before_the_call, instruction, option, plan};
use super::agent_reply::{Reply, Words};
use crate::contract::UpstreamModel;
use crate::conversation::abilities::Abilities;
use crate::conversation::agent::{Agent, AgentOpener, Billing, Habits, Incoming, Order, Plan, Said};
use crate::conversation::setup::{Medium, Setup};
use crate::live::events::Refusal;
use crate::live::{Frame, LiveFault};

/// Calls are billed in steps of a tenth of a minute.
const BILLED_MS: u64 = 6_000;
/// A call says that it has started as soon as it is joined.
const GREETING_MS: u64 = 10_000;
/// Audio never pauses, so that a sign of life is never due.
const KEEP_ALIVE_MS: u64 = 20_000;
/// Audio that comes faster than it plays is dropped there once a buffer is full. So much covers a client that
/// sends in large pieces.
const PACE_AHEAD_MS: u64 = 200;
/// Silence behind a turn of the client's: longer than what ends a turn at the vendor.
const TURN_END_SILENCE_MS: u64 = 1_000;
/// What the agent is told where it is to speak and nothing new was said.
const YOUR_TURN: &str = "It is your turn to speak now.";

/// Opens calls.
pub(super) struct UltravoxAgents;

impl AgentOpener for UltravoxAgents {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    fn billing(&self) -> Billing {
        Billing::Connected { step_ms: BILLED_MS }
    }

    fn priced_as(&self, _model: &UpstreamModel) -> Option<&'static str> {
        Some(super::DEFAULT_MODEL)
    }

    fn plan(&self, setup: &Setup) -> Result<Plan, Refusal> {
        plan(setup)
    }

    fn agent(&self, setup: &Setup) -> Box<dyn Agent> {
        Box::new(Call::new(setup))
    }
}

/// One call.
struct Call {
    setup: Setup,
    ready: bool,
    /// What the user wrote and nobody has asked an answer for yet.
    asked: Option<String>,
    /// The agent will answer without being told: a turn or the outputs of functions wait for it.
    owes: bool,
    thinks: bool,
    user: User,
    /// An interruption of our own was sent, and the agent has not said yet that it stops.
    interrupting: bool,
    reply: Reply,
    /// A configuration is in force that the session does not know of yet.
    configured: Option<u64>,
}

impl Agent for Call {
    fn habits(&self) -> Habits {
        Habits {
            greets_within_ms: GREETING_MS,
            keep_alive_ms: KEEP_ALIVE_MS,
            pace_ahead_ms: Some(PACE_AHEAD_MS),
            continuous: true,
            turn_end_silence_ms: Some(TURN_END_SILENCE_MS),
        }
    }

    fn invited(&mut self, body: &[u8]) -> Result<String, LiveFault> {
        address(body)
    }

    /// Nothing has to be said first, but that an agent of the account's own has a prompt of its own.
    fn opened(&mut self, _now: u64, out: &mut Vec<Frame>) {
        if option(&self.setup, "agent_id").is_some() && !self.setup.instructions.is_empty() {
            write(&instruction(&self.setup.instructions), Urgency::Later, out);
        }
    }

    fn audio(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        out.push(Frame::Binary(bytes.to_vec()));
    }

    fn order(&mut self, order: Order<'_>, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        match order {
            Order::Configure(setup) => return self.configure(setup, now, out),
            Order::UserText(text) => {
                // Only the last message is answered; those before it are what it is about.
                self.flush(out);
                self.asked = Some(text.to_owned());
            }
            Order::SystemText(text) => write(&instruction(text), Urgency::Later, out),
            Order::AssistantText(text) => {
                let told = instruction(&format!("You have said this to the user: {text}"));
                write(&told, Urgency::Later, out);
            }
            Order::ToolOutput { call_id, output, .. } => {
                send(&output_of(call_id, output), out);
                self.owes = true;
            }
            Order::EndTurn => self.owes = true,
            Order::Respond { instructions } => self.respond(instructions, out),
            Order::Cancel => self.cancel(now, out),
            Order::Truncate { .. } => {}
        }
        Ok(())
    }

    fn read(&mut self, frame: Incoming<'_>, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        match frame {
            Incoming::Binary(bytes) => {
                self.reply.sound(bytes, now, said);
                self.owes &= !self.reply.open();
            }
            Incoming::Text(text) => {
                if let Ok(message) = serde_json::from_str::<Value>(text) {
                    self.understand(&message, now, said, out);
                }
            }
        }
    }

    fn next_tick(&self) -> Option<u64> {
        [self.configured, self.reply.next_tick()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: u64, said: &mut Vec<Said>, _out: &mut Vec<Frame>) {
        if self.configured.take().is_some() {
            said.push(Said::Configured);
        }
        self.reply.tick(now, said);
        self.settle(said);
    }

    fn keep_alive(&mut self, out: &mut Vec<Frame>) {
        send(&json!({"type": "ping", "timestamp": 0}), out);
    }

    fn goodbye(&mut self, out: &mut Vec<Frame>) {
        send(&json!({"type": "hang_up"}), out);
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        let told = if reason.is_empty() { "no reason was given" } else { reason };
        match code {
            1000 => None,
            4401 | 4403 => Some(LiveFault::credential()),
            4402 | 4429 => Some(LiveFault::limited(format!("The call was refused: {told}"))),
            4400 | 4422 => Some(LiveFault::invalid(format!("The call was refused: {told}"))),
            4404 => Some(LiveFault::upstream(format!("The call cannot be joined: {told}"))),
            _ => Some(LiveFault::upstream(format!("The call broke off with code {code}: {told}"))),
        }
    }
}

/// What the user is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Silent,
    /// Makes a sound while the agent speaks, which may go on.
    BreaksIn,
    Speaks,
}

/// How soon the agent reads a message.
#[derive(Debug, Clone, Copy)]
enum Urgency {
    /// At once, whatever it is doing.
    Immediate,
    /// When it is its turn, and it answers.
    Soon,
    /// When something else is answered.
    Later,
}

fn send(message: &Value, out: &mut Vec<Frame>) {
    out.push(Frame::Text(message.to_string()));
}

fn write(text: &str, urgency: Urgency, out: &mut Vec<Frame>) {
    let urgency = match urgency {
        Urgency::Immediate => "immediate",
        Urgency::Soon => "soon",
        Urgency::Later => "later",
    };
    send(&json!({"type": "user_text_message", "text": text, "urgency": urgency}), out);
}

fn output_of(call_id: &str, output: &str) -> Value {
    json!({
        "type": "client_tool_result", "invocationId": call_id, "result": output,
        "responseType": "tool-response", "agentReaction": "speaks",
    })
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object())
}

impl Call {
    fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            ready: false,
            asked: before_the_call(setup).1.map(ToOwned::to_owned),
            owes: false,
            thinks: false,
            user: User::Silent,
            interrupting: false,
            reply: Reply::default(),
            configured: None,
        }
    }

    /// What the user wrote becomes context: something else is answered.
    fn flush(&mut self, out: &mut Vec<Frame>) {
        if let Some(text) = self.asked.take() {
            write(&text, Urgency::Later, out);
        }
    }

    fn respond(&mut self, instructions: Option<&str>, out: &mut Vec<Frame>) {
        let asked = self.asked.take();
        let answers_anyhow = self.owes || self.user != User::Silent;
        let guided = asked.is_some() || answers_anyhow;
        if let Some(text) = instructions.filter(|_| guided) {
            write(&instruction(text), Urgency::Later, out);
        }
        let text = match asked {
            Some(text) => text,
            None if guided => return,
            None => instruction(instructions.unwrap_or(YOUR_TURN)),
        };
        // An agent that speaks although nobody listens any more does not finish first.
        self.owes = true;
        write(&text, if self.interrupting { Urgency::Immediate } else { Urgency::Soon }, out);
    }

    /// There is no message that stops the agent. One that interrupts it, says nothing and wants no answer
    /// does, as the vendor's own plugin for `LiveKit` has it (read 2026-11-21).
    fn cancel(&mut self, now: u64, out: &mut Vec<Frame>) {
        for call in self.reply.cancel(self.thinks, now) {
            let unwanted = json!({
                "type": "client_tool_result", "invocationId": call, "errorType": "implementation-error",
                "errorMessage": "The response was cancelled.", "responseType": "tool-response",
                "agentReaction": "listens",
            });
            send(&unwanted, out);
        }
        self.owes = false;
        self.interrupting = self.reply.speaking();
        let stop = json!({"type": "user_text_message", "text": "", "urgency": "immediate", "deferResponse": true});
        send(&stop, out);
    }

    fn configure(&mut self, setup: &Setup, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        plan(setup)?;
        let old = &self.setup;
        let fixed = |param| {
            Err(Refusal::value(param, format!("A call at Ultravox is begun with '{param}', which cannot be changed.")))
        };
        if (&setup.tools, &setup.tool_choice) != (&old.tools, &old.tool_choice) {
            return fixed("session.tools");
        }
        if (&setup.voice, setup.speed) != (&old.voice, old.speed) {
            return fixed("session.audio.output.voice");
        }
        if setup.turns != old.turns {
            return fixed("session.audio.input.turn_detection");
        }
        if setup.temperature != old.temperature {
            return fixed("session.temperature");
        }
        if setup.output != old.output {
            let medium = if setup.output == Medium::Text { "text" } else { "voice" };
            send(&json!({"type": "set_output_medium", "medium": medium}), out);
        }
        if setup.instructions != old.instructions {
            let told = format!("From now on these instructions hold instead of earlier ones: {}", setup.instructions);
            write(&instruction(&told), Urgency::Later, out);
        }
        self.setup = setup.clone();
        self.configured = Some(now);
        Ok(())
    }

    fn understand(&mut self, message: &Value, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        let text = |name: &str| message.get(name).and_then(Value::as_str);
        match text("type").unwrap_or_default() {
            "call_started" => self.begin(said),
            "state" => {
                self.begin(said);
                self.state(text("state").unwrap_or_default(), now, said, out);
            }
            "transcript" if text("role") == Some("user") => self.heard(message, said),
            "transcript" => {
                let words = Words {
                    ordinal: message.get("ordinal").and_then(Value::as_u64),
                    written: text("medium") == Some("text"),
                    delta: text("delta"),
                    text: text("text"),
                    last: message.get("final") == Some(&Value::Bool(true)),
                };
                self.reply.words(words, now, said);
                // A response of one message has begun and ended with it.
                self.owes &= !self.reply.open() && !said.contains(&Said::ResponseEnded);
                self.settle(said);
            }
            "playback_clear_buffer" => self.clear(now, said, out),
            "user_started_speaking" => self.user_starts(said, out),
            "user_stopped_speaking" => self.user_stops(said),
            "client_tool_invocation" => self.called(message, now, said),
            _ => {}
        }
    }

    fn begin(&mut self, said: &mut Vec<Said>) {
        if !std::mem::replace(&mut self.ready, true) {
            said.push(Said::Ready { input: None, output: None });
        }
    }

    fn state(&mut self, state: &str, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        let thought = self.thinks;
        self.thinks = state == "thinking";
        if state == "speaking" {
            self.owes = false;
        } else if self.user == User::BreaksIn && self.reply.unfinished() {
            // The agent does not go on with what it has begun.
            self.break_in(now, said, out);
        }
        if self.thinks || state == "speaking" {
            self.interrupting = false;
        }
        self.reply.state(state, now, said);
        self.settle(said);
        if self.thinks {
            self.user_stops(said);
        }
        let rests = matches!(state, "listening" | "idle");
        let silent = self.user == User::Silent && !self.reply.open();
        if rests && thought && std::mem::take(&mut self.owes) && silent {
            // It has thought about it and says nothing, which somebody may wait for.
            said.extend([Said::ResponseStarted, Said::ResponseEnded]);
        }
    }

    /// What the user said as it was written down beside, often after the agent has begun to answer it. What
    /// the user wrote comes back too, and is known.
    fn heard(&mut self, message: &Value, said: &mut Vec<Said>) {
        if message.get("medium").and_then(Value::as_str) == Some("text") {
            return;
        }
        let text = |name: &str| message.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let last = message.get("final") == Some(&Value::Bool(true));
        match (text("text"), text("delta")) {
            (Some(all), _) if last => said.push(Said::HeardAll(all.to_owned())),
            (None, Some(delta)) => said.push(Said::Heard(delta.to_owned())),
            // What is not final yet is told again whole.
            _ => {}
        }
    }

    /// A noise is speech as well. While the agent speaks, only what stops it is told as such.
    fn user_starts(&mut self, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        if self.user != User::Silent {
            return;
        }
        self.flush(out);
        self.user = User::BreaksIn;
        self.settle(said);
    }

    /// Whoever speaks while the agent does not is heard.
    fn settle(&mut self, said: &mut Vec<Said>) {
        if self.user == User::BreaksIn && !self.reply.open() {
            self.user = User::Speaks;
            said.push(Said::SpeechStarted);
        }
    }

    fn user_stops(&mut self, said: &mut Vec<Said>) {
        if std::mem::replace(&mut self.user, User::Silent) == User::Speaks {
            self.owes = true;
            said.push(Said::SpeechStopped);
        }
    }

    fn clear(&mut self, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        if std::mem::take(&mut self.interrupting) {
            return;
        }
        if self.reply.open() {
            self.break_in(now, said, out);
        }
    }

    /// The user has stopped the agent.
    fn break_in(&mut self, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        self.user_starts(said, out);
        if std::mem::replace(&mut self.user, User::Speaks) != User::Speaks {
            said.push(Said::SpeechStarted);
        }
        self.reply.clear(now, said);
    }

    fn called(&mut self, message: &Value, now: u64, said: &mut Vec<Said>) {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        let (id, name) = (text("invocationId"), text("toolName"));
        if id.is_empty() || name.is_empty() {
            return;
        }
        // They are an object on the wire; one in a text is understood too.
        let arguments = match message.get("parameters") {
            Some(Value::Object(arguments)) => Some(json!(arguments).to_string()),
            Some(Value::String(text)) => Some(text.clone()).filter(|text| is_object(text)),
            _ => None,
        };
        let arguments = arguments.unwrap_or_else(|| "{}".to_owned());
        self.owes = false;
        let call = Said::ToolCall { call_id: id.to_owned(), name: name.to_owned(), arguments };
        self.reply.call(id, call, now, said);
    }
}
