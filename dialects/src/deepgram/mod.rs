//! Deepgram: speech to text and text to speech. Options travel in the query, audio as the body itself.
//!
//! Source: Deepgram's API reference and SDKs, read 2026-11-21.

use domain::provider::ProviderKind;

use crate::openai;
use crate::registry::{AuthStyle, Provider};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Deepgram,
    base_url: Some("https://api.deepgram.com"),
    path_prefix: "",
    auth: AuthStyle::Header("authorization", "Token "),
    key_variable: Some("DEEPGRAM_API_KEY"),
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
