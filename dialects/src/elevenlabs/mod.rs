//! `ElevenLabs`: speech with the voice in the path and the format in the query, Scribe, and agents.
//!
//! What `OpenAI` has no field for travels in the object `elevenlabs` (`options.rs`). Models differ in what
//! they take; one table for each operation says how. The answer's content type says `audio/mpeg` whatever
//! was asked, so nothing is read from it.
//!
//! Source: ElevenLabs's API reference and SDKs, read 2026-11-21.

pub mod agent;
mod agent_abilities;
mod agent_faults;
mod agent_hearing;
mod agent_socket;
mod agent_turn;
pub mod errors;
pub mod live;
mod options;
mod scribe;
pub mod speech;
mod surface;
pub mod transcription;
pub mod voices;

use domain::provider::{Operation, ProviderKind};

use crate::registry::{AuthStyle, Provider, WellKnownModel};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Elevenlabs,
    telemetry_name: "elevenlabs",
    base_url: Some("https://api.elevenlabs.io"),
    path_prefix: "",
    auth: AuthStyle::Header("xi-api-key", ""),
    key_variable: Some("ELEVENLABS_API_KEY"),
    url_variable: None,
    voices_api: Some(&voices::ElevenlabsVoices),
    in_process: false,
    models: MODELS,
    // Every account has its own, which are asked for.
    voices: &[],
    transcription: Some(&transcription::Scribe),
    speech: Some(&speech::ElevenlabsSpeech),
    json: None,
    realtime: Some(&agent::ElevenlabsRealtime),
    surface: Some(&surface::SURFACE),
    live: Some(&live::ElevenlabsLive),
    agent: Some(&agent::ElevenlabsAgents),
    fault: errors::fault,
};

const fn speaks(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Speech] }
}

const fn transcribes(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Transcription] }
}

const fn holds_sessions(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Realtime] }
}

const MODELS: &[WellKnownModel] = &[
    speaks("eleven_v4"),
    speaks("eleven_v4_turbo"),
    speaks("eleven_v3"),
    speaks("eleven_multilingual_v2"),
    speaks("eleven_flash_v2_5"),
    speaks("eleven_flash_v2"),
    speaks("eleven_turbo_v2_5"),
    speaks("eleven_turbo_v2"),
    transcribes("scribe_v3"),
    transcribes("scribe_v2"),
    transcribes("scribe_v2_medical"),
    holds_sessions("scribe_v2_realtime"),
    holds_sessions("scribe_v3_live"),
    holds_sessions("eleven_realtime_v1_mini"),
    holds_sessions("eleven_realtime_v1_max"),
];
