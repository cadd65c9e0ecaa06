//! Deepgram's voice agent (`/v1/agent/converse`): one socket that listens, thinks and speaks.
//!
//! The whole configuration goes in one message behind the agent's welcome, once; a part that changes later
//! is replaced by a message of its own, which is acknowledged. Instructions are replaced with everything
//! else that the language model is told, since the message for prompts adds to the old one.
//!
//! Source: Deepgram's `AsyncAPI` document, its pages on the agent and SDK 7.17.0, read 2026-11-21.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::agent_abilities::ABILITIES;
use super::agent_messages::{Call, Message};
use super::agent_reply::Reply;
use super::agent_settings::{Configuration, ends_turns_by_message};
use super::agent_updates::Configured;
use crate::contract::Endpoint;
use crate::conversation::abilities::Abilities;
use crate::conversation::agent::{Agent, AgentOpener, Billing, Cut, Habits, Incoming, Order, Plan, Said, Way};
use crate::conversation::setup::{Medium, Setup};
use crate::live::events::Refusal;
use crate::live::{Frame, LiveFault};

/// Where the agent is served.
pub(super) const HOST: &str = "https://agent.deepgram.com";
/// The path of its socket.
pub(super) const PATH: &str = "/v1/agent/converse";
/// What the agent is called here, in the standard tier. Names of other tiers begin like it.
pub(super) const MODEL: &str = "voice-agent";

/// Silence behind an utterance: more than the longest silence within one.
const TURN_END_SILENCE_MS: u64 = 1_500;
/// Bytes of the user's text that wait for a response to be asked for.
const PENDING_BYTES: usize = 256 * 1024;
/// Texts of the user whose repetition by the agent is awaited.
const MAX_INJECTED: usize = 16;
/// What the agent is told in the user's name, where it shall speak and nothing new was said.
const GO_ON: &str = "Please go on.";

/// Opens conversations with Deepgram's voice agent.
#[derive(Debug)]
pub struct DeepgramAgent;

impl AgentOpener for DeepgramAgent {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    /// By the time of the connection, without rounding up to a block. Source: a note on Deepgram's pricing
    /// page, seen 2026-11-04.
    fn billing(&self) -> Billing {
        Billing::Connected { step_ms: 1 }
    }

    fn plan(&self, setup: &Setup) -> Result<Plan, Refusal> {
        if !setup.model.starts_with(MODEL) {
            let message = format!("Deepgram's '{}' holds no conversations; '{MODEL}' does.", setup.model);
            return Err(Refusal::value("session.model", message));
        }
        Configuration::of(setup, "")?;
        let endpoint = Endpoint { origin: Some(HOST.to_owned()), path: PATH.to_owned() };
        // The agent takes and speaks every format of the clients.
        Ok(Plan { way: Way::Socket(endpoint), input: setup.input_format, output: setup.output_format })
    }

    fn agent(&self, setup: &Setup) -> Box<dyn Agent> {
        Box::new(VoiceAgent::new(setup))
    }
}

/// How far a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its welcome is awaited; nothing may be sent.
    Opening,
    /// The settings were sent; only they may be.
    Settling,
    /// It listens.
    Ready,
}

/// An answer that comes without being asked for: to an utterance, or to the output of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    None,
    Awaited,
    /// It has words. Audio alone may be the end of the answer before.
    Begun,
}

/// One socket.
#[derive(Debug)]
struct VoiceAgent {
    stage: Stage,
    configured: Configured,
    /// What the user wrote since the last answer was asked for.
    pending: String,
    /// What the agent was told in the user's name; it may repeat that as something said.
    injected: VecDeque<String>,
    /// The answer to the last of these has not begun.
    asked: bool,
    owed: Owed,
    reply: Reply,
}

impl VoiceAgent {
    fn new(setup: &Setup) -> Self {
        Self {
            stage: Stage::Opening,
            configured: Configured::new(setup),
            pending: String::new(),
            injected: VecDeque::new(),
            asked: false,
            owed: Owed::None,
            reply: Reply::default(),
        }
    }

    fn welcomed(&mut self, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        if self.stage != Stage::Opening {
            return;
        }
        match self.configured.settings() {
            Ok(settings) => {
                out.push(Frame::Text(settings));
                self.stage = Stage::Settling;
            }
            Err(refusal) => said.push(Said::Failed(LiveFault::invalid(refusal.message))),
        }
    }

    fn settled(&mut self, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        if self.stage != Stage::Settling {
            return;
        }
        self.stage = Stage::Ready;
        said.push(Said::Ready { input: None, output: None });
        self.configured.settled(said, out);
    }

    fn note(&mut self, text: &str) -> Result<(), Refusal> {
        if self.pending.len().saturating_add(text.len()) > PENDING_BYTES {
            let message = "Too much text waits for 'response.create': Deepgram's agent gets it with that.";
            return Err(Refusal::value("item.content", message));
        }
        if !self.pending.is_empty() {
            self.pending.push_str("\n\n");
        }
        self.pending.push_str(text);
        Ok(())
    }

    fn respond(&mut self, instructions: Option<&str>, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        let instructions = instructions.filter(|text| !text.is_empty());
        if self.stage != Stage::Ready {
            return Err(Refusal::new("invalid_request", "Deepgram's agent is not ready yet.", None));
        }
        let owed = std::mem::replace(&mut self.owed, Owed::None);
        if owed != Owed::None && self.pending.is_empty() {
            let message = "Deepgram's agent answers speech and functions by itself, without other instructions.";
            return instructions.map_or(Ok(()), |_| Err(Refusal::value("response.instructions", message)));
        }
        let mut text = std::mem::take(&mut self.pending);
        if let Some(instructions) = instructions {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(instructions);
        } else if text.is_empty() {
            GO_ON.clone_into(&mut text);
        }
        out.push(message(&json!({"type": "InjectUserMessage", "content": text})));
        if self.injected.len() == MAX_INJECTED {
            self.injected.pop_front();
        }
        self.injected.push_back(text);
        self.asked = true;
        self.reply.prompted(now);
        Ok(())
    }

    fn understood(&mut self, message: Message, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        match message {
            Message::Welcome => self.welcomed(said, out),
            Message::SettingsApplied => self.settled(said, out),
            Message::ThinkUpdated | Message::SpeakUpdated | Message::ListenUpdated => {
                self.configured.acknowledged(said);
            }
            Message::UserStartedSpeaking => {
                said.push(Said::SpeechStarted);
                self.reply.interrupt(said);
            }
            Message::ConversationText { role, content } => match role.as_str() {
                "user" => self.heard(content, said),
                "assistant" => {
                    self.asked = false;
                    if self.owed == Owed::Awaited {
                        self.owed = Owed::Begun;
                    }
                    self.reply.sentence(content.trim(), said);
                }
                _ => {}
            },
            Message::AgentAudioDone => {
                if self.owed == Owed::Begun {
                    self.owed = Owed::None;
                }
                self.reply.end(said);
            }
            Message::FunctionCallRequest { functions } => self.called(functions, now, said),
            Message::FunctionCallCancelled { functions } => {
                said.extend(functions.into_iter().map(|call| Said::ToolCallWithdrawn { call_id: call.id }));
            }
            Message::InjectionRefused { message } => self.refused(message.as_deref(), said),
            Message::Warning(trouble) => said.extend(trouble.complaint().map(Said::Complaint)),
            Message::Error(trouble) => said.push(Said::Failed(trouble.fault())),
            Message::Other => {}
        }
    }

    /// A turn of the user is over. What was written for it is repeated by the agent, and is no news.
    fn heard(&mut self, content: String, said: &mut Vec<Said>) {
        if let Some(at) = self.injected.iter().position(|text| text.trim() == content.trim()) {
            // Those before it are not repeated any more.
            self.injected.drain(..=at);
            self.reply.repeated(said);
            return;
        }
        self.reply.turned(said);
        said.extend([Said::SpeechStopped, Said::HeardAll(content)]);
    }

    /// The calls that are the client's; Deepgram answers its own.
    fn called(&mut self, calls: Vec<Call>, now: u64, said: &mut Vec<Said>) {
        let before = said.len();
        said.extend(calls.into_iter().filter(|call| call.client_side).map(|call| Said::ToolCall {
            call_id: call.id,
            name: call.name,
            arguments: if call.arguments.trim().is_empty() { "{}".to_owned() } else { call.arguments },
        }));
        if said.len() == before {
            return;
        }
        self.asked = false;
        self.owed = Owed::None;
        self.reply.called(now, said);
    }

    /// The agent did not take what was written. No answer to it will come.
    fn refused(&mut self, words: Option<&str>, said: &mut Vec<Said>) {
        let words = words.unwrap_or("the user or the agent was speaking");
        let fault = LiveFault::upstream(format!("Deepgram: the message was refused: {words}"));
        said.push(Said::Complaint(fault.clone()));
        self.injected.pop_back();
        if std::mem::take(&mut self.asked) {
            said.push(Said::ResponseCut(Cut::Failed(fault)));
        }
    }
}

impl Agent for VoiceAgent {
    fn habits(&self) -> Habits {
        Habits {
            greets_within_ms: 10_000,
            keep_alive_ms: 5_000,
            pace_ahead_ms: None,
            // A turn ends in the audio behind it, and agents that were sent only signs of life while they
            // spoke have ended the connection for want of audio. The time is billed, silence is not.
            continuous: true,
            turn_end_silence_ms: (!ends_turns_by_message(self.configured.setup())).then_some(TURN_END_SILENCE_MS),
        }
    }

    /// The agent speaks first.
    fn opened(&mut self, _now: u64, _out: &mut Vec<Frame>) {}

    fn audio(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        // An empty frame would end the stream.
        if self.stage == Stage::Ready && !bytes.is_empty() {
            out.push(Frame::Binary(bytes.to_vec()));
        }
    }

    fn order(&mut self, order: Order<'_>, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        match order {
            Order::Configure(setup) => self.configured.change(setup, now, out),
            Order::UserText(text) => self.note(text),
            Order::SystemText(text) => self.configured.instruct(text, out),
            Order::AssistantText(_) => {
                Err(Refusal::value("item.role", "Once it runs, Deepgram's agent would speak what it is to have said."))
            }
            Order::ToolOutput { call_id, name, output } => {
                let answer = json!({"type": "FunctionCallResponse", "id": call_id, "name": name, "content": output});
                out.push(message(&answer));
                self.owed = Owed::Awaited;
                self.reply.answered();
                Ok(())
            }
            Order::EndTurn => {
                if ends_turns_by_message(self.configured.setup()) {
                    out.push(message(&json!({"type": "ForceEndTurn"})));
                }
                self.owed = Owed::Awaited;
                Ok(())
            }
            Order::Respond { instructions } => self.respond(instructions, now, out),
            // Deepgram has no words for either.
            Order::Cancel | Order::Truncate { .. } => Ok(()),
        }
    }

    fn read(&mut self, frame: Incoming<'_>, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        match frame {
            Incoming::Binary(bytes) => {
                if bytes.is_empty() || !self.reply.sound(now) {
                    return;
                }
                self.asked = false;
                if self.configured.setup().output == Medium::Audio {
                    said.push(Said::Audio(bytes.to_vec()));
                }
            }
            Incoming::Text(text) => {
                if let Ok(message) = serde_json::from_str(text) {
                    self.understood(message, now, said, out);
                }
            }
        }
    }

    fn next_tick(&self) -> Option<u64> {
        [self.reply.ends_at(), self.configured.confirms_at()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: u64, said: &mut Vec<Said>, _out: &mut Vec<Frame>) {
        self.reply.tick(now, said);
        self.configured.tick(now, said);
    }

    fn keep_alive(&mut self, out: &mut Vec<Frame>) {
        // Anything before the settings is an error.
        if self.stage != Stage::Opening {
            out.push(Frame::Text(r#"{"type":"KeepAlive"}"#.to_owned()));
        }
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        let words = format!("Deepgram closed the connection: {code} {reason}");
        (code != 1000).then(|| LiveFault::upstream(words.trim_end()))
    }
}

/// A message of the client's side.
pub(super) fn message(value: &Value) -> Frame {
    Frame::Text(value.to_string())
}
