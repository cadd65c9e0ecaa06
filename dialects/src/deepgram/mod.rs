//! Deepgram: speech to text and text to speech. Options travel in the query; a file is the body itself,
//! and a voice is a model.
//!
//! A file goes to `/v1/listen`, which answers with words, their times and utterances; segments, captions
//! and speakers in OpenAI's shapes are made from those. Speech comes from `/v1/speak` (Aura) or
//! `/v2/speak` (Flux). Live audio goes to `/v1/listen` or `/v2/listen` (Flux) as a WebSocket, and a conversation
//! to the voice agent, which has a host of its own.
//!
//! Source: Deepgram's API reference, `OpenAPI` document and SDKs, read 2026-11-21.

pub mod agent;
mod agent_abilities;
mod agent_messages;
mod agent_reply;
mod agent_settings;
mod agent_updates;
mod answer;
mod billing;
pub mod errors;
mod extension;
mod flux;
mod languages;
pub mod live;
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
    telemetry_name: "deepgram",
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
    live: Some(&live::DeepgramLive),
    agent: Some(&agent::DeepgramAgent),
    fault: errors::fault,
};

const fn transcribes(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Transcription] }
}

/// Files and live audio.
const fn listens(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Transcription, Operation::Realtime] }
}

/// Sessions alone.
const fn follows(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Realtime] }
}

const fn speaks(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Speech] }
}

/// Older models and single voices (`aura-2-thalia-en`) are there as well, for whoever declares them.
const MODELS: &[WellKnownModel] = &[
    listens("nova-3"),
    listens("nova-3-medical"),
    listens("nova-2"),
    listens("nova-2-meeting"),
    listens("nova-2-finance"),
    listens("nova-2-conversationalai"),
    listens("nova-2-voicemail"),
    listens("nova-2-video"),
    listens("nova-2-medical"),
    listens("nova-2-drivethru"),
    listens("nova-2-automotive"),
    listens("nova-2-phonecall"),
    listens("nova-2-atc"),
    listens("enhanced"),
    listens("base"),
    transcribes("whisper-tiny"),
    transcribes("whisper-base"),
    transcribes("whisper-small"),
    transcribes("whisper-medium"),
    transcribes("whisper-large"),
    follows("flux-general-en"),
    follows("flux-general-multi"),
    follows(agent::MODEL),
    speaks(voices::AURA_2),
    speaks(voices::AURA_1),
    speaks(voices::FLUX),
];
