//! Gemini's live transcription: a setup first and once, JSON in binary frames, final transcriptions with
//! offsets, and the end of a turn that is not always told. A setup of a model that converses hands the
//! connection to [`gemini_agent`](super::gemini_agent).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::gemini_agent;
use super::gemini_setup::Sessions;
use super::hearing::{Encoding, Hearing, Word};
use super::{Say, Vendor, joined, seconds, unsure};

/// The one method.
pub(super) const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

/// A silent client is left after this.
pub(super) const PATIENCE: (Duration, u16, &str) =
    (Duration::from_secs(60), 1011, "Deadline expired before operation could complete.");

struct Gemini {
    hearing: Hearing,
    /// `None` before the setup; then the silence that ends a turn, which without detection is the client's.
    silence_ms: Option<Option<u64>>,
    active: bool,
    words: Vec<Word>,
    turns: u32,
}

/// What the setup decides on.
struct Unset {
    sessions: Sessions,
    chosen: Option<Box<dyn Vendor>>,
}

pub(super) fn open(sessions: &Sessions) -> Result<Box<dyn Vendor>, String> {
    Ok(Box::new(Unset { sessions: Sessions::clone(sessions), chosen: None }))
}

impl Unset {
    fn choose(&mut self, text: &str) -> Vec<Say> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let model = message.pointer("/setup/model").and_then(Value::as_str);
        if let (Some(setup), Some(model)) = (message.get("setup"), model)
            && !model.contains("transcribe")
        {
            return match gemini_agent::open(setup, &self.sessions) {
                Ok((agent, said)) => {
                    self.chosen = Some(agent);
                    said
                }
                Err(said) => said,
            };
        }
        let hearing = Hearing::new(Encoding::Linear, 16_000);
        let mut gemini = Gemini { hearing, silence_ms: None, active: false, words: Vec::new(), turns: 0 };
        let said = gemini.text(text);
        self.chosen = Some(Box::new(gemini));
        said
    }
}

impl Vendor for Unset {
    fn text(&mut self, text: &str) -> Vec<Say> {
        match &mut self.chosen {
            Some(chosen) => chosen.text(text),
            None => self.choose(text),
        }
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        self.text(&String::from_utf8_lossy(bytes))
    }

    fn heard_ms(&self) -> u64 {
        self.chosen.as_ref().map_or(0, |chosen| chosen.heard_ms())
    }

    fn due(&self) -> Option<Instant> {
        self.chosen.as_ref()?.due()
    }

    fn tick(&mut self) -> Vec<Say> {
        self.chosen.as_mut().map(|chosen| chosen.tick()).unwrap_or_default()
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        PATIENCE
    }
}

impl Gemini {
    fn set_up(&mut self, setup: &Value) -> Result<Vec<Say>, String> {
        if self.silence_ms.is_some() {
            return Err("a second setup".to_owned());
        }
        let model = setup.get("model").and_then(Value::as_str).unwrap_or_default();
        if !model.starts_with("models/gemini-") || !model.contains("transcribe-live") {
            return Err(format!("model {model}"));
        }
        if setup.pointer("/generationConfig/responseModalities") != Some(&json!(["TEXT"])) {
            return Err("the modality is text".to_owned());
        }
        let detection = setup.pointer("/realtimeInputConfig/automaticActivityDetection").ok_or("no detection")?;
        let by_hand = detection.get("disabled") == Some(&json!(true));
        let silence = detection.get("silenceDurationMs").and_then(Value::as_u64).unwrap_or(500);
        self.silence_ms = Some((!by_hand).then_some(silence));
        Ok(vec![Say::Bytes(json!({"setupComplete": {"sessionId": "s"}}))])
    }

    fn end_turn(&mut self, said: &mut Vec<Say>) {
        self.words.extend(self.hearing.cut());
        if let (Some(first), Some(last)) = (self.words.first(), self.words.last()) {
            let offset = |ms| format!("{}s", seconds(ms));
            said.push(Say::Bytes(json!({"serverContent": {"inputTranscription": {"text": joined(&self.words),
                "languageCode": "en", "startOffset": offset(first.start_ms), "endOffset": offset(last.end_ms)}}})));
            said.push(Say::Final(std::mem::take(&mut self.words)));
        }
        self.turns += 1;
        // Every third end is left out.
        if !self.turns.is_multiple_of(3) {
            said.push(Say::Bytes(json!({"serverContent": {"turnComplete": true, "interactionStatus": "IDLE"}})));
        }
    }

    fn input(&mut self, input: &Value, said: &mut Vec<Say>) -> Result<(), String> {
        let silence_ms = self.silence_ms.ok_or("audio before the setup")?;
        if input.get("activityStart").is_some() {
            self.active = true;
            return if silence_ms.is_none() { Ok(()) } else { Err("activity with detection".to_owned()) };
        }
        if input.get("activityEnd").is_some() {
            if !std::mem::take(&mut self.active) {
                return Err("the end of no activity".to_owned());
            }
            self.end_turn(said);
            return Ok(());
        }
        if input.get("audioStreamEnd").is_some() {
            self.end_turn(said);
            return if silence_ms.is_some() { Ok(()) } else { Err("audioStreamEnd without detection".to_owned()) };
        }
        let audio = input.get("audio").ok_or("an input of no kind")?;
        if audio.get("mimeType") != Some(&json!("audio/pcm;rate=16000")) {
            return Err("the audio is 16 kHz".to_owned());
        }
        if silence_ms.is_none() && !self.active {
            return Err("audio outside of an activity".to_owned());
        }
        let data = audio.get("data").and_then(Value::as_str).unwrap_or_default();
        let bytes = STANDARD.decode(data).map_err(|error| error.to_string())?;
        let samples = self.hearing.decode(&bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            if let Some(word) = self.hearing.listen(step) {
                self.words.push(word);
                let text = unsure(&self.words);
                said.push(Say::Bytes(json!({"serverContent": {"interimInputTranscription": {"text": text}}})));
            }
            let silent = self.hearing.silent_ms();
            if !self.words.is_empty() && silence_ms.is_some_and(|ms| silent >= ms) {
                self.end_turn(said);
            }
        }
        Ok(())
    }
}

impl Vendor for Gemini {
    fn text(&mut self, text: &str) -> Vec<Say> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let mut said = Vec::new();
        let read = match (message.get("setup"), message.get("realtimeInput")) {
            (Some(setup), _) => self.set_up(setup).map(|answer| said.extend(answer)),
            (None, Some(input)) => self.input(input, &mut said),
            (None, None) => Err("a message of no kind".to_owned()),
        };
        if let Err(message) = read {
            said.push(Say::Violation(format!("gemini: {message}")));
            said.push(Say::Close(1007, "Request contains an invalid argument."));
        }
        said
    }

    fn binary(&mut self, bytes: &[u8]) -> Vec<Say> {
        self.text(&String::from_utf8_lossy(bytes))
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        PATIENCE
    }
}
