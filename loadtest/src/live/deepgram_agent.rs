//! Deepgram's voice agent, `/v1/agent/converse`: settings first and once, then audio and messages both
//! ways. What breaks its rules ends the connection, as with the vendor. What is said comes from
//! [`mind`](super::mind).
//!
//! It is as untidy as the vendor: latencies and thoughts are told between the rest, audio is still on its
//! way when the user breaks in, and the end of such an answer is never told.
//!
//! Source: Deepgram's `AsyncAPI` document, its pages on the agent and public issue threads, read 2026-11-21.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::deepgram_settings::{self as rules, Settings};
use super::hearing::{Encoding, Hearing, Word, to_alaw, to_ulaw};
use super::mind::{Deed, Mind, PIECE_MS, Voice};
use super::{Say, Vendor, joined};

/// Where it is.
pub(super) const PATH: &str = "/v1/agent/converse";
/// How far speech runs ahead of its playing.
const AHEAD: Duration = Duration::from_millis(300);
/// The agent gives up after so long without a message.
const PATIENCE: Duration = Duration::from_secs(12);

struct Agent {
    /// `None` before they came.
    settings: Option<Settings>,
    hearing: Hearing,
    words: Vec<Word>,
    speaking: bool,
    mind: Mind,
    voice: Voice,
    /// Sentences that are not told yet, with the moment of the speech at which each is.
    sentences: VecDeque<(u64, String)>,
    spoken_ms: u64,
    deeds: VecDeque<Deed>,
    turns: u32,
    last_message: Instant,
    gone: bool,
}

/// A connection that was just opened.
pub(super) fn open() -> Box<dyn Vendor> {
    Box::new(Agent {
        settings: None,
        hearing: Hearing::new(Encoding::Linear, 24_000),
        words: Vec::new(),
        speaking: false,
        mind: Mind::default(),
        voice: Voice::new(24_000, AHEAD),
        sentences: VecDeque::new(),
        spoken_ms: 0,
        deeds: VecDeque::new(),
        turns: 0,
        last_message: Instant::now(),
        gone: false,
    })
}

fn say(kind: &str) -> Say {
    Say::Text(json!({"type": kind}))
}

impl Agent {
    /// What the vendor does not forgive.
    fn fatal(&mut self, code: &'static str, description: &str) -> Vec<Say> {
        let mut said = vec![Say::Violation(format!("deepgram agent: {code}: {description}"))];
        said.extend(self.fails(code, description));
        said
    }

    fn fails(&mut self, code: &'static str, description: &str) -> Vec<Say> {
        self.gone = true;
        vec![Say::Text(json!({"type": "Error", "code": code, "description": description})), Say::Close(1011, "")]
    }

    fn understand(&mut self, text: &str) -> Result<Vec<Say>, (&'static str, String)> {
        let unparsable = |message: String| ("UNPARSABLE_CLIENT_MESSAGE", message);
        let message: Value = serde_json::from_str(text).map_err(|error| unparsable(error.to_string()))?;
        let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "Settings" {
            if self.settings.is_some() {
                return Err(("SETTINGS_ALREADY_APPLIED", "a second time".to_owned()));
            }
            let settings = Settings::read(&message).map_err(unparsable)?;
            return Ok(self.settle(settings));
        }
        let Some(settings) = &mut self.settings else {
            return Err(("NON_SETTINGS_MESSAGE_BEFORE_SETTINGS", kind.to_owned()));
        };
        match kind {
            "KeepAlive" => Ok(Vec::new()),
            "UpdatePrompt" => {
                settings.think.prompt.push_str(&field(&message, &["type", "prompt"], "prompt").map_err(unparsable)?);
                Ok(vec![say("PromptUpdated")])
            }
            "UpdateThink" => {
                settings.think = rules::think(rules::part(&message, "think")).map_err(unparsable)?;
                Ok(vec![say("ThinkUpdated")])
            }
            "UpdateSpeak" => {
                rules::speak(rules::part(&message, "speak")).map_err(unparsable)?;
                Ok(vec![say("SpeakUpdated")])
            }
            "UpdateListen" => {
                let listen = rules::listen(rules::part(&message, "listen")).map_err(unparsable)?;
                if listen.identity != settings.listen.identity || listen.identity.0 != "v2" {
                    return Err(("INVALID_SETTINGS", "the model to listen with cannot be changed".to_owned()));
                }
                settings.listen = listen;
                Ok(vec![say("ListenUpdated")])
            }
            "InjectUserMessage" => {
                let text = field(&message, &["type", "content"], "content").map_err(unparsable)?;
                Ok(self.injected(&text))
            }
            "InjectAgentMessage" => {
                let text = field(&message, &["type", "message", "behavior"], "message").map_err(unparsable)?;
                Ok(self.put_into_mouth(text, &message))
            }
            "FunctionCallResponse" => self.answered(&message),
            "ForceEndTurn" if settings.listen.identity.0 == "v2" => Ok(self.end_turn()),
            "ForceEndTurn" => {
                let code = "FORCE_END_TURN_UNSUPPORTED";
                Ok(vec![Say::Text(json!({"type": "Warning", "code": code, "description": "listen with Flux"}))])
            }
            other => Err(unparsable(format!("a message of the type {other:?}"))),
        }
    }

    fn settle(&mut self, settings: Settings) -> Vec<Say> {
        self.hearing = Hearing::new(settings.input.0, settings.input.1);
        self.voice = Voice::new(settings.output.1, AHEAD);
        let greeting = settings.greeting.clone();
        self.settings = Some(settings);
        let mut said = vec![say("SettingsApplied")];
        if let Some(text) = greeting {
            self.deeds.push_back(Deed::Say { text, ms: 500 });
            self.act(&mut said);
        }
        said
    }

    /// What the user is taken to have said. It is told like speech.
    fn injected(&mut self, text: &str) -> Vec<Say> {
        if text.is_empty() || self.speaking {
            let message = "The user is speaking, or there is nothing to say.";
            return vec![Say::Text(json!({"type": "InjectionRefused", "message": message}))];
        }
        self.silence();
        let mut said = Vec::new();
        self.turn(text, &mut said);
        said
    }

    fn put_into_mouth(&mut self, text: String, message: &Value) -> Vec<Say> {
        let busy = self.speaking || self.voice.speaking();
        match message.get("behavior").and_then(Value::as_str).unwrap_or("default") {
            "default" if busy => {
                return vec![Say::Text(json!({"type": "InjectionRefused", "message": "A turn is in progress."}))];
            }
            "interrupt" => self.silence(),
            _ => {}
        }
        self.deeds.push_back(Deed::Say { text, ms: 500 });
        let mut said = Vec::new();
        if !self.voice.speaking() {
            self.act(&mut said);
        }
        said
    }

    fn answered(&mut self, message: &Value) -> Result<Vec<Say>, (&'static str, String)> {
        let known = ["type", "id", "name", "content", "thought_signature"];
        let text = |name: &str| field(message, &known, name).map_err(|error| ("UNPARSABLE_CLIENT_MESSAGE", error));
        let (id, name, content) = (text("id")?, text("name")?, text("content")?);
        if name != "get_weather" {
            return Err(("NON_EXISTENT_FUNCTION_CALLED", name));
        }
        let deeds = self.mind.output(&id, &content).map_err(|error| ("NON_EXISTENT_FUNCTION_CALLED", error))?;
        self.deeds.extend(deeds);
        let mut said = Vec::new();
        if !self.voice.speaking() {
            self.act(&mut said);
        }
        Ok(said)
    }

    /// Stops at once, without a word about it.
    fn silence(&mut self) {
        self.voice.stop();
        self.sentences.clear();
        self.deeds.clear();
    }

    fn speech_started(&mut self, said: &mut Vec<Say>) {
        self.speaking = true;
        said.push(say("UserStartedSpeaking"));
        if self.voice.speaking() {
            self.silence();
            // What was on its way arrives.
            said.push(Say::Audio(self.encoded(&[0; 480])));
        }
        let calls: Vec<Value> =
            self.mind.withdraw().into_iter().map(|id| json!({"id": id, "name": "get_weather"})).collect();
        if !calls.is_empty() {
            said.push(Say::Text(json!({"type": "FunctionCallCancelled", "functions": calls})));
        }
    }

    fn end_turn(&mut self) -> Vec<Say> {
        self.words.extend(self.hearing.cut());
        let mut said = Vec::new();
        if std::mem::take(&mut self.speaking) && !self.words.is_empty() {
            let words = std::mem::take(&mut self.words);
            self.turn(&joined(&words), &mut said);
            said.push(Say::Final(words));
        }
        said
    }

    /// A turn of the user is over.
    fn turn(&mut self, heard: &str, said: &mut Vec<Say>) {
        self.turns += 1;
        self.told("user", heard, said);
        said.push(Say::Text(json!({"type": "LatencyReport", "stt_latency": 0.12})));
        if self.turns.is_multiple_of(2) {
            said.push(Say::Text(json!({"type": "AgentThinking", "content": "Let me see."})));
        }
        let prompt = self.settings.as_ref().map(|settings| settings.think.prompt.as_str()).unwrap_or_default();
        match Mind::begin(prompt).filter(|_| self.turns == 1) {
            Some(greeting) => self.deeds.push_back(greeting),
            None => self.deeds.extend(self.mind.answer(heard)),
        }
        self.act(said);
    }

    fn told(&self, role: &str, content: &str, said: &mut Vec<Say>) {
        said.push(Say::Text(json!({"type": "ConversationText", "role": role, "content": content})));
        if self.settings.as_ref().is_some_and(|settings| settings.history) {
            said.push(Say::Text(json!({"type": "History", "role": role, "content": content})));
        }
    }

    /// Does what is to be done next, up to where time must pass.
    fn act(&mut self, said: &mut Vec<Say>) {
        let mut calls = Vec::new();
        while let Some(deed) = self.deeds.pop_front() {
            match deed {
                Deed::Call { id, name, arguments } => calls.push(json!({
                    "id": id, "name": name, "arguments": arguments.to_string(), "client_side": true,
                })),
                Deed::Say { text, ms } => {
                    self.speak(&text, ms, said);
                    break;
                }
                Deed::Fail => {
                    let warning = json!({"type": "Warning", "code": "SLOW_THINK_REQUEST", "description": "Wait."});
                    said.push(Say::Text(warning));
                    said.extend(self.fails("FAILED_TO_THINK", "The language model failed."));
                    return;
                }
                Deed::Vanish => said.push(Say::Break),
            }
        }
        if calls.is_empty() {
            return;
        }
        let known =
            self.settings.as_ref().is_some_and(|settings| settings.think.functions.iter().any(|f| f == "get_weather"));
        if known {
            said.push(Say::Text(json!({"type": "LatencyReport", "ttt_tool_latency": 0.2})));
            said.push(Say::Text(json!({"type": "FunctionCallRequest", "functions": calls})));
        } else {
            drop(self.mind.withdraw());
            self.speak("I have no such function.", 500, said);
        }
    }

    fn speak(&mut self, text: &str, ms: u64, said: &mut Vec<Say>) {
        let sentences: Vec<&str> = text.split_inclusive(". ").map(str::trim).collect();
        let count = sentences.len().max(1) as u64;
        let at = (0..count).map(|nth| nth * ms / count);
        self.sentences = at.zip(sentences.iter().map(|sentence| (*sentence).to_owned())).collect();
        self.spoken_ms = 0;
        self.voice.speak(ms);
        said.push(Say::Text(json!({"type": "LatencyReport", "total_latency": 0.9})));
        self.tell_sentences(said);
    }

    /// The sentences up to what is spoken.
    fn tell_sentences(&mut self, said: &mut Vec<Say>) {
        while self.sentences.front().is_some_and(|(at, _)| *at <= self.spoken_ms) {
            if let Some((_, sentence)) = self.sentences.pop_front() {
                self.told("assistant", &sentence, said);
            }
        }
    }

    fn encoded(&self, samples: &[u8]) -> Vec<u8> {
        let samples = samples.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair));
        match self.settings.as_ref().map(|settings| settings.output.0) {
            Some(Encoding::Ulaw) => samples.map(to_ulaw).collect(),
            Some(Encoding::Alaw) => samples.map(to_alaw).collect(),
            _ => samples.flat_map(i16::to_le_bytes).collect(),
        }
    }
}

/// A text of a message that has no other fields than these.
fn field(message: &Value, known: &[&str], name: &str) -> Result<String, String> {
    rules::only(message, known)?;
    rules::text(rules::part(message, name)).map_err(|error| format!("{name}: {error}"))
}

impl Vendor for Agent {
    fn opened(&mut self) -> Vec<Say> {
        vec![Say::Text(json!({"type": "Welcome", "request_id": "r"}))]
    }

    fn text(&mut self, text: &str) -> Vec<Say> {
        self.last_message = Instant::now();
        match self.understand(text) {
            Ok(said) => said,
            Err((code, description)) => self.fatal(code, &description),
        }
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        self.last_message = Instant::now();
        if bytes.is_empty() {
            return vec![Say::Violation("deepgram agent: an empty frame".to_owned()), Say::Close(1000, "")];
        }
        let Some(settings) = &self.settings else {
            return self.fatal("NON_SETTINGS_MESSAGE_BEFORE_SETTINGS", "audio");
        };
        if Mind::echoes(&settings.think.prompt) {
            return vec![Say::Audio(bytes.to_vec())];
        }
        let turn_end_ms = settings.listen.turn_end_ms;
        let mut said = Vec::new();
        let samples = self.hearing.decode(bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            self.words.extend(self.hearing.listen(step));
            if self.hearing.silent_ms() == 0 && !self.speaking {
                self.speech_started(&mut said);
            }
            if self.speaking && self.hearing.silent_ms() >= turn_end_ms {
                said.extend(self.end_turn());
            }
        }
        said
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn due(&self) -> Option<Instant> {
        let gives_up = (!self.gone).then(|| self.last_message + PATIENCE);
        self.voice.due().into_iter().chain(gives_up).min()
    }

    fn tick(&mut self) -> Vec<Say> {
        if self.last_message.elapsed() >= PATIENCE {
            return self.fatal("CLIENT_MESSAGE_TIMEOUT", "We waited too long for a message.");
        }
        let mut said = Vec::new();
        if let Some(piece) = self.voice.piece() {
            said.push(Say::Audio(self.encoded(&piece)));
            self.spoken_ms += PIECE_MS;
            self.tell_sentences(&mut said);
            if !self.voice.speaking() {
                said.push(say("AgentAudioDone"));
                self.act(&mut said);
            }
        }
        said
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (PATIENCE * 5, 1011, "")
    }
}

#[cfg(test)]
mod tests {
    use super::super::hearing::word_audio;
    use super::*;

    const THINK: &str = r#"{"provider":{"type":"open_ai","model":"gpt-4o-mini"},"functions":[{"name":"get_weather"}]}"#;

    fn settings(think: &str) -> String {
        let audio = r#"{"encoding":"linear16","sample_rate":24000}"#;
        let listen = r#"{"provider":{"type":"deepgram","version":"v2","model":"flux-general-en"}}"#;
        let speak = r#"{"provider":{"type":"deepgram","model":"aura-2-thalia-en"}}"#;
        format!(
            r#"{{"type":"Settings","flags":{{"history":false}},"audio":{{"input":{audio},"output":{audio}}},
            "agent":{{"listen":{listen},"think":{think},"speak":{speak}}}}}"#
        )
    }

    fn told(said: &[Say]) -> Vec<String> {
        let word = |say: &Say| match say {
            Say::Text(message) => {
                let role = message.get("role").or(message.get("code")).and_then(Value::as_str);
                [message.get("type").and_then(Value::as_str), role].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
            Say::Violation(_) => "violation".to_owned(),
            Say::Close(..) => "close".to_owned(),
            Say::Audio(_) => "audio".to_owned(),
            _ => String::new(),
        };
        said.iter().map(word).filter(|word| !word.is_empty() && word != "LatencyReport").collect()
    }

    /// An agent that listens.
    fn settled() -> Box<dyn Vendor> {
        let mut agent = open();
        assert_eq!(told(&agent.text(&settings(THINK))), ["SettingsApplied"]);
        agent
    }

    #[test]
    fn what_breaks_the_rules_ends_the_connection_by_name() {
        let fatal = |agent: &mut dyn Vendor, text: &str| told(&agent.text(text)).join(", ");
        let ended = |code: &str| format!("violation, Error {code}, close");
        let early = ended("NON_SETTINGS_MESSAGE_BEFORE_SETTINGS");
        assert_eq!(fatal(open().as_mut(), r#"{"type":"KeepAlive"}"#), early);
        assert_eq!(told(&open().binary(&[0; 4])).join(", "), early);
        assert_eq!(fatal(settled().as_mut(), &settings(THINK)), ended("SETTINGS_ALREADY_APPLIED"));
        let unparsable = ended("UNPARSABLE_CLIENT_MESSAGE");
        for think in [
            r#"{"provider":{"type":"open_ai"}}"#.to_owned(),
            r#"{"provider":{"type":"open_ai","model":"m","endpoint":{"url":"https://a"}}}"#.to_owned(),
            r#"{"provider":{"type":"groq","model":"m"}}"#.to_owned(),
            r#"{"provider":{"type":"open_ai","model":"m"},"functions":[{"name":"f","client_side":true}]}"#.to_owned(),
            format!(r#"{{"provider":{{"type":"open_ai","model":"m"}},"prompt":"{}"}}"#, "x".repeat(25_001)),
        ] {
            assert_eq!(fatal(open().as_mut(), &settings(&think)), unparsable, "{think}");
        }
        let object = r#"{"type":"FunctionCallResponse","id":"a","name":"get_weather","content":{}}"#;
        assert_eq!(fatal(settled().as_mut(), object), unparsable);
        let uncalled = r#"{"type":"FunctionCallResponse","id":"a","name":"get_weather","content":"rain"}"#;
        assert_eq!(fatal(settled().as_mut(), uncalled), ended("NON_EXISTENT_FUNCTION_CALLED"));
        assert_eq!(told(&settled().binary(&[])), ["violation", "close"], "an empty frame is a goodbye");
    }

    #[test]
    fn an_echo_sends_every_frame_back() {
        let mut agent = open();
        let think = THINK.replacen('{', r#"{"prompt":"You echo.","#, 1);
        assert_eq!(told(&agent.text(&settings(&think))), ["SettingsApplied"]);
        for frame in [word_audio(7, 20, 24_000), vec![0; 960]] {
            assert!(matches!(agent.binary(&frame).as_slice(), [Say::Audio(back)] if *back == frame));
        }
    }

    #[test]
    fn a_spoken_turn_is_answered_and_a_second_one_breaks_in() {
        let mut agent = settled();
        let silence = vec![0; 48 * 500];
        assert_eq!(told(&agent.binary(&word_audio(7, 300, 24_000))), ["UserStartedSpeaking"]);
        assert_eq!(told(&agent.binary(&silence)), ["ConversationText user", "ConversationText assistant"]);
        assert!(agent.due().is_some_and(|due| due <= Instant::now()), "it speaks at once");
        assert_eq!(told(&agent.tick()), ["audio"]);
        let broken = agent.binary(&word_audio(2_000, 300, 24_000));
        assert_eq!(told(&broken), ["UserStartedSpeaking", "audio"], "and nothing of the end of what it said");
        let called = ["ConversationText user", "AgentThinking", "FunctionCallRequest"];
        assert_eq!(told(&agent.binary(&silence)), called);
        let spoken = agent.binary(&word_audio(8, 300, 24_000));
        assert_eq!(told(&spoken), ["UserStartedSpeaking", "FunctionCallCancelled"]);
    }
}
