//! Google: Cloud Speech-to-Text, Cloud Text-to-Speech and Gemini behind one account.
//!
//! Each service has a host of its own and takes JSON. A file travels in base64 within it; speech comes
//! back in base64, from the Cloud as one clip, from Gemini as a stream of samples. Which service a model
//! belongs to is in [`models`].
//!
//! Source: Google's API references and SDKs, read 2026-11-21.

pub mod agent;
mod answer;
mod decoders;
mod errors;
mod extension;
mod gemini_answer;
pub mod live;
mod models;
mod speech;
mod transcription;
mod wire;

use domain::provider::ProviderKind;

pub use self::errors::fault;
pub use self::speech::GoogleSpeech;
pub use self::transcription::GoogleTranscription;
use crate::registry::{AuthStyle, Provider};

pub(crate) const PROVIDER: Provider = Provider {
    kind: ProviderKind::Google,
    telemetry_name: "gcp.gen_ai",
    base_url: Some("https://generativelanguage.googleapis.com"),
    path_prefix: "",
    auth: AuthStyle::KeyOrServiceAccount("x-goog-api-key"),
    key_variable: Some("GOOGLE_API_KEY"),
    url_variable: None,
    voices_api: None,
    in_process: false,
    models: models::MODELS,
    voices: models::VOICES,
    transcription: Some(&GoogleTranscription),
    speech: Some(&GoogleSpeech),
    json: None,
    realtime: None,
    surface: None,
    live: Some(&live::GoogleLive),
    agent: Some(&agent::GoogleAgent),
    fault,
};
