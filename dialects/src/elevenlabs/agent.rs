//! `ElevenLabs`' agents: a conversation with an agent that was made beforehand, on one socket.
//!
//! The agent brings its prompt, model, voice and tools. A session overrides what the agent's security
//! settings allow to be overridden; where one does not allow it, `ElevenLabs` closes the socket. So the
//! target's options say what may be:
//!
//! | option | |
//! | --- | --- |
//! | `agent_id` | the agent, where the model is not its id |
//! | `access: signed` | the agent is private: a signed address is asked for |
//! | `overrides` | what the agent allows, by the names of [`Override`], separated by commas; `none`; all without it |
//! | `first_message` | what the agent says first; without it, nothing |
//! | `llm` | the language model |
//! | `realtime: openai` | the model is behind the endpoint that speaks `OpenAI`'s language |
//!
//! Source: `ElevenLabs`' `OpenAPI` and `AsyncAPI` documents (2026-08-22), API reference and SDKs, read
//! 2026-11-21.

use std::collections::BTreeMap;

use domain::audio::{RealtimeFormat, SampleRate};
use serde_json::{Map, Value, json};

use super::agent_abilities::ABILITIES;
use super::agent_socket::Socket;
use crate::contract::{RealtimeOpener, UpstreamModel};
use crate::conversation::abilities::Abilities;
use crate::conversation::agent::{Agent, AgentOpener, Billing, Plan, Way};
use crate::conversation::setup::{Medium, Setup};
use crate::live::Query;
use crate::live::events::Refusal;

/// The audio of an agent whose format nobody has changed. What it really is comes with the first message.
pub(super) const USUAL: RealtimeFormat = RealtimeFormat::Pcm16(SampleRate(16_000));

/// The slowest speech.
const SLOWEST: f64 = 0.7;

/// What is told beside the usual: each must be asked for.
const CLIENT_EVENTS: [&str; 13] = [
    "conversation_initiation_metadata",
    "ping",
    "audio",
    "interruption",
    "user_transcript",
    "tentative_user_transcript",
    "vad_score",
    "agent_response",
    "agent_response_correction",
    "agent_response_complete",
    "agent_chat_response_part",
    "client_tool_call",
    "agent_tool_response",
];

/// What an agent may allow to be overridden, each with the name that `overrides` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Override {
    Prompt,
    Llm,
    FirstMessage,
    Language,
    Voice,
    Speed,
    TextOnly,
    Keywords,
}

const OVERRIDES: [(&str, Override); 8] = [
    ("prompt", Override::Prompt),
    ("llm", Override::Llm),
    ("first_message", Override::FirstMessage),
    ("language", Override::Language),
    ("voice", Override::Voice),
    ("speed", Override::Speed),
    ("text_only", Override::TextOnly),
    ("keywords", Override::Keywords),
];

/// Whether the target's options let a session override this.
pub(super) fn may_override(options: &BTreeMap<String, String>, what: Override) -> bool {
    let Some(listed) = options.get("overrides") else { return true };
    listed.split(',').any(|name| OVERRIDES.contains(&(name.trim(), what)))
}

/// Whether the whole conversation is without audio.
pub(super) fn is_text_only(setup: &Setup) -> bool {
    setup.output == Medium::Text && may_override(&setup.options, Override::TextOnly)
}

/// Opens conversations with agents.
#[derive(Debug)]
pub struct ElevenlabsAgents;

impl AgentOpener for ElevenlabsAgents {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    fn billing(&self) -> Billing {
        Billing::Connected { step_ms: 1 }
    }

    /// An agent, whichever it is, has the one price of agents.
    fn priced_as(&self, model: &UpstreamModel) -> Option<&'static str> {
        agent_id(&model.options, &model.wire_name).map(|_| "agents")
    }

    fn plan(&self, setup: &Setup) -> Result<Plan, Refusal> {
        let id = agent_id(&setup.options, &setup.model).ok_or_else(|| {
            let message = "The model is no agent of ElevenLabs: its name is the id of one ('agent_…'), or its target \
                           says which with the option 'agent_id'.";
            Refusal::value("model", message)
        })?;
        check_options(&setup.options)?;
        if setup.speed < SLOWEST {
            let message = format!("ElevenLabs' agents speak no slower than {SLOWEST}.");
            return Err(Refusal::value("session.audio.output.speed", message));
        }
        let at = |path| Query::at(path).with("agent_id", id).endpoint();
        let way = if setup.options.contains_key("access") {
            Way::Asked { endpoint: at("/v1/convai/conversation/get-signed-url"), body: None }
        } else {
            Way::Socket(at("/v1/convai/conversation"))
        };
        Ok(Plan { way, input: USUAL, output: USUAL })
    }

    fn agent(&self, setup: &Setup) -> Box<dyn Agent> {
        Box::new(Socket::new(setup))
    }
}

/// The agent of a target: what its option says, or its model where that is an agent's id.
fn agent_id<'a>(options: &'a BTreeMap<String, String>, model: &'a str) -> Option<&'a str> {
    options.get("agent_id").map(String::as_str).or_else(|| Some(model).filter(|model| model.starts_with("agent_")))
}

/// A mistake in an option is not ignored: it could open what the operator meant to be closed.
fn check_options(options: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let wrong = |message: String| Err(Refusal::value("model", message));
    if options.get("access").is_some_and(|access| access != "signed") {
        return wrong("The target's option 'access' is 'signed' or left out.".to_owned());
    }
    let Some(listed) = options.get("overrides").filter(|listed| listed.trim() != "none") else { return Ok(()) };
    let is_known = |name: &str| OVERRIDES.iter().any(|(known, _)| *known == name.trim());
    if listed.split(',').all(is_known) {
        return Ok(());
    }
    let names = OVERRIDES.map(|(name, _)| name).join(", ");
    wrong(format!("The target's option 'overrides' is 'none' or some of: {names}."))
}

/// The first message on a socket: what of the agent is other than it was made.
pub(super) fn initiation(setup: &Setup) -> String {
    let may = |what| may_override(&setup.options, what);
    let mut agent = Map::new();
    let mut prompt = Map::new();
    if may(Override::Prompt) && !setup.instructions.is_empty() {
        prompt.insert("prompt".to_owned(), setup.instructions.as_str().into());
    }
    if let Some(llm) = setup.options.get("llm").filter(|_| may(Override::Llm)) {
        prompt.insert("llm".to_owned(), llm.as_str().into());
    }
    put(&mut agent, "prompt", prompt);
    if may(Override::FirstMessage) {
        // Without one the agent waits for the user, as `OpenAI`'s models do.
        let first = setup.options.get("first_message").map_or("", String::as_str);
        agent.insert("first_message".to_owned(), first.into());
    }
    let transcription = setup.transcription.as_ref();
    let language = transcription.and_then(|transcription| transcription.languages.first());
    if let Some(language) = language.filter(|_| may(Override::Language)) {
        agent.insert("language".to_owned(), spoken(language).into());
    }
    let mut tts = Map::new();
    if let Some(voice) = setup.voice.as_ref().filter(|_| may(Override::Voice)) {
        tts.insert("voice_id".to_owned(), voice.as_str().into());
    }
    if (setup.speed - 1.0).abs() > f64::EPSILON {
        put_if(&mut tts, "speed", may(Override::Speed), setup.speed.into());
    }
    let mut asr = Map::new();
    let keywords = transcription.map(|transcription| transcription.keywords.as_slice()).unwrap_or_default();
    put_if(&mut asr, "keywords", may(Override::Keywords) && !keywords.is_empty(), json!(keywords));
    let mut conversation = Map::new();
    conversation.insert("client_events".to_owned(), json!(CLIENT_EVENTS));
    put_if(&mut conversation, "text_only", is_text_only(setup), true.into());
    let mut overrides = Map::new();
    for (name, part) in [("agent", agent), ("tts", tts), ("asr", asr), ("conversation", conversation)] {
        put(&mut overrides, name, part);
    }
    json!({"type": "conversation_initiation_client_data", "conversation_config_override": overrides}).to_string()
}

fn put(into: &mut Map<String, Value>, name: &str, part: Map<String, Value>) {
    if !part.is_empty() {
        into.insert(name.to_owned(), Value::Object(part));
    }
}

fn put_if(into: &mut Map<String, Value>, name: &str, wanted: bool, value: Value) {
    if wanted {
        into.insert(name.to_owned(), value);
    }
}

/// A language as agents name it: without its region, but for Brazil's.
fn spoken(language: &str) -> String {
    let language = language.to_ascii_lowercase().replace('_', "-");
    if language == "pt-br" {
        return language;
    }
    language.split('-').next().unwrap_or_default().to_owned()
}

/// Opens sessions at the endpoint of `ElevenLabs` that speaks `OpenAI`'s language.
#[derive(Debug)]
pub struct ElevenlabsRealtime;

impl RealtimeOpener for ElevenlabsRealtime {
    fn path(&self, model: &UpstreamModel, _transcription: bool) -> String {
        Query::at("/v1/convai/realtime").with("model", &model.wire_name).endpoint().path
    }

    fn speaks(&self, model: &UpstreamModel) -> bool {
        model.model.starts_with("eleven_realtime_") || model.options.get("realtime").is_some_and(|way| way == "openai")
    }
}
