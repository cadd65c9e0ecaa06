//! What voice agents can do of what OpenAI's clients ask, asked of the translators themselves:
//! `docs/realtime.md` is this table.
//!
//! `UPDATE_DOCS=1 cargo test -p dialects` writes the file anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dialects::contract::UpstreamModel;
use dialects::conversation::abilities::{Abilities, Ability, Support};
use dialects::conversation::agent::{AgentOpener, Incoming};
use dialects::conversation::session::Target;
use dialects::registry::PROVIDERS;
use domain::provider::ProviderKind;
use serde_json::{Value, json};

use crate::talk::Talk;

const HEAD: &str = "# Voice agents in OpenAI's words

A client of OpenAI's Realtime API (`GET /v1/realtime?model=`, present shapes, or the beta shapes with
`OpenAI-Beta: realtime=v1`) holds a conversation with the agents of vendors that have a language of their
own. OpenAI, Azure and servers that speak OpenAI's language get every event as it is.

This file is made from the code that translates (`dialects/tests/realtime_table.rs`): the first table says
what the session answers to every client event of OpenAI's specification once the agent is there, the second
what becomes of each thing that may be asked. The end-to-end tests hold the same conversations with every
provider (`tests/e2e/test_conversations.py`).

- **yes**: the vendor does it.
- **otherwise**: done in another way, told below.
- **no effect**: accepted, shown in `session.updated` as it is in force, and told below.
- **refused**: an `error` event (`unsupported_value`) names the field and says why, as told below; the session
  goes on, and nothing of the event is applied.

`usage` in `response.done` is what the vendor reports. Where it reports none, it is derived from the length of
audio and text and holds `\"antiphon\": {\"source\": \"estimated\"}`; what is billed then is the time of the
connection, and not these tokens.
";

/// Every client event of the specification, with one that makes sense in a conversation that has just begun.
/// Source: OpenAI's `OpenAPI` document 2.3.0, `RealtimeClientEvent`, read 2026-11-21.
fn client_events() -> Vec<Value> {
    let text = json!({"id": "item_of_the_client", "type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "Hello."}]});
    vec![
        json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}}),
        json!({"type": "input_audio_buffer.append", "audio": ""}),
        json!({"type": "input_audio_buffer.commit"}),
        json!({"type": "input_audio_buffer.clear"}),
        json!({"type": "conversation.item.create", "item": text}),
        json!({"type": "conversation.item.retrieve", "item_id": "item_of_the_client"}),
        json!({"type": "conversation.item.truncate", "item_id": "item_of_the_client", "content_index": 0,
            "audio_end_ms": 1}),
        json!({"type": "conversation.item.delete", "item_id": "item_of_the_client"}),
        json!({"type": "response.create"}),
        json!({"type": "response.cancel"}),
        json!({"type": "output_audio_buffer.clear"}),
    ]
}

/// A vendor's agents, a model of theirs, and what they say until the conversation begins.
struct Vendor {
    kind: ProviderKind,
    opener: &'static dyn AgentOpener,
    model: &'static str,
    begins: &'static [&'static str],
}

fn vendors() -> Vec<Vendor> {
    let with_agents = PROVIDERS.iter().filter_map(|row| Some((row.kind, row.agent?)));
    with_agents
        .map(|(kind, opener)| {
            let (model, begins): (_, &[&str]) = match kind {
                ProviderKind::Deepgram => {
                    ("voice-agent", &[r#"{"type":"Welcome","request_id":"r"}"#, r#"{"type":"SettingsApplied"}"#])
                }
                ProviderKind::Elevenlabs => (
                    "agent_1",
                    &[r#"{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":{"conversation_id":"c","agent_output_audio_format":"pcm_24000","user_input_audio_format":"pcm_24000"}}"#],
                ),
                ProviderKind::Google => ("gemini-3.8-live", &[r#"{"setupComplete":{"sessionId":"s"}}"#]),
                ProviderKind::Ultravox => ("ultravox-v0.7", &[r#"{"type":"call_started","callId":"c"}"#]),
                other => panic!("how do the agents of {other} begin?"),
            };
            Vendor { kind, opener, model, begins }
        })
        .collect()
}

impl Vendor {
    fn abilities(&self) -> &'static Abilities {
        self.opener.abilities()
    }

    /// A conversation that has just begun.
    fn talk(&self) -> Talk {
        let model = UpstreamModel {
            wire_name: self.model.to_owned(),
            model: self.model.to_owned(),
            provider: self.kind.to_string(),
            options: BTreeMap::new(),
        };
        let mut talk = Talk::new(self.opener, Target { model, voices: BTreeMap::new() });
        talk.invitation = br#"{"callId":"c","joinUrl":"wss://voice.example.com/c"}"#.to_vec();
        talk.client(0, &json!({"type": "session.update", "session": {"type": "realtime"}}));
        for frame in self.begins {
            talk.vendor(0, Incoming::Text(frame));
        }
        assert_eq!(talk.last("session.updated")["session"]["type"], "realtime");
        talk
    }

    /// What the session answers to an event, in the order of the table.
    fn answers(&self) -> Vec<String> {
        let mut talk = self.talk();
        let mut now = 0;
        client_events()
            .iter()
            .map(|event| {
                now += 10;
                let (told, sent) = (talk.events.len(), talk.lines.len());
                if event["type"] == "input_audio_buffer.append" {
                    talk.append(now, 200);
                    talk.pass_time(now + 2_000);
                    now += 2_000;
                } else {
                    talk.client(now, event);
                }
                let answer = talk.events[told..].first();
                match answer {
                    Some(answer) if answer["type"] == "error" => {
                        format!("`error`: `{}`", answer["error"]["code"].as_str().unwrap())
                    }
                    Some(answer) => format!("`{}`", answer["type"].as_str().unwrap()),
                    None if talk.lines[sent..].iter().any(|line| line.contains("vendor <-")) => "sent on".to_owned(),
                    None => panic!("{} is silent at {event}: {}", self.abilities().vendor, talk.story()),
                }
            })
            .collect()
    }
}

#[test]
fn the_table_of_voice_agents_is_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/realtime.md");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == table, "docs/realtime.md is old: UPDATE_DOCS=1 cargo test -p dialects");
}

#[test]
fn every_vendor_says_of_everything_how_it_is_done() {
    let vendors = vendors();
    assert_eq!(vendors.len(), 4);
    for vendor in vendors {
        let named: Vec<Ability> = vendor.abilities().table.iter().map(|(ability, _)| *ability).collect();
        for (ability, name) in ABILITIES {
            let count = named.iter().filter(|named| *named == ability).count();
            assert_eq!(count, 1, "{} says {count} times how {name} is done", vendor.abilities().vendor);
        }
        assert_eq!(named.len(), ABILITIES.len(), "{}", vendor.abilities().vendor);
    }
}

#[test]
fn what_is_refused_is_refused_by_name() {
    for vendor in vendors() {
        for (ability, event, field) in refusable() {
            let Support::Refused(why) = vendor.abilities().of(ability) else { continue };
            let mut talk = vendor.talk();
            talk.client(10, &event);
            let error = &talk.last("error")["error"];
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["param"], field, "{ability:?}: {error}");
            assert!(message.contains(why.trim_end_matches('.')), "{ability:?}: {error}");
            assert!(message.contains(vendor.abilities().vendor), "{ability:?}: {error}");
        }
    }
}

/// Events that ask for something, and the field that a refusal names.
fn refusable() -> Vec<(Ability, Value, &'static str)> {
    let input =
        |field: Value| json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": field}}});
    let session =
        |name: &str, value: Value| json!({"type": "session.update", "session": {"type": "realtime", name: value}});
    let item = |role: &str, content: Value| json!({"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": [content]}});
    vec![
        (
            Ability::IdleTimeout,
            input(json!({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000}})),
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            Ability::NoAutomaticResponse,
            input(json!({"turn_detection": {"type": "server_vad", "create_response": false}})),
            "session.audio.input.turn_detection.create_response",
        ),
        (
            Ability::NoInterruption,
            input(json!({"turn_detection": {"type": "server_vad", "interrupt_response": false}})),
            "session.audio.input.turn_detection.interrupt_response",
        ),
        (Ability::StoredPrompt, session("prompt", json!({"id": "pmpt_1"})), "session.prompt"),
        (Ability::MaxOutputTokens, session("max_output_tokens", json!(100)), "session.max_output_tokens"),
        (Ability::ToolChoice, session("tool_choice", json!("none")), "session.tool_choice"),
        (Ability::ChangeInstructions, session("instructions", json!("Anew.")), "session.instructions"),
        (Ability::SystemText, item("system", json!({"type": "input_text", "text": "x"})), "item.role"),
        (Ability::AssistantText, item("assistant", json!({"type": "output_text", "text": "x"})), "item.role"),
        (
            Ability::UserImage,
            item("user", json!({"type": "input_image", "image_url": "data:image/png;base64,"})),
            "item.content",
        ),
        (
            Ability::OutOfBand,
            json!({"type": "response.create", "response": {"conversation": "none"}}),
            "response.conversation",
        ),
        (
            Ability::ResponseInstructions,
            json!({"type": "response.create", "response": {"instructions": "Sing."}}),
            "response.instructions",
        ),
    ]
}

fn table() -> String {
    let vendors = vendors();
    let mut text = HEAD.to_owned();
    let names: Vec<&str> = vendors.iter().map(|vendor| vendor.abilities().vendor).collect();
    let head = |first: &str| {
        let columns = " --- |".repeat(names.len() + 1);
        format!("| {first} | {} |\n|{columns}\n", names.join(" | "))
    };
    write!(text, "\n## Client events\n\n{}", head("event")).unwrap();
    let answers: Vec<Vec<String>> = vendors.iter().map(Vendor::answers).collect();
    for (at, event) in client_events().iter().enumerate() {
        let cells: Vec<&str> = answers.iter().map(|answers| answers[at].as_str()).collect();
        writeln!(text, "| `{}` | {} |", event["type"].as_str().unwrap(), cells.join(" | ")).unwrap();
    }
    text.push_str(
        "\nThe commit, the truncation and the cancellation are of a turn that the vendor has found, of a message of \
         the user and of a\nresponse that has just been asked for. The events come one after another, so that \
         `response.create` answers the text.\n",
    );
    write!(text, "\n## What may be asked\n\n{}", head("what")).unwrap();
    for (ability, name) in ABILITIES {
        let cells: Vec<&str> = vendors.iter().map(|vendor| cell(vendor.abilities().of(*ability))).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    }
    for vendor in &vendors {
        writeln!(text, "\n## {}\n", vendor.abilities().vendor).unwrap();
        for (ability, name) in ABILITIES {
            let support = vendor.abilities().of(*ability);
            if let Support::Emulated(how) | Support::Ignored(how) | Support::Refused(how) = support {
                writeln!(text, "- {name}: {}: {how}", cell(support)).unwrap();
            }
        }
    }
    text
}

fn cell(support: Support) -> &'static str {
    match support {
        Support::Native => "yes",
        Support::Emulated(_) => "otherwise",
        Support::Ignored(_) => "no effect",
        Support::Refused(_) => "refused",
    }
}

const ABILITIES: &[(Ability, &str)] = &[
    (Ability::ManualTurns, "`turn_detection: null`"),
    (Ability::SemanticTurns, "`semantic_vad`"),
    (Ability::TurnTuning, "`threshold`, `prefix_padding_ms`, `silence_duration_ms`"),
    (Ability::IdleTimeout, "`idle_timeout_ms`"),
    (Ability::NoAutomaticResponse, "`create_response: false`"),
    (Ability::NoInterruption, "`interrupt_response: false`"),
    (Ability::InputTranscription, "`transcription` of the input"),
    (Ability::TextOutput, "`output_modalities: [\"text\"]`"),
    (Ability::Voice, "`voice`"),
    (Ability::Speed, "`speed`"),
    (Ability::Temperature, "`temperature` (beta shapes)"),
    (Ability::MaxOutputTokens, "`max_output_tokens`"),
    (Ability::Tools, "functions"),
    (Ability::McpTools, "tools over MCP"),
    (Ability::ToolChoice, "`tool_choice`"),
    (Ability::Reasoning, "`reasoning`"),
    (Ability::StoredPrompt, "`prompt`"),
    (Ability::Logprobs, "`include` of log probabilities"),
    (Ability::ChangeInstructions, "later `instructions`"),
    (Ability::ChangeTools, "later functions"),
    (Ability::ChangeVoice, "later `voice`, `speed`"),
    (Ability::ChangeTurns, "later `turn_detection`"),
    (Ability::ChangeOutput, "later `output_modalities`"),
    (Ability::ChangeTranscription, "later `transcription`"),
    (Ability::UserText, "text of the user"),
    (Ability::UserImage, "an image of the user"),
    (Ability::UserAudio, "audio of the user as an item"),
    (Ability::SystemText, "text of the system"),
    (Ability::AssistantText, "text of the assistant"),
    (Ability::ToolOutput, "the output of a function"),
    (Ability::InsertItem, "an item before others (`previous_item_id`)"),
    (Ability::DeleteItem, "`conversation.item.delete`"),
    (Ability::Truncate, "`conversation.item.truncate`"),
    (Ability::Respond, "`response.create` with nothing new said"),
    (Ability::ResponseInstructions, "`response.create` with `instructions`"),
    (Ability::ResponseSettings, "`response.create` with other settings"),
    (Ability::OutOfBand, "`response.create` out of band"),
    (Ability::Cancel, "`response.cancel`"),
];
