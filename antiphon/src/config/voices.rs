//! `voices`: one voice name on every provider.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One voice name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoiceConfig {
    /// What a client sends as `voice`.
    pub(crate) name: String,
    /// Provider (its configured name or its kind) to that provider's voice.
    pub(crate) map: BTreeMap<String, String>,
}
