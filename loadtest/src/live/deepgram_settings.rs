//! What Deepgram's voice agent accepts as a configuration: every object has the fields that the vendor
//! lists and no others, so that a misspelt or misplaced one is found.
//!
//! Source: Deepgram's `AsyncAPI` document and its pages on the agent's settings, read 2026-11-21.

use serde_json::Value;

use super::hearing::Encoding;

/// The most characters of a prompt.
const PROMPT_CHARS: usize = 25_000;

/// A configuration that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) input: (Encoding, u32),
    pub(super) output: (Encoding, u32),
    pub(super) history: bool,
    pub(super) greeting: Option<String>,
    pub(super) listen: Listen,
    pub(super) think: Think,
}

/// How the agent listens.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listen {
    /// What an update must repeat: version and model.
    pub(super) identity: (String, String),
    /// Silence that ends a turn.
    pub(super) turn_end_ms: u64,
}

/// How the agent thinks.
#[derive(Debug, Clone, Default)]
pub(super) struct Think {
    pub(super) prompt: String,
    pub(super) functions: Vec<String>,
}

impl Settings {
    /// Reads `Settings`.
    ///
    /// # Errors
    /// Says what the vendor does not take.
    pub(super) fn read(message: &Value) -> Result<Self, String> {
        only(message, &["type", "tags", "experimental", "flags", "mip_opt_out", "audio", "agent"])?;
        let audio = field(message, "audio")?;
        only(audio, &["input", "output"])?;
        let agent = field(message, "agent")?;
        only(agent, &["language", "context", "listen", "think", "speak", "greeting"])?;
        speak(field(agent, "speak")?)?;
        if let Some(context) = agent.get("context") {
            context_messages(context)?;
        }
        Ok(Self {
            input: format(field(audio, "input")?, &["encoding", "sample_rate"])?,
            output: format(field(audio, "output")?, &["encoding", "sample_rate", "bitrate", "container"])?,
            history: message.pointer("/flags/history") != Some(&Value::Bool(false)),
            greeting: agent.get("greeting").map(text).transpose()?.filter(|text| !text.is_empty()),
            listen: listen(field(agent, "listen")?)?,
            think: think(field(agent, "think")?)?,
        })
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, String> {
    value.get(name).ok_or_else(|| format!("no {name}"))
}

/// A field, or null.
pub(super) fn part<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// A text.
pub(super) fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(ToOwned::to_owned).ok_or_else(|| format!("{value} is no text"))
}

/// An object with no other fields than these.
pub(super) fn only(value: &Value, known: &[&str]) -> Result<(), String> {
    let fields = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown field {name}")),
        None => Ok(()),
    }
}

fn format(format: &Value, known: &[&str]) -> Result<(Encoding, u32), String> {
    only(format, known)?;
    if format.get("container").is_some_and(|container| container != "none") {
        return Err("a container of raw audio".to_owned());
    }
    let rate = field(format, "sample_rate")?.as_u64().and_then(|rate| u32::try_from(rate).ok());
    let rate = rate.filter(|rate| (8_000..=48_000).contains(rate)).ok_or("sample_rate")?;
    match format.get("encoding").and_then(Value::as_str) {
        Some("linear16") => Ok((Encoding::Linear, rate)),
        Some("mulaw") if rate == 8_000 => Ok((Encoding::Ulaw, rate)),
        Some("alaw") if rate == 8_000 => Ok((Encoding::Alaw, rate)),
        other => Err(format!("encoding {other:?} at {rate} Hz")),
    }
}

fn context_messages(context: &Value) -> Result<(), String> {
    only(context, &["messages"])?;
    for message in field(context, "messages")?.as_array().ok_or("messages is no list")? {
        only(message, &["type", "role", "content"])?;
        text(field(message, "content")?)?;
        let role = part(message, "role");
        if part(message, "type") != "History" || !(role == "user" || role == "assistant") {
            return Err(format!("a message of the history is {message}"));
        }
    }
    Ok(())
}

/// `listen`, of the settings or of an update.
pub(super) fn listen(listen: &Value) -> Result<Listen, String> {
    only(listen, &["provider"])?;
    let provider = field(listen, "provider")?;
    let model = text(field(provider, "model")?)?;
    if part(provider, "type") != "deepgram" {
        return Err("only Deepgram listens".to_owned());
    }
    if part(provider, "version") != "v2" {
        only(provider, &["type", "version", "model", "language", "keyterms", "smart_format"])?;
        return Ok(Listen { identity: ("v1".to_owned(), model), turn_end_ms: 500 });
    }
    only(
        provider,
        &[
            "type",
            "version",
            "model",
            "language_hints",
            "eot_threshold",
            "eager_eot_threshold",
            "eot_timeout_ms",
            "keyterms",
        ],
    )?;
    if !model.starts_with("flux-general-") {
        return Err(format!("version v2 of {model}"));
    }
    if provider.get("language_hints").is_some() && model != "flux-general-multi" {
        return Err("language_hints is for flux-general-multi".to_owned());
    }
    let threshold = provider.get("eot_threshold").map_or(Some(0.7), Value::as_f64).unwrap_or_default();
    let timeout_ms = provider.get("eot_timeout_ms").map_or(Some(5_000), Value::as_u64).unwrap_or_default();
    if !(0.5..=1.0).contains(&threshold) || !(500..=60_000).contains(&timeout_ms) {
        return Err(format!("eot_threshold {threshold}, eot_timeout_ms {timeout_ms}"));
    }
    // The surer the model must be, the longer it waits; one that is never sure leaves it to the timeout.
    let sure_ms = if threshold < 1.0 { (threshold * 1_000.0).round() as u64 - 300 } else { timeout_ms };
    Ok(Listen { identity: ("v2".to_owned(), model), turn_end_ms: sure_ms.min(timeout_ms) })
}

/// `think`, of the settings or of an update.
pub(super) fn think(think: &Value) -> Result<Think, String> {
    only(think, &["provider", "endpoint", "functions", "prompt", "context_length"])?;
    let provider = field(think, "provider")?;
    only(provider, &["type", "version", "model", "temperature", "reasoning_mode", "credentials"])?;
    let kind = text(field(provider, "type")?)?;
    text(field(provider, "model")?)?;
    match kind.as_str() {
        "open_ai" | "anthropic" | "google" | "nvidia" | "deepgram" => {}
        "groq" | "aws_bedrock" if think.get("endpoint").is_some() => {}
        _ => return Err(format!("{kind} without an endpoint")),
    }
    if think.get("context_length").is_some() && think.get("endpoint").is_none() {
        return Err("context_length without an endpoint".to_owned());
    }
    let prompt = think.get("prompt").map(text).transpose()?.unwrap_or_default();
    if prompt.chars().count() > PROMPT_CHARS {
        return Err("the prompt is too long".to_owned());
    }
    let functions = think.get("functions").map_or(Some(&[][..]), |list| list.as_array().map(Vec::as_slice));
    let functions = functions.ok_or("functions is no list")?.iter().map(function).collect::<Result<_, _>>()?;
    Ok(Think { prompt, functions })
}

fn function(function: &Value) -> Result<String, String> {
    only(function, &["name", "description", "parameters", "endpoint", "defer_until_eot"])?;
    if !function.get("parameters").is_none_or(Value::is_object) {
        return Err("parameters is no object".to_owned());
    }
    text(field(function, "name")?)
}

/// `speak`, of the settings or of an update.
pub(super) fn speak(speak: &Value) -> Result<(), String> {
    only(speak, &["provider", "endpoint"])?;
    let provider = field(speak, "provider")?;
    only(provider, &["type", "version", "model", "speed"])?;
    let model = text(field(provider, "model")?)?;
    let family = if part(provider, "version") == "v2" { "flux-" } else { "aura-" };
    if part(provider, "type") != "deepgram" || !model.starts_with(family) {
        return Err(format!("speaks with {provider}"));
    }
    let speed = provider.get("speed").map_or(Some(1.0), Value::as_f64).unwrap_or_default();
    if !(0.7..=1.5).contains(&speed) || (family == "flux-" && provider.get("speed").is_some()) {
        return Err(format!("speed {speed}"));
    }
    Ok(())
}
