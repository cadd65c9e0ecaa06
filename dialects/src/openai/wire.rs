//! Transcripts as OpenAI and those who follow it write them.
//!
//! Read leniently: ids are numbers or text, a duration may be text, fields may be missing or null.

use domain::transcription::{Segment, Transcript, Word};
use serde::Deserialize;
use serde_json::Value;

use super::usage::milliseconds;

/// `json`, `verbose_json` and `diarized_json`, whichever it is.
#[derive(Debug, Clone, Deserialize)]
pub struct WireTranscript {
    /// The whole text.
    pub text: String,
    /// English name or code.
    #[serde(default)]
    pub language: Option<String>,
    /// Seconds.
    #[serde(default)]
    pub duration: Option<Value>,
    /// Stretches with times.
    #[serde(default)]
    pub segments: Option<Vec<WireSegment>>,
    /// Words with times.
    #[serde(default)]
    pub words: Option<Vec<WireWord>>,
    /// Tokens or billed seconds.
    #[serde(default)]
    pub usage: Option<Value>,
}

/// One segment.
#[derive(Debug, Clone, Deserialize)]
pub struct WireSegment {
    /// Seconds from the start.
    #[serde(default)]
    pub start: f64,
    /// Seconds from the start.
    #[serde(default)]
    pub end: f64,
    /// What was said.
    #[serde(default)]
    pub text: String,
    /// Who said it.
    #[serde(default)]
    pub speaker: Option<String>,
}

/// One word.
#[derive(Debug, Clone, Deserialize)]
pub struct WireWord {
    /// The word.
    #[serde(default)]
    pub word: String,
    /// Seconds from the start.
    #[serde(default)]
    pub start: f64,
    /// Seconds from the start.
    #[serde(default)]
    pub end: f64,
}

impl WireTranscript {
    /// Length of the audio as the provider says.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        let seconds = match self.duration.as_ref()? {
            Value::String(text) => text.parse().ok()?,
            other => other.as_f64()?,
        };
        milliseconds(seconds)
    }

    /// The transcript without what is the provider's own. Whisper's family puts a space before text.
    #[must_use]
    pub fn into_transcript(self) -> Transcript {
        let duration_ms = self.duration_ms();
        let segments = self.segments.unwrap_or_default().into_iter().zip(0..).map(|(segment, id)| Segment {
            id,
            start: segment.start,
            end: segment.end,
            text: segment.text,
            speaker: segment.speaker,
        });
        let words = self.words.unwrap_or_default().into_iter();
        Transcript {
            text: self.text.trim_start().to_owned(),
            language: self.language,
            duration_ms,
            segments: segments.collect(),
            words: words.map(|word| Word { word: word.word, start: word.start, end: word.end }).collect(),
        }
    }
}
