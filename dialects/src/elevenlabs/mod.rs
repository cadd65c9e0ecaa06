//! `ElevenLabs`: text to speech with the voice in the path, and Scribe.
//!
//! Source: ElevenLabs's API reference and SDKs, read 2026-11-21.

use domain::provider::ProviderKind;

use crate::openai;
use crate::registry::{AuthStyle, Provider};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Elevenlabs,
    base_url: Some("https://api.elevenlabs.io"),
    path_prefix: "",
    auth: AuthStyle::Header("xi-api-key", ""),
    key_variable: Some("ELEVENLABS_API_KEY"),
    url_variable: None,
    in_process: false,
    models: &[],
    voices: &[],
    transcription: None,
    speech: None,
    json: None,
    realtime: None,
    fault: openai::errors::fault,
};
