//! What a conversation is configured with as the client sees it, the updates that change it, and the JSON
//! that shows it.

use std::collections::BTreeMap;

use domain::audio::{PCM_24K, RealtimeFormat};
use serde_json::{Map, Value, json};

use super::abilities::Ability;
use super::gate::Gate;
use super::setup::{Medium, Setup, Tool, ToolChoice, Transcription};
use crate::live::events::{Refusal, missing};
use crate::live::settings::{Turns, read_format, read_names, read_noise_reduction, read_text, read_turns};
use crate::live::settings::{is_nothing, shown_format, shown_turns};

/// The longest texts and lists that a session keeps of its configuration.
pub(super) const MAX_INSTRUCTIONS_BYTES: usize = 512 * 1024;
const MAX_NAME_BYTES: usize = 256;
const MAX_PROMPT_BYTES: usize = 4096;
const MAX_TOOLS: usize = 128;
const MAX_TOOL_BYTES: usize = 64 * 1024;
const MAX_OUTPUT_TOKENS: u64 = 4096;

/// The voices that `OpenAI` has: a client that names one without knowing the vendor wants any.
const BUILT_IN_VOICES: [&str; 13] =
    ["alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"];

/// How the session deals with turns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TurnDetection {
    pub(super) kind: Turns,
    pub(super) create_response: bool,
    pub(super) interrupt_response: bool,
    pub(super) idle_timeout_ms: Option<u64>,
}

/// What a session begins with.
pub(super) fn usual_turns() -> TurnDetection {
    TurnDetection {
        kind: Turns::Silence { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 },
        create_response: true,
        interrupt_response: true,
        idle_timeout_ms: None,
    }
}

/// How the client wants to read the user: as it said so, and what an agent is told of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listening {
    pub(super) shown: Map<String, Value>,
    pub(super) words: Transcription,
}

/// The configuration of a session.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) model: String,
    /// The client has named the model itself.
    model_given: bool,
    pub(super) instructions: String,
    pub(super) output: Medium,
    pub(super) tools: Vec<Tool>,
    pub(super) tool_choice: ToolChoice,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) input_format: RealtimeFormat,
    pub(super) output_format: RealtimeFormat,
    pub(super) transcription: Option<Listening>,
    /// What the agent was told of it, which stays when the client reads no more.
    pub(super) agent_transcribes: Option<Transcription>,
    pub(super) turns: Option<TurnDetection>,
    /// As the client named it.
    pub(super) voice: Option<String>,
    /// The voice is a name that the vendor is told.
    pub(super) named_voice: bool,
    pub(super) speed: f64,
}

impl Settings {
    pub(super) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            model_given: false,
            instructions: String::new(),
            output: Medium::Audio,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            max_output_tokens: None,
            temperature: None,
            input_format: RealtimeFormat::Pcm16(PCM_24K),
            output_format: RealtimeFormat::Pcm16(PCM_24K),
            transcription: None,
            agent_transcribes: None,
            turns: Some(usual_turns()),
            voice: None,
            named_voice: false,
            speed: 1.0,
        }
    }

    /// Merges an update: what is absent stays, null clears.
    pub(super) fn merged(
        &self,
        session: &Map<String, Value>,
        voices: &BTreeMap<String, String>,
        gate: &Gate<'_>,
    ) -> Result<Self, Refusal> {
        match session.get("type").and_then(Value::as_str) {
            Some("realtime") => {}
            Some(_) => return Err(Refusal::value("session.type", "This session is of the type 'realtime'.")),
            None => return Err(missing("session.type")),
        }
        let mut next = self.clone();
        for (name, value) in session {
            match name.as_str() {
                "model" => next.name_model(value)?,
                "output_modalities" => next.output = read_modalities(value, "session.output_modalities")?,
                "instructions" => next.instructions = read_instructions(value, "session.instructions")?,
                "tools" => next.tools = read_tools(value, gate)?,
                "tool_choice" => next.tool_choice = read_tool_choice(value, "session.tool_choice")?,
                "max_output_tokens" => {
                    next.max_output_tokens = read_max_tokens(value, "session.max_output_tokens")?;
                }
                "temperature" => next.temperature = read_range(value, 0.0, 2.0, "session.temperature")?,
                "audio" => next.merge_audio(value, voices)?,
                "include" if !is_nothing(value) => {
                    gate.lets(Ability::Logprobs, "session.include")?;
                }
                "prompt" if !value.is_null() => {
                    gate.lets(Ability::StoredPrompt, "session.prompt")?;
                }
                "reasoning" if !value.is_null() => {
                    gate.lets(Ability::Reasoning, "session.reasoning")?;
                }
                "parallel_tool_calls" if value == &json!(false) => {
                    let why = "the provider decides by itself how many functions it calls at once";
                    return Err(gate.refusal("session.parallel_tool_calls", why));
                }
                // What `OpenAI` shows may be sent back, and the rest advises only.
                "type"
                | "id"
                | "object"
                | "expires_at"
                | "include"
                | "prompt"
                | "reasoning"
                | "parallel_tool_calls"
                | "truncation"
                | "tracing"
                | "metadata" => {}
                unknown => return Err(unknown_field("session", unknown)),
            }
        }
        Ok(next)
    }

    /// The name by which the client asked for the model is not known here, so the first one given is it.
    fn name_model(&mut self, value: &Value) -> Result<(), Refusal> {
        let Some(name) = read_text(value, "session.model", MAX_NAME_BYTES)? else { return Ok(()) };
        if self.model_given && name != self.model {
            return Err(Refusal::value("session.model", "The model of a session cannot be changed."));
        }
        (self.model, self.model_given) = (name, true);
        Ok(())
    }

    fn merge_audio(&mut self, audio: &Value, voices: &BTreeMap<String, String>) -> Result<(), Refusal> {
        for (name, side) in fields(audio, "session.audio")? {
            match name.as_str() {
                "input" => self.merge_input(side)?,
                "output" => self.merge_output(side, voices)?,
                unknown => return Err(unknown_field("session.audio", unknown)),
            }
        }
        Ok(())
    }

    fn merge_input(&mut self, input: &Value) -> Result<(), Refusal> {
        for (name, value) in fields(input, "session.audio.input")? {
            match name.as_str() {
                "format" if value.is_null() => {}
                "format" => self.input_format = read_format(value)?,
                // It advises only, and must be right nevertheless.
                "noise_reduction" => drop(read_noise_reduction(value)?),
                "transcription" => self.transcription = read_listening(value, self.transcription.take())?,
                "turn_detection" => self.turns = read_turn_detection(value)?,
                unknown => return Err(unknown_field("session.audio.input", unknown)),
            }
        }
        Ok(())
    }

    fn merge_output(&mut self, output: &Value, voices: &BTreeMap<String, String>) -> Result<(), Refusal> {
        for (name, value) in fields(output, "session.audio.output")? {
            match name.as_str() {
                "format" if value.is_null() => {}
                "format" => self.output_format = read_output_format(value, "session.audio.output.format")?,
                "voice" => {
                    self.voice = read_voice(value, "session.audio.output.voice")?;
                    self.named_voice = self.provider_voice(voices).is_some();
                }
                "speed" => {
                    self.speed = read_range(value, 0.25, 1.5, "session.audio.output.speed")?.unwrap_or(1.0);
                }
                unknown => return Err(unknown_field("session.audio.output", unknown)),
            }
        }
        Ok(())
    }

    /// The provider's name of the voice; `None` for its own choice.
    fn provider_voice(&self, voices: &BTreeMap<String, String>) -> Option<String> {
        let named = self.voice.as_ref()?;
        match voices.get(named) {
            Some(voice) => Some(voice.clone()),
            None if BUILT_IN_VOICES.contains(&named.as_str()) => None,
            None => Some(named.clone()),
        }
    }

    /// The configuration as an agent needs it.
    pub(super) fn setup(&self, target: &super::session::Target) -> Setup {
        let words = self.transcription.as_ref().map(|listening| listening.words.clone());
        Setup {
            model: target.model.wire_name.clone(),
            options: target.model.options.clone(),
            instructions: self.instructions.clone(),
            voice: self.provider_voice(&target.voices),
            speed: self.speed,
            temperature: self.temperature,
            max_output_tokens: self.max_output_tokens,
            output: self.output,
            tools: self.tools.clone(),
            tool_choice: self.tool_choice.clone(),
            input_format: self.input_format,
            output_format: self.output_format,
            turns: self.turns.map(|turns| turns.kind),
            create_response: self.turns.is_some_and(|turns| turns.create_response),
            interrupt_response: self.turns.is_some_and(|turns| turns.interrupt_response),
            transcription: words.or_else(|| self.agent_transcribes.clone()),
            history: Vec::new(),
        }
    }

    /// The session as `session.created` and `session.updated` show it.
    pub(super) fn shown(&self, id: &str) -> Value {
        let mut shown = json!({
            "type": "realtime", "object": "realtime.session", "id": id, "expires_at": null,
            "model": self.model, "output_modalities": modalities(self.output), "instructions": self.instructions,
            "tools": self.tools.iter().map(shown_tool).collect::<Vec<_>>(), "tool_choice": self.shown_choice(),
            "max_output_tokens": self.shown_max_tokens(), "parallel_tool_calls": true, "reasoning": null,
            "truncation": "auto", "tracing": null, "prompt": null, "include": null,
            "audio": {
                "input": {
                    "format": shown_format(self.input_format), "noise_reduction": null,
                    "transcription": self.transcription.as_ref().map(|listening| &listening.shown),
                    "turn_detection": self.turns.map(shown_turn_detection),
                },
                "output": {
                    "format": shown_format(self.output_format), "voice": self.voice, "speed": self.speed,
                },
            },
        });
        if let (Some(temperature), Some(shown)) = (self.temperature, shown.as_object_mut()) {
            shown.insert("temperature".to_owned(), json!(temperature));
        }
        shown
    }

    pub(super) fn shown_max_tokens(&self) -> Value {
        self.max_output_tokens.map_or_else(|| json!("inf"), |most| json!(most))
    }

    fn shown_choice(&self) -> Value {
        match &self.tool_choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Function(name) => json!({"type": "function", "name": name}),
        }
    }
}

/// A medium as `output_modalities` names it.
pub(super) fn modalities(medium: Medium) -> Value {
    match medium {
        Medium::Audio => json!(["audio"]),
        Medium::Text => json!(["text"]),
    }
}

fn shown_tool(tool: &Tool) -> Value {
    json!({"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters})
}

fn shown_turn_detection(turns: TurnDetection) -> Value {
    let mut shown = shown_turns(turns.kind);
    if let Some(fields) = shown.as_object_mut() {
        if matches!(turns.kind, Turns::Silence { .. }) {
            fields.insert("idle_timeout_ms".to_owned(), json!(turns.idle_timeout_ms));
        }
        fields.insert("create_response".to_owned(), turns.create_response.into());
        fields.insert("interrupt_response".to_owned(), turns.interrupt_response.into());
    }
    shown
}

/// The fields of an object; null has none.
fn fields<'a>(value: &'a Value, name: &'static str) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, Refusal> {
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

fn read_range(value: &Value, least: f64, most: f64, field: &'static str) -> Result<Option<f64>, Refusal> {
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

fn read_listening(value: &Value, before: Option<Listening>) -> Result<Option<Listening>, Refusal> {
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

fn read_turn_detection(value: &Value) -> Result<Option<TurnDetection>, Refusal> {
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
