//! Deepgram: speech to text and text to speech. Options travel in the query; a file is the body itself,
//! and a voice is a model.
//!
//! A file goes to `/v1/listen`, which answers with words, their times and utterances; segments, captions
//! and speakers in OpenAI's shapes are made from those. Speech comes from `/v1/speak` (Aura) or
//! `/v2/speak` (Flux). Live models are not served here.
//!
//! Source: Deepgram's API reference, `OpenAPI` document and SDKs, read 2026-11-21.

mod answer;
mod billing;
pub mod errors;
mod extension;
mod languages;
mod models;
mod query;
pub mod speech;
mod surface;
pub mod transcription;
mod voices;

use domain::provider::{Operation, ProviderKind};

use crate::registry::{AuthStyle, Provider, WellKnownModel};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Deepgram,
    base_url: Some("https://api.deepgram.com"),
    path_prefix: "",
    auth: AuthStyle::Header("authorization", "Token "),
    key_variable: Some("DEEPGRAM_API_KEY"),
    url_variable: None,
    voices_api: None,
    in_process: false,
    models: MODELS,
    voices: voices::VOICES,
    transcription: Some(&transcription::DeepgramTranscription),
    speech: Some(&speech::DeepgramSpeech),
    json: None,
    realtime: None,
    surface: Some(&surface::SURFACE),
    fault: errors::fault,
};

const fn transcribes(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Transcription] }
}

const fn speaks(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Speech] }
}

/// Older models and single voices (`aura-2-thalia-en`) are there as well, for whoever declares them.
const MODELS: &[WellKnownModel] = &[
    transcribes("nova-3"),
    transcribes("nova-3-medical"),
    transcribes("nova-2"),
    transcribes("nova-2-meeting"),
    transcribes("nova-2-finance"),
    transcribes("nova-2-conversationalai"),
    transcribes("nova-2-voicemail"),
    transcribes("nova-2-video"),
    transcribes("nova-2-medical"),
    transcribes("nova-2-drivethru"),
    transcribes("nova-2-automotive"),
    transcribes("nova-2-phonecall"),
    transcribes("nova-2-atc"),
    transcribes("enhanced"),
    transcribes("base"),
    transcribes("whisper-tiny"),
    transcribes("whisper-base"),
    transcribes("whisper-small"),
    transcribes("whisper-medium"),
    transcribes("whisper-large"),
    speaks(voices::AURA_2),
    speaks(voices::AURA_1),
    speaks(voices::FLUX),
];
