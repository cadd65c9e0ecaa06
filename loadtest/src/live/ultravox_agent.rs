//! A conversation at Ultravox: the call is made over REST and joined once. Sound goes both ways in binary
//! frames and must never pause; turns end by silence; what the user said is told after the agent has begun to
//! answer it; text runs ahead of the sound; nothing happens while a function is being called. What is said
//! comes from [`mind`](super::mind).
//!
//! Source: Ultravox's `OpenAPI` document, data-message reference and client SDKs, read 2026-11-21.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::hearing::{Encoding, Hearing, Word};
use super::mind::{Deed, Mind, Voice};
use super::ultravox_calls::{Call, Wanted};
use super::ultravox_pace::Pace;
use super::{Say, Vendor, joined, lock};

/// Speech that is shorter interrupts nobody.
const LEAST_SPEECH_MS: u64 = 90;
/// The longest silence of a client that is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// An utterance of the agent that is being spoken.
struct Utterance {
    ordinal: u64,
    text: String,
    began: Instant,
    ms: u64,
    /// All of its sound was given.
    given: bool,
}

/// A function that was called.
struct Invocation {
    id: String,
    until: Instant,
}

struct Agent {
    call: Arc<Mutex<Call>>,
    wanted: Wanted,
    hearing: Hearing,
    pace: Pace,
    words: Vec<Word>,
    /// Milliseconds of speech without a pause.
    loud_ms: u64,
    user_speaks: bool,
    mind: Mind,
    voice: Voice,
    state: &'static str,
    /// Numbers the utterances of both sides.
    ordinal: u64,
    /// What the user said, which is told once the agent has begun.
    heard: Option<(u64, Vec<Word>)>,
    /// Texts that wait until it is the agent's turn.
    texts: VecDeque<String>,
    deeds: VecDeque<Deed>,
    utterance: Option<Utterance>,
    invocations: Vec<Invocation>,
    /// Calls whose outputs had come, or were not waited for any longer.
    answered: Vec<String>,
    spoke: bool,
}

/// Joins a call.
pub(super) fn open(call: Arc<Mutex<Call>>) -> Box<dyn Vendor> {
    let wanted = lock(&call).wanted.clone();
    lock(&call).joined = Some(Instant::now());
    let hearing = Hearing::new(Encoding::Linear, wanted.input_rate);
    let voice = Voice::new(wanted.output_rate, Duration::from_millis(wanted.ahead_ms));
    Box::new(Agent {
        call,
        hearing,
        pace: Pace::new(),
        words: Vec::new(),
        loud_ms: 0,
        user_speaks: false,
        mind: Mind::default(),
        voice,
        state: "",
        ordinal: wanted.history,
        heard: None,
        texts: VecDeque::new(),
        deeds: VecDeque::new(),
        utterance: None,
        invocations: Vec::new(),
        answered: Vec::new(),
        spoke: false,
        wanted,
    })
}

impl Drop for Agent {
    fn drop(&mut self) {
        lock(&self.call).ended.get_or_insert_with(Instant::now);
    }
}

fn transcript(role: &str, medium: &str, ordinal: u64, field: &str, text: &str) -> Say {
    Say::Text(json!({
        "type": "transcript", "role": role, "medium": medium, field: text, "final": field == "text",
        "ordinal": ordinal,
    }))
}

impl Agent {
    fn number(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal - 1
    }

    fn state(&mut self, state: &'static str, said: &mut Vec<Say>) {
        if std::mem::replace(&mut self.state, state) != state {
            said.push(Say::Text(json!({"type": "state", "state": state})));
        }
    }

    fn medium(&self) -> &'static str {
        if self.wanted.writes { "text" } else { "voice" }
    }

    fn frozen(&self) -> bool {
        !self.invocations.is_empty()
    }

    /// A step of what the client sends.
    fn step(&mut self, step: &[i16], said: &mut Vec<Say>) {
        self.words.extend(self.hearing.listen(step));
        let silent_ms = self.hearing.silent_ms();
        self.loud_ms = if silent_ms == 0 { self.loud_ms + 20 } else { 0 };
        if self.frozen() {
            return;
        }
        if self.loud_ms > LEAST_SPEECH_MS && !self.user_speaks {
            self.user_speaks = true;
            self.event("user_started_speaking", self.wanted.started, said);
            self.interrupt(said);
        }
        if self.user_speaks && silent_ms >= self.wanted.turn_end_ms {
            self.user_speaks = false;
            self.event("user_stopped_speaking", self.wanted.stopped, said);
            self.turn(said);
        }
    }

    fn event(&self, kind: &str, wanted: bool, said: &mut Vec<Say>) {
        if wanted {
            said.push(Say::Text(json!({"type": kind})));
        }
    }

    /// The user's turn is over.
    fn turn(&mut self, said: &mut Vec<Say>) {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return self.state("listening", said);
        }
        self.state("thinking", said);
        let text = joined(&words);
        let ordinal = self.number();
        self.heard = Some((ordinal, words));
        self.deeds.extend(self.mind.answer(&text));
        self.act(said);
    }

    /// What was heard is written down beside, and told late.
    fn tell_heard(&mut self, said: &mut Vec<Say>) {
        if let Some((ordinal, words)) = self.heard.take() {
            said.push(transcript("user", "voice", ordinal, "text", &joined(&words)));
            said.push(Say::Final(words));
        }
    }

    /// The agent is silent at once, and what of its speech was not played is forgotten.
    fn interrupt(&mut self, said: &mut Vec<Say>) {
        self.deeds.clear();
        let Some(utterance) = self.utterance.take() else { return };
        self.voice.stop();
        said.push(Say::Text(json!({"type": "playback_clear_buffer"})));
        if !utterance.given {
            let played = utterance.began.elapsed().as_millis() as u64;
            let letters = utterance.text.len() as u64 * played.min(utterance.ms) / utterance.ms.max(1);
            let spoken: String = utterance.text.chars().take(usize::try_from(letters).unwrap_or(0)).collect();
            said.push(transcript("agent", "voice", utterance.ordinal, "text", &spoken));
        }
        self.state("listening", said);
    }

    /// Does what is to be done next, up to where time must pass.
    fn act(&mut self, said: &mut Vec<Say>) {
        while self.utterance.is_none() {
            match self.deeds.pop_front() {
                Some(Deed::Say { text, ms }) => self.say(text, ms, said),
                Some(Deed::Call { id, name, arguments }) => self.invoke(id, name, &arguments, said),
                Some(Deed::Fail) => return self.end("system_error", Say::Close(4500, "The model failed."), said),
                Some(Deed::Vanish) => return self.end("connection_error", Say::Break, said),
                None if self.frozen() => return,
                None => match self.texts.pop_front() {
                    Some(text) => self.read(&text, said),
                    None => {
                        self.tell_heard(said);
                        return self.state("listening", said);
                    }
                },
            }
        }
    }

    fn end(&mut self, reason: &'static str, with: Say, said: &mut Vec<Say>) {
        let mut call = lock(&self.call);
        call.ended = Some(Instant::now());
        call.reason = reason;
        said.push(with);
    }

    fn say(&mut self, text: String, ms: u64, said: &mut Vec<Say>) {
        self.spoke = true;
        let (ordinal, medium) = (self.number(), self.medium());
        if !self.wanted.writes {
            self.state("speaking", said);
        }
        // A word, then what the user said, then the rest: the transcript of speech is made beside the model.
        let end = text.find(' ').map_or(text.len(), |at| at + 1);
        let (first, rest) = text.split_at_checked(end).unwrap_or((&text, ""));
        said.push(transcript("agent", medium, ordinal, "delta", first));
        self.tell_heard(said);
        if !rest.is_empty() {
            said.push(transcript("agent", medium, ordinal, "delta", rest));
        }
        if self.wanted.writes {
            return said.push(transcript("agent", medium, ordinal, "text", &text));
        }
        self.voice.speak(ms);
        self.utterance = Some(Utterance { ordinal, text, began: Instant::now(), ms, given: false });
    }

    fn invoke(&mut self, id: String, name: &str, arguments: &Value, said: &mut Vec<Say>) {
        let Some(timeout) = self.wanted.tools.get(name).copied() else {
            return self.say(format!("I have no {name}."), 500, said);
        };
        self.tell_heard(said);
        said.push(Say::Text(json!({
            "type": "client_tool_invocation", "toolName": name, "invocationId": id, "parameters": arguments,
        })));
        self.invocations.push(Invocation { id, until: Instant::now() + timeout });
    }

    /// The output of a function, or why there is none. Only the first one counts.
    fn output(&mut self, message: &Value, said: &mut Vec<Say>) {
        let field = |name: &str| message.get(name).and_then(Value::as_str);
        let id = field("invocationId").unwrap_or_default();
        let result = field("result").or_else(|| field("errorType").and(field("errorMessage")));
        let known = |name, values: &[&str]| field(name).is_none_or(|value| values.contains(&value));
        let right = known("responseType", &["tool-response", "hang-up", "new-stage", "send-to-thread"])
            && known("agentReaction", &["speaks", "listens", "speaks-once"]);
        let Some(result) = result.filter(|_| right) else {
            return said.push(violation(&format!("a result that is none: {message}")));
        };
        if self.answered.iter().any(|answered| answered == id) {
            return;
        }
        let listens = field("agentReaction") == Some("listens");
        self.answer(id, result, listens, said);
    }

    fn answer(&mut self, id: &str, result: &str, listens: bool, said: &mut Vec<Say>) {
        match self.mind.output(id, result) {
            Ok(_) if listens => {}
            Ok(deeds) => self.deeds.extend(deeds),
            Err(wrong) => return said.push(violation(&wrong)),
        }
        self.answered.push(id.to_owned());
        self.invocations.retain(|invocation| invocation.id != id);
        if self.frozen() {
            return;
        }
        if !self.deeds.is_empty() {
            self.state("thinking", said);
        }
        self.act(said);
    }

    /// A text that is answered now.
    fn read(&mut self, text: &str, said: &mut Vec<Say>) {
        let first = Mind::begin(&self.wanted.instructions).filter(|_| !self.spoke && text.starts_with("<instruction>"));
        self.state("thinking", said);
        match first {
            Some(greeting) => self.deeds.push_back(greeting),
            None => self.deeds.extend(self.mind.answer(text)),
        }
    }

    fn written(&mut self, message: &Value, said: &mut Vec<Say>) {
        let field = |name: &str| message.get(name).and_then(Value::as_str);
        let Some(text) = field("text") else { return said.push(violation("a message without a text")) };
        if !text.is_empty() {
            let ordinal = self.number();
            said.push(transcript("user", "text", ordinal, "text", text));
        }
        let defers = message.get("deferResponse") == Some(&Value::Bool(true)) || text.is_empty();
        match field("urgency").unwrap_or("soon") {
            "immediate" => {
                self.interrupt(said);
                if !defers {
                    self.texts.push_front(text.to_owned());
                }
            }
            "soon" if !defers => self.texts.push_back(text.to_owned()),
            "soon" | "later" => return,
            other => return said.push(violation(&format!("a message of the urgency {other:?}"))),
        }
        if !self.frozen() && self.utterance.is_none() && !self.user_speaks {
            self.act(said);
        }
    }

    fn control(&mut self, message: &Value, said: &mut Vec<Say>) {
        let field = |name: &str| message.get(name).and_then(Value::as_str);
        match field("type").unwrap_or_default() {
            "ping" => said.push(Say::Text(json!({"type": "pong", "timestamp": message.get("timestamp")}))),
            "user_text_message" => self.written(message, said),
            "client_tool_result" => self.output(message, said),
            "set_output_medium" => match field("medium") {
                Some(medium @ ("voice" | "text")) => self.wanted.writes = medium == "text",
                _ => said.push(violation("an output medium that is none")),
            },
            "forced_agent_message" => {
                let text = field("content").unwrap_or_default().to_owned();
                self.deeds.push_back(Deed::Say { text, ms: 500 });
                self.act(said);
            }
            "hang_up" => self.end("hangup", Say::Close(1000, ""), said),
            other => said.push(violation(&format!("a message of the type {other:?}"))),
        }
    }

    /// The agent's sound as far as it is due, and the end of it.
    fn speak(&mut self, said: &mut Vec<Say>) {
        while let Some(piece) = self.voice.piece() {
            said.push(Say::Audio(piece));
        }
        let Some(utterance) = &mut self.utterance else { return };
        if !self.voice.speaking() && !std::mem::replace(&mut utterance.given, true) {
            said.push(transcript("agent", "voice", utterance.ordinal, "text", &utterance.text));
        }
        if utterance.given && utterance.played() {
            self.utterance = None;
            self.act(said);
        }
    }

    /// Functions that took too long are not waited for.
    fn expire(&mut self, said: &mut Vec<Say>) {
        let now = Instant::now();
        while let Some(late) = self.invocations.iter().find(|invocation| invocation.until <= now) {
            let id = late.id.clone();
            self.answer(&id, "it took too long", false, said);
        }
    }
}

impl Utterance {
    fn ends(&self) -> Instant {
        self.began + Duration::from_millis(self.ms)
    }

    fn played(&self) -> bool {
        Instant::now() >= self.ends()
    }
}

fn violation(what: &str) -> Say {
    Say::Violation(format!("ultravox: {what}"))
}

impl Vendor for Agent {
    fn opened(&mut self) -> Vec<Say> {
        let id = lock(&self.call).id.clone();
        let mut said = vec![Say::Text(json!({"type": "call_started", "callId": id}))];
        if self.wanted.speaks_first {
            self.deeds.extend(Mind::begin(&self.wanted.instructions));
        }
        self.act(&mut said);
        said
    }

    fn text(&mut self, text: &str) -> Vec<Say> {
        let mut said = Vec::new();
        match serde_json::from_str(text) {
            Ok(message) => self.control(&message, &mut said),
            Err(_) => said.push(violation("a text frame that is not JSON")),
        }
        said
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        let samples = self.hearing.decode(bytes);
        let ms = self.hearing.now_ms() + samples.len() as u64 * 1000 / u64::from(self.wanted.input_rate.max(1));
        let mut said: Vec<Say> = self.pace.heard(ms).map(|wrong| violation(&wrong)).into_iter().collect();
        for step in samples.chunks(self.hearing.step_len()) {
            self.step(step, &mut said);
        }
        said
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn due(&self) -> Option<Instant> {
        let utterance = self.utterance.as_ref();
        let played = utterance.filter(|utterance| utterance.given).map(Utterance::ends);
        let late = self.invocations.iter().map(|invocation| invocation.until).min();
        [self.voice.due(), played, late, Some(self.pace.due())].into_iter().flatten().min()
    }

    fn tick(&mut self) -> Vec<Say> {
        let mut said: Vec<Say> = self.pace.pass().map(|wrong| violation(&wrong)).into_iter().collect();
        self.speak(&mut said);
        self.expire(&mut said);
        said
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (PATIENCE, 4598, "No media was received.")
    }
}
