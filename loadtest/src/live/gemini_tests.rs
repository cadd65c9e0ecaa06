//! Gemini's scripted conversation and the translator that speaks to it, in a time that stands still: what is
//! sent breaks no rule, and what is said is understood.

use std::time::Duration;

use dialects::conversation::agent::{Agent, Incoming, Order, Said};
use dialects::conversation::setup::{Medium, Message, Role, Setup, Tool, ToolChoice, Transcription};
use dialects::live::Frame;
use dialects::live::settings::Turns;
use domain::audio::{PCM_24K, RealtimeFormat};
use domain::provider::ProviderKind;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::gemini::open;
use super::gemini_setup::Sessions;
use super::hearing::word_audio;
use super::mind::COMMANDS;
use super::{Say, Vendor};

fn setup() -> Setup {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    Setup {
        model: "gemini-3.8-live".to_owned(),
        options: Default::default(),
        instructions: "Please greet.".to_owned(),
        voice: Some("kore".to_owned()),
        speed: 1.0,
        temperature: Some(0.7),
        max_output_tokens: Some(500),
        output: Medium::Audio,
        tools: vec![Tool { name: "get_weather".to_owned(), description: "Tells.".to_owned(), parameters }],
        tool_choice: ToolChoice::Auto,
        input_format: RealtimeFormat::Pcm16(PCM_24K),
        output_format: RealtimeFormat::Pcm16(PCM_24K),
        turns: Some(Turns::Silence { threshold: 0.6, prefix_padding_ms: 200, silence_duration_ms: 400 }),
        create_response: true,
        interrupt_response: true,
        transcription: Some(Transcription { languages: vec!["en".to_owned()], ..Transcription::default() }),
        history: Vec::new(),
    }
}

/// Both ends of a socket.
struct Talk {
    agent: Box<dyn Agent>,
    vendor: Box<dyn Vendor>,
    sessions: Sessions,
    began: Instant,
    heard: Vec<String>,
    audio: usize,
    closed: Option<(u16, String)>,
}

impl Talk {
    fn with(setup: &Setup) -> Self {
        let opener = dialects::registry::provider(ProviderKind::Google).unwrap().agent.unwrap();
        let sessions = Sessions::default();
        let vendor = open(&sessions).unwrap();
        let (began, agent) = (Instant::now(), opener.agent(setup));
        let mut talk = Self { agent, vendor, sessions, began, heard: Vec::new(), audio: 0, closed: None };
        talk.act(|agent, now, _, out| agent.opened(now, out));
        talk
    }

    fn act(&mut self, act: impl FnOnce(&mut dyn Agent, u64, &mut Vec<Said>, &mut Vec<Frame>)) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        let (mut said, mut out) = (Vec::new(), Vec::new());
        act(self.agent.as_mut(), now, &mut said, &mut out);
        self.hear(said);
        for frame in out {
            let Frame::Text(text) = frame else { continue };
            let answers = self.vendor.text(&text);
            self.arrive(answers);
        }
    }

    fn arrive(&mut self, said: Vec<Say>) {
        for say in said {
            match say {
                Say::Bytes(message) => {
                    let bytes = message.to_string().into_bytes();
                    self.act(|agent, now, said, out| agent.read(Incoming::Binary(&bytes), now, said, out));
                }
                Say::Violation(what) => panic!("{what}"),
                Say::Close(code, reason) => self.closed = Some((code, reason.to_owned())),
                Say::Break => self.closed = Some((1006, String::new())),
                _ => {}
            }
        }
    }

    fn hear(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Audio(audio) => self.audio += audio.len() / 48,
                Said::Usage(used) => {
                    let line = format!("used {}+{}", used.text_tokens_in, used.audio_tokens_in);
                    self.heard.push(format!("{line}, {}", used.audio_tokens_out));
                }
                Said::Text(text) => match self.heard.last_mut() {
                    Some(last) if last.starts_with('"') => last.push_str(&text),
                    _ => self.heard.push(format!("\"{text}")),
                },
                other => self.heard.push(format!("{other:?}")),
            }
        }
    }

    /// Time passes for both.
    async fn wait(&mut self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        while self.closed.is_none() {
            let theirs = self.vendor.due();
            let ours = self.agent.next_tick().map(|at| self.began + Duration::from_millis(at));
            let Some(due) = [theirs, ours].into_iter().flatten().min().filter(|due| *due <= until) else { break };
            sleep_until(due).await;
            if ours.is_some_and(|at| at <= Instant::now()) {
                self.act(|agent, now, said, out| agent.tick(now, said, out));
            }
            if theirs.is_some_and(|at| at <= Instant::now()) {
                let said = self.vendor.tick();
                self.arrive(said);
            }
        }
        sleep_until(until).await;
    }

    /// The user says a word, and is silent.
    async fn says(&mut self, word: u32) {
        let quiet = vec![0; 48 * 500];
        for piece in [word_audio(word, 300, 24_000), quiet].concat().chunks(48 * 20) {
            self.act(|agent, _, _, out| agent.audio(piece, out));
            self.wait(20).await;
        }
    }

    fn order(&mut self, order: Order<'_>) {
        self.act(|agent, now, _, out| agent.order(order, now, out).unwrap());
    }

    fn respond(&mut self) {
        self.order(Order::Respond { instructions: None });
    }

    /// What was told since the last time.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }
}

const READY: &str = "Ready { input: None, output: None }";

#[tokio::test(start_paused = true)]
async fn it_greets_when_asked_and_answers_what_is_said() {
    let mut talk = Talk::with(&setup());
    talk.respond();
    talk.wait(2_000).await;
    assert_eq!(talk.told(), [READY, "ResponseStarted", "\"Welcome.", "used 48+0, 13", "ResponseEnded"]);
    assert_eq!(talk.audio, 500);
    talk.says(7).await;
    talk.wait(3_000).await;
    let story =
        ["SpeechStopped", "ResponseStarted", "Heard(\"w7\")", "\"You said w7.", "used 48+33, 15", "ResponseEnded"];
    assert_eq!(talk.told(), story);
    talk.says(8).await;
    talk.wait(3_000).await;
    let story =
        ["Heard(\"w8\")", "SpeechStopped", "ResponseStarted", "\"You said w8.", "used 48+68, 15", "ResponseEnded"];
    assert_eq!(talk.told(), story, "the context grows, and the words come before or after");
}

#[tokio::test(start_paused = true)]
async fn a_story_is_broken_off() {
    let mut talk = Talk::with(&setup());
    talk.says(COMMANDS + 2).await;
    talk.wait(3_000).await;
    talk.told();
    talk.says(9).await;
    talk.wait(3_000).await;
    let story = talk.told();
    let at = |line: &str| story.iter().position(|told| told.starts_with(line)).unwrap_or_else(|| panic!("{story:?}"));
    assert!(at("used") < at("Interrupted") && at("Interrupted") < at("SpeechStopped"), "{story:?}");
    assert!(at("SpeechStopped") < at("\"You said w9.") && story.last().unwrap() == "ResponseEnded", "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn functions_are_answered_in_any_order_or_withdrawn() {
    let mut talk = Talk::with(&setup());
    talk.says(COMMANDS + 1).await;
    let calls = talk.told().into_iter().filter(|told| told.starts_with("ToolCall")).collect::<Vec<_>>();
    assert_eq!(calls.len(), 3, "{calls:?}");
    for (call_id, output) in [("call-2", "rain"), ("call-1", "sun")] {
        talk.order(Order::ToolOutput { call_id, name: "get_weather", output });
    }
    talk.respond();
    talk.wait(3_000).await;
    let story = talk.told();
    assert!(story.contains(&"\"Rome: rain. Oslo: sun.".to_owned()), "{story:?}");
    talk.says(COMMANDS).await;
    talk.says(5).await;
    talk.order(Order::ToolOutput { call_id: "call-3", name: "get_weather", output: "late" });
    talk.wait(3_000).await;
    let story = talk.told();
    assert!(story.contains(&"ToolCallWithdrawn { call_id: \"call-3\" }".to_owned()), "{story:?}");
    assert!(story.contains(&"\"You said w5.".to_owned()), "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn texts_failures_and_answers_of_nothing() {
    let history = vec![
        Message { role: Role::User, text: "Before.".to_owned() },
        Message { role: Role::Assistant, text: "Yes.".to_owned() },
        Message { role: Role::User, text: "Again".to_owned() },
    ];
    let mut talk = Talk::with(&Setup { history, ..setup() });
    talk.respond();
    talk.wait(3_000).await;
    assert!(talk.told().contains(&"\"You said Again.".to_owned()));
    talk.order(Order::UserText("trouble"));
    talk.respond();
    assert!(talk.told().last().unwrap().starts_with("ResponseCut(Failed"));
    talk.order(Order::UserText("nothing"));
    talk.respond();
    assert_eq!(talk.told().last().unwrap(), "ResponseEnded");
    talk.order(Order::UserText("story"));
    talk.respond();
    talk.wait(1_000).await;
    talk.order(Order::Cancel);
    talk.order(Order::UserText("short"));
    talk.order(Order::Respond { instructions: Some("In rhymes.") });
    talk.wait(3_000).await;
    let story = talk.told();
    assert!(!story.contains(&"Interrupted".to_owned()), "{story:?}");
    assert!(story.contains(&"\"You said short.".to_owned()), "{story:?}");
    talk.order(Order::UserText("vanish"));
    talk.respond();
    assert_eq!(talk.closed, Some((1006, String::new())));
}

#[tokio::test(start_paused = true)]
async fn turns_of_the_client_are_answered_when_it_asks() {
    let mut talk = Talk::with(&Setup { turns: None, ..setup() });
    for word in [3, 4] {
        talk.says(word).await;
        talk.order(Order::EndTurn);
    }
    assert_eq!(talk.told(), [READY]);
    talk.respond();
    talk.wait(3_000).await;
    let story =
        ["Heard(\"w3\")", "Heard(\" w4\")", "ResponseStarted", "\"You said w3 w4.", "used 47+40, 19", "ResponseEnded"];
    assert_eq!(talk.told(), story);
    // While the next is only being played, the one after it is not held up.
    talk.order(Order::UserText("story"));
    talk.respond();
    talk.wait(9_900).await;
    talk.told();
    talk.says(5).await;
    talk.order(Order::EndTurn);
    talk.respond();
    talk.wait(100).await;
    let story = talk.told();
    assert!(story.contains(&"ResponseStarted".to_owned()) && !story.contains(&"Interrupted".to_owned()), "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn it_leaves_and_is_gone_on_with() {
    let setup = Setup { instructions: "You will goaway.".to_owned(), ..setup() };
    let mut talk = Talk::with(&setup);
    talk.says(1).await;
    talk.wait(3_000).await;
    let story = talk.told();
    assert!(story.iter().any(|told| told.starts_with("Leaving")), "{story:?}");
    assert!(talk.agent.resumed(&setup).is_some());
    talk.vendor = open(&talk.sessions).unwrap();
    talk.act(|agent, now, _, out| agent.opened(now, out));
    talk.says(2).await;
    talk.wait(20_000).await;
    let story = talk.told();
    assert!(story.contains(&READY.to_owned()) && story.contains(&"\"You said w2.".to_owned()), "{story:?}");
    assert!(story.contains(&"used 48+55, 15".to_owned()), "it remembers: {story:?}");
    assert_eq!(talk.closed, None, "it leaves once");
}

#[test]
fn what_breaks_the_rules_is_told_apart() {
    let first = |message: Value| {
        let mut vendor = open(&Sessions::default()).unwrap();
        let mut said = vendor.text(&message.to_string());
        format!("{:?}", said.pop().unwrap())
    };
    let set_up = |change: (&str, Value)| {
        let mut setup = json!({
            "model": "models/gemini-3.8-live", "generationConfig": {"responseModalities": ["AUDIO"]},
            "realtimeInputConfig": {"automaticActivityDetection": {}},
        });
        setup[change.0] = change.1;
        first(json!({"setup": setup}))
    };
    assert!(set_up(("outputAudioTranscription", json!({}))).contains("resumable"));
    for change in [
        ("color", json!("red")),
        ("sessionResumption", json!({"handle": "handle-1-1"})),
        ("generationConfig", json!({"responseModalities": ["TEXT"]})),
        ("tools", json!([{"functionDeclarations": [{"name": "f", "behavior": "LATER"}]}])),
    ] {
        assert!(set_up(change.clone()).contains("1007"), "{change:?}");
    }
    assert!(set_up(("model", json!("models/gemini-9-live"))).contains("1008"));
    assert!(first(json!({"realtimeInput": {"text": "before the setup"}})).contains("1007"));
    let mut vendor = open(&Sessions::default()).unwrap();
    let setup = json!({"setup": {
        "model": "models/gemini-3.8-live", "generationConfig": {"responseModalities": ["AUDIO"]},
        "realtimeInputConfig": {"automaticActivityDetection": {}},
    }});
    drop(vendor.text(&setup.to_string()));
    for message in [
        setup,
        json!({"realtimeInput": {"activityStart": {}}}),
        json!({"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm"}}}),
        json!({"toolResponse": {"functionResponses": [{"id": "call-9", "name": "get_weather", "response": {}}]}}),
        json!({"clientContent": {"turns": [{"role": "system", "parts": [{"text": "t"}]}]}}),
        json!({"clientContent": {}, "realtimeInput": {"text": "two at once"}}),
    ] {
        let said = vendor.text(&message.to_string());
        assert!(format!("{:?}", said.last()).contains("1007"), "{message}");
    }
}
