//! Ultravox: calls are made over REST and joined over a WebSocket.
//!
//! Source: Ultravox's API reference and SDKs, read 2026-11-21.

mod agent;
mod agent_abilities;
mod agent_asked;
mod agent_reply;
mod agent_tools;
pub mod errors;
mod surface;

use domain::provider::{Operation, ProviderKind};

use crate::registry::{AuthStyle, Provider, WellKnownModel};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Ultravox,
    telemetry_name: "ultravox",
    base_url: Some("https://api.ultravox.ai/api"),
    path_prefix: "",
    auth: AuthStyle::Header("x-api-key", ""),
    key_variable: Some("ULTRAVOX_API_KEY"),
    url_variable: None,
    voices_api: None,
    in_process: false,
    models: MODELS,
    voices: &[],
    transcription: None,
    speech: None,
    json: None,
    realtime: None,
    surface: Some(&surface::SURFACE),
    live: None,
    agent: Some(&agent::UltravoxAgents),
    fault: errors::fault,
};

/// The model of a call that names none. Every model has its price.
const DEFAULT_MODEL: &str = "ultravox-v0.7";

const fn model(name: &'static str) -> WellKnownModel {
    WellKnownModel { name, operations: &[Operation::Realtime] }
}

const MODELS: &[WellKnownModel] = &[model(DEFAULT_MODEL), model("ultravox-v0.6"), model("ultravox-v0.6-gemma3-27b")];
