//! Deepgram's `/v1/listen`: interim results over a window, finals of three words, endpoints by silence.

use std::time::Duration;

use serde_json::{Value, json};

use super::hearing::{Encoding, Hearing, Word};
use super::{Query, REQUEST_ID, Say, Vendor, joined, seconds, unsure};

/// Words of a final result.
const PIECE: usize = 3;
/// Silence is told as an empty final after this.
const EMPTY_MS: u64 = 3_000;

const KNOWN: &[&str] = &[
    "model",
    "language",
    "encoding",
    "sample_rate",
    "channels",
    "interim_results",
    "punctuate",
    "smart_format",
    "endpointing",
    "utterance_end_ms",
    "vad_events",
    "keyterm",
    "keywords",
    "numerals",
    "profanity_filter",
    "tag",
];

struct Listen {
    hearing: Hearing,
    endpointing: Option<u64>,
    utterance_end: Option<u64>,
    vad_events: bool,
    window: Vec<Word>,
    /// Where the window begins.
    from_ms: u64,
    speaking: bool,
    /// The end of an utterance that `UtteranceEnd` has not told yet.
    spoken_to: Option<u64>,
}

/// How the audio is encoded, and its rate, as both of Deepgram's languages say it.
pub(super) fn encoding(query: &Query) -> Result<(Encoding, u32), String> {
    let encoding = match query.get("encoding") {
        Some("linear16") => Encoding::Linear,
        Some("mulaw") => Encoding::Ulaw,
        Some("alaw") => Encoding::Alaw,
        other => return Err(format!("encoding {other:?}")),
    };
    let rate = query.number("sample_rate").and_then(|rate| u32::try_from(rate).ok());
    Ok((encoding, rate.filter(|rate| (8_000..=48_000).contains(rate)).ok_or("headerless audio without a rate")?))
}

pub(super) fn open(query: &Query) -> Result<Box<dyn Vendor>, String> {
    query.only(KNOWN)?;
    let model = query.get("model").ok_or("no model")?;
    if !model.starts_with("nova") {
        return Err(format!("model {model}"));
    }
    let utterance_end = query.number("utterance_end_ms");
    if utterance_end.is_some_and(|ms| !(1000..=5000).contains(&ms)) {
        return Err("utterance_end_ms is from 1000 to 5000".to_owned());
    }
    if query.get("keyterm").is_some() && !model.starts_with("nova-3") {
        return Err("keyterm is for nova-3".to_owned());
    }
    let (encoding, rate) = encoding(query)?;
    Ok(Box::new(Listen {
        hearing: Hearing::new(encoding, rate),
        endpointing: match query.get("endpointing") {
            Some("false") => None,
            _ => Some(query.number("endpointing").unwrap_or(10)),
        },
        utterance_end,
        vad_events: query.get("vad_events") == Some("true"),
        window: Vec::new(),
        from_ms: 0,
        speaking: false,
        spoken_to: None,
    }))
}

impl Listen {
    fn results(&self, text: &str, is_final: bool, speech_final: bool, from_finalize: bool) -> Value {
        let word = |word: &Word| {
            json!({"word": word.text, "start": seconds(word.start_ms), "end": seconds(word.end_ms), "confidence": 0.9,
                "punctuated_word": word.text})
        };
        let now = self.hearing.now_ms();
        json!({"type": "Results", "channel_index": [0, 1], "start": seconds(self.from_ms),
            "duration": seconds(now - self.from_ms), "is_final": is_final, "speech_final": speech_final,
            "from_finalize": from_finalize, "channel": {"alternatives": [{"transcript": text, "confidence": 0.9,
            "words": self.window.iter().map(word).collect::<Vec<_>>()}]},
            "metadata": {"request_id": REQUEST_ID, "model_uuid": REQUEST_ID,
            "model_info": {"name": "general-nova-3", "version": "2025-07-31.0", "arch": "nova-3"}}})
    }

    fn settle(&mut self, speech_final: bool, from_finalize: bool, said: &mut Vec<Say>) {
        said.push(Say::Text(self.results(&joined(&self.window), true, speech_final, from_finalize)));
        if let Some(last) = self.window.last() {
            self.spoken_to = Some(last.end_ms);
        }
        said.push(Say::Final(std::mem::take(&mut self.window)));
        self.from_ms = self.hearing.now_ms();
    }

    fn step(&mut self, word: Option<Word>, said: &mut Vec<Say>) {
        if let Some(word) = word {
            if !self.speaking && self.vad_events {
                let started = json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": seconds(word.start_ms)});
                said.push(Say::Text(started));
            }
            self.speaking = true;
            self.window.push(word);
            said.push(Say::Text(self.results(&unsure(&self.window), false, false, false)));
            if self.window.len() == PIECE {
                self.settle(false, false, said);
            }
        }
        let silent = self.hearing.silent_ms();
        if self.speaking && self.endpointing.is_some_and(|ms| silent >= ms) {
            self.speaking = false;
            self.settle(true, false, said);
        }
        if let (Some(wait), Some(to)) = (self.utterance_end, self.spoken_to)
            && silent >= wait
        {
            self.spoken_to = None;
            said.push(Say::Text(json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": seconds(to)})));
        }
        if self.window.is_empty() && self.hearing.now_ms() - self.from_ms >= EMPTY_MS && silent >= EMPTY_MS {
            self.settle(false, false, said);
        }
    }

    fn flush(&mut self, from_finalize: bool, said: &mut Vec<Say>) {
        self.window.extend(self.hearing.cut());
        self.speaking = false;
        self.settle(false, from_finalize, said);
    }
}

impl Vendor for Listen {
    fn text(&mut self, text: &str) -> Vec<Say> {
        let mut said = Vec::new();
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message.get("type").and_then(Value::as_str) {
            Some("KeepAlive") => {}
            Some("Finalize") => self.flush(true, &mut said),
            Some("CloseStream") => {
                self.flush(false, &mut said);
                said.push(Say::Text(
                    json!({"type": "Metadata", "transaction_key": "deprecated", "request_id": REQUEST_ID,
                    "sha256": "", "created": "", "duration": seconds(self.hearing.now_ms()), "channels": 1}),
                ));
                said.push(Say::Close(1000, ""));
            }
            _ => {
                said.push(Say::Violation(format!("deepgram: {text}")));
                said.push(Say::Text(json!({"type": "Error", "variant": "SchemaError", "description": "unknown"})));
                said.push(Say::Close(1008, "DATA-0000"));
            }
        }
        said
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        if bytes.is_empty() {
            return vec![Say::Violation("deepgram: an empty frame".to_owned()), Say::Close(1000, "")];
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
        (Duration::from_secs(10), 1011, "NET-0001")
    }
}
