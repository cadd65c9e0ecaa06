//! The fields of a session's configuration as they stand on the wire.

use domain::audio::RealtimeFormat;
use serde_json::{Map, Value, json};

use super::abilities::Ability;
use super::gate::Gate;
use super::settings::{Listening, TurnDetection};
use super::setup::{Medium, Tool, ToolChoice, Transcription};
use crate::live::events::Refusal;
use crate::live::settings::{read_format, read_names, read_text, read_turns};

/// The longest texts and lists that a session keeps of its configuration.
const MAX_INSTRUCTIONS_BYTES: usize = 512 * 1024;
pub(super) const MAX_NAME_BYTES: usize = 256;
const MAX_PROMPT_BYTES: usize = 4096;
const MAX_TOOLS: usize = 128;
const MAX_TOOL_BYTES: usize = 64 * 1024;
const MAX_OUTPUT_TOKENS: u64 = 4096;

/// The fields of an object; null has none.
pub(super) fn fields<'a>(
    value: &'a Value,
    name: &'static str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, Refusal> {
    match value {
        Value::Null => Ok(None.into_iter().flatten()),
        Value::Object(fields) => Ok(Some(fields).into_iter().flatten()),
        _ => Err(Refusal::value(name, format!("'{name}' must be an object."))),
    }
}

/// A field that does not exist.
pub(super) fn unknown_field(place: &'static str, name: &str) -> Refusal {
    let name: String = name.chars().take(64).collect();
    Refusal::new("unknown_parameter", format!("Unknown parameter: '{place}.{name}'."), Some(place))
}

pub(super) fn read_instructions(value: &Value, field: &'static str) -> Result<String, Refusal> {
    Ok(read_text(value, field, MAX_INSTRUCTIONS_BYTES)?.unwrap_or_default())
}

pub(super) fn read_modalities(value: &Value, field: &'static str) -> Result<Medium, Refusal> {
    let names: Option<Vec<&str>> = value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
    match names.as_deref() {
        Some(["audio"]) => Ok(Medium::Audio),
        Some(["text"]) => Ok(Medium::Text),
        None if value.is_null() => Ok(Medium::Audio),
        _ => Err(Refusal::value(field, format!("'{field}' is [\"audio\"] or [\"text\"]."))),
    }
}

pub(super) fn read_output_format(value: &Value, field: &'static str) -> Result<RealtimeFormat, Refusal> {
    read_format(value).map_err(|refusal| Refusal { param: Some(field), ..refusal })
}

pub(super) fn read_voice(value: &Value, field: &'static str) -> Result<Option<String>, Refusal> {
    read_text(value.get("id").unwrap_or(value), field, MAX_NAME_BYTES)
}

pub(super) fn read_max_tokens(value: &Value, field: &'static str) -> Result<Option<u32>, Refusal> {
    match value.as_u64() {
        Some(most) if (1..=MAX_OUTPUT_TOKENS).contains(&most) => Ok(u32::try_from(most).ok()),
        None if value.is_null() || value == "inf" => Ok(None),
        _ => Err(Refusal::value(field, format!("'{field}' is from 1 to {MAX_OUTPUT_TOKENS}, or \"inf\"."))),
    }
}

pub(super) fn read_range(value: &Value, least: f64, most: f64, field: &'static str) -> Result<Option<f64>, Refusal> {
    match value.as_f64() {
        Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
        None if value.is_null() => Ok(None),
        _ => Err(Refusal::value(field, format!("'{field}' must be from {least} to {most}."))),
    }
}

pub(super) fn read_tool_choice(value: &Value, field: &'static str) -> Result<ToolChoice, Refusal> {
    match (value.as_str(), value.get("type").and_then(Value::as_str)) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some("function")) => match value.get("name").and_then(Value::as_str) {
            Some(name) => Ok(ToolChoice::Function(name.to_owned())),
            None => Err(Refusal::value(field, format!("'{field}' must name its function."))),
        },
        (None, None) if value.is_null() => Ok(ToolChoice::Auto),
        _ => Err(Refusal::value(field, format!("'{field}' is 'auto', 'none', 'required' or a function."))),
    }
}

pub(super) fn read_tools(value: &Value, gate: &Gate<'_>) -> Result<Vec<Tool>, Refusal> {
    const FIELD: &str = "session.tools";
    let tools = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(tools) if tools.len() <= MAX_TOOLS => tools,
        _ => return Err(Refusal::value(FIELD, format!("'{FIELD}' must be a list of at most {MAX_TOOLS} tools."))),
    };
    let mut read: Vec<Tool> = Vec::new();
    for tool in tools {
        match tool.get("type").and_then(Value::as_str) {
            Some("function") => {}
            Some("mcp") => {
                gate.lets(Ability::McpTools, FIELD)?;
                continue;
            }
            _ => return Err(Refusal::value(FIELD, "A tool is of the type 'function' or 'mcp'.")),
        }
        let name = tool.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| Refusal::new("missing_required_parameter", "A tool has no name.", Some(FIELD)))?;
        let parameters = tool.get("parameters").filter(|schema| !schema.is_null()).cloned();
        let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        if !parameters.is_object() || name.len() > MAX_NAME_BYTES || tool.to_string().len() > MAX_TOOL_BYTES {
            let message = format!("A tool has an object of parameters, and at most {MAX_TOOL_BYTES} bytes.");
            return Err(Refusal::value(FIELD, message));
        }
        if read.iter().any(|other| other.name == name) {
            return Err(Refusal::value(FIELD, "Two tools have the same name."));
        }
        let description = tool.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        read.push(Tool { name: name.to_owned(), description, parameters });
    }
    Ok(read)
}

pub(super) fn read_listening(value: &Value, before: Option<Listening>) -> Result<Option<Listening>, Refusal> {
    use crate::live::settings::param;
    let wanted = match value {
        Value::Null => return Ok(None),
        Value::Object(wanted) => wanted,
        _ => {
            let field = "session.audio.input.transcription";
            return Err(Refusal::value(field, format!("'{field}' must be an object or null.")));
        }
    };
    let mut listening = before.unwrap_or_else(|| Listening { shown: Map::new(), words: Transcription::default() });
    for (name, value) in wanted {
        match name.as_str() {
            "model" => drop(read_text(value, param::MODEL, MAX_NAME_BYTES)?),
            "language" => {
                let language = read_text(value, param::LANGUAGE, MAX_NAME_BYTES)?;
                listening.words.languages = language.into_iter().collect();
            }
            "languages" => listening.words.languages = read_names(value, param::LANGUAGES)?,
            "keywords" => listening.words.keywords = read_names(value, param::KEYWORDS)?,
            "prompt" => listening.words.prompt = read_text(value, param::PROMPT, MAX_PROMPT_BYTES)?,
            "delay" => drop(read_text(value, "session.audio.input.transcription.delay", MAX_NAME_BYTES)?),
            unknown => return Err(unknown_field("session.audio.input.transcription", unknown)),
        }
        listening.shown.insert(name.clone(), value.clone());
    }
    Ok(Some(listening))
}

pub(super) fn read_turn_detection(value: &Value) -> Result<Option<TurnDetection>, Refusal> {
    use crate::live::settings::param::TURNS;
    let Some(kind) = read_turns(value)? else { return Ok(None) };
    let flag = |name: &str| match value.get(name) {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Refusal::value(TURNS, format!("'{name}' must be true or false."))),
    };
    let idle_timeout_ms = match value.get("idle_timeout_ms") {
        None | Some(Value::Null) => None,
        Some(given) => match given.as_u64() {
            Some(ms) if (5_000..=30_000).contains(&ms) => Some(ms),
            _ => return Err(Refusal::value(TURNS, "'idle_timeout_ms' must be from 5000 to 30000, or null.")),
        },
    };
    let (create_response, interrupt_response) = (flag("create_response")?, flag("interrupt_response")?);
    Ok(Some(TurnDetection { kind, create_response, interrupt_response, idle_timeout_ms }))
}
