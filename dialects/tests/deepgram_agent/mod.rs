//! Deepgram's voice agent: what goes to the vendor and what the session is told, story by story.
//!
//! The vendor's frames are written by hand after its references and what public issue threads quote.

use dialects::conversation::agent::{Agent, AgentOpener, Incoming, Order, Said};
use dialects::conversation::setup::{Setup, Tool, Transcription};
use dialects::live::Frame;
use domain::provider::ProviderKind;
use serde_json::{Value, json};

use crate::agent_setup;
use crate::golden::row;

mod orders;
mod property;
mod settings;
mod stories;

pub(super) fn opener() -> &'static dyn AgentOpener {
    row(ProviderKind::Deepgram).agent.unwrap()
}

pub(super) fn setup() -> Setup {
    agent_setup::of("voice-agent")
}

pub(super) fn with(change: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = setup();
    change(&mut setup);
    setup
}

pub(super) fn option(name: &str, value: &str) -> Setup {
    with(|setup| drop(setup.options.insert(name.to_owned(), value.to_owned())))
}

pub(super) fn weather() -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    Tool { name: "get_weather".to_owned(), description: "The weather of a city.".to_owned(), parameters }
}

pub(super) fn listens(languages: &[&str], keywords: &[&str]) -> Option<Transcription> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Some(Transcription { languages: texts(languages), keywords: texts(keywords), prompt: None })
}

/// One socket, and what passed on it.
pub(super) struct Played {
    pub(super) agent: Box<dyn Agent>,
    pub(super) now: u64,
    pub(super) lines: Vec<String>,
}

impl Played {
    pub(super) fn new(setup: &Setup) -> Self {
        opener().plan(setup).unwrap();
        let mut played = Self { agent: opener().agent(setup), now: 0, lines: Vec::new() };
        let mut out = Vec::new();
        played.agent.opened(0, &mut out);
        played.noted(Vec::new(), out);
        played
    }

    /// A socket that has taken its settings; nothing of that is noted.
    pub(super) fn ready(setup: &Setup) -> Self {
        let mut played = Self::new(setup);
        played.hears(json!({"type": "Welcome", "request_id": "r"}));
        played.hears(json!({"type": "SettingsApplied"}));
        assert!(played.lines.last().unwrap().contains("Ready"), "{:?}", played.lines);
        played.lines.clear();
        played
    }

    pub(super) fn noted(&mut self, said: Vec<Said>, out: Vec<Frame>) {
        for said in said {
            self.lines.push(match said {
                Said::Audio(bytes) => format!("     says Audio {} bytes", bytes.len()),
                said => format!("     says {said:?}"),
            });
        }
        for frame in out {
            self.lines.push(match frame {
                Frame::Text(text) => format!("     sends {}", serde_json::from_str::<Value>(&text).unwrap()),
                Frame::Binary(bytes) => {
                    assert!(!bytes.is_empty(), "an empty frame ends the stream");
                    format!("     sends {} bytes", bytes.len())
                }
                Frame::Ping => "     sends a ping".to_owned(),
            });
        }
    }

    pub(super) fn read(&mut self, frame: Incoming<'_>) {
        let (mut said, mut out) = (Vec::new(), Vec::new());
        self.agent.read(frame, self.now, &mut said, &mut out);
        self.noted(said, out);
    }

    pub(super) fn hears(&mut self, message: Value) {
        self.lines.push(format!("{:>4} {message}", self.now));
        self.read(Incoming::Text(&message.to_string()));
    }

    pub(super) fn hears_all(&mut self, messages: impl IntoIterator<Item = Value>) {
        messages.into_iter().for_each(|message| self.hears(message));
    }

    pub(super) fn sound(&mut self, bytes: usize) {
        self.lines.push(format!("{:>4} {bytes} bytes", self.now));
        self.read(Incoming::Binary(&vec![7; bytes]));
    }

    pub(super) fn order(&mut self, order: Order<'_>) {
        self.lines.push(format!("{:>4} {}", self.now, brief(&order)));
        let mut out = Vec::new();
        let taken = self.agent.order(order, self.now, &mut out);
        self.noted(Vec::new(), out);
        if let Err(refusal) = taken {
            self.lines.push(format!("     refuses {:?}: {}", refusal.param, refusal.message));
        }
    }

    pub(super) fn at(&mut self, now: u64) {
        self.now = now;
        if self.agent.next_tick().is_some_and(|due| due <= now) {
            let (mut said, mut out) = (Vec::new(), Vec::new());
            self.agent.tick(now, &mut said, &mut out);
            self.noted(said, out);
        }
    }

    pub(super) fn sends(&mut self, act: impl FnOnce(&mut dyn Agent, &mut Vec<Frame>)) -> Vec<Frame> {
        let mut out = Vec::new();
        act(self.agent.as_mut(), &mut out);
        out
    }

    pub(super) fn story(&self) -> String {
        self.lines.join("\n")
    }
}

pub(super) fn brief(order: &Order<'_>) -> String {
    match order {
        Order::Configure(_) => "Configure".to_owned(),
        order => format!("{order:?}").chars().take(120).collect(),
    }
}

pub(super) fn text(role: &str, content: &str) -> Value {
    json!({"type": "ConversationText", "role": role, "content": content})
}

pub(super) fn is(kind: &str) -> Value {
    json!({"type": kind})
}

pub(super) fn calls(ids: &[&str]) -> Value {
    let functions: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "name": "get_weather", "arguments": "{\"city\":\"Oslo\"}", "client_side": true}))
        .collect();
    json!({"type": "FunctionCallRequest", "functions": functions})
}

pub(super) fn output<'a>(call_id: &'a str, output: &'a str) -> Order<'a> {
    Order::ToolOutput { call_id, name: "get_weather", output }
}
