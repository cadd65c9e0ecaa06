//! Google: Cloud Speech-to-Text and Text-to-Speech, and Gemini.
//!
//! Source: Google's API reference and SDKs, read 2026-11-21.

use domain::provider::ProviderKind;

use crate::openai;
use crate::registry::{AuthStyle, Provider};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Google,
    base_url: Some("https://generativelanguage.googleapis.com"),
    path_prefix: "",
    auth: AuthStyle::Header("x-goog-api-key", ""),
    key_variable: Some("GOOGLE_API_KEY"),
    url_variable: None,
    voices_api: None,
    in_process: false,
    models: &[],
    voices: &[],
    transcription: None,
    speech: None,
    json: None,
    realtime: None,
    fault: openai::errors::fault,
};
