//! ElevenLabs' realtime Scribe: partial transcripts of the segment, commits by hand or by silence, and the
//! second copy of every commit.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::hearing::{Encoding, Hearing, Word};
use super::{Query, Say, Vendor, joined, unsure};

/// Audio that a commit needs.
const LEAST_COMMIT_MS: u64 = 300;

const KNOWN: &[&str] = &[
    "model_id",
    "audio_format",
    "commit_strategy",
    "vad_silence_threshold_secs",
    "vad_threshold",
    "min_speech_duration_ms",
    "min_silence_duration_ms",
    "language_code",
    "secondary_languages",
    "include_timestamps",
    "include_language_detection",
    "keyterms",
    "no_verbatim",
    "filter_background_audio",
    "enable_logging",
    "token",
];

struct Scribe {
    hearing: Hearing,
    rate: u32,
    /// Silence that commits; `None` leaves it to the client.
    silence_ms: Option<u64>,
    words: Vec<Word>,
    committed_ms: u64,
    first: bool,
}

pub(super) fn open(query: &Query) -> Result<Box<dyn Vendor>, String> {
    query.only(KNOWN)?;
    let model = query.get("model_id").ok_or("no model_id")?;
    if !matches!(model, "scribe_v2_realtime" | "scribe_v3_live") {
        return Err(format!("model_id {model}"));
    }
    if query.get("language_code").is_some_and(|code| !(2..=3).contains(&code.len())) {
        return Err("language_code is a bare code".to_owned());
    }
    let (encoding, rate) = match query.get("audio_format") {
        Some("ulaw_8000") => (Encoding::Ulaw, 8_000),
        Some(format) => match format.strip_prefix("pcm_").and_then(|rate| rate.parse().ok()) {
            Some(rate @ (8_000 | 16_000 | 22_050 | 24_000 | 44_100 | 48_000)) => (Encoding::Linear, rate),
            _ => return Err(format!("audio_format {format}")),
        },
        None => (Encoding::Linear, 16_000),
    };
    let silence = query.get("vad_silence_threshold_secs").map_or(Some(1.5), |secs| secs.parse::<f64>().ok());
    let silence = silence.filter(|secs| (0.3..=3.0).contains(secs)).ok_or("vad_silence_threshold_secs")?;
    let silence_ms = match query.get("commit_strategy") {
        Some("vad") => Some(Duration::from_secs_f64(silence).as_millis().try_into().unwrap_or(1_500)),
        Some("manual") | None => None,
        Some(other) => return Err(format!("commit_strategy {other}")),
    };
    let hearing = Hearing::new(encoding, rate);
    Ok(Box::new(Scribe { hearing, rate, silence_ms, words: Vec::new(), committed_ms: 0, first: true }))
}

impl Scribe {
    fn commit(&mut self, said: &mut Vec<Say>) {
        self.words.extend(self.hearing.cut());
        self.committed_ms = self.hearing.now_ms();
        let text = joined(&self.words);
        said.push(Say::Text(json!({"message_type": "committed_transcript", "text": text})));
        let copy = json!({"message_type": "committed_transcript_with_timestamps", "text": text, "words": []});
        said.push(Say::Text(copy));
        said.push(Say::Final(std::mem::take(&mut self.words)));
    }

    fn hear(&mut self, bytes: &[u8], said: &mut Vec<Say>) {
        let samples = self.hearing.decode(bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            if let Some(word) = self.hearing.listen(step) {
                self.words.push(word);
                said.push(Say::Text(json!({"message_type": "partial_transcript", "text": unsure(&self.words)})));
            }
            let silent = self.hearing.silent_ms();
            if !self.words.is_empty() && self.silence_ms.is_some_and(|ms| silent >= ms) {
                self.commit(said);
            }
        }
    }

    fn chunk(&mut self, message: &Value, said: &mut Vec<Say>) -> Option<()> {
        let fields = message.as_object()?;
        let known = ["message_type", "audio_base_64", "commit", "sample_rate", "previous_text"];
        let first = std::mem::take(&mut self.first);
        let sound = fields.keys().all(|key| known.contains(&key.as_str()))
            && fields.get("message_type")? == "input_audio_chunk"
            && fields.get("sample_rate")? == self.rate
            && (first || fields.get("previous_text").is_none_or(Value::is_null));
        if !sound {
            return None;
        }
        let audio = STANDARD.decode(fields.get("audio_base_64")?.as_str()?).ok()?;
        self.hear(&audio, said);
        if fields.get("commit")?.as_bool()? {
            if self.hearing.now_ms() - self.committed_ms < LEAST_COMMIT_MS {
                said.push(Say::Violation("scribe: a commit of too little audio".to_owned()));
                said.push(Say::Text(json!({"message_type": "commit_throttled", "error": "not enough audio"})));
                said.push(Say::Close(1000, ""));
            } else {
                self.commit(said);
            }
        }
        Some(())
    }
}

impl Vendor for Scribe {
    fn opened(&mut self) -> Vec<Say> {
        let config = json!({"sample_rate": self.rate, "model_id": "scribe"});
        vec![Say::Text(json!({"message_type": "session_started", "session_id": "s", "config": config}))]
    }

    fn text(&mut self, text: &str) -> Vec<Say> {
        let mut said = Vec::new();
        let message = serde_json::from_str(text).unwrap_or_default();
        if self.chunk(&message, &mut said).is_none() {
            let shown: String = text.chars().take(200).collect();
            said.push(Say::Violation(format!("scribe: {shown}")));
            said.push(Say::Text(json!({"message_type": "input_error", "error": "the message is not valid"})));
            said.push(Say::Close(1008, "invalid message"));
        }
        said
    }

    fn binary(&mut self, _bytes: &[u8]) -> Vec<Say> {
        vec![Say::Violation("scribe: a binary frame".to_owned()), Say::Close(1008, "binary frames are not taken")]
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (Duration::from_secs(12), 1000, "")
    }
}
