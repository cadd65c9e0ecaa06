//! Speech: the request as a client means it.

use serde::{Deserialize, Serialize};

use crate::audio::SpeechFormat;
use crate::provider::Extensions;

/// How speech is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamFormat {
    /// The bytes of the audio.
    #[default]
    Audio,
    /// Server-sent events with base64 audio.
    Sse,
}

/// A voice by name or by the id of a custom voice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Voice {
    /// A built-in voice, or a name of the configuration's voice map.
    Name(String),
    /// A custom voice.
    Id {
        /// The provider's id of it.
        id: String,
    },
}

impl Voice {
    /// The name or the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Id { id } => id,
        }
    }
}

/// Text to be spoken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeechRequest {
    /// The model the client named.
    pub model: String,
    /// What to say.
    pub input: String,
    /// Who says it.
    pub voice: Voice,
    /// How to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// `None` stands for `mp3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<SpeechFormat>,
    /// 0.25 to 4.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// `None` stands for `audio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_format: Option<StreamFormat>,
    /// What else was sent. An object named after a provider kind holds what only that kind takes.
    #[serde(flatten)]
    pub extensions: Extensions,
}

impl SpeechRequest {
    /// The format asked for.
    #[must_use]
    pub fn format(&self) -> SpeechFormat {
        self.response_format.unwrap_or(SpeechFormat::Mp3)
    }

    /// Characters as providers bill them: Unicode scalar values of the input.
    #[must_use]
    pub fn characters(&self) -> u64 {
        self.input.chars().count() as u64
    }
}
