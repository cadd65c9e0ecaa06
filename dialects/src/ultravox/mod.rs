//! Ultravox: calls are made over REST and joined over a WebSocket.
//!
//! Source: Ultravox's API reference and SDKs, read 2026-11-21.

mod surface;

use domain::provider::ProviderKind;

use crate::openai;
use crate::registry::{AuthStyle, Provider};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Ultravox,
    base_url: Some("https://api.ultravox.ai/api"),
    path_prefix: "",
    auth: AuthStyle::Header("x-api-key", ""),
    key_variable: Some("ULTRAVOX_API_KEY"),
    url_variable: None,
    voices_api: None,
    in_process: false,
    models: &[],
    voices: &[],
    transcription: None,
    speech: None,
    json: None,
    realtime: None,
    surface: Some(&surface::SURFACE),
    live: None,
    agent: None,
    fault: openai::errors::fault,
};
