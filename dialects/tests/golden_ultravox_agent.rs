//! Conversations with Ultravox's agents: the request that makes a call, what each frame of it means, and what
//! is sent for each order.
//!
//! The frames are written by hand after Ultravox's references and what public plugins expect of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dialects::conversation::agent::{Agent, AgentOpener, Billing, Incoming, Order, Said, Way};
use dialects::conversation::setup::{Medium, Message, Role, Setup, Tool, ToolChoice, Transcription};
use dialects::live::Frame;
use dialects::live::settings::Turns;
use domain::audio::{PCM_24K, RealtimeFormat};
use domain::provider::ProviderKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::row;

fn opener() -> &'static dyn AgentOpener {
    row(ProviderKind::Ultravox).agent.unwrap()
}

fn setup() -> Setup {
    Setup {
        model: "ultravox-v0.7".to_owned(),
        options: BTreeMap::new(),
        instructions: String::new(),
        voice: None,
        speed: 1.0,
        temperature: None,
        max_output_tokens: None,
        output: Medium::Audio,
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        input_format: RealtimeFormat::Pcm16(PCM_24K),
        output_format: RealtimeFormat::Pcm16(PCM_24K),
        turns: Some(Turns::Silence { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 }),
        create_response: true,
        interrupt_response: true,
        transcription: None,
        history: Vec::new(),
    }
}

fn tool(name: &str, parameters: Value) -> Tool {
    Tool { name: name.to_owned(), description: "Does it.".to_owned(), parameters }
}

fn said_before(role: Role, text: &str) -> Message {
    Message { role, text: text.to_owned() }
}

/// Where a call is made and with which body.
fn made(setup: &Setup) -> (String, Value) {
    let plan = opener().plan(setup).unwrap();
    let Way::Asked { endpoint, body } = plan.way else { panic!("a call is made first") };
    assert!(endpoint.origin.is_none());
    (endpoint.path, serde_json::from_slice(&body.unwrap()).unwrap())
}

fn refused(setup: &Setup) -> String {
    let refusal = opener().plan(setup).unwrap_err();
    format!("{}: {}", refusal.param.unwrap(), refusal.message)
}

fn with_tool(parameters: Value) -> Setup {
    Setup { tools: vec![tool("f", parameters)], ..setup() }
}

/// The parameters of the only function of a call.
fn parameters(schema: Value) -> Value {
    made(&with_tool(schema)).1["selectedTools"][0]["temporaryTool"]["dynamicParameters"].take()
}

#[test]
fn a_rich_configuration_is_the_body_of_the_request() {
    let rich = Setup {
        instructions: "Be brief.".to_owned(),
        options: BTreeMap::from([("voice".to_owned(), "Jessica".to_owned())]),
        voice: Some("Mark".to_owned()),
        temperature: Some(1.2),
        output: Medium::Text,
        tools: vec![
            tool(
                "get_weather",
                json!({
                    "type": "object", "additionalProperties": false, "required": ["city", "unit"],
                    "properties": {
                        "city": {"type": "string", "description": "Where."},
                        "unit": {"anyOf": [{"$ref": "#/$defs/Unit"}, {"type": "null"}], "description": "How."},
                        "days": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "$defs": {"Unit": {"enum": ["C", "F"]}},
                }),
            ),
            Tool { description: String::new(), ..tool("hang-up_2", Value::Null) },
        ],
        input_format: RealtimeFormat::Pcmu,
        turns: Some(Turns::Silence { threshold: 0.75, prefix_padding_ms: 0, silence_duration_ms: 700 }),
        transcription: Some(Transcription { languages: vec!["de-AT".to_owned()], ..Transcription::default() }),
        history: vec![
            said_before(Role::System, "The user is called Ada."),
            said_before(Role::User, "Hello."),
            said_before(Role::Assistant, "Hello Ada."),
            said_before(Role::User, "This is answered when it is asked for."),
        ],
        ..setup()
    };
    let (path, body) = made(&rich);
    insta::assert_snapshot!("ultravox_rich_call", format!("POST {path}\n{body:#}"));
    let plan = opener().plan(&rich).unwrap();
    assert_eq!(plan.input, RealtimeFormat::Pcm16(domain::audio::SampleRate(8_000)), "telephone audio stays as it is");
    assert_eq!(plan.output, RealtimeFormat::Pcm16(PCM_24K));
}

#[test]
fn a_target_may_name_a_voice_and_an_agent_of_the_account() {
    let options = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let body = made(&Setup { options: options(&[("voice", "Jessica")]), ..setup() }).1;
    assert_eq!(body["voice"], "Jessica");
    let template = Setup {
        options: options(&[("agent_id", "a/b?c")]),
        instructions: "Be brief.".to_owned(),
        ..with_tool(Value::Null)
    };
    let (path, body) = made(&template);
    insta::assert_snapshot!("ultravox_agents_call", format!("POST {path}\n{body:#}"));
    let mut story = Story::with(&template);
    story.open();
    story.shows("ultravox_agents_instructions");
}

#[test]
fn turns_end_after_silence_in_whole_frames_of_the_vendors() {
    let delay = |turns| made(&Setup { turns, ..setup() }).1["vadSettings"].take();
    let silence = |silence_duration_ms, threshold| {
        delay(Some(Turns::Silence { threshold, prefix_padding_ms: 300, silence_duration_ms }))
    };
    assert_eq!(silence(500, 0.5), json!({"turnEndpointDelay": "0.512s"}));
    assert_eq!(silence(0, 0.2), json!({"turnEndpointDelay": "0.032s"}));
    assert_eq!(silence(10_000, 1.0), json!({"turnEndpointDelay": "10.016s", "frameActivationThreshold": 1.0}));
    assert_eq!(delay(Some(Turns::Meaning("high"))), json!({"turnEndpointDelay": "0.256s"}));
    assert_eq!(delay(Some(Turns::Meaning("auto"))), json!({"turnEndpointDelay": "0.384s"}));
    let manual = opener().agent(&setup()).habits();
    assert_eq!(delay(None), json!({"turnEndpointDelay": "0.768s"}));
    assert!(manual.turn_end_silence_ms > Some(768) && manual.continuous, "the silence is heard as an end");
}

#[test]
fn schemas_become_parameters_with_a_type_each() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let schema = |given: Value| parameters(object(json!({"p": given})))[0]["schema"].take();
    assert_eq!(parameters(Value::Null), json!([]));
    assert_eq!(parameters(json!({})), json!([]));
    assert_eq!(schema(json!({"enum": [1, 2]})), json!({"enum": [1, 2], "type": "number"}));
    assert_eq!(schema(json!({"const": "x"})), json!({"const": "x", "type": "string"}));
    assert_eq!(schema(json!({"items": {}})), json!({"items": {}, "type": "array"}));
    assert_eq!(
        schema(json!({"anyOf": [{"type": "string"}, {"enum": ["x"]}]})),
        json!({"anyOf": [{"type": "string"}, {"enum": ["x"], "type": "string"}], "type": "string"})
    );
    let shared = json!({
        "allOf": [{"$ref": "#/definitions/Base"}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}],
        "definitions": {"Base": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}},
            "A": {"type": "array", "items": {"$ref": "#/definitions/Item"}}, "Item": {"type": "integer"}},
    });
    insta::assert_snapshot!("ultravox_shared_schema", format!("{:#}", parameters(shared)));
}

#[test]
fn what_a_call_cannot_be_made_with_is_refused_by_name() {
    let object = |schema: Value| with_tool(json!({"type": "object", "properties": {"p": schema}}));
    let listens = |transcription| Setup { transcription: Some(transcription), ..setup() };
    let endless = json!({"type": "object", "properties": {"p": {"$ref": "#/$defs/T"}},
        "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}}});
    let agent = BTreeMap::from([("agent_id".to_owned(), "a".to_owned())]);
    let cases = [
        Setup { tools: vec![tool("no spaces", Value::Null)], ..setup() },
        Setup { tools: vec![tool(&"x".repeat(65), Value::Null)], ..setup() },
        object(json!({})),
        object(json!(true)),
        object(json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
        object(json!({"type": ["string", "integer"]})),
        object(json!({"$ref": "https://example.com/schema"})),
        with_tool(json!({"type": "array"})),
        with_tool(json!({"anyOf": [{"type": "object"}, {"type": "object"}]})),
        with_tool(json!("object")),
        with_tool(endless),
        Setup { tool_choice: ToolChoice::Required, ..with_tool(Value::Null) },
        Setup { tool_choice: ToolChoice::Function("f".to_owned()), ..with_tool(Value::Null) },
        listens(Transcription { keywords: vec!["Antiphon".to_owned()], ..Transcription::default() }),
        listens(Transcription { prompt: Some("About ships.".to_owned()), ..Transcription::default() }),
        listens(Transcription { languages: vec!["x".repeat(17)], ..Transcription::default() }),
        Setup { options: agent, temperature: Some(0.5), ..setup() },
    ];
    let lines: Vec<String> = cases.iter().map(refused).collect();
    insta::assert_snapshot!("ultravox_refused_calls", lines.join("\n"));
    let without = Setup { tool_choice: ToolChoice::None, ..with_tool(Value::Null) };
    assert_eq!(made(&without).1.get("selectedTools"), None, "an agent without functions calls none");
}

#[test]
fn the_address_of_a_call_keeps_its_query_and_leads_to_a_socket() {
    let invited = |body: Value| opener().agent(&setup()).invited(body.to_string().as_bytes());
    let joined = |url: &str| invited(json!({"callId": "c", "joinUrl": url})).unwrap();
    assert_eq!(joined("wss://h/calls/c"), "wss://h/calls/c?apiVersion=1&clientVersion=antiphon");
    assert_eq!(joined("ws://h/c?token=a%20b&x"), "ws://h/c?token=a%20b&x&apiVersion=1&clientVersion=antiphon");
    assert_eq!(joined("wss://h/c?"), "wss://h/c?apiVersion=1&clientVersion=antiphon");
    for url in
        ["https://h/c", "wss://h/c#f", "wss://h/c d", "wss://h/\r\nx", "", &format!("wss://{}", "h".repeat(9_000))]
    {
        let fault = invited(json!({"joinUrl": url})).unwrap_err();
        assert!(url.is_empty() || !fault.message.contains(url), "the address is a secret");
    }
    assert!(invited(json!({"joinUrl": null})).is_err() && invited(json!([])).is_err());
    assert!(opener().agent(&setup()).invited(b"\xff").is_err());
}

#[test]
fn calls_are_billed_by_the_tenth_of_a_minute() {
    assert_eq!(opener().billing(), Billing::Connected { step_ms: 6_000 });
}

/// A call as it goes: what is done to it, what it says and what it sends.
struct Story {
    agent: Box<dyn Agent>,
    now: u64,
    text: String,
}

impl Story {
    fn new() -> Self {
        Self::with(&setup())
    }

    fn with(setup: &Setup) -> Self {
        Self { agent: opener().agent(setup), now: 1_000, text: String::new() }
    }

    /// A call that has begun.
    fn begun() -> Self {
        let mut story = Self::new();
        story.open();
        story.hears(json!({"type": "call_started", "callId": "c"}));
        story.state("listening");
        story
    }

    fn line(&mut self, line: impl AsRef<str>) {
        writeln!(self.text, "{} {}", self.now, line.as_ref()).unwrap();
    }

    fn done(&mut self, said: Vec<Said>, out: Vec<Frame>) {
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

    fn open(&mut self) {
        self.line("opened");
        let mut out = Vec::new();
        self.agent.opened(self.now, &mut out);
        self.done(Vec::new(), out);
    }

    fn hears(&mut self, message: Value) {
        self.line(format!("<- {message}"));
        let (mut said, mut out) = (Vec::new(), Vec::new());
        self.agent.read(Incoming::Text(&message.to_string()), self.now, &mut said, &mut out);
        self.done(said, out);
    }

    fn state(&mut self, state: &str) {
        self.hears(json!({"type": "state", "state": state}));
    }

    fn agent(&mut self, ordinal: u64, medium: &str, delta: &str) {
        self.hears(json!({"type": "transcript", "role": "agent", "medium": medium, "delta": delta, "final": false,
            "ordinal": ordinal}));
    }

    fn agent_said(&mut self, ordinal: u64, medium: &str, text: &str) {
        self.hears(json!({"type": "transcript", "role": "agent", "medium": medium, "text": text, "final": true,
            "ordinal": ordinal}));
    }

    fn user_said(&mut self, ordinal: u64, medium: &str, text: &str) {
        self.hears(json!({"type": "transcript", "role": "user", "medium": medium, "text": text, "final": true,
            "ordinal": ordinal}));
    }

    fn sound(&mut self, bytes: usize) {
        self.line(format!("<- {bytes} bytes"));
        let (mut said, mut out) = (Vec::new(), Vec::new());
        self.agent.read(Incoming::Binary(&vec![1; bytes]), self.now, &mut said, &mut out);
        self.done(said, out);
    }

    fn calls(&mut self, id: &str, parameters: Value) {
        self.hears(json!({"type": "client_tool_invocation", "toolName": "get_weather", "invocationId": id,
            "parameters": parameters}));
    }

    fn order(&mut self, order: Order<'_>) {
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
    fn after(&mut self, ms: u64) {
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

    fn shows(&self, name: &str) {
        insta::assert_snapshot!(name, self.text);
    }
}

const RESPOND: Order<'static> = Order::Respond { instructions: None };

#[test]
fn a_greeting_is_spoken_when_it_is_asked_for() {
    let mut story = Story::begun();
    story.order(RESPOND);
    story.user_said(0, "text", "<instruction>…</instruction>");
    story.state("thinking");
    story.state("speaking");
    story.agent(1, "voice", "Wel");
    story.agent(1, "voice", "come.");
    story.sound(4_800);
    story.after(500);
    story.sound(4_801);
    story.agent_said(1, "voice", "Welcome.");
    story.after(300);
    story.state("listening");
    story.after(5_000);
    story.shows("ultravox_greeting");
}

#[test]
fn turns_are_answered_and_what_the_user_said_may_come_late() {
    let mut story = Story::begun();
    story.hears(json!({"type": "user_started_speaking"}));
    story.after(700);
    story.hears(json!({"type": "user_stopped_speaking"}));
    story.state("thinking");
    story.state("speaking");
    story.agent(1, "voice", "Hello");
    story.user_said(0, "voice", "Hi there.");
    story.sound(960);
    story.state("listening");
    story.after(100);
    // The sound was over before the transcript was.
    story.agent_said(1, "voice", "Hello you.");
    story.after(100);
    story.sound(10);
    // Without a word about speech, the agent's thinking tells that the turn is over; the text is complete
    // before the sound begins.
    story.hears(json!({"type": "user_started_speaking"}));
    story.state("thinking");
    story.agent_said(3, "voice", "Short.");
    story.after(900);
    story.state("speaking");
    story.sound(960);
    story.after(900);
    story.sound(960);
    story.after(2_000);
    // Nothing but a text: it is over when no sound has come.
    story.agent_said(5, "voice", "Silent.");
    story.after(2_000);
    // A response that the agent leaves without its last word.
    story.state("speaking");
    story.agent(7, "voice", "Well");
    story.state("idle");
    story.after(2_000);
    // One utterance right after another.
    story.agent(9, "voice", "One.");
    story.agent(11, "voice", "Two.");
    story.after(5_000);
    story.shows("ultravox_turns");
}

#[test]
fn the_user_breaks_in() {
    let mut story = Story::begun();
    story.state("speaking");
    story.agent(1, "voice", "One two three four.");
    story.sound(960);
    story.hears(json!({"type": "user_started_speaking"}));
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.sound(960);
    story.agent(1, "voice", " Five.");
    story.agent_said(1, "voice", "One two");
    story.state("listening");
    story.hears(json!({"type": "user_stopped_speaking"}));
    story.state("thinking");
    story.user_said(2, "voice", "Stop.");
    story.state("speaking");
    story.agent(3, "voice", "Yes?");
    story.sound(960);
    // The vendor says nothing of the user, and tells first what was really said.
    story.hears(json!({"type": "transcript", "role": "agent", "text": "Ye", "final": true, "ordinal": 3}));
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.state("thinking");
    // It is interrupted before its utterance had a number.
    story.state("speaking");
    story.sound(960);
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.agent(5, "voice", "Late words.");
    story.agent_said(5, "voice", "Late words.");
    story.agent(7, "voice", "Fresh words.");
    story.shows("ultravox_barge_in");
}

#[test]
fn functions_are_called_and_their_outputs_answered_at_once() {
    let mut story = Story::begun();
    story.state("thinking");
    story.calls("i1", json!({"city": "Oslo"}));
    story.after(200);
    story.order(Order::ToolOutput { call_id: "i1", name: "get_weather", output: r#"{"rain":true}"# });
    // The agent goes on by itself.
    story.order(RESPOND);
    story.state("speaking");
    story.agent_said(1, "voice", "It rains.");
    story.sound(960);
    story.state("listening");
    // What the agent says before it calls is part of the same response.
    story.state("speaking");
    story.agent(3, "voice", "Let me see.");
    story.calls("i2", json!({}));
    story.after(100);
    story.sound(960);
    story.after(150);
    story.sound(960);
    story.state("thinking");
    story.after(1_000);
    story.agent_said(3, "voice", "Let me see.");
    story.order(Order::ToolOutput { call_id: "i2", name: "get_weather", output: "sun" });
    story.order(Order::Respond { instructions: Some("Whisper.") });
    story.calls("", json!({}));
    story.shows("ultravox_functions");
}

#[test]
fn functions_that_are_called_at_once_are_one_round() {
    let mut story = Story::begun();
    story.state("thinking");
    story.calls("i1", json!({"city": "Oslo"}));
    story.after(20);
    story.calls("i2", json!("{\"city\":\"Rome\"}"));
    story.after(1_000);
    // A round that the user breaks into is told, since the agent waits for its outputs.
    story.calls("i3", Value::Null);
    story.hears(json!({"type": "playback_clear_buffer"}));
    // One that is cancelled is not.
    story.calls("i4", json!({}));
    story.order(Order::Cancel);
    story.after(1_000);
    story.shows("ultravox_parallel_functions");
}

#[test]
fn text_is_written_and_read() {
    let mut story = Story::with(&Setup { output: Medium::Text, ..setup() });
    story.open();
    story.state("idle");
    story.order(Order::UserText("I have a question."));
    story.order(Order::UserText("What is it?"));
    story.order(Order::SystemText("Answer in French."));
    story.order(Order::AssistantText("Bonjour."));
    story.order(RESPOND);
    story.state("thinking");
    story.agent(1, "text", "C'est");
    story.agent_said(1, "text", "C'est ça.");
    story.state("listening");
    story.after(5_000);
    // What was written is context where the user speaks before an answer is asked for.
    story.order(Order::UserText("By the way."));
    story.hears(json!({"type": "user_started_speaking"}));
    story.hears(json!({"type": "user_stopped_speaking"}));
    story.order(Order::Respond { instructions: Some("Be loud.") });
    story.state("thinking");
    // The agent has nothing to say to it: then it is asked in earnest.
    story.state("listening");
    story.order(Order::Respond { instructions: Some("Be loud.") });
    story.order(Order::UserText("Well?"));
    story.order(Order::Respond { instructions: Some("Be soft.") });
    story.shows("ultravox_text");
}

#[test]
fn what_was_written_before_the_call_is_answered_when_it_is_asked_for() {
    let history = vec![said_before(Role::User, "Who are you?")];
    let setup = Setup { history, ..setup() };
    assert_eq!(made(&setup).1.get("initialMessages"), None, "it would be answered unasked, or never");
    let mut story = Story::with(&setup);
    story.order(RESPOND);
    story.shows("ultravox_first_words");
}

#[test]
fn a_response_is_cancelled() {
    let mut story = Story::begun();
    story.state("speaking");
    story.agent(1, "voice", "A long story.");
    story.sound(960);
    story.order(Order::Cancel);
    story.sound(960);
    story.agent(1, "voice", " It goes on.");
    // The agent still speaks: it is not waited for.
    story.order(Order::UserText("Something else."));
    story.order(RESPOND);
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.agent_said(1, "voice", "A long");
    story.state("thinking");
    story.state("speaking");
    story.agent(4, "voice", "Of course.");
    story.sound(960);
    story.agent_said(4, "voice", "Of course.");
    story.state("listening");
    // It is cancelled before it begins, and begins all the same.
    story.state("thinking");
    story.order(Order::Cancel);
    story.agent(6, "voice", "Unwanted.");
    story.state("speaking");
    story.sound(960);
    story.agent_said(6, "voice", "Unwanted.");
    story.state("listening");
    story.state("thinking");
    story.agent(8, "voice", "Wanted.");
    story.shows("ultravox_cancelled");
}

#[test]
fn a_configuration_changes_as_far_as_a_call_allows() {
    let mut story = Story::begun();
    let changed = Setup { output: Medium::Text, instructions: "Be brief.".to_owned(), ..setup() };
    story.order(Order::Configure(&changed));
    story.after(10);
    story.order(Order::Configure(&Setup { output: Medium::Audio, ..changed.clone() }));
    story.order(Order::Truncate { heard_ms: 300 });
    story.order(Order::EndTurn);
    for fixed in [
        Setup { tools: vec![tool("f", Value::Null)], ..changed.clone() },
        Setup { tool_choice: ToolChoice::Required, ..changed.clone() },
        Setup { voice: Some("Mark".to_owned()), ..changed.clone() },
        Setup { turns: None, ..changed.clone() },
        Setup { temperature: Some(0.1), ..changed.clone() },
    ] {
        story.order(Order::Configure(&fixed));
    }
    story.shows("ultravox_configured");
}

#[test]
fn a_close_tells_what_went_wrong() {
    let agent = opener().agent(&setup());
    let closes = [
        (1000, ""),
        (1001, "going away"),
        (1006, ""),
        (1008, "Call already joined"),
        (4598, "media timeout"),
        (4400, "bad"),
        (4401, "key uvx-secret"),
        (4402, "no minutes left"),
        (4404, "no such call"),
        (4429, "too many calls"),
        (4500, "model failed, sk-1234567890abcdefghijklmn"),
    ];
    let lines: Vec<String> =
        closes.iter().map(|(code, reason)| format!("{code}: {:?}", agent.closed(*code, reason))).collect();
    insta::assert_snapshot!("ultravox_closes", lines.join("\n"));
    let mut out = Vec::new();
    let mut agent = agent;
    agent.audio(&[1, 2], &mut out);
    agent.keep_alive(&mut out);
    agent.goodbye(&mut out);
    let sent = [json!({"type": "ping", "timestamp": 0}), json!({"type": "hang_up"})];
    let sent = sent.map(|message| Frame::Text(message.to_string()));
    assert_eq!(out, [[Frame::Binary(vec![1, 2])].as_slice(), &sent].concat());
}

#[derive(Debug, Clone)]
enum Step {
    Text(String),
    Binary(Vec<u8>),
    Order(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        "[a-z é]{0,8}".prop_map(Value::from),
        (0..6_u64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!(-1.5e300)),
        Just(json!({"a": ["b"]})),
    ];
    let of = |names: &'static [&'static str]| prop::sample::select(names).prop_map(Value::from);
    let kind = of(&[
        "call_started",
        "state",
        "transcript",
        "transcript",
        "transcript",
        "playback_clear_buffer",
        "client_tool_invocation",
        "user_started_speaking",
        "user_stopped_speaking",
        "pong",
        "call_event",
    ]);
    let message = (
        (prop_oneof![8 => kind, 1 => word.clone()], of(&["user", "agent"]), of(&["voice", "text"])),
        (of(&["idle", "listening", "thinking", "speaking", "dreaming"]), 0..5_u64, any::<bool>()),
        (word.clone(), word.clone(), word.clone(), word),
    );
    let message = message.prop_map(|((kind, role, medium), (state, ordinal, last), (text, delta, id, odd))| {
        let mut message = json!({"type": kind, "role": role, "medium": medium, "state": state, "ordinal": ordinal,
            "final": last, "text": text, "toolName": "f", "invocationId": id, "parameters": odd, "unheard_of": odd});
        if last {
            message["delta"] = delta;
        }
        Step::Text(message.to_string())
    });
    prop_oneof![
        10 => message,
        1 => any::<String>().prop_map(Step::Text),
        1 => crate::property::json().prop_map(|value| Step::Text(value.to_string())),
        3 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Step::Binary),
        2 => (0..8_u8).prop_map(Step::Order),
        3 => (0..3_000_u64).prop_map(Step::Wait),
    ]
}

fn order(which: u8) -> Order<'static> {
    match which {
        0 => Order::UserText("text"),
        1 => Order::SystemText("text"),
        2 => Order::ToolOutput { call_id: "i", name: "f", output: "" },
        3 => Order::EndTurn,
        4 => RESPOND,
        5 => Order::Respond { instructions: Some("x") },
        6 => Order::Truncate { heard_ms: 1 },
        _ => Order::Cancel,
    }
}

/// What must hold of everything that an agent says: a response that is told of ends once, and only then.
#[derive(Default)]
struct Told {
    open: bool,
    calls: usize,
    ready: usize,
}

impl Told {
    fn hear(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Ready { .. } => self.ready += 1,
                Said::Text(text) | Said::TextAll(text) => {
                    assert!(!text.is_empty());
                    self.open = true;
                }
                Said::Audio(bytes) => {
                    assert!(!bytes.is_empty());
                    self.open = true;
                }
                Said::ToolCall { arguments, .. } => {
                    assert!(serde_json::from_str::<Value>(&arguments).unwrap().is_object());
                    self.open = true;
                    self.calls += 1;
                }
                Said::ToolCallsEnded => {
                    assert!(std::mem::take(&mut self.calls) > 0, "a round has calls");
                    self.open = false;
                }
                Said::ResponseEnded | Said::Interrupted => {
                    assert!(std::mem::take(&mut self.open), "only a response that has begun ends");
                    assert_eq!(self.calls, 0, "calls end as a round");
                }
                _ => {}
            }
        }
        assert!(self.ready <= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn whatever_comes_responses_begin_and_end_and_nothing_waits_for_ever(steps in prop::collection::vec(step(), 1..60)) {
        let mut agent = opener().agent(&setup());
        let (mut told, mut now) = (Told::default(), 1_000);
        for step in steps.into_iter().chain([Step::Text(r#"{"type":"state","state":"idle"}"#.to_owned()), Step::Wait(20_000)]) {
            let (mut said, mut out) = (Vec::new(), Vec::new());
            match step {
                Step::Text(text) => agent.read(Incoming::Text(&text), now, &mut said, &mut out),
                Step::Binary(bytes) => agent.read(Incoming::Binary(&bytes), now, &mut said, &mut out),
                Step::Order(which) => {
                    // The session drops what is left of a response that it cancels.
                    told.open &= which < 7;
                    agent.order(order(which), now, &mut out).unwrap();
                }
                Step::Wait(ms) => {
                    let until = now + ms;
                    for _ in 0..100 {
                        let Some(due) = agent.next_tick().filter(|due| *due <= until) else { break };
                        now = now.max(due);
                        agent.tick(now, &mut said, &mut out);
                    }
                    now = until;
                    prop_assert!(agent.next_tick().is_none_or(|due| due > now), "a tick that is due is done with");
                }
            }
            told.hear(said);
        }
        prop_assert!(!told.open, "a response that the agent has left has ended");
    }
}
