//! What a conversation is configured with as the client sees it, the updates that change it, and the JSON
//! that shows it.

use std::collections::BTreeMap;

use domain::audio::{PCM_24K, RealtimeFormat};
use serde_json::{Map, Value, json};

use super::abilities::Ability;
use super::fields::{
    MAX_NAME_BYTES, fields, read_instructions, read_listening, read_max_tokens, read_modalities, read_output_format,
    read_range, read_tool_choice, read_tools, read_turn_detection, read_voice, unknown_field,
};
use super::gate::Gate;
use super::setup::{Medium, Setup, Tool, ToolChoice, Transcription};
use crate::live::events::{Refusal, missing};
use crate::live::settings::{
    Turns, is_nothing, read_format, read_noise_reduction, read_text, shown_format, shown_turns,
};

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
        let mut output = json!({"format": shown_format(self.output_format), "speed": self.speed});
        self.show_voice(&mut output);
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
                "output": output,
            },
        });
        if let (Some(temperature), Some(shown)) = (self.temperature, shown.as_object_mut()) {
            shown.insert("temperature".to_owned(), json!(temperature));
        }
        shown
    }

    /// A voice of the vendor's own choice has no name that could be shown.
    pub(super) fn show_voice(&self, output: &mut Value) {
        if let (Some(voice), Some(output)) = (&self.voice, output.as_object_mut()) {
            output.insert("voice".to_owned(), voice.as_str().into());
        }
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
