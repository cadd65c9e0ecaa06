//! What Gemini Live is set up with, read as strictly as Google reads it: a field of no such name ends the
//! connection.
//!
//! Source: the Gemini Live API reference, read 2026-11-21.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value, json};

use super::lock;
use super::mind::Mind;

/// Tokens of a second of audio.
const TOKENS_PER_SECOND: u64 = 25;
/// Tokens that are thought before an answer.
const THOUGHTS: u64 = 5;
/// Conversations by the handles with which another connection goes on with them.
pub(super) type Sessions = Arc<Mutex<BTreeMap<String, Arc<Mutex<Memory>>>>>;

/// What outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) mind: Mind,
    /// Tokens of the conversation so far: what every turn reads again.
    pub(super) text_tokens: u64,
    audio_tokens: u64,
    /// Turns that were complete, and so handles that were given.
    pub(super) turns: u32,
    handle: Option<String>,
    number: usize,
}

impl Memory {
    /// The tokens of a turn: all that was said before is read again.
    pub(super) fn use_up(&mut self, told_bytes: u64, heard_ms: u64, made_ms: u64) -> Value {
        self.audio_tokens += tokens(heard_ms);
        let (text, audio, spoken) = (self.text_tokens + told_bytes / 4, self.audio_tokens, tokens(made_ms));
        self.audio_tokens += spoken;
        json!({
            "promptTokenCount": text + audio, "responseTokenCount": spoken, "thoughtsTokenCount": THOUGHTS,
            "totalTokenCount": text + audio + spoken + THOUGHTS,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": text}, {"modality": "AUDIO", "tokenCount": audio},
            ],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": spoken}],
        })
    }

    /// A handle for the conversation as it is now; the one before is no good any more.
    pub(super) fn hand_out(memory: &Arc<Mutex<Self>>, sessions: &Sessions) -> String {
        let mut all = lock(sessions);
        let mut inner = lock(memory);
        let before = inner.handle.take().and_then(|handle| all.remove(&handle));
        if before.is_none() {
            inner.number = all.len() + 1;
        }
        inner.turns += 1;
        let handle = format!("handle-{}-{}", inner.number, inner.turns);
        inner.handle = Some(handle.clone());
        all.insert(handle.clone(), Arc::clone(memory));
        handle
    }
}

fn tokens(ms: u64) -> u64 {
    (ms * TOKENS_PER_SECOND).div_ceil(1000)
}

/// A setup that was understood.
pub(super) struct SetUp {
    pub(super) memory: Arc<Mutex<Memory>>,
    pub(super) resumed: bool,
    pub(super) instructions: String,
    /// What every turn reads first: instructions and functions.
    pub(super) told_bytes: u64,
    /// Silence that ends a turn; `None` where the client does.
    pub(super) silence_ms: Option<u64>,
    pub(super) interrupts: bool,
    /// What the user says is written down.
    pub(super) hears: bool,
    pub(super) history: bool,
    /// Functions run beside the conversation.
    pub(super) beside: bool,
    /// Instructions and functions may change.
    pub(super) updates: bool,
    /// It will leave by itself.
    pub(super) leaves: bool,
}

/// Why a setup is not taken: the code and reason of the close, and whether the client broke a rule.
pub(super) type Refused = (u16, &'static str, Option<String>);

const INVALID: &str = "Request contains an invalid argument.";
const NO_MODEL: &str =
    "models is not found for API version v1beta, or is not supported for bidiGenerateContent. Call ListModels.";

fn invalid(message: impl Into<String>) -> Refused {
    (1007, INVALID, Some(message.into()))
}

/// Fails where an object holds a name that is not among these.
pub(super) fn only<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let fields = value.as_object().ok_or("something is not an object")?;
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("no field is called {name:?}")),
        None => Ok(fields),
    }
}

/// Reads a setup.
pub(super) fn read(setup: &Value, sessions: &Sessions) -> Result<SetUp, Refused> {
    let known = [
        "model",
        "generationConfig",
        "systemInstruction",
        "tools",
        "realtimeInputConfig",
        "inputAudioTranscription",
        "outputAudioTranscription",
        "sessionResumption",
        "contextWindowCompression",
        "historyConfig",
    ];
    let fields = only(setup, &known).map_err(invalid)?;
    let model = fields.get("model").and_then(Value::as_str).unwrap_or_default();
    let name = model.strip_prefix("models/").ok_or_else(|| invalid(format!("model {model}")))?;
    let updates = name.starts_with("gemini-3.8-live");
    if !updates && !name.starts_with("gemini-2.5-flash-native-audio") {
        return Err((1008, NO_MODEL, None));
    }
    generation(fields.get("generationConfig").unwrap_or(&Value::Null)).map_err(invalid)?;
    let instructions = instruction(fields.get("systemInstruction")).map_err(invalid)?;
    let beside = tools(fields.get("tools")).map_err(invalid)?;
    let (silence_ms, interrupts) =
        hearing(fields.get("realtimeInputConfig").unwrap_or(&Value::Null)).map_err(invalid)?;
    if let Some(wanted) = fields.get("inputAudioTranscription") {
        only(wanted, &["languageCodes", "customVocabulary"]).map_err(invalid)?;
    }
    let handle = setup.pointer("/sessionResumption/handle").and_then(Value::as_str);
    let memory = match handle {
        None => Arc::default(),
        Some(handle) => lock(sessions).get(handle).cloned().ok_or_else(|| invalid("a stale handle"))?,
    };
    let history = setup.pointer("/historyConfig/initialHistoryInClientContent") == Some(&json!(true));
    if history && handle.is_some() {
        return Err(invalid("history beside a handle"));
    }
    let leaves = handle.is_none() && (instructions.contains("goaway") || name.contains("goaway"));
    let hears = fields.contains_key("inputAudioTranscription");
    let resumed = handle.is_some();
    let told = instructions.len() + fields.get("tools").map_or(0, |tools| tools.to_string().len());
    let told_bytes = told as u64;
    Ok(SetUp {
        memory,
        resumed,
        instructions,
        told_bytes,
        silence_ms,
        interrupts,
        hears,
        history,
        beside,
        updates,
        leaves,
    })
}

fn generation(config: &Value) -> Result<(), String> {
    let known = ["responseModalities", "temperature", "maxOutputTokens", "speechConfig", "thinkingConfig"];
    let fields = only(config, &known)?;
    if fields.get("responseModalities") != Some(&json!(["AUDIO"])) {
        return Err("the modality is audio".to_owned());
    }
    let Some(speech) = fields.get("speechConfig") else { return Ok(()) };
    let voice = speech.pointer("/voiceConfig/prebuiltVoiceConfig/voiceName").and_then(Value::as_str);
    match voice {
        Some(voice) if voice.starts_with(char::is_uppercase) => Ok(()),
        _ => Err("speech of no voice".to_owned()),
    }
}

/// The text of instructions.
pub(super) fn instruction(told: Option<&Value>) -> Result<String, String> {
    let Some(told) = told else { return Ok(String::new()) };
    let text = told.pointer("/parts/0/text").and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| "instructions without a text".to_owned())
}

/// Whether the functions run beside the conversation.
pub(super) fn tools(told: Option<&Value>) -> Result<bool, String> {
    let mut beside = false;
    let all = told.and_then(Value::as_array).into_iter().flatten();
    for declared in all.filter_map(|tool| tool.get("functionDeclarations")?.as_array()).flatten() {
        let fields = only(declared, &["name", "description", "parametersJsonSchema", "behavior"])?;
        let behavior = fields.get("behavior").and_then(Value::as_str).unwrap_or("NON_BLOCKING");
        if !["BLOCKING", "NON_BLOCKING"].contains(&behavior) || !fields.contains_key("name") {
            return Err("a function of no name or behavior".to_owned());
        }
        if fields.get("parametersJsonSchema").is_some_and(|schema| !schema.is_object()) {
            return Err("parameters that are no schema".to_owned());
        }
        beside |= behavior == "NON_BLOCKING";
    }
    Ok(beside)
}

/// The silence that ends a turn, and whether the user stops the model.
fn hearing(config: &Value) -> Result<(Option<u64>, bool), String> {
    let fields = only(config, &["automaticActivityDetection", "activityHandling"])?;
    let detection = fields.get("automaticActivityDetection").ok_or("no detection")?;
    let known =
        ["disabled", "silenceDurationMs", "prefixPaddingMs", "startOfSpeechSensitivity", "endOfSpeechSensitivity"];
    let detection = only(detection, &known)?;
    let by_hand = detection.get("disabled") == Some(&json!(true));
    let silence = detection.get("silenceDurationMs").and_then(Value::as_u64).unwrap_or(500);
    let interrupts = fields.get("activityHandling") != Some(&json!("NO_INTERRUPTION"));
    Ok(((!by_hand).then_some(silence), interrupts))
}
