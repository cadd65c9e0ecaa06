//! The one table of providers.

use domain::provider::{Operation, ProviderKind};

use crate::contract::{
    JsonDialect, RealtimeOpener, SpeechDialect, TranscriptionDialect, UpstreamModel, VoiceDirectory,
};
use crate::conversation::agent::AgentOpener;
use crate::error::Fault;
use crate::live::LiveOpener;
use crate::rows;
use crate::surface::Surface;

/// Where a provider wants its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthStyle {
    /// This header with this text before the key.
    Header(&'static str, &'static str),
    /// This header with the key. A credential that is a service account of Google's, in JSON, is exchanged
    /// for a token, which goes as a bearer instead.
    KeyOrServiceAccount(&'static str),
    /// No credential at all.
    None,
}

/// A model that exists at a provider without being declared.
#[derive(Debug, Clone, Copy)]
pub struct WellKnownModel {
    /// The provider's name of it.
    pub name: &'static str,
    /// What it can do.
    pub operations: &'static [Operation],
}

/// A voice that exists at a provider without being declared.
#[derive(Debug, Clone, Copy)]
pub struct WellKnownVoice {
    /// The provider's name of it.
    pub name: &'static str,
    /// BCP-47, where one language is meant.
    pub language: Option<&'static str>,
    /// `female` or `male`, where known.
    pub gender: Option<&'static str>,
    /// Models that have it; empty for all.
    pub models: &'static [&'static str],
}

/// One provider kind: what it can do and how it is spoken to.
#[expect(missing_debug_implementations, reason = "a table of functions")]
pub struct Provider {
    /// The kind this row is for.
    pub kind: ProviderKind,
    /// What `OpenTelemetry`'s conventions call it: `gen_ai.provider.name`.
    pub telemetry_name: &'static str,
    /// Base URL of the vendor; `None` where the operator must name one, or where there is none.
    pub base_url: Option<&'static str>,
    /// Appended to the base URL before every path (Azure: `/openai/v1`).
    pub path_prefix: &'static str,
    /// Where the credential goes.
    pub auth: AuthStyle,
    /// The environment variable of its credential, where it has a usual one.
    pub key_variable: Option<&'static str>,
    /// The environment variable of its base URL, where the credential alone is not enough.
    pub url_variable: Option<&'static str>,
    /// Lists an account's own voices, whose ids are not their names.
    pub voices_api: Option<&'static dyn VoiceDirectory>,
    /// Runs in this process instead of being called over the network.
    pub in_process: bool,
    /// Models without declaration.
    pub models: &'static [WellKnownModel],
    /// Voices without declaration.
    pub voices: &'static [WellKnownVoice],
    /// Transcription and translation over HTTP.
    pub transcription: Option<&'static dyn TranscriptionDialect>,
    /// Speech over HTTP.
    pub speech: Option<&'static dyn SpeechDialect>,
    /// Chat and embeddings over HTTP.
    pub json: Option<&'static dyn JsonDialect>,
    /// Realtime sessions.
    pub realtime: Option<&'static dyn RealtimeOpener>,
    /// The vendor's own paths, for its own SDKs.
    pub surface: Option<&'static Surface>,
    /// Live transcription in a language of its own.
    pub live: Option<&'static dyn LiveOpener>,
    /// Conversations in a language of its own.
    pub agent: Option<&'static dyn AgentOpener>,
    /// Classifies a refusal: status and body of the answer.
    pub fault: fn(u16, &[u8]) -> Fault,
}

impl Provider {
    /// Whether the kind does such a thing at all, with some model.
    #[must_use]
    pub const fn has(&self, operation: Operation) -> bool {
        match operation {
            Operation::Transcription | Operation::Translation => self.transcription.is_some(),
            Operation::Speech => self.speech.is_some(),
            Operation::Chat | Operation::Embeddings => self.json.is_some(),
            Operation::Realtime => self.realtime.is_some() || self.live.is_some() || self.agent.is_some(),
            Operation::Passthrough => self.surface.is_some(),
        }
    }

    /// The family under which a model is priced that has no price of its own.
    #[must_use]
    pub fn family(&self, model: &UpstreamModel) -> Option<&'static str> {
        let agents = self.agent.and_then(|agents| agents.priced_as(model));
        agents.or_else(|| self.surface.and_then(|surface| (surface.priced_as)(&model.model)))
    }
}

/// Every provider kind, one row each. Nothing else in the workspace matches on the kind.
pub static PROVIDERS: &[Provider] = rows::PROVIDERS;

/// The row of a kind.
#[must_use]
pub fn provider(kind: ProviderKind) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|row| row.kind == kind)
}
