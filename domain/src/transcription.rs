//! Transcription and translation: the request as a client means it, and the result.

use serde::{Deserialize, Serialize};

use crate::provider::{Extensions, named};

named! {
    /// `response_format` of a transcription.
    TranscriptFormat, "response_format", {
        /// `{"text"}` with usage.
        Json = "json",
        /// Plain text.
        Text = "text",
        /// `SubRip` captions.
        Srt = "srt",
        /// Segments, and words where asked.
        VerboseJson = "verbose_json",
        /// `WebVTT` captions.
        Vtt = "vtt",
        /// Segments with speakers.
        DiarizedJson = "diarized_json",
    }
}

impl TranscriptFormat {
    /// Whether the format cannot be made without times of segments or words.
    #[must_use]
    pub const fn needs_timing(self) -> bool {
        matches!(self, Self::Srt | Self::Vtt | Self::VerboseJson | Self::DiarizedJson)
    }
}

/// One form field beside the file, in the order it came. Names are as sent (`include[]`).
pub type FormField = (String, String);

/// A transcription or translation without its audio, which travels as a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TranscriptionRequest {
    /// The model the client named.
    pub model: String,
    /// ISO-639-1 code, where given.
    pub language: Option<String>,
    /// Several languages that may be spoken (`languages[]`).
    pub languages: Vec<String>,
    /// Words to bias to (`keywords[]`).
    pub keywords: Vec<String>,
    /// Text that precedes or guides.
    pub prompt: Option<String>,
    /// `None` stands for `json`.
    pub response_format: Option<TranscriptFormat>,
    /// 0 to 1, as the client wrote it.
    pub temperature: Option<String>,
    /// `timestamp_granularities[]`: word.
    pub word_timestamps: bool,
    /// `timestamp_granularities[]`: segment.
    pub segment_timestamps: bool,
    /// `include[]`, such as `logprobs`.
    pub include: Vec<String>,
    /// Answer as server-sent events.
    pub stream: bool,
    /// `chunking_strategy` as JSON text: `"auto"` or an object, whichever way it was sent.
    pub chunking_strategy: Option<String>,
    /// `known_speaker_names[]`.
    pub known_speaker_names: Vec<String>,
    /// `known_speaker_references[]`, data URLs.
    pub known_speaker_references: Vec<String>,
    /// Objects named after a provider kind, with what only that kind takes.
    pub extensions: Extensions,
}

impl TranscriptionRequest {
    /// The format asked for.
    #[must_use]
    pub fn format(&self) -> TranscriptFormat {
        self.response_format.unwrap_or(TranscriptFormat::Json)
    }
}

/// A stretch of speech with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Counted from 0.
    pub id: u64,
    /// Seconds from the start of the audio.
    pub start: f64,
    /// Seconds from the start of the audio.
    pub end: f64,
    /// What was said.
    pub text: String,
    /// Speaker label, where diarized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

/// A word with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word as spoken.
    pub word: String,
    /// Seconds from the start of the audio.
    pub start: f64,
    /// Seconds from the start of the audio.
    pub end: f64,
}

/// What a provider made of the audio.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transcript {
    /// The whole text.
    pub text: String,
    /// Name or code as the provider gave it.
    pub language: Option<String>,
    /// Milliseconds, where the provider reports it.
    pub duration_ms: Option<u64>,
    /// Empty where the provider has none.
    pub segments: Vec<Segment>,
    /// Empty where the provider has none or none were asked for.
    pub words: Vec<Word>,
}
