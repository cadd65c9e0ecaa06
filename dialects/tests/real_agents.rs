//! The vendors' agents in conversations where anything happens in any order: the client says what it likes, the
//! vendor all that it can say. A strict client reads every event, and whatever was open ends by itself.
//!
//! `ANTIPHON_CONVERSATIONS` sets how many there are, of some forty-five steps each; 400 by default.

use std::collections::BTreeMap;

use dialects::contract::UpstreamModel;
use dialects::conversation::agent::Incoming;
use dialects::conversation::session::Target;
use dialects::conversation::setup::Setup;
use dialects::translation::Translation;
use domain::provider::ProviderKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::agent_setup;
use crate::conversation_property::event;
use crate::golden::{fixture, row};
use crate::talk::Talk;

/// The agents, a model of each, and with how many of the frames of its fixture a conversation begins.
const AGENTS: [(ProviderKind, &str, usize); 4] = [
    (ProviderKind::Deepgram, "voice-agent", 2),
    (ProviderKind::Elevenlabs, "agent_abc", 1),
    (ProviderKind::Google, "gemini-3.8-live", 1),
    (ProviderKind::Ultravox, "ultravox-v0.7", 1),
];
/// More than any fixture has; a frame beyond its end is none.
const MOST_FRAMES: usize = 16;
/// Every bound of a session's patience is shorter.
const LONG_MS: u64 = 900_000;

#[derive(Debug, Clone)]
enum Step {
    Client(Value),
    Append(u64),
    Vendor(usize),
    Garbage(String),
    Binary(usize),
    Wait(u64),
    Close(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => event().prop_map(Step::Client),
        14 => (0..MOST_FRAMES).prop_map(Step::Vendor),
        1 => ".{0,40}".prop_map(Step::Garbage),
        3 => (1..2_000_usize).prop_map(Step::Binary),
        4 => (1..900_u64).prop_map(Step::Append),
        5 => (1..2_500_u64).prop_map(Step::Wait),
        1 => prop_oneof![Just(1000), Just(1006)].prop_map(Step::Close),
    ]
}

/// All that a vendor says, a line each.
fn frames(kind: ProviderKind) -> Vec<String> {
    let text = fixture(&format!("conversation/vendors/{kind}.jsonl"));
    String::from_utf8(text).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn begin(kind: ProviderKind, model: &str, frames: &[String]) -> Talk {
    let model = UpstreamModel {
        wire_name: model.to_owned(),
        model: model.to_owned(),
        provider: "p".to_owned(),
        options: BTreeMap::new(),
    };
    let mut talk = Talk::new(row(kind).agent.unwrap(), Target { model, voices: BTreeMap::new() });
    talk.invitation = br#"{"callId":"c","joinUrl":"wss://voice.example.com/x"}"#.to_vec();
    let weather = json!({"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}});
    let session = json!({"type": "realtime", "tools": [weather],
        "audio": {"input": {"transcription": {"model": "x"}}}});
    talk.client(0, &json!({"type": "session.update", "session": session}));
    for frame in frames {
        talk.vendor(0, Incoming::Text(frame));
    }
    talk
}

fn conversations() -> ProptestConfig {
    let told = std::env::var("ANTIPHON_CONVERSATIONS").ok().and_then(|count| count.parse().ok());
    ProptestConfig::with_cases(told.unwrap_or(400))
}

proptest! {
    #![proptest_config(conversations())]
    #[test]
    fn whatever_an_agent_says_the_client_hears_a_conversation(
        (kind, model, first) in prop::sample::select(AGENTS.as_slice()),
        steps in prop::collection::vec(step(), 1..90),
    ) {
        let frames = frames(kind);
        let mut talk = begin(kind, model, &frames[..first]);
        let mut now = 0;
        for step in steps {
            if talk.ended {
                break;
            }
            match step {
                Step::Client(event) => talk.client(now, &event),
                Step::Append(ms) => talk.append(now, ms),
                Step::Vendor(at) => {
                    if let Some(frame) = frames.get(at) {
                        talk.vendor(now, Incoming::Text(frame));
                    }
                }
                Step::Garbage(text) => talk.vendor(now, Incoming::Text(&text)),
                Step::Binary(bytes) => talk.vendor(now, Incoming::Binary(&vec![0; bytes])),
                Step::Wait(ms) => {
                    now += ms;
                    talk.pass_time(now);
                }
                Step::Close(code) => talk.close(now, code, ""),
            }
        }
        if !talk.ended {
            talk.pass_time(now + LONG_MS);
            prop_assert!(talk.ended || !talk.strict.responding(), "a response that never ends: {}", talk.story());
        }
        talk.act(now + LONG_MS, |session, _, effects| session.finish(effects));
    }
}

/// A generator that gives the same numbers every time (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// Frames as they are, cut short, with letters changed, and spliced from two: `ANTIPHON_FRAMES` of them for each
/// agent, 20,000 by default.
#[test]
fn no_frame_panics_an_agent() {
    let told = std::env::var("ANTIPHON_FRAMES").ok().and_then(|count| count.parse().ok());
    let count: u64 = told.unwrap_or(20_000);
    for (kind, model, first) in AGENTS {
        let frames = frames(kind);
        let opener = row(kind).agent.unwrap();
        let mut dice = Dice(kind as u64);
        let (mut said, mut out) = (Vec::new(), Vec::new());
        let setup = Setup { instructions: "Be brief.".to_owned(), turns: None, ..agent_setup::of(model) };
        let mut agent = opener.agent(&setup);
        for now in 0..count {
            // A new conversation from time to time, since some end.
            if now % 5_000 == 0 {
                agent = opener.agent(&setup);
                agent.opened(now, &mut out);
                frames[..first].iter().for_each(|frame| agent.read(Incoming::Text(frame), now, &mut said, &mut out));
            }
            let mut bytes = frames[dice.below(frames.len())].clone().into_bytes();
            match dice.below(4) {
                0 => {}
                1 => bytes.truncate(dice.below(bytes.len())),
                2 => {
                    for _ in 0..=dice.below(4) {
                        let at = dice.below(bytes.len());
                        bytes[at] = b' ' + dice.below(95) as u8;
                    }
                }
                _ => {
                    let other = frames[dice.below(frames.len())].as_bytes();
                    bytes.truncate(dice.below(bytes.len()));
                    bytes.extend_from_slice(&other[dice.below(other.len())..]);
                }
            }
            match std::str::from_utf8(&bytes) {
                Ok(text) if dice.below(8) > 0 => agent.read(Incoming::Text(text), now, &mut said, &mut out),
                _ => agent.read(Incoming::Binary(&bytes), now, &mut said, &mut out),
            }
            if agent.next_tick().is_some_and(|at| at <= now) {
                agent.tick(now, &mut said, &mut out);
            }
            said.clear();
            out.clear();
        }
    }
}
