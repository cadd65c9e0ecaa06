//! Voices: one name on every provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A voice name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Voice {
    /// What a client sends as `voice`.
    pub name: String,
    /// Name or kind of a provider to that provider's voice.
    pub map: BTreeMap<String, String>,
    /// `file`, `api` or `cli`; what the configuration file declares is changed there alone.
    pub managed_by: String,
}

/// What a voice name is to mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutVoice {
    /// Name or kind of a provider to that provider's voice.
    pub map: BTreeMap<String, String>,
}

/// Which voices are listed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListVoices {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// `name` (as told nothing) or `-name`; `-` is descending.
    pub sort: Option<VoiceSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

/// Orders of a list of voices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum VoiceSort {
    /// By name.
    #[default]
    #[serde(rename = "name")]
    Name,
    /// By name, backwards.
    #[serde(rename = "-name")]
    NameDescending,
}
