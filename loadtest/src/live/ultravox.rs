//! A call at Ultravox: sound both ways in binary frames, messages about it in JSON. The agent answers each
//! utterance and each text with one sentence. A call in a room has nothing on its join socket but the way there.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::calls::{Joined, Medium};
use super::hearing::{Encoding, Hearing, Word};
use super::{Say, Vendor, joined};

/// Where calls are joined; the call's id follows.
pub(super) const PATH: &str = "/join/";
/// Silence that ends a turn.
const TURN_END_MS: u64 = 384;
/// What the agent says to everything.
const REPLY: &str = "Hello from the scripted upstream.";
/// How long the agent speaks.
const REPLY_MS: usize = 200;

struct Call {
    id: String,
    joined: Joined,
    hearing: Hearing,
    samples_per_ms: usize,
    words: Vec<Word>,
    /// Numbers the utterances of both sides.
    ordinal: u32,
}

pub(super) fn open(call: &str, joined: Joined) -> Box<dyn Vendor> {
    let rate = match joined.medium {
        Medium::Socket(rate) => rate,
        Medium::Room => return Box::new(Room(joined)),
    };
    let samples_per_ms = usize::try_from(rate / 1000).unwrap_or(1);
    let hearing = Hearing::new(Encoding::Linear, rate);
    Box::new(Call { id: call.to_owned(), joined, hearing, samples_per_ms, words: Vec::new(), ordinal: 0 })
}

/// The join socket of a call in a room.
struct Room(Joined);

impl Vendor for Room {
    fn opened(&mut self) -> Vec<Say> {
        let (url, token) = &self.0.room;
        vec![Say::Text(json!({"type": "room_info", "roomUrl": url, "token": token}))]
    }

    /// What does not fit into a packet of the room.
    fn text(&mut self, _text: &str) -> Vec<Say> {
        Vec::new()
    }

    fn binary(&mut self, _bytes: &[u8]) -> Vec<Say> {
        vec![Say::Violation("ultravox: sound on the join socket of a room".to_owned()), Say::Close(1008, "")]
    }

    fn heard_ms(&self) -> u64 {
        0
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (Duration::from_secs(3600), 1000, "")
    }

    fn over(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.0.over))
    }
}

/// What somebody hears who joins a call that is not there, or no more.
pub(super) fn refuse() -> Box<dyn Vendor> {
    Box::new(NoCall)
}

struct NoCall;

impl Vendor for NoCall {
    fn opened(&mut self) -> Vec<Say> {
        vec![Say::Close(4404, "There is no such call.")]
    }

    fn text(&mut self, _text: &str) -> Vec<Say> {
        Vec::new()
    }

    fn binary(&mut self, _bytes: &[u8]) -> Vec<Say> {
        Vec::new()
    }

    fn heard_ms(&self) -> u64 {
        0
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (Duration::ZERO, 1000, "")
    }
}

fn state(name: &str) -> Say {
    Say::Text(json!({"type": "state", "state": name}))
}

impl Call {
    fn transcript(&mut self, role: &str, medium: &str, text: &str) -> Say {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        Say::Text(json!({
            "type": "transcript", "role": role, "medium": medium, "text": text, "final": true, "ordinal": ordinal,
        }))
    }

    /// A turn: what the user said, and the agent's sentence in words and sound.
    fn turn(&mut self, medium: &str, said: &str) -> Vec<Say> {
        let user = self.transcript("user", medium, said);
        let ordinal = self.ordinal;
        let delta = json!({
            "type": "transcript", "role": "agent", "medium": "voice", "delta": REPLY, "final": false,
            "ordinal": ordinal,
        });
        let sound = Say::Audio(vec![1; self.samples_per_ms * REPLY_MS * 2]);
        let agent = self.transcript("agent", "voice", REPLY);
        vec![state("thinking"), user, state("speaking"), Say::Text(delta), sound, agent, state("listening")]
    }
}

impl Vendor for Call {
    fn opened(&mut self) -> Vec<Say> {
        vec![Say::Text(json!({"type": "call_started", "callId": self.id})), state("listening")]
    }

    fn text(&mut self, text: &str) -> Vec<Say> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "ping" => vec![Say::Text(json!({"type": "pong", "timestamp": message.get("timestamp")}))],
            "user_text_message" => self.turn("text", field("text")),
            "set_output_medium" => Vec::new(),
            "hang_up" => vec![Say::Close(1000, "")],
            other => vec![Say::Violation(format!("ultravox: a message of type {other:?}")), Say::Close(1008, "")],
        }
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        let mut said = Vec::new();
        let samples = self.hearing.decode(bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            self.words.extend(self.hearing.listen(step));
            if !self.words.is_empty() && self.hearing.silent_ms() >= TURN_END_MS {
                let words = std::mem::take(&mut self.words);
                said.extend(self.turn("voice", &joined(&words)));
                said.push(Say::Final(words));
            }
        }
        said
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (Duration::from_secs(30), 1000, "")
    }

    fn over(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.joined.over))
    }
}
