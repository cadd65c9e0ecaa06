//! Conversations with Ultravox's agents: the request that makes a call, what each frame of it means, and what
//! is sent for each order.
//!
//! The frames are written by hand after Ultravox's references and what public plugins expect of it.

mod asked;
mod random;
mod stories;

use std::fmt::Write as _;

use dialects::conversation::agent::{Agent, AgentOpener, Incoming, Order, Said, Way};
use dialects::conversation::setup::{Message, Role, Setup, Tool};
use dialects::live::Frame;
use domain::provider::ProviderKind;
use serde_json::{Value, json};

use crate::agent_setup;
use crate::golden::row;

pub(super) fn opener() -> &'static dyn AgentOpener {
    row(ProviderKind::Ultravox).agent.unwrap()
}

pub(super) fn setup() -> Setup {
    agent_setup::of("ultravox-v0.7")
}

pub(super) fn tool(name: &str, parameters: Value) -> Tool {
    Tool { name: name.to_owned(), description: "Does it.".to_owned(), parameters }
}

pub(super) fn said_before(role: Role, text: &str) -> Message {
    Message { role, text: text.to_owned() }
}

/// Where a call is made and with which body.
pub(super) fn made(setup: &Setup) -> (String, Value) {
    let plan = opener().plan(setup).unwrap();
    let Way::Asked { endpoint, body } = plan.way else { panic!("a call is made first") };
    assert!(endpoint.origin.is_none());
    (endpoint.path, serde_json::from_slice(&body.unwrap()).unwrap())
}

/// A call as it goes: what is done to it, what it says and what it sends.
pub(super) struct Story {
    agent: Box<dyn Agent>,
    now: u64,
    text: String,
}

impl Story {
    pub(super) fn new() -> Self {
        Self::with(&setup())
    }

    pub(super) fn with(setup: &Setup) -> Self {
        Self { agent: opener().agent(setup), now: 1_000, text: String::new() }
    }

    /// A call that has begun.
    pub(super) fn begun() -> Self {
        let mut story = Self::new();
        story.open();
        story.hears(json!({"type": "call_started", "callId": "c"}));
        story.state("listening");
        story
    }

    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        writeln!(self.text, "{} {}", self.now, line.as_ref()).unwrap();
    }

    pub(super) fn done(&mut self, said: Vec<Said>, out: Vec<Frame>) {
        for said in said {
            match said {
                Said::Audio(bytes) => self.line(format!("  says Audio of {} bytes", bytes.len())),
                said => self.line(format!("  says {said:?}")),
            }
        }
        for frame in out {
            match frame {
                Frame::Text(text) => self.line(format!("  sends {text}")),
                Frame::Binary(bytes) => self.line(format!("  sends {} bytes", bytes.len())),
                Frame::Ping => self.line("  sends a ping"),
            }
        }
    }

    pub(super) fn open(&mut self) {
        self.line("opened");
        let mut out = Vec::new();
        self.agent.opened(self.now, &mut out);
        self.done(Vec::new(), out);
    }

    pub(super) fn hears(&mut self, message: Value) {
        self.line(format!("<- {message}"));
        let (mut said, mut out) = (Vec::new(), Vec::new());
        self.agent.read(Incoming::Text(&message.to_string()), self.now, &mut said, &mut out);
        self.done(said, out);
    }

    pub(super) fn state(&mut self, state: &str) {
        self.hears(json!({"type": "state", "state": state}));
    }

    pub(super) fn agent(&mut self, ordinal: u64, medium: &str, delta: &str) {
        self.hears(json!({"type": "transcript", "role": "agent", "medium": medium, "delta": delta, "final": false,
            "ordinal": ordinal}));
    }

    pub(super) fn agent_said(&mut self, ordinal: u64, medium: &str, text: &str) {
        self.hears(json!({"type": "transcript", "role": "agent", "medium": medium, "text": text, "final": true,
            "ordinal": ordinal}));
    }

    pub(super) fn user_said(&mut self, ordinal: u64, medium: &str, text: &str) {
        self.hears(json!({"type": "transcript", "role": "user", "medium": medium, "text": text, "final": true,
            "ordinal": ordinal}));
    }

    pub(super) fn sound(&mut self, bytes: usize) {
        self.line(format!("<- {bytes} bytes"));
        let (mut said, mut out) = (Vec::new(), Vec::new());
        self.agent.read(Incoming::Binary(&vec![1; bytes]), self.now, &mut said, &mut out);
        self.done(said, out);
    }

    pub(super) fn calls(&mut self, id: &str, parameters: Value) {
        self.hears(json!({"type": "client_tool_invocation", "toolName": "get_weather", "invocationId": id,
            "parameters": parameters}));
    }

    pub(super) fn order(&mut self, order: Order<'_>) {
        let shown = match &order {
            Order::Configure(_) => "Configure".to_owned(),
            order => format!("{order:?}"),
        };
        self.line(format!("-> {shown}"));
        let mut out = Vec::new();
        let carried_out = self.agent.order(order, self.now, &mut out);
        self.done(Vec::new(), out);
        if let Err(refusal) = carried_out {
            self.line(format!("  refuses {}: {}", refusal.param.unwrap(), refusal.message));
        }
    }

    /// Time passes, and every tick is given when it is due.
    pub(super) fn after(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(due) = self.agent.next_tick().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.line("tick");
            let (mut said, mut out) = (Vec::new(), Vec::new());
            self.agent.tick(self.now, &mut said, &mut out);
            assert!(!said.is_empty() || self.agent.next_tick() > Some(self.now), "a tick that is due does something");
            self.done(said, out);
        }
        self.now = until;
    }

    pub(super) fn shows(&self, name: &str) {
        insta::assert_snapshot!(name, self.text);
    }
}

pub(super) const RESPOND: Order<'static> = Order::Respond { instructions: None };
