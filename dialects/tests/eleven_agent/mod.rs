//! Conversations with `ElevenLabs`' agents: what is sent, what is understood, and what holds whatever comes.
//!
//! The vendor's frames are written by hand after its `AsyncAPI` document and what public issue threads quote.

use std::fmt::Write as _;

use dialects::contract::{Endpoint, UpstreamModel};
use dialects::conversation::agent::{Agent, AgentOpener, Incoming, Order, Plan, Said, Way};
use dialects::conversation::setup::{Medium, Message, Role, Setup, Tool, Transcription};
use dialects::live::Frame;
use domain::audio::{RealtimeFormat, SampleRate};
use domain::provider::ProviderKind;
use serde_json::{Value, json};

use crate::agent_setup;
use crate::golden::row;

mod any;

fn opener() -> &'static dyn AgentOpener {
    row(ProviderKind::Elevenlabs).agent.unwrap()
}

fn setup() -> Setup {
    Setup { turns: None, ..agent_setup::of("agent_1") }
}

fn with(mut setup: Setup, options: &[(&str, &str)]) -> Setup {
    setup.options.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    setup
}

fn tool(name: &str) -> Tool {
    Tool { name: name.to_owned(), description: String::new(), parameters: json!({}) }
}

/// A conversation whose two sides are written down.
struct Stage {
    agent: Box<dyn Agent>,
    now: u64,
    log: String,
    said: Vec<Said>,
    sent: Vec<Value>,
}

impl Stage {
    fn new(setup: &Setup) -> Self {
        let mut stage = Self { agent: opener().agent(setup), now: 0, log: String::new(), said: vec![], sent: vec![] };
        let mut out = Vec::new();
        stage.agent.opened(0, &mut out);
        stage.note("open".to_owned(), vec![], out);
        stage
    }

    /// ... and the agent is ready.
    fn ready(setup: &Setup) -> Self {
        let mut stage = Self::new(setup);
        stage.metadata("pcm_16000", "pcm_16000");
        stage
    }

    fn metadata(&mut self, input: &str, output: &str) {
        self.vendor(json!({"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": {
            "conversation_id": "c", "agent_output_audio_format": output, "user_input_audio_format": input}}));
    }

    fn note(&mut self, what: String, said: Vec<Said>, out: Vec<Frame>) {
        writeln!(self.log, "{:>6} {what}", self.now).unwrap();
        for frame in out {
            let Frame::Text(text) = frame else { panic!("{frame:?}") };
            writeln!(self.log, "           -> {text}").unwrap();
            self.sent.push(serde_json::from_str(&text).unwrap());
        }
        for said in &said {
            match said {
                Said::Audio(bytes) => writeln!(self.log, "           Audio({} bytes)", bytes.len()).unwrap(),
                said => writeln!(self.log, "           {said:?}").unwrap(),
            }
        }
        self.said.extend(said);
    }

    fn vendor(&mut self, frame: Value) {
        let (mut said, mut out) = (vec![], vec![]);
        let text = frame.to_string();
        self.agent.read(Incoming::Text(&text), self.now, &mut said, &mut out);
        let start: String = text.chars().take(120).collect();
        let shown = if text.len() > 300 { format!("{start} ...") } else { text };
        self.note(format!("<- {shown}"), said, out);
    }

    fn order(&mut self, order: Order<'_>) {
        let mut out = vec![];
        let shown = format!("{order:?}");
        let outcome = self.agent.order(order, self.now, &mut out);
        let shown = if shown.starts_with("Configure") { "Configure".to_owned() } else { shown };
        let refused = outcome
            .map_or_else(|refusal| format!(" refused: {:?} {}", refusal.param, refusal.message), |()| String::new());
        self.note(format!("{shown}{refused}"), vec![], out);
    }

    /// Time passes, with what is due in it.
    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(due) = self.agent.next_tick().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            let (mut said, mut out) = (vec![], vec![]);
            self.agent.tick(self.now, &mut said, &mut out);
            assert!(self.agent.next_tick().is_none_or(|next| next > self.now), "the clock stands");
            self.note("tick".to_owned(), said, out);
        }
        self.now = until;
    }

    fn score(&mut self, score: f64) {
        self.vendor(json!({"type": "vad_score", "vad_score_event": {"vad_score": score}}));
    }

    fn tentative(&mut self, text: &str, id: u64) {
        self.vendor(json!({"type": "tentative_user_transcript",
            "tentative_user_transcription_event": {"user_transcript": text, "event_id": id}}));
    }

    fn transcript(&mut self, text: &str, id: u64) {
        self.vendor(json!({"type": "user_transcript",
            "user_transcription_event": {"user_transcript": text, "event_id": id}}));
    }

    fn response(&mut self, text: &str, id: u64) {
        self.vendor(
            json!({"type": "agent_response", "agent_response_event": {"agent_response": text, "event_id": id}}),
        );
    }

    fn part(&mut self, kind: &str, text: &str, id: u64) {
        self.vendor(json!({"type": "agent_chat_response_part",
            "text_response_part": {"type": kind, "text": text, "event_id": id}}));
    }

    /// So many milliseconds of speech at 16 kHz.
    fn speech(&mut self, ms: usize, id: u64) {
        use base64::Engine;
        let audio = base64::engine::general_purpose::STANDARD.encode(vec![1; ms * 32]);
        self.vendor(
            json!({"type": "audio", "audio_event": {"audio_base_64": audio, "event_id": id, "alignment": null}}),
        );
    }

    fn complete(&mut self) {
        self.vendor(json!({"type": "agent_response_complete"}));
    }

    fn call(&mut self, id: &str, name: &str, parameters: Value) {
        self.vendor(json!({"type": "client_tool_call", "client_tool_call": {
            "tool_name": name, "tool_call_id": id, "parameters": parameters, "event_id": 3}}));
    }
}

#[test]
fn a_greeting_and_turns() {
    let setup = Setup {
        instructions: "Be brief.".to_owned(),
        voice: Some("21m00Tcm4TlvDq8ikWAM".to_owned()),
        speed: 1.1,
        transcription: Some(Transcription {
            languages: vec!["de-AT".to_owned()],
            keywords: vec!["Antiphon".to_owned()],
            prompt: None,
        }),
        ..with(setup(), &[("first_message", "Welcome."), ("llm", "gemini-2.5-flash")])
    };
    let mut stage = Stage::new(&setup);
    stage.metadata("pcm_24000", "ulaw_8000");
    stage.vendor(json!({"type": "ping", "ping_event": {"event_id": 1, "ping_ms": null}}));
    stage.response("Welcome.", 1);
    stage.speech(50, 1);
    stage.wait(2_000);
    // A turn whose end is told.
    let mut out = vec![];
    stage.agent.audio(&[0; 6], &mut out);
    stage.note("audio".to_owned(), vec![], out);
    stage.score(0.2);
    stage.score(0.8);
    stage.tentative("I want", 2);
    stage.tentative("I want a tick", 2);
    stage.tentative("I want a ticket to", 2);
    stage.score(0.1);
    stage.wait(700);
    stage.transcript("I want a ticket.", 2);
    stage.tentative("I want a ticket.", 2);
    stage.speech(100, 3);
    stage.response("Where to?", 3);
    stage.speech(100, 3);
    stage.complete();
    stage.wait(1_000);
    // One that only its audio ends, after which a copy of its text comes.
    stage.score(0.9);
    stage.transcript("Rome.", 4);
    stage.speech(400, 5);
    stage.response("Rome it is.", 5);
    stage.wait(8_000);
    stage.response("Rome it is.", 5);
    insta::assert_snapshot!(stage.log);
}

#[test]
fn a_user_breaks_in_and_what_comes_late_is_dropped() {
    let mut stage = Stage::ready(&setup());
    stage.speech(1_000, 7);
    stage.response("Part 1. Part 2. Part 3.", 7);
    stage.wait(300);
    stage.score(0.9);
    stage.vendor(json!({"type": "interruption", "interruption_event": {"event_id": 7, "reason": "user"}}));
    stage.speech(100, 7);
    stage.response("Part 1. Part 2. Part 3.", 7);
    stage.vendor(json!({"type": "agent_response_correction", "agent_response_correction_event": {
        "original_agent_response": "Part 1. Part 2. Part 3.", "corrected_agent_response": "Part 1.", "event_id": 7}}));
    stage.transcript("Stop.", 8);
    stage.response("All right.", 9);
    stage.speech(100, 9);
    stage.wait(3_000);
    // Nothing is played: nothing to interrupt.
    stage.vendor(json!({"type": "interruption", "interruption_event": {"event_id": 9}}));
    insta::assert_snapshot!(stage.log);
}

#[test]
fn tools_are_called_one_by_one_and_together() {
    let setup = Setup { tools: vec![tool("get_weather")], ..setup() };
    let mut stage = Stage::ready(&setup);
    stage.transcript("How is the weather?", 1);
    stage.response("Let me see.", 2);
    stage.speech(40, 2);
    stage.call("a", "get_weather", json!({"city": "Oslo"}));
    stage.wait(40);
    stage.call("b", "get_weather", json!({"city": "Rome"}));
    stage.call("b", "get_weather", json!({"city": "Rome"}));
    stage.wait(500);
    stage.order(Order::ToolOutput { call_id: "b", name: "get_weather", output: "{\"sky\":\"blue\"}" });
    stage.order(Order::ToolOutput { call_id: "b", name: "get_weather", output: "again" });
    stage.order(Order::ToolOutput { call_id: "a", name: "get_weather", output: "snow" });
    // The agent answers that by itself.
    stage.order(Order::Respond { instructions: None });
    stage.response("Snow in Oslo.", 4);
    stage.speech(40, 4);
    stage.wait(1_000);
    // What the client does not have is answered for it, and what the agent gave up is withdrawn.
    stage.call("c", "open_door", json!({}));
    stage.call("d", "get_weather", json!(null));
    stage.vendor(json!({"type": "agent_tool_response", "agent_tool_response": {
        "tool_name": "get_weather", "tool_call_id": "d", "tool_type": "client", "is_error": true}}));
    stage.wait(500);
    stage.order(Order::ToolOutput { call_id: "d", name: "get_weather", output: "late" });
    insta::assert_snapshot!(stage.log);
}

#[test]
fn a_conversation_in_text() {
    let message = |role, text: &str| Message { role, text: text.to_owned() };
    let setup = Setup {
        output: Medium::Text,
        history: vec![
            message(Role::System, "The user is Ann."),
            message(Role::User, "Hi."),
            message(Role::Assistant, "Hello."),
            message(Role::User, "How are you?"),
        ],
        ..setup()
    };
    let mut stage = Stage::ready(&setup);
    stage.order(Order::Respond { instructions: None });
    stage.transcript("How are you?", 1);
    stage.part("start", "", 2);
    stage.part("delta", "Fine, ", 2);
    stage.part("delta", "thanks.", 2);
    stage.part("stop", "", 2);
    stage.response("Fine, thanks.", 2);
    stage.wait(1_000);
    stage.order(Order::SystemText("It is late."));
    stage.order(Order::UserText("Tell me"));
    stage.order(Order::UserText("a story."));
    stage.order(Order::Respond { instructions: Some("Rhyme.") });
    stage.part("delta", "Once", 3);
    stage.complete();
    stage.order(Order::AssistantText("The end."));
    stage.order(Order::Respond { instructions: Some("Say goodbye.") });
    stage.response("Goodbye.", 4);
    stage.complete();
    stage.order(Order::Respond { instructions: None });
    let mut out = vec![];
    stage.agent.audio(&[0; 6], &mut out);
    stage.note("audio".to_owned(), vec![], out);
    stage.wait(45_000);
    insta::assert_snapshot!(stage.log);
}

#[test]
fn a_configuration_changes_and_what_cannot_is_refused_by_name() {
    let mut stage = Stage::ready(&setup());
    let told = Setup { instructions: "Speak like a pirate.".to_owned(), tools: vec![tool("sail")], ..setup() };
    stage.order(Order::Configure(&told));
    stage.wait(0);
    stage.order(Order::Configure(&Setup { voice: Some("other".to_owned()), ..told.clone() }));
    stage.order(Order::Configure(&Setup { speed: 1.2, ..told.clone() }));
    stage.order(Order::Configure(&Setup { output: Medium::Text, ..told }));
    stage.call("a", "sail", json!({}));
    // Nobody asked for an answer to this before speaking.
    stage.order(Order::UserText("Look at this."));
    stage.score(0.9);
    // A noise is an utterance without a transcript, and dots are none.
    stage.score(0.1);
    stage.wait(4_000);
    stage.transcript("...", 9);
    stage.transcript("...", 9);
    insta::assert_snapshot!(stage.log);
}

#[test]
fn nothing_is_overridden_that_the_target_leaves_to_the_agent() {
    let setup = Setup {
        instructions: "Be brief.".to_owned(),
        voice: Some("v".to_owned()),
        speed: 1.2,
        output: Medium::Text,
        ..with(setup(), &[("overrides", "none"), ("first_message", "Hi."), ("llm", "x")])
    };
    let mut stage = Stage::ready(&setup);
    let overrides = &stage.sent[0]["conversation_config_override"];
    assert_eq!(overrides.as_object().unwrap().keys().collect::<Vec<_>>(), ["conversation"]);
    assert_eq!(overrides["conversation"].as_object().unwrap().keys().collect::<Vec<_>>(), ["client_events"]);
    assert_eq!(stage.sent[1]["type"], "contextual_update", "the instructions get there all the same");
    assert!(stage.sent[1]["text"].as_str().unwrap().contains("Be brief."));
    stage.speech(100, 1);
    stage.response("Hi.", 1);
    assert!(!stage.said.iter().any(|said| matches!(said, Said::Audio(_))), "the session is in text: {:?}", stage.said);
    let some = with(Setup { voice: Some("v".to_owned()), ..self::setup() }, &[("overrides", "voice, prompt")]);
    let stage = Stage::new(&some);
    assert_eq!(stage.sent[0]["conversation_config_override"]["tts"], json!({"voice_id": "v"}));
    assert_eq!(stage.sent[0]["conversation_config_override"]["agent"], Value::Null);
}

#[test]
fn the_way_to_an_agent() {
    let plan = |setup: &Setup| opener().plan(setup);
    let way = |setup: &Setup| plan(setup).unwrap().way;
    let audio = RealtimeFormat::Pcm16(SampleRate(16_000));
    let at = |path: &str| Endpoint::at(path);
    let direct = Plan { way: Way::Socket(at("/v1/convai/conversation?agent_id=agent_1")), input: audio, output: audio };
    assert_eq!(plan(&setup()), Ok(direct));
    let named = with(Setup { model: "support".to_owned(), ..setup() }, &[("agent_id", "a&b"), ("access", "signed")]);
    let asked = at("/v1/convai/conversation/get-signed-url?agent_id=a%26b");
    assert_eq!(way(&named), Way::Asked { endpoint: asked, body: None });
    for (wrong, param) in [
        (Setup { model: "scribe_v2_realtime".to_owned(), ..setup() }, "model"),
        (Setup { speed: 0.5, ..setup() }, "session.audio.output.speed"),
        (with(setup(), &[("overrides", "voice,promt")]), "model"),
        (with(setup(), &[("access", "Signed")]), "model"),
    ] {
        assert_eq!(plan(&wrong).unwrap_err().param, Some(param));
    }
    let mut agent = opener().agent(&named);
    let signed = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&conversation_signature=cvtkn_s";
    assert_eq!(agent.invited(json!({"signed_url": signed}).to_string().as_bytes()), Ok(signed.to_owned()));
    for body in [&b"no"[..], b"{}", br#"{"signed_url":"https://x"}"#, br#"{"signed_url":7}"#] {
        assert!(!agent.invited(body).unwrap_err().message.is_empty());
    }
}

#[test]
fn some_models_are_behind_the_endpoint_of_openai_s_language_and_agents_have_one_price() {
    let realtime = row(ProviderKind::Elevenlabs).realtime.unwrap();
    let model = |name: &str, options: &[(&str, &str)]| UpstreamModel {
        wire_name: name.to_owned(),
        model: name.to_owned(),
        provider: "e".to_owned(),
        options: with(setup(), options).options,
    };
    for (model, speaks, family) in [
        (model("eleven_realtime_v1_max", &[]), true, None),
        (model("newest", &[("realtime", "openai")]), true, None),
        (model("agent_1", &[]), false, Some("agents")),
        (model("support", &[("agent_id", "agent_1")]), false, Some("agents")),
    ] {
        assert_eq!((realtime.speaks(&model), opener().priced_as(&model)), (speaks, family), "{}", model.wire_name);
    }
}

#[test]
fn faults_say_what_to_do() {
    let fault = |kind: &str, message: &str| {
        let mut stage = Stage::ready(&setup());
        stage.vendor(json!({"type": "error", "error_event": {"code": 1002, "error_type": kind, "message": message}}));
        stage.said.pop().unwrap()
    };
    let mut log = String::new();
    for (kind, message) in [
        ("override_error", "Override for field 'prompt' is not allowed by config."),
        ("missing_dynamic_variable", "Missing required dynamic variables: {'name'}"),
        ("llm_timeout", "LLM response took too long"),
        ("transport_receive_timeout", ""),
        ("unknown", "This request exceeds your quota limit."),
        ("value_error", "Invalid API key sk_1234567890abcdef1234567890abcdef"),
        ("max_duration_exceeded", "Max duration"),
        ("", ""),
    ] {
        writeln!(log, "{kind}: {:?}", fault(kind, message)).unwrap();
    }
    let agent = opener().agent(&setup());
    for (code, reason) in [
        (1000, "agent hung up"),
        (1002, "LLM cascade timeout"),
        (1008, "Override for field 'voice_id' is not allowed by config."),
        (1008, "Invalid message received"),
        (1008, ""),
        (1011, "Internal error"),
        (1006, ""),
    ] {
        writeln!(log, "{code} {reason}: {:?}", agent.closed(code, reason)).unwrap();
    }
    insta::assert_snapshot!(log);
    let mut stage = Stage::new(&setup());
    stage.metadata("opus_48000", "pcm_16000");
    assert!(matches!(stage.said[..], [Said::Failed(_)]), "audio that nobody understands is not sent");
}

#[test]
fn a_response_that_stalls_ends_and_another_text_begins_another() {
    let mut stage = Stage::ready(&setup());
    stage.response("One.", 1);
    stage.response("Two.", 2);
    stage.speech(100, 2);
    // The agent goes on without a word of the user's.
    stage.speech(100, 3);
    stage.response("Three.", 3);
    stage.response("Two.", 2);
    stage.wait(20_000);
    stage.response("Four.", 4);
    stage.wait(20_000);
    let mut told = stage.said;
    told.retain(|said| !matches!(said, Said::Audio(_) | Said::Ready { .. }));
    let text = |text: &str| [Said::ResponseStarted, Said::TextAll(text.to_owned()), Said::ResponseEnded];
    assert_eq!(told, [text("One."), text("Two."), text("Three."), text("Four.")].concat());
}

#[test]
fn calls_that_are_interrupted_may_be_answered() {
    let mut stage = Stage::ready(&Setup { tools: vec![tool("a")], ..setup() });
    stage.call("1", "a", json!({}));
    stage.vendor(json!({"type": "interruption", "interruption_event": {"event_id": 3}}));
    assert_eq!(stage.said[stage.said.len() - 2..], [Said::ToolCallsEnded, Said::Interrupted]);
}
