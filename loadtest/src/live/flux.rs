//! Deepgram Flux, `/v2/listen`: the whole turn in every message, the end of a turn by its timeout.

use std::time::Duration;

use serde_json::{Value, json};

use super::hearing::{Hearing, Word};
use super::{Query, Say, Vendor, deepgram, joined, seconds, unsure};

/// A message comes this often.
const UPDATE_MS: u64 = 240;

const KNOWN: &[&str] = &[
    "model",
    "encoding",
    "sample_rate",
    "eager_eot_threshold",
    "eot_threshold",
    "eot_timeout_ms",
    "keyterm",
    "language_hint",
    "profanity_filter",
    "numerals",
    "redact",
    "mip_opt_out",
    "tag",
];

struct Flux {
    hearing: Hearing,
    timeout_ms: u64,
    sequence: u64,
    turn: u64,
    words: Vec<Word>,
    updated_ms: u64,
}

pub(super) fn open(query: &Query) -> Result<Box<dyn Vendor>, String> {
    query.only(KNOWN)?;
    let model = query.get("model").ok_or("no model")?;
    if !model.starts_with("flux-general-") {
        return Err(format!("model {model}"));
    }
    if query.get("language_hint").is_some() && model != "flux-general-multi" {
        return Err("language_hint is for flux-general-multi".to_owned());
    }
    let timeout_ms = query.number("eot_timeout_ms").unwrap_or(5_000);
    if !(500..=60_000).contains(&timeout_ms) {
        return Err("eot_timeout_ms is from 500 to 60000".to_owned());
    }
    let (encoding, rate) = deepgram::encoding(query)?;
    let hearing = Hearing::new(encoding, rate);
    Ok(Box::new(Flux { hearing, timeout_ms, sequence: 0, turn: 0, words: Vec::new(), updated_ms: 0 }))
}

impl Flux {
    fn numbered(&mut self, mut message: Value) -> Say {
        if let Some(fields) = message.as_object_mut() {
            fields.insert("request_id".to_owned(), super::REQUEST_ID.into());
            fields.insert("sequence_id".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        Say::Text(message)
    }

    fn turn_info(&mut self, event: &str, text: &str) -> Say {
        let word = |word: &Word| json!({"word": word.text, "confidence": 0.9, "start": seconds(word.start_ms), "end": seconds(word.end_ms)});
        let words: Vec<_> = self.words.iter().map(word).collect();
        let end = seconds(self.hearing.now_ms());
        self.updated_ms = self.hearing.now_ms();
        self.numbered(json!({"type": "TurnInfo", "event": event, "turn_index": self.turn, "audio_window_start": 0.0,
            "audio_window_end": end, "transcript": text, "words": words, "end_of_turn_confidence": 0.5}))
    }

    fn end_turn(&mut self, said: &mut Vec<Say>) {
        let text = joined(&self.words);
        said.push(self.turn_info("EndOfTurn", &text));
        said.push(Say::Final(std::mem::take(&mut self.words)));
        self.turn += 1;
    }

    fn step(&mut self, word: Option<Word>, said: &mut Vec<Say>) {
        if let Some(word) = word {
            let event = if self.words.is_empty() { "StartOfTurn" } else { "Update" };
            self.words.push(word);
            let text = unsure(&self.words);
            said.push(self.turn_info(event, &text));
        }
        if !self.words.is_empty() && self.hearing.silent_ms() >= self.timeout_ms {
            self.end_turn(said);
        }
        if self.hearing.now_ms() - self.updated_ms >= UPDATE_MS {
            let text = unsure(&self.words);
            said.push(self.turn_info("Update", &text));
        }
    }
}

impl Vendor for Flux {
    fn opened(&mut self) -> Vec<Say> {
        vec![self.numbered(json!({"type": "Connected"}))]
    }

    fn text(&mut self, text: &str) -> Vec<Say> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let mut said = Vec::new();
        if message.get("type").and_then(Value::as_str) == Some("CloseStream") {
            self.words.extend(self.hearing.cut());
            if !self.words.is_empty() {
                self.end_turn(&mut said);
            }
            said.push(Say::Close(1000, ""));
            return said;
        }
        // A sign of life in text is what ends a connection here.
        said.push(Say::Violation(format!("flux: {text}")));
        said.push(
            self.numbered(json!({"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "unknown"})),
        );
        said.push(Say::Close(1011, ""));
        said
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        if bytes.is_empty() {
            return vec![Say::Violation("flux: an empty frame".to_owned()), Say::Close(1000, "")];
        }
        let mut said = Vec::new();
        let samples = self.hearing.decode(bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            let word = self.hearing.listen(step);
            self.step(word, &mut said);
        }
        said
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (Duration::from_secs(25), 1011, "")
    }
}
