//! Which fields and formats each transcription model takes.
//!
//! Source: OpenAI's API reference and observed refusals, read 2026-11-21.

use domain::transcription::TranscriptFormat;

/// What one model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Formats that are asked for as they are. Others are made from what is here, where it has the data.
    pub formats: &'static [TranscriptFormat],
    /// `verbose_json` is asked for whatever the client wants, because only it tells the duration.
    pub always_verbose: bool,
    /// `timestamp_granularities[]`.
    pub granularities: bool,
    /// `prompt`, and its longest form in bytes.
    pub prompt_bytes: Option<usize>,
    /// `include[]`.
    pub include: bool,
    /// `language` as it is; models with `languages[]` alone get it there.
    pub language: bool,
    /// `languages[]`.
    pub languages: bool,
    /// `keywords[]`.
    pub keywords: bool,
    /// Server-sent events while the work goes on.
    pub stream: bool,
    /// `chunking_strategy`.
    pub chunking: bool,
    /// `chunking_strategy` is refused when absent, so `auto` is sent.
    pub chunking_required: bool,
    /// `known_speaker_names[]` and `known_speaker_references[]`.
    pub speakers: bool,
    /// Serves translation into English.
    pub translates: bool,
}

use TranscriptFormat::{DiarizedJson, Json, Srt, Text, VerboseJson, Vtt};

const UNBOUNDED: Option<usize> = Some(usize::MAX);

/// `whisper-1`: every caption format and word times, no stream.
pub const WHISPER: Capabilities = Capabilities {
    formats: &[Json, Text, Srt, VerboseJson, Vtt],
    always_verbose: false,
    granularities: true,
    prompt_bytes: UNBOUNDED,
    include: false,
    language: true,
    languages: false,
    keywords: false,
    stream: false,
    chunking: false,
    chunking_required: false,
    speakers: false,
    translates: true,
};

/// `gpt-4o-transcribe` and `-mini`: tokens. Their `text` would come without usage, so it is made from
/// `json` here.
pub const GPT_4O: Capabilities = Capabilities {
    formats: &[Json],
    granularities: false,
    include: true,
    stream: true,
    chunking: true,
    translates: false,
    ..WHISPER
};

/// `gpt-4o-transcribe-diarize`: speakers, no prompt; refuses to work without `chunking_strategy`.
pub const DIARIZE: Capabilities = Capabilities {
    formats: &[Json, DiarizedJson],
    prompt_bytes: None,
    include: false,
    chunking_required: true,
    speakers: true,
    ..GPT_4O
};

/// `gpt-transcribe`: several languages and keywords.
pub const GPT_TRANSCRIBE: Capabilities =
    Capabilities { include: false, language: false, languages: true, keywords: true, ..GPT_4O };

/// A model that is not known here: everything is passed on, and the provider judges.
pub const PERMISSIVE: Capabilities = Capabilities {
    formats: TranscriptFormat::ALL,
    always_verbose: false,
    granularities: true,
    prompt_bytes: UNBOUNDED,
    include: true,
    language: true,
    languages: true,
    keywords: true,
    stream: true,
    chunking: true,
    chunking_required: false,
    speakers: true,
    translates: true,
};

/// OpenAI's models and Azure's names of them; dated names share their model's row.
#[must_use]
pub fn openai(model: &str) -> Capabilities {
    let is = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("-20"));
    match model {
        _ if is("whisper-1") || is("whisper") => WHISPER,
        _ if is("gpt-4o-transcribe-diarize") => DIARIZE,
        _ if is("gpt-4o-transcribe") || is("gpt-4o-mini-transcribe") => GPT_4O,
        _ if is("gpt-transcribe") => GPT_TRANSCRIBE,
        _ => PERMISSIVE,
    }
}

/// Every model of a server about which nothing is known.
#[must_use]
pub fn permissive(_model: &str) -> Capabilities {
    PERMISSIVE
}
