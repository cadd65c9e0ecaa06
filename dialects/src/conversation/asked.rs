//! What a client wants of one response, beside the session's configuration.

use serde_json::{Map, Value};

use super::abilities::Ability;
use super::fields::{
    read_instructions, read_max_tokens, read_modalities, read_output_format, read_tool_choice, read_tools, read_voice,
    unknown_field,
};
use super::gate::Gate;
use super::settings::Settings;
use super::setup::Medium;
use crate::live::events::Refusal;

/// The most that `metadata` holds.
const MAX_METADATA: usize = 16;
const MAX_METADATA_BYTES: usize = 16 * 1024;

/// A question.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Asked {
    pub(super) instructions: Option<String>,
    pub(super) medium: Option<Medium>,
    pub(super) metadata: Value,
}

impl Asked {
    /// Reads the `response` of `response.create`. What the session has anyhow is never refused.
    pub(super) fn read(response: &Map<String, Value>, settings: &Settings, gate: &Gate<'_>) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        for (name, value) in response {
            match name.as_str() {
                "conversation" => match value.as_str() {
                    Some("auto") => {}
                    None if value.is_null() => {}
                    Some("none") => out_of_band(gate, "response.conversation")?,
                    _ => return Err(Refusal::value("response.conversation", "'conversation' is 'auto' or 'none'.")),
                },
                "input" if !value.is_null() => out_of_band(gate, "response.input")?,
                "instructions" => {
                    let instructions = read_instructions(value, "response.instructions")?;
                    let given = !instructions.is_empty() && instructions != settings.instructions;
                    if given && gate.lets(Ability::ResponseInstructions, "response.instructions")? {
                        asked.instructions = Some(instructions);
                    }
                }
                "output_modalities" => {
                    let same = read_modalities(value, "response.output_modalities")? == settings.output;
                    other(gate, same, "response.output_modalities")?;
                }
                "audio" => read_audio(value, settings, gate)?,
                "tools" => {
                    let same = read_tools(value, gate)? == settings.tools;
                    other(gate, same || value.is_null(), "response.tools")?;
                }
                "tool_choice" => {
                    let same = read_tool_choice(value, "response.tool_choice")? == settings.tool_choice;
                    other(gate, same || value.is_null(), "response.tool_choice")?;
                }
                "max_output_tokens" => {
                    let most = read_max_tokens(value, "response.max_output_tokens")?;
                    other(gate, most == settings.max_output_tokens || value.is_null(), "response.max_output_tokens")?;
                }
                "prompt" if !value.is_null() => {
                    gate.lets(Ability::StoredPrompt, "response.prompt")?;
                }
                "reasoning" if !value.is_null() => {
                    gate.lets(Ability::Reasoning, "response.reasoning")?;
                }
                "metadata" => asked.metadata = read_metadata(value)?,
                "input" | "prompt" | "reasoning" | "parallel_tool_calls" => {}
                unknown => return Err(unknown_field("response", unknown)),
            }
        }
        Ok(asked)
    }
}

/// A response beside the conversation has no order, whatever the table says.
fn out_of_band(gate: &Gate<'_>, field: &'static str) -> Result<(), Refusal> {
    if gate.lets(Ability::OutOfBand, field)? {
        return Err(gate.refusal(field, "every response is a part of the conversation"));
    }
    Ok(())
}

/// Something that is other than the session's.
fn other(gate: &Gate<'_>, same: bool, field: &'static str) -> Result<(), Refusal> {
    if !same && gate.lets(Ability::ResponseSettings, field)? {
        return Err(gate.refusal(field, "it holds for the whole session, and is changed by 'session.update'"));
    }
    Ok(())
}

fn read_audio(audio: &Value, settings: &Settings, gate: &Gate<'_>) -> Result<(), Refusal> {
    let Some(output) = audio.get("output") else { return Ok(()) };
    if let Some(format) = output.get("format").filter(|format| !format.is_null()) {
        let field = "response.audio.output.format";
        other(gate, read_output_format(format, field)? == settings.output_format, field)?;
    }
    if let Some(voice) = output.get("voice").filter(|voice| !voice.is_null()) {
        let field = "response.audio.output.voice";
        other(gate, read_voice(voice, field)? == settings.voice, field)?;
    }
    Ok(())
}

fn read_metadata(metadata: &Value) -> Result<Value, Refusal> {
    let fits = match metadata {
        Value::Null => true,
        Value::Object(fields) => {
            fields.len() <= MAX_METADATA
                && fields.values().all(Value::is_string)
                && metadata.to_string().len() <= MAX_METADATA_BYTES
        }
        _ => false,
    };
    if !fits {
        let message = format!("'response.metadata' is an object of at most {MAX_METADATA} texts.");
        return Err(Refusal::value("response.metadata", message));
    }
    Ok(metadata.clone())
}
