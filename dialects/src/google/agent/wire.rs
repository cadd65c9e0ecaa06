//! What Gemini says in a session. Any number of members may stand in one message. One that is not understood
//! counts as absent; only the speech itself, whose frames are many, is read without that care.
//!
//! Source: the Gemini Live API reference, read 2026-11-21.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::conversation::agent::Incoming;

/// A message.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Message<'a> {
    #[serde(deserialize_with = "tolerant")]
    pub(super) setup_complete: Option<Map<String, Value>>,
    #[serde(borrow)]
    pub(super) server_content: Option<Content<'a>>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) tool_call: Option<ToolCalls>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) tool_call_cancellation: Option<Cancellation>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) go_away: Option<GoAway>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) session_resumption_update: Option<Resumption>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) voice_activity: Option<Activity>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) usage_metadata: Option<Value>,
}

impl<'a> Message<'a> {
    /// Reads a frame: text and bytes hold the same JSON.
    pub(super) fn read(frame: Incoming<'a>) -> Option<Self> {
        match frame {
            Incoming::Text(text) => serde_json::from_str(text).ok(),
            Incoming::Binary(bytes) => serde_json::from_slice(bytes).ok(),
        }
    }
}

/// `serverContent`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) model_turn: Option<ModelTurn<'a>>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) input_transcription: Option<Transcription>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) output_transcription: Option<Transcription>,
    #[serde(deserialize_with = "tolerant")]
    interrupted: Option<bool>,
    #[serde(deserialize_with = "tolerant")]
    generation_complete: Option<bool>,
    #[serde(deserialize_with = "tolerant")]
    turn_complete: Option<bool>,
    #[serde(deserialize_with = "tolerant")]
    pub(super) turn_complete_reason: Option<String>,
}

impl Content<'_> {
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted == Some(true)
    }

    pub(super) fn generation_complete(&self) -> bool {
        self.generation_complete == Some(true)
    }

    pub(super) fn turn_complete(&self) -> bool {
        self.turn_complete == Some(true)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelTurn<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<Part<'a>>>,
}

/// A piece of what the model makes. A thought is not for the user.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) inline_data: Option<Blob<'a>>,
    #[serde(deserialize_with = "tolerant")]
    thought: Option<bool>,
}

impl Part<'_> {
    pub(super) fn thought(&self) -> bool {
        self.thought == Some(true)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    #[serde(borrow)]
    pub(super) mime_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) data: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Transcription {
    #[serde(default)]
    pub(super) text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolCalls {
    #[serde(default)]
    pub(super) function_calls: Vec<FunctionCall>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall {
    #[serde(default)]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) args: Value,
}

#[derive(Deserialize)]
pub(super) struct Cancellation {
    #[serde(default)]
    pub(super) ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GoAway {
    #[serde(default, deserialize_with = "tolerant")]
    pub(super) time_left: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resumption {
    #[serde(default)]
    pub(super) new_handle: String,
    #[serde(default)]
    pub(super) resumable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Activity {
    #[serde(default)]
    pub(super) voice_activity_type: String,
}

/// A value that is absent where it has another shape.
fn tolerant<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}
