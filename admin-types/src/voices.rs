//! Voices: one name on every provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use crate::words::words;

/// Most characters of a voice's name, here and at a provider.
pub const MAX_NAME_CHARS: usize = 128;
/// Most providers that one voice is mapped for.
pub const MAX_ENTRIES: usize = 64;

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
    #[schema(schema_with = map)]
    pub map: BTreeMap<String, String>,
}

fn map() -> Object {
    let voice = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_NAME_CHARS))
        .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$"));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Name or kind of a provider to that provider's voice."))
        .additional_properties(Some(voice))
        .min_properties(Some(1))
        .max_properties(Some(MAX_ENTRIES))
        .build()
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
    #[param(inline)]
    pub sort: Option<VoiceSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of voices.
    #[derive(Default)]
    VoiceSort {
        /// By name.
        #[default]
        Name = "name",
        /// By name, backwards.
        NameDescending = "-name",
    }
}
