//! A conversation with Gemini Live: one setup, JSON in binary frames, speech in base64 ahead of its playing,
//! transcripts that lag behind, `generationComplete` long before `turnComplete`, and tokens of the whole
//! context with every turn. It leaves when it is told to (`goaway` in the instructions), and goes on with a
//! conversation by the last handle that it gave. What is said comes from [`mind`](super::mind).
//!
//! Source: the Gemini Live API reference and Google's SDKs, read 2026-11-21.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::gemini_setup::{self, Memory, Sessions, SetUp, only};
use super::hearing::{Encoding, Hearing, Word};
use super::mind::{Deed, Mind, Voice};
use super::{Say, Vendor, gemini, joined, lock};

/// What it speaks at.
const RATE: u32 = 24_000;
/// How far speech runs ahead of its playing.
const AHEAD: Duration = Duration::from_millis(1_500);
/// It says that it leaves after so long, and leaves so much later.
const NOTICE: Duration = Duration::from_secs(2);
const LEAVES_IN: Duration = Duration::from_secs(12);

/// Where a turn of the model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    None,
    /// Speech is being made; by its own clock the turn began then and plays so long.
    Making(Instant, u64),
    /// All of it was made; it is played until then.
    Playing(Instant, u64),
}

struct Agent {
    sessions: Sessions,
    setup: SetUp,
    hearing: Option<(u32, Hearing)>,
    words: Vec<Word>,
    /// What the user wrote since the last turn.
    texts: Vec<String>,
    /// Audio that came, and what of it was counted into the context, in milliseconds.
    heard_ms: u64,
    counted_ms: u64,
    /// Detection is the client's, and it has begun an activity.
    active: bool,
    /// The history is awaited before anything else.
    history: bool,
    spoke: bool,
    turn: Turn,
    voice: Voice,
    /// Speech that was made in this turn, played or not.
    made_ms: u64,
    /// The transcript that was not told.
    transcript: VecDeque<String>,
    /// What the user said, told once the model has begun.
    late: Option<String>,
    deeds: VecDeque<Deed>,
    /// Answers that wait for the end of the one that is given.
    waiting: VecDeque<String>,
    calls: Vec<(String, &'static str)>,
    leaves_at: Option<Instant>,
    cut_at: Option<Instant>,
}

/// A conversation, and what is said first.
pub(super) type Opened = (Box<dyn Vendor>, Vec<Say>);

/// A conversation that a setup begins or goes on with, or what is said to one that is not taken.
pub(super) fn open(setup: &Value, sessions: &Sessions) -> Result<Opened, Vec<Say>> {
    let setup = gemini_setup::read(setup, sessions).map_err(|(code, reason, violation)| {
        let violation = violation.map(|message| Say::Violation(format!("gemini: {message}")));
        violation.into_iter().chain([Say::Close(code, reason)]).collect::<Vec<_>>()
    })?;
    let mut said = vec![Say::Bytes(json!({"setupComplete": {"sessionId": "s"}}))];
    if !setup.history {
        said.push(hand_out(&setup.memory, sessions));
    }
    let agent = Agent {
        sessions: Arc::clone(sessions),
        hearing: None,
        words: Vec::new(),
        texts: Vec::new(),
        heard_ms: 0,
        counted_ms: 0,
        active: false,
        history: setup.history,
        spoke: setup.resumed,
        turn: Turn::None,
        voice: Voice::new(RATE, AHEAD),
        made_ms: 0,
        transcript: VecDeque::new(),
        late: None,
        deeds: VecDeque::new(),
        waiting: VecDeque::new(),
        calls: Vec::new(),
        leaves_at: setup.leaves.then(|| Instant::now() + NOTICE),
        cut_at: None,
        setup,
    };
    Ok((Box::new(agent), said))
}

fn hand_out(memory: &Arc<Mutex<Memory>>, sessions: &Sessions) -> Say {
    let handle = Memory::hand_out(memory, sessions);
    Say::Bytes(json!({"sessionResumptionUpdate": {"newHandle": handle, "resumable": true}}))
}

fn content(content: Value) -> Say {
    Say::Bytes(json!({"serverContent": content}))
}

fn part(part: Value) -> Say {
    content(json!({"modelTurn": {"role": "model", "parts": [part]}}))
}

impl Agent {
    fn mind<T>(&self, think: impl FnOnce(&mut Mind) -> T) -> T {
        think(&mut lock(&self.setup.memory).mind)
    }

    /// Answers what was said, or lets it wait.
    fn answer(&mut self, said: String, out: &mut Vec<Say>) {
        if self.turn != Turn::None {
            self.waiting.push_back(said);
            return;
        }
        let nothing = said.chars().all(|letter| letter == '.');
        let greeting = Mind::begin(&self.setup.instructions).filter(|_| nothing && !self.spoke);
        let deeds = greeting.map_or_else(|| self.mind(|mind| mind.answer(&said)), |deed| vec![deed]);
        self.do_all(deeds, out);
    }

    fn do_all(&mut self, deeds: Vec<Deed>, out: &mut Vec<Say>) {
        self.spoke = true;
        if deeds.is_empty() {
            self.complete(None, out);
        }
        self.deeds = deeds.into();
        self.next_deed(out);
    }

    fn next_deed(&mut self, out: &mut Vec<Say>) {
        match self.deeds.pop_front() {
            None => {}
            Some(Deed::Say { text, ms }) => {
                out.push(Say::Bytes(json!({"sessionResumptionUpdate": {"newHandle": "", "resumable": false}})));
                out.push(part(json!({"text": "What may be the answer?", "thought": true})));
                self.transcript = text.split_inclusive(' ').map(str::to_owned).collect();
                self.voice.speak(ms);
                self.turn = Turn::Making(Instant::now(), ms);
            }
            Some(call @ Deed::Call { .. }) => self.call(call, out),
            Some(Deed::Fail) => self.complete(Some("MALFORMED_FUNCTION_CALL"), out),
            Some(Deed::Vanish) => out.push(Say::Break),
        }
    }

    /// All calls that follow one another are told at once, and the turn ends with them.
    fn call(&mut self, first: Deed, out: &mut Vec<Say>) {
        let mut calls = Vec::new();
        let mut next = Some(first);
        while let Some(Deed::Call { id, name, arguments }) = next {
            calls.push(json!({"id": id, "name": name, "args": arguments}));
            self.calls.push((id, name));
            next = self.deeds.pop_front_if(|deed| matches!(deed, Deed::Call { .. }));
        }
        out.push(Say::Bytes(json!({"toolCall": {"functionCalls": calls}})));
        out.push(content(json!({"outputTranscription": {"text": "", "finished": true}})));
        self.complete(None, out);
    }

    /// A turn is complete: what it used, and a handle for what comes next.
    fn complete(&mut self, reason: Option<&str>, out: &mut Vec<Say>) {
        let used = self.use_up();
        let mut end = json!({"turnComplete": true, "interactionStatus": "IDLE"});
        if let (Some(reason), Some(fields)) = (reason, end.as_object_mut()) {
            fields.insert("turnCompleteReason".to_owned(), reason.into());
        }
        out.extend(self.late.take().map(|text| content(json!({"inputTranscription": {"text": text}}))));
        out.push(Say::Bytes(json!({"serverContent": end, "usageMetadata": used})));
        out.push(hand_out(&self.setup.memory, &self.sessions));
        self.turn = Turn::None;
        if let Some(said) = self.waiting.pop_front() {
            self.answer(said, out);
        }
    }

    /// What the turn used: what was heard since the one before, and what was made.
    fn use_up(&mut self) -> Value {
        let fresh = self.heard_ms - std::mem::replace(&mut self.counted_ms, self.heard_ms);
        let made = std::mem::take(&mut self.made_ms);
        lock(&self.setup.memory).use_up(self.setup.told_bytes, fresh, made)
    }

    /// The turn that is made or played is broken off.
    fn interrupt(&mut self, out: &mut Vec<Say>) {
        if self.turn == Turn::None {
            return;
        }
        self.voice.stop();
        self.deeds.clear();
        self.transcript.clear();
        out.push(content(json!({"interrupted": true})));
        self.complete(None, out);
    }

    /// Something new came while functions ran that the conversation waits for.
    fn withdraw(&mut self, out: &mut Vec<Say>) {
        if self.setup.beside || !self.mind(|mind| mind.waits()) {
            return;
        }
        let ids: Vec<String> = self.calls.drain(..).map(|(id, _)| id).collect();
        drop(self.mind(Mind::withdraw));
        out.push(Say::Bytes(json!({"toolCallCancellation": {"ids": ids}})));
    }

    fn input(&mut self, input: &Value, out: &mut Vec<Say>) -> Result<(), String> {
        let fields = only(input, &["audio", "text", "activityStart", "activityEnd", "audioStreamEnd"])?;
        if fields.len() != 1 {
            return Err("an input of one kind at a time".to_owned());
        }
        let by_hand = self.setup.silence_ms.is_none();
        if let Some(audio) = fields.get("audio") {
            return self.listen(audio, out);
        }
        if let Some(text) = fields.get("text").and_then(Value::as_str) {
            self.note(text);
            if !self.active {
                self.end_turn(out);
            }
            return Ok(());
        }
        if fields.contains_key("audioStreamEnd") {
            if !self.words.is_empty() {
                self.end_turn(out);
            }
            return if by_hand { Err("audioStreamEnd without detection".to_owned()) } else { Ok(()) };
        }
        let starts = fields.contains_key("activityStart");
        if !by_hand || starts == self.active {
            return Err("an activity with detection, or out of turn".to_owned());
        }
        self.active = starts;
        if starts {
            self.speech_begins(out);
        } else {
            self.end_turn(out);
        }
        Ok(())
    }

    fn speech_begins(&mut self, out: &mut Vec<Say>) {
        if self.setup.interrupts {
            self.interrupt(out);
        }
        self.withdraw(out);
    }

    fn note(&mut self, text: &str) {
        lock(&self.setup.memory).text_tokens += text.len() as u64 / 4 + 1;
        self.texts.push(text.to_owned());
    }

    fn listen(&mut self, audio: &Value, out: &mut Vec<Say>) -> Result<(), String> {
        let fields = only(audio, &["data", "mimeType"])?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let rate = text("mimeType").strip_prefix("audio/pcm;rate=").and_then(|rate| rate.parse::<u32>().ok());
        let rate = rate.filter(|rate| (8_000..=48_000).contains(rate)).ok_or("audio of no rate")?;
        if self.setup.silence_ms.is_none() && !self.active {
            return Err("audio outside of an activity".to_owned());
        }
        let (began_at, mut hearing) =
            self.hearing.take().unwrap_or_else(|| (rate, Hearing::new(Encoding::Linear, rate)));
        if began_at != rate {
            return Err("audio of another rate".to_owned());
        }
        let bytes = STANDARD.decode(text("data")).map_err(|error| error.to_string())?;
        let samples = hearing.decode(&bytes);
        for step in samples.chunks(hearing.step_len()) {
            let was_silent = hearing.silent_ms() > 0 || hearing.now_ms() == 0;
            let word = hearing.listen(step);
            let silent = hearing.silent_ms();
            self.heard_ms = hearing.now_ms();
            if was_silent && silent == 0 && hearing.now_ms() > 0 && self.setup.silence_ms.is_some() {
                self.speech_begins(out);
            }
            self.words.extend(word);
            if !self.words.is_empty() && self.setup.silence_ms.is_some_and(|ms| silent >= ms) {
                self.hearing = Some((rate, hearing));
                self.end_turn(out);
                hearing = self.hearing.take().map_or_else(|| Hearing::new(Encoding::Linear, rate), |(_, it)| it);
            }
        }
        self.hearing = Some((rate, hearing));
        Ok(())
    }

    /// The user's turn is over, and is answered.
    fn end_turn(&mut self, out: &mut Vec<Say>) {
        self.words.extend(self.hearing.as_mut().and_then(|(_, hearing)| hearing.cut()));
        let heard = joined(&self.words);
        let all: Vec<String> = self.texts.drain(..).chain([heard.clone()]).filter(|text| !text.is_empty()).collect();
        if !heard.is_empty() && self.setup.hears {
            self.write_down(&heard, out);
        }
        if !self.words.is_empty() {
            out.push(Say::Final(std::mem::take(&mut self.words)));
        }
        self.answer(all.join(" "), out);
    }

    /// Every other turn's words are told when the model has begun to answer them.
    fn write_down(&mut self, heard: &str, out: &mut Vec<Say>) {
        let text = format!(" {heard}");
        if lock(&self.setup.memory).turns.is_multiple_of(2) {
            self.late = Some(text);
            return;
        }
        for word in heard.split(' ') {
            out.push(content(json!({"inputTranscription": {"text": format!(" {word}")}})));
        }
    }

    fn told(&mut self, told: &Value, out: &mut Vec<Say>) -> Result<(), String> {
        let fields = only(told, &["turns", "turnComplete"])?;
        if self.active {
            return Err("content within an activity".to_owned());
        }
        let complete = fields.get("turnComplete") == Some(&json!(true));
        if !self.history {
            self.interrupt(out);
            self.withdraw(out);
        }
        for turn in fields.get("turns").and_then(Value::as_array).into_iter().flatten() {
            let role = turn.get("role").and_then(Value::as_str);
            let text = turn.pointer("/parts/0/text").and_then(Value::as_str).ok_or("a turn without a text")?;
            match role {
                Some("user") => self.note(text),
                Some("model") => self.texts.clear(),
                _ => return Err("a turn of neither the user nor the model".to_owned()),
            }
        }
        if self.history {
            self.history = !complete;
            out.extend(complete.then(|| hand_out(&self.setup.memory, &self.sessions)));
        } else if complete {
            self.end_turn(out);
        }
        Ok(())
    }

    fn outputs(&mut self, told: &Value, out: &mut Vec<Say>) -> Result<(), String> {
        let responses = told.get("functionResponses").and_then(Value::as_array).ok_or("no responses")?;
        for response in responses {
            let fields = only(response, &["id", "name", "response", "scheduling"])?;
            let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
            let at = self.calls.iter().position(|(id, name)| id == text("id") && *name == text("name"));
            let at = at.ok_or_else(|| format!("the output of {:?}, which is not awaited", text("id")))?;
            let output = fields.get("response").filter(|output| output.is_object()).ok_or("no object")?;
            if fields.contains_key("scheduling") && !self.setup.beside {
                return Err("scheduling of a function that is waited for".to_owned());
            }
            let output = output.get("output").and_then(Value::as_str).map_or_else(|| output.to_string(), str::to_owned);
            let (id, _) = self.calls.remove(at);
            lock(&self.setup.memory).text_tokens += output.len() as u64 / 4 + 1;
            let deeds = self.mind(|mind| mind.output(&id, &output))?;
            if !deeds.is_empty() {
                self.interrupt(out);
                self.do_all(deeds, out);
            }
        }
        Ok(())
    }

    fn updated(&mut self, update: &Value) -> Result<(), String> {
        let fields = only(update, &["systemInstruction", "tools"])?;
        if !self.setup.updates {
            return Err("an update, which this model does not know".to_owned());
        }
        if fields.contains_key("systemInstruction") {
            self.setup.instructions = gemini_setup::instruction(fields.get("systemInstruction"))?;
            self.setup.told_bytes += self.setup.instructions.len() as u64;
        }
        if let Some(tools) = fields.get("tools") {
            self.setup.beside = gemini_setup::tools(only(tools, &["tools"])?.get("tools"))?;
        }
        Ok(())
    }

    fn read(&mut self, message: &Value, out: &mut Vec<Say>) -> Result<(), String> {
        let known = ["realtimeInput", "clientContent", "toolResponse", "contextUpdate"];
        let mut fields = only(message, &known)?.iter();
        let (Some((name, value)), None) = (fields.next(), fields.next()) else {
            return Err("a message of one member".to_owned());
        };
        if self.history && name != "clientContent" {
            return Err("something before the history".to_owned());
        }
        match name.as_str() {
            "realtimeInput" => self.input(value, out),
            "clientContent" => self.told(value, out),
            "toolResponse" => self.outputs(value, out),
            _ => self.updated(value),
        }
    }

    /// A piece of speech, with some of its transcript before or after.
    fn speak(&mut self, out: &mut Vec<Say>) {
        let Some(piece) = self.voice.piece() else { return };
        self.made_ms += piece.len() as u64 / u64::from(RATE / 500);
        let data = STANDARD.encode(piece);
        out.push(part(json!({"inlineData": {"mimeType": format!("audio/pcm;rate={RATE}"), "data": data}})));
        out.extend(self.late.take().map(|text| content(json!({"inputTranscription": {"text": text}}))));
        let speaking = self.voice.speaking();
        // The last word lags behind the speech.
        if self.transcript.len() > 1
            && let Some(text) = self.transcript.pop_front()
        {
            out.push(content(json!({"outputTranscription": {"text": text}})));
        }
        if speaking {
            return;
        }
        let Turn::Making(began, ms) = self.turn else { return };
        self.turn = Turn::Playing(began, ms);
        out.push(content(json!({"generationComplete": true})));
        let rest: String = self.transcript.drain(..).collect();
        out.push(content(json!({"outputTranscription": {"text": rest, "finished": true}})));
    }
}

impl Vendor for Agent {
    fn text(&mut self, text: &str) -> Vec<Say> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let mut out = Vec::new();
        if let Err(message) = self.read(&message, &mut out) {
            out.push(Say::Violation(format!("gemini: {message}")));
            out.push(Say::Close(1007, "Request contains an invalid argument."));
        }
        out
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        self.text(&String::from_utf8_lossy(bytes))
    }

    fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    fn due(&self) -> Option<Instant> {
        let played = match self.turn {
            Turn::Playing(began, ms) => Some(began + Duration::from_millis(ms)),
            _ => None,
        };
        [self.voice.due(), played, self.leaves_at, self.cut_at].into_iter().flatten().min()
    }

    fn tick(&mut self) -> Vec<Say> {
        let (now, mut out) = (Instant::now(), Vec::new());
        if self.leaves_at.is_some_and(|at| at <= now) {
            self.leaves_at = None;
            self.cut_at = Some(now + LEAVES_IN);
            out.push(Say::Bytes(json!({"goAway": {"timeLeft": format!("{}s", LEAVES_IN.as_secs())}})));
        }
        if self.cut_at.is_some_and(|at| at <= now) {
            out.push(Say::Break);
            return out;
        }
        self.speak(&mut out);
        if let Turn::Playing(began, ms) = self.turn
            && began + Duration::from_millis(ms) <= now
        {
            self.complete(None, &mut out);
        }
        out
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        gemini::PATIENCE
    }
}
