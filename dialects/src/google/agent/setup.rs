//! The setup message, and what of it can change later.
//!
//! Source: the Gemini Live API reference, read 2026-11-21.

use domain::audio::{RealtimeFormat, SampleRate};
use serde_json::{Map, Value, json};

use crate::conversation::setup::{Role, Setup, Tool, ToolChoice};
use crate::google::models;
use crate::live::events::Refusal;
use crate::live::settings::{Turns, param};

/// `prefix_padding_ms` where the client asks for nothing special: then Gemini's own default stands, since
/// its documentation describes the field in two ways.
const USUAL_PREFIX_MS: u64 = 300;
/// The rate to which G.711 is decoded. Gemini takes any rate that it is told.
const NARROW: SampleRate = SampleRate(8_000);

/// What is set up once: where it stands in the message, and the client's name of it.
const FIXED: [(&str, &str); 5] = [
    ("/setup/generationConfig/speechConfig", "session.audio.output.voice"),
    ("/setup/generationConfig/temperature", "session.temperature"),
    ("/setup/generationConfig/maxOutputTokens", "session.max_output_tokens"),
    ("/setup/realtimeInputConfig", param::TURNS),
    ("/setup/inputAudioTranscription", "session.audio.input.transcription"),
];

/// The audio that Gemini is sent: the client's rate, declared. Its own rate is 16 kHz, but it resamples what
/// it is told, so nothing is resampled here; the price is half as many bytes again on its socket.
pub(super) fn input(setup: &Setup) -> RealtimeFormat {
    match setup.input_format {
        linear @ RealtimeFormat::Pcm16(_) => linear,
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => RealtimeFormat::Pcm16(NARROW),
    }
}

/// Whether the model takes changes of instructions and tools, and messages, all through a session.
pub(super) fn updates(model: &str) -> bool {
    let version = model.trim_start_matches("models/").strip_prefix("gemini-").and_then(|rest| rest.split('-').next());
    let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next().flatten().unwrap_or(0), parts.next().flatten().unwrap_or(0));
    (major, minor) >= (3, 8)
}

/// Whether functions run while the conversation goes on. The thinking model knows nothing else.
pub(super) fn async_tools(setup: &Setup) -> bool {
    let wanted = setup.options.get("tool_behavior").map(String::as_str);
    wanted.map_or(setup.model.contains("extended-thinking"), |behavior| behavior == "non_blocking")
}

/// When the output of a function that ran beside the conversation is told.
pub(super) fn scheduling(setup: &Setup) -> Option<&'static str> {
    async_tools(setup).then(|| match setup.options.get("tool_scheduling").map(String::as_str) {
        Some("interrupt") => "INTERRUPT",
        Some("silent") => "SILENT",
        _ => "WHEN_IDLE",
    })
}

/// Refuses what Gemini cannot be set up with.
///
/// # Errors
/// Names the field.
pub(super) fn check(setup: &Setup) -> Result<(), Refusal> {
    if setup.model.contains("transcribe") || setup.model.contains("translate") {
        let message = format!("Google's '{}' holds no conversations.", setup.model);
        return Err(Refusal::value("model", message));
    }
    if matches!(setup.tool_choice, ToolChoice::Required | ToolChoice::Function(_)) {
        let message = "Gemini Live cannot be required to call a function: 'tool_choice' is 'auto' or 'none'.";
        return Err(Refusal::value("session.tool_choice", message));
    }
    if setup.transcription.as_ref().is_some_and(|wanted| wanted.prompt.is_some()) {
        let message = "Gemini Live takes no prompt for its transcripts; name words in 'keywords'.";
        return Err(Refusal::value(param::PROMPT, message));
    }
    let known: [(&str, &[&str]); 2] =
        [("tool_behavior", &["blocking", "non_blocking"]), ("tool_scheduling", &["when_idle", "interrupt", "silent"])];
    for (name, values) in known {
        let unknown = setup.options.get(name).filter(|value| !values.contains(&value.as_str()));
        if unknown.is_some() {
            return Err(option(name, &values.join("', '")));
        }
    }
    let window = setup.options.get("context_tokens");
    if window.is_some_and(|window| window != "unbounded" && window.parse::<u32>().is_err()) {
        return Err(option("context_tokens", "unbounded' or a number like '25600"));
    }
    Ok(())
}

fn option(name: &str, values: &str) -> Refusal {
    Refusal::value("model", format!("The target's option '{name}' is one of '{values}'."))
}

/// The first message. `resume` is none of a conversation that has not begun.
pub(super) fn message(setup: &Setup, resume: Option<&str>) -> Value {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        // What is left out is Gemini's own choice.
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", json!(format!("models/{}", setup.model.trim_start_matches("models/"))));
    set("generationConfig", generation(setup));
    set(
        "systemInstruction",
        if setup.instructions.is_empty() { Value::Null } else { instruction(&setup.instructions) },
    );
    set("tools", Some(tools(setup)).filter(|tools| tools.as_array().is_some_and(|all| !all.is_empty())).into());
    set("realtimeInputConfig", hearing(setup));
    set("inputAudioTranscription", transcription(setup));
    set("outputAudioTranscription", json!({}));
    set("sessionResumption", resume.map_or_else(|| json!({}), |handle| json!({"handle": handle})));
    set("contextWindowCompression", compression(setup));
    if resume.is_none() && !setup.history.is_empty() {
        set("historyConfig", json!({"initialHistoryInClientContent": true}));
    }
    json!({"setup": body})
}

/// Gemini Live speaks and nothing else: text is the transcript of it.
fn generation(setup: &Setup) -> Value {
    let mut config = Map::from_iter([("responseModalities".to_owned(), json!(["AUDIO"]))]);
    let mut set = |name: &str, value: Option<Value>| config.extend(value.map(|value| (name.to_owned(), value)));
    set("temperature", setup.temperature.map(Value::from));
    set("maxOutputTokens", setup.max_output_tokens.map(Value::from));
    set("speechConfig", setup.voice.as_deref().map(speech));
    let level = setup.options.get("thinking_level");
    set("thinkingConfig", level.map(|level| json!({"thinkingLevel": level.to_ascii_uppercase()})));
    Value::Object(config)
}

fn speech(voice: &str) -> Value {
    let name = models::prebuilt(voice).unwrap_or(voice);
    json!({"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": name}}})
}

/// Instructions as Gemini takes them.
pub(super) fn instruction(text: &str) -> Value {
    json!({"parts": [{"text": text}]})
}

/// The functions that Gemini may call.
pub(super) fn tools(setup: &Setup) -> Value {
    if setup.tools.is_empty() || setup.tool_choice == ToolChoice::None {
        return json!([]);
    }
    let behavior = if async_tools(setup) { "NON_BLOCKING" } else { "BLOCKING" };
    let declared: Vec<Value> = setup.tools.iter().map(|tool| declared(tool, behavior)).collect();
    json!([{"functionDeclarations": declared}])
}

fn declared(tool: &Tool, behavior: &str) -> Value {
    json!({
        "name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters,
        "behavior": behavior,
    })
}

fn hearing(setup: &Setup) -> Value {
    let mut detection = Map::new();
    let mut set = |name: &str, value: Value| detection.insert(name.to_owned(), value);
    match setup.turns {
        None => drop(set("disabled", json!(true))),
        Some(Turns::Silence { threshold, prefix_padding_ms, silence_duration_ms }) => {
            set("silenceDurationMs", json!(silence_duration_ms));
            if prefix_padding_ms != USUAL_PREFIX_MS {
                set("prefixPaddingMs", json!(prefix_padding_ms));
            }
            let sensitivity = if threshold < 0.5 { "START_SENSITIVITY_HIGH" } else { "START_SENSITIVITY_LOW" };
            if (threshold - 0.5).abs() > f64::EPSILON {
                set("startOfSpeechSensitivity", json!(sensitivity));
            }
        }
        Some(Turns::Meaning("low")) => drop(set("endOfSpeechSensitivity", json!("END_SENSITIVITY_LOW"))),
        Some(Turns::Meaning("high")) => drop(set("endOfSpeechSensitivity", json!("END_SENSITIVITY_HIGH"))),
        Some(Turns::Meaning(_)) => {}
    }
    let mut config = Map::from_iter([("automaticActivityDetection".to_owned(), Value::Object(detection))]);
    // A client that commits by itself may send audio all the time, which shall not stop the answer.
    if !setup.interrupt_response || setup.turns.is_none() {
        config.insert("activityHandling".to_owned(), json!("NO_INTERRUPTION"));
    }
    Value::Object(config)
}

fn transcription(setup: &Setup) -> Value {
    let Some(wanted) = &setup.transcription else { return Value::Null };
    let lists = [("languageCodes", &wanted.languages), ("customVocabulary", &wanted.keywords)];
    let named = lists.into_iter().filter(|(_, list)| !list.is_empty());
    Value::Object(named.map(|(name, list)| (name.to_owned(), json!(list))).collect())
}

/// Without it a session of speech ends after a quarter of an hour, when the context is full.
fn compression(setup: &Setup) -> Value {
    match setup.options.get("context_tokens").map(String::as_str) {
        Some("unbounded") => Value::Null,
        Some(tokens) => json!({"triggerTokens": tokens, "slidingWindow": {}}),
        None => json!({"slidingWindow": {}}),
    }
}

/// The first of the settings that only a new connection takes, where they differ.
pub(super) fn fixed_change(before: &Setup, after: &Setup) -> Option<&'static str> {
    let (before, after) = (message(before, None), message(after, None));
    FIXED.into_iter().find(|(place, _)| before.pointer(place) != after.pointer(place)).map(|(_, param)| param)
}

/// What of instructions and tools has changed, as Gemini takes it in a session.
pub(super) fn context_update(before: &Setup, after: &Setup) -> Option<Value> {
    let mut update = Map::new();
    if before.instructions != after.instructions {
        update.insert("systemInstruction".to_owned(), instruction(&after.instructions));
    }
    let now = tools(after);
    if tools(before) != now {
        update.insert("tools".to_owned(), json!({"tools": now}));
    }
    (!update.is_empty()).then(|| json!({"contextUpdate": update}))
}

/// A message of the conversation. Gemini knows the user and the model alone.
pub(super) fn turn(role: Role, text: &str) -> Value {
    let role = if role == Role::Assistant { "model" } else { "user" };
    json!({"role": role, "parts": [{"text": text}]})
}
