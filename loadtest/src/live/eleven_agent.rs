//! An agent of `ElevenLabs`: everything in JSON, audio in base64, ids that grow, pings that want an answer, and
//! tools that the agent brings. What is said comes from [`mind`](super::mind).
//!
//! The agent's id says how it was made: `locked` allows no overrides, `plain` does not tell the end of its
//! responses, `private` wants a signed address, `ulaw` and `pcm24` have other audio than 16 kHz.
//!
//! Source: `ElevenLabs`' `AsyncAPI` document of agents (2026-08-22), API reference and SDKs, read 2026-11-21.

use std::io;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::hearing::{Encoding, Hearing, Word, to_ulaw};
use super::mind::{Deed, Mind, Voice};
use super::{Query, Say, Shared, Vendor, joined, lock, unsure};

/// The socket.
pub(super) const PATH: &str = "/v1/convai/conversation";
/// Where its signed address is asked for.
pub(crate) const SIGN: &str = "/v1/convai/conversation/get-signed-url";

/// Silence that ends a turn.
const TURN_END_MS: u64 = 300;
/// A score is told this often.
const SCORE_MS: u64 = 100;
/// How far speech runs ahead of its playing.
const AHEAD: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(2);
/// Pings that may wait for their answers.
const MAX_PINGS: usize = 2;
/// A user from whom nothing comes is left.
const UNHEARD: Duration = Duration::from_secs(60);
/// What is told where nobody asked for more.
const USUAL_EVENTS: [&str; 7] = [
    "audio",
    "interruption",
    "agent_response",
    "user_transcript",
    "tentative_user_transcript",
    "conversation_initiation_metadata",
    "ping",
];
/// What may be overridden where the agent allows it, and how a refusal says that it does not.
const OVERRIDES: [(&str, &str); 8] = [
    ("/agent/prompt/prompt", "Override for field 'prompt' is not allowed by config."),
    ("/agent/prompt/llm", "Override for field 'llm' is not allowed by config."),
    ("/agent/first_message", "Override for field 'first_message' is not allowed by config."),
    ("/agent/language", "Override for field 'language' is not allowed by config."),
    ("/tts/voice_id", "Override for field 'voice_id' is not allowed by config."),
    ("/tts/speed", "Override for field 'speed' is not allowed by config."),
    ("/asr/keywords", "Override for field 'keywords' is not allowed by config."),
    ("/conversation/text_only", "Override for field 'text_only' is not allowed by config."),
];

struct Conversation {
    agent: String,
    format: &'static str,
    /// The client's first message; `None` before it came.
    overrides: Option<Value>,
    hearing: Hearing,
    words: Vec<Word>,
    speaking: bool,
    scored_ms: u64,
    mind: Mind,
    voice: Voice,
    deeds: Vec<Deed>,
    turn: u64,
    /// What is being said, and whether that was told.
    text: String,
    told: bool,
    /// How long it is, and what of it was given.
    length_ms: u64,
    given_ms: u64,
    began: Instant,
    pings: Vec<u64>,
    next_ping: Instant,
    unheard_since: Instant,
    serial: u64,
}

/// A signature for an agent's address.
pub(super) fn signature(shared: &Shared, agent: &str) -> String {
    let signature = format!("signed-{agent}");
    lock(&shared.signed).insert(signature.clone());
    signature
}

/// Answers a request for a signed address.
pub(super) async fn sign(shared: &Shared, stream: &mut TcpStream) -> io::Result<()> {
    let mut request = vec![0; 8192];
    let length = stream.read(&mut request).await?;
    let request = String::from_utf8_lossy(request.get(..length).unwrap_or_default()).to_lowercase();
    let allowed = request.lines().any(|line| line == format!("xi-api-key: {}", shared.config.api_key.to_lowercase()));
    let field = |name: &str| request.split([' ', '?', '&']).find_map(|pair| pair.strip_prefix(name)).map(str::to_owned);
    let (status, body) = match field("agent_id=") {
        Some(agent) if allowed => {
            let host = stream.local_addr()?;
            (
                200,
                json!({"signed_url": format!("ws://{host}{PATH}?agent_id={agent}&conversation_signature={}",
                signature(shared, &agent))}),
            )
        }
        Some(_) => (401, json!({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}})),
        None => (422, json!({"detail": [{"type": "missing", "loc": ["query", "agent_id"], "msg": "Field required"}]})),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length");
    stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

/// Opens a conversation: with the account's key, or with a signature alone.
pub(super) fn open(shared: &Shared, query: &Query, has_key: bool) -> (bool, Result<Box<dyn Vendor>, String>) {
    let agent = query.get("agent_id").unwrap_or_default();
    let signed = query.get("conversation_signature").map(|signature| lock(&shared.signed).contains(signature));
    let allowed = match signed {
        Some(known) => known,
        None => has_key && !agent.contains("private"),
    };
    if signed.is_some() && has_key {
        return (allowed, Err("the key goes to a signed address".to_owned()));
    }
    let known = query.only(&["agent_id", "conversation_signature", "source", "version"]);
    (allowed, known.and_then(|()| if agent.is_empty() { Err("no agent_id".to_owned()) } else { Ok(begin(agent)) }))
}

fn begin(agent: &str) -> Box<dyn Vendor> {
    let (format, encoding, rate) = match agent {
        _ if agent.contains("ulaw") => ("ulaw_8000", Encoding::Ulaw, 8_000),
        _ if agent.contains("pcm24") => ("pcm_24000", Encoding::Linear, 24_000),
        _ => ("pcm_16000", Encoding::Linear, 16_000),
    };
    let now = Instant::now();
    Box::new(Conversation {
        agent: agent.to_owned(),
        format,
        overrides: None,
        hearing: Hearing::new(encoding, rate),
        words: Vec::new(),
        speaking: false,
        scored_ms: 0,
        mind: Mind::default(),
        voice: Voice::new(rate, AHEAD),
        deeds: Vec::new(),
        turn: 0,
        text: String::new(),
        told: true,
        length_ms: 0,
        given_ms: 0,
        began: now,
        pings: Vec::new(),
        next_ping: now + PING,
        unheard_since: now,
        serial: 0,
    })
}

impl Conversation {
    fn setting(&self, place: &str) -> &Value {
        self.overrides.as_ref().and_then(|overrides| overrides.pointer(place)).unwrap_or(&Value::Null)
    }

    fn text_only(&self) -> bool {
        self.setting("/conversation/text_only") == &json!(true)
    }

    /// Says an event of this type, where it was asked for.
    fn tell(&self, kind: &str, payload: &str, event: Value, said: &mut Vec<Say>) {
        let asked = match self.setting("/conversation/client_events").as_array() {
            Some(events) => events.contains(&json!(kind)),
            None => USUAL_EVENTS.contains(&kind),
        };
        if asked {
            said.push(Say::Text(json!({"type": kind, payload: event})));
        }
    }

    fn fail(code: u16, kind: &str, message: &'static str) -> Vec<Say> {
        let event = json!({"code": code, "message": message, "error_type": kind, "reason": null, "details": null});
        vec![Say::Text(json!({"type": "error", "error_event": event})), Say::Close(code, message)]
    }

    fn initiated(&mut self, message: &Value) -> Vec<Say> {
        let overrides = message.get("conversation_config_override").cloned().unwrap_or_else(|| json!({}));
        if let Some(unknown) = unknown_override(&overrides) {
            let mut said = vec![Say::Violation(format!("elevenlabs: the override {unknown:?}"))];
            said.extend(Self::fail(1008, "value_error", "invalid conversation_config_override"));
            return said;
        }
        let overridden = OVERRIDES.iter().find(|(place, _)| overrides.pointer(place).is_some());
        if let Some((_, message)) = overridden.filter(|_| self.agent.contains("locked")) {
            return Self::fail(1008, "override_error", message);
        }
        self.overrides = Some(overrides);
        self.next_ping = Instant::now();
        let mut said = Vec::new();
        let formats = json!({"conversation_id": "conv_1", "agent_output_audio_format": self.format,
            "user_input_audio_format": self.format});
        self.tell("conversation_initiation_metadata", "conversation_initiation_metadata_event", formats, &mut said);
        said.push(Say::Text(json!({"type": "asr_initiation_metadata", "asr_initiation_metadata_event": {}})));
        let first = self.setting("/agent/first_message").as_str().map(str::to_owned);
        let first = first.unwrap_or_else(|| "Hello, I am your agent.".to_owned());
        if !first.is_empty() {
            self.deeds = vec![Deed::Say { text: first, ms: 1_000 }];
            self.act(&mut said);
        }
        said
    }

    fn hear(&mut self, bytes: &[u8], said: &mut Vec<Say>) {
        if Mind::echoes(self.setting("/agent/prompt/prompt").as_str().unwrap_or_default()) {
            self.turn = self.turn.max(1);
            return self.sound(bytes, said);
        }
        let samples = self.hearing.decode(bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            let word = self.hearing.listen(step);
            let silent_ms = self.hearing.silent_ms();
            if silent_ms == 0 && !self.speaking {
                self.speaking = true;
                self.interrupt(said);
            }
            if let Some(word) = word {
                self.words.push(word);
                let text = unsure(&self.words);
                let event = json!({"user_transcript": text, "event_id": self.turn + 1});
                self.tell("tentative_user_transcript", "tentative_user_transcription_event", event, said);
            }
            if self.hearing.now_ms() >= self.scored_ms + SCORE_MS {
                self.scored_ms = self.hearing.now_ms();
                let score = if silent_ms == 0 { 0.9 } else { 0.1 };
                self.tell("vad_score", "vad_score_event", json!({"vad_score": score}), said);
            }
            if self.speaking && silent_ms >= TURN_END_MS {
                self.speaking = false;
                self.heard(said);
            }
        }
    }

    /// The turn of the user is over. A noise was none.
    fn heard(&mut self, said: &mut Vec<Say>) {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return;
        }
        let text = joined(&words);
        let event = json!({"user_transcript": text, "event_id": self.turn + 1});
        self.tell("user_transcript", "user_transcription_event", event, said);
        said.push(Say::Final(words));
        self.answer(&text, said);
    }

    fn answer(&mut self, text: &str, said: &mut Vec<Say>) {
        let instructions = self.setting("/agent/prompt/prompt").as_str().unwrap_or_default();
        let greeting = Mind::begin(instructions).filter(|_| self.turn == 0);
        self.deeds = greeting.map_or_else(|| self.mind.answer(text), |deed| vec![deed]);
        self.act(said);
    }

    /// Does what is to be done next, up to where time must pass.
    fn act(&mut self, said: &mut Vec<Say>) {
        self.turn += 1;
        for deed in std::mem::take(&mut self.deeds) {
            match deed {
                Deed::Say { text, ms } => self.say(text, ms, said),
                Deed::Call { id, name, arguments } => {
                    let call = json!({"tool_name": name, "tool_call_id": id, "parameters": arguments,
                        "event_id": self.turn});
                    self.tell("client_tool_call", "client_tool_call", call, said);
                }
                Deed::Fail => said.extend(Self::fail(1002, "llm_error", "The language model has failed.")),
                Deed::Vanish => said.push(Say::Break),
            }
        }
    }

    fn say(&mut self, text: String, ms: u64, said: &mut Vec<Say>) {
        if !self.text_only() {
            (self.text, self.told, self.began) = (text, false, Instant::now());
            (self.length_ms, self.given_ms) = (ms, 0);
            return self.voice.speak(ms);
        }
        let parts = std::iter::once(("start", "")).chain(text.split_inclusive(' ').map(|word| ("delta", word)));
        for (kind, text) in parts.chain(std::iter::once(("stop", ""))) {
            let part = json!({"type": kind, "text": text, "event_id": self.turn});
            self.tell("agent_chat_response_part", "text_response_part", part, said);
        }
        self.tell_text(&text, said);
        self.complete(said);
    }

    fn tell_text(&self, text: &str, said: &mut Vec<Say>) {
        let event = json!({"agent_response": text, "event_id": self.turn});
        self.tell("agent_response", "agent_response_event", event, said);
    }

    fn complete(&self, said: &mut Vec<Say>) {
        if !self.agent.contains("plain") {
            let event = json!({"event_id": self.turn});
            self.tell("agent_response_complete", "agent_response_complete_event", event, said);
        }
    }

    fn sound(&self, samples: &[u8], said: &mut Vec<Say>) {
        let encoded: Vec<u8> = match self.format {
            "ulaw_8000" => samples.as_chunks::<2>().0.iter().map(|pair| to_ulaw(i16::from_le_bytes(*pair))).collect(),
            _ => samples.to_vec(),
        };
        let event = json!({"audio_base_64": STANDARD.encode(encoded), "event_id": self.turn});
        self.tell("audio", "audio_event", event, said);
    }

    fn speak(&mut self, said: &mut Vec<Say>) {
        while let Some(piece) = self.voice.piece() {
            self.given_ms += super::mind::PIECE_MS;
            self.sound(&piece, said);
            // The text is told about when the audio begins: here behind its first piece.
            if !std::mem::replace(&mut self.told, true) {
                self.tell_text(&self.text, said);
            }
            if !self.voice.speaking() {
                self.complete(said);
            }
        }
    }

    /// The user breaks in: what was not heard was not said. One more piece comes late.
    fn interrupt(&mut self, said: &mut Vec<Say>) {
        let heard_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !self.voice.speaking() && heard_ms >= self.given_ms {
            return;
        }
        self.voice.stop();
        self.tell("interruption", "interruption_event", json!({"event_id": self.turn}), said);
        self.sound(&[0; 320], said);
        let letters = self.text.chars().count() as u64;
        let kept = usize::try_from(letters * heard_ms / self.length_ms.max(1)).unwrap_or(usize::MAX);
        let corrected: String = self.text.chars().take(kept).collect();
        let event = json!({"original_agent_response": self.text, "corrected_agent_response": corrected,
            "event_id": self.turn});
        self.tell("agent_response_correction", "agent_response_correction_event", event, said);
        self.given_ms = 0;
    }

    /// What a message does; `None` where it is not valid.
    fn message(&mut self, message: &Value, said: &mut Vec<Say>) -> Option<()> {
        let text = |name: &str| message.get(name)?.as_str();
        if let Some(audio) = message.get("user_audio_chunk") {
            let bytes = STANDARD.decode(audio.as_str()?).ok().filter(|_| !self.text_only())?;
            self.hear(&bytes, said);
            return Some(());
        }
        match text("type")? {
            "user_message" => {
                let text = text("text")?;
                self.interrupt(said);
                self.answer(text, said);
            }
            "contextual_update" => drop(text("text")?),
            "user_activity" => {}
            "client_tool_result" => {
                message.get("is_error")?.as_bool()?;
                match self.mind.output(text("tool_call_id")?, text("result")?) {
                    Ok(deeds) if deeds.is_empty() => {}
                    Ok(deeds) => {
                        self.deeds = deeds;
                        self.act(said);
                    }
                    Err(message) => said.push(Say::Violation(format!("elevenlabs: {message}"))),
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn pong(&mut self, message: &Value, said: &mut Vec<Say>) {
        let id = message.get("event_id").and_then(Value::as_u64);
        match self.pings.iter().position(|ping| Some(*ping) == id) {
            Some(at) => drop(self.pings.drain(..=at)),
            None => said.push(Say::Violation("elevenlabs: a pong without a ping".to_owned())),
        }
    }

    fn ping(&mut self, said: &mut Vec<Say>) {
        if self.pings.len() > MAX_PINGS {
            said.push(Say::Violation("elevenlabs: pings are not answered".to_owned()));
            self.pings.clear();
        }
        self.serial += 1;
        self.pings.push(self.serial);
        self.next_ping = Instant::now() + PING;
        let ping_ms = (self.serial > 1).then_some(12);
        self.tell("ping", "ping_event", json!({"event_id": self.serial, "ping_ms": ping_ms}), said);
    }
}

impl Vendor for Conversation {
    fn text(&mut self, text: &str) -> Vec<Say> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let kind = message.get("type").and_then(Value::as_str);
        let mut said = Vec::new();
        if self.overrides.is_some() && kind == Some("pong") {
            self.pong(&message, &mut said);
            return said;
        }
        self.unheard_since = Instant::now();
        match self.overrides.is_some() {
            false if kind == Some("conversation_initiation_client_data") => return self.initiated(&message),
            true if self.message(&message, &mut said).is_some() => return said,
            _ => {}
        }
        let shown: String = text.chars().take(200).collect();
        said.push(Say::Violation(format!("elevenlabs: {shown}")));
        said.extend(Self::fail(1008, "invalid_message", "Invalid message received."));
        said
    }

    fn binary(&mut self, _bytes: &[u8]) -> Vec<Say> {
        let mut said = vec![Say::Violation("elevenlabs: a binary frame".to_owned())];
        said.extend(Self::fail(1008, "invalid_message", "Invalid message received."));
        said
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn due(&self) -> Option<Instant> {
        self.overrides.as_ref()?;
        let due = self.next_ping.min(self.unheard_since + UNHEARD);
        Some(self.voice.due().map_or(due, |speech| due.min(speech)))
    }

    fn tick(&mut self) -> Vec<Say> {
        let mut said = Vec::new();
        let now = Instant::now();
        if self.unheard_since + UNHEARD <= now {
            return Self::fail(1002, "transport_receive_timeout", "No user message received for 60 seconds.");
        }
        if self.next_ping <= now {
            self.ping(&mut said);
        }
        self.speak(&mut said);
        said
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (UNHEARD + PING, 1002, "No message received.")
    }
}

/// The first override that agents do not have.
fn unknown_override(overrides: &Value) -> Option<String> {
    let known =
        |place: &str| place == "/conversation/client_events" || OVERRIDES.iter().any(|(known, _)| *known == place);
    let mut open = vec![(String::new(), overrides)];
    while let Some((at, value)) = open.pop() {
        match value {
            _ if known(&at) => {}
            Value::Object(fields) if OVERRIDES.iter().any(|(known, _)| known.starts_with(&at)) => {
                open.extend(fields.iter().map(|(name, value)| (format!("{at}/{name}"), value)));
            }
            _ => return Some(at),
        }
    }
    None
}
