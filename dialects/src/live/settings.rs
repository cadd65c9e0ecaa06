//! What a transcription session listens with, the updates that change it, and the JSON that shows it.

use domain::audio::{PCM_24K, RealtimeFormat};
use serde_json::{Map, Value, json};

use super::events::{Refusal, missing};

/// The longest texts that a session keeps of its configuration, in bytes.
const MAX_NAME_BYTES: usize = 256;
const MAX_PROMPT_BYTES: usize = 4096;
/// The most names in a list.
const MAX_NAMES: usize = 100;

/// Names of fields in `error.param`.
pub mod param {
    /// The model.
    pub const MODEL: &str = "session.audio.input.transcription.model";
    /// The language.
    pub const LANGUAGE: &str = "session.audio.input.transcription.language";
    /// The languages that may be spoken.
    pub const LANGUAGES: &str = "session.audio.input.transcription.languages";
    /// Words to listen for.
    pub const KEYWORDS: &str = "session.audio.input.transcription.keywords";
    /// The prompt.
    pub const PROMPT: &str = "session.audio.input.transcription.prompt";
    /// How turns are found.
    pub const TURNS: &str = "session.audio.input.turn_detection";
}

/// How turns are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Turns {
    /// `server_vad`: silence ends a turn.
    Silence {
        /// 0 to 1; higher needs louder speech.
        threshold: f64,
        /// Milliseconds before the first speech that belong to the turn.
        prefix_padding_ms: u64,
        /// Milliseconds of silence that end a turn.
        silence_duration_ms: u64,
    },
    /// `semantic_vad`: what is said ends a turn. The eagerness is `low`, `medium`, `high` or `auto`.
    Meaning(&'static str),
}

/// What a session listens with.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The audio that the client sends.
    pub format: RealtimeFormat,
    /// How turns are found; `None` leaves it to the client's commits.
    pub turns: Option<Turns>,
    /// The provider's name of the model.
    pub model: String,
    /// The one language that is spoken.
    pub language: Option<String>,
    /// Languages that may be spoken.
    pub languages: Vec<String>,
    /// Words to listen for.
    pub keywords: Vec<String>,
    /// What was said before, or what it is about.
    pub prompt: Option<String>,
    /// `near_field` or `far_field`.
    pub noise_reduction: Option<&'static str>,
}

impl Settings {
    /// What a session begins with.
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            format: RealtimeFormat::Pcm16(PCM_24K),
            turns: Some(Turns::Silence { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 }),
            model: model.to_owned(),
            language: None,
            languages: Vec::new(),
            keywords: Vec::new(),
            prompt: None,
            noise_reduction: None,
        }
    }

    /// Milliseconds of silence that end a turn, where silence does.
    #[must_use]
    pub fn silence_ms(&self) -> Option<u64> {
        match self.turns {
            Some(Turns::Silence { silence_duration_ms, .. }) => Some(silence_duration_ms),
            _ => None,
        }
    }

    /// All languages that are named, the one that is spoken first.
    pub fn spoken(&self) -> impl Iterator<Item = &String> {
        self.language.iter().chain(self.languages.iter().filter(|other| Some(*other) != self.language.as_ref()))
    }

    /// Merges an update: what is absent stays, null clears.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn merged(&self, session: &Map<String, Value>) -> Result<Self, Refusal> {
        match session.get("type").and_then(Value::as_str) {
            Some("transcription") => {}
            Some(_) => return Err(Refusal::value("session.type", "This session is of the type 'transcription'.")),
            None => return Err(missing("session.type")),
        }
        if session.get("include").is_some_and(|include| !is_nothing(include)) {
            let message = "The provider has nothing to include beside the transcript.";
            return Err(Refusal::value("session.include", message));
        }
        let mut next = self.clone();
        let Some(input) = session.get("audio").and_then(|audio| audio.get("input")) else {
            return Ok(next);
        };
        if let Some(format) = input.get("format") {
            next.format = read_format(format)?;
        }
        if let Some(reduction) = input.get("noise_reduction") {
            next.noise_reduction = read_noise_reduction(reduction)?;
        }
        if let Some(Value::Object(transcription)) = input.get("transcription") {
            next.transcribe_with(transcription)?;
        }
        if let Some(turns) = input.get("turn_detection") {
            next.turns = read_turns(turns)?;
        }
        Ok(next)
    }

    fn transcribe_with(&mut self, wanted: &Map<String, Value>) -> Result<(), Refusal> {
        for (name, value) in wanted {
            match name.as_str() {
                "model" => {
                    if let Some(model) = read_text(value, param::MODEL, MAX_NAME_BYTES)? {
                        self.model = model;
                    }
                }
                "language" => self.language = read_text(value, param::LANGUAGE, MAX_NAME_BYTES)?,
                "languages" => self.languages = read_names(value, param::LANGUAGES)?,
                "keywords" => self.keywords = read_names(value, param::KEYWORDS)?,
                "prompt" => self.prompt = read_text(value, param::PROMPT, MAX_PROMPT_BYTES)?,
                unknown => {
                    let name: String = unknown.chars().take(64).collect();
                    let message = format!("The provider has no 'session.audio.input.transcription.{name}'.");
                    let param = Some("session.audio.input.transcription");
                    return Err(Refusal::new("unknown_parameter", message, param));
                }
            }
        }
        Ok(())
    }

    /// The session as `session.created` and `session.updated` show it.
    #[must_use]
    pub fn shown(&self, id: &str) -> Value {
        let format = shown_format(self.format);
        json!({
            "type": "transcription", "object": "realtime.transcription_session", "id": id,
            "include": null,
            "audio": {"input": {
                "format": format, "noise_reduction": self.noise_reduction.map(|kind| json!({"type": kind})),
                "transcription": self.shown_transcription(), "turn_detection": self.turns.map(shown_turns),
            }},
        })
    }

    fn shown_transcription(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("model".to_owned(), self.model.as_str().into());
        for (name, text) in [("language", &self.language), ("prompt", &self.prompt)] {
            if let Some(text) = text {
                shown.insert(name.to_owned(), text.as_str().into());
            }
        }
        for (name, list) in [("languages", &self.languages), ("keywords", &self.keywords)] {
            if !list.is_empty() {
                shown.insert(name.to_owned(), json!(list));
            }
        }
        Value::Object(shown)
    }
}

pub(crate) fn shown_format(format: RealtimeFormat) -> Value {
    match format {
        RealtimeFormat::Pcm16(rate) => json!({"type": "audio/pcm", "rate": rate.0}),
        RealtimeFormat::Pcmu => json!({"type": "audio/pcmu"}),
        RealtimeFormat::Pcma => json!({"type": "audio/pcma"}),
    }
}

pub(crate) fn shown_turns(turns: Turns) -> Value {
    match turns {
        Turns::Silence { threshold, prefix_padding_ms, silence_duration_ms } => json!({
            "type": "server_vad", "threshold": threshold,
            "prefix_padding_ms": prefix_padding_ms, "silence_duration_ms": silence_duration_ms,
        }),
        Turns::Meaning(eagerness) => json!({"type": "semantic_vad", "eagerness": eagerness}),
    }
}

/// A text of bounded length; null and nothing are none.
pub(crate) fn read_text(value: &Value, param: &'static str, most: usize) -> Result<Option<String>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.len() <= most => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        _ => Err(Refusal::value(param, format!("'{param}' must be a text of at most {most} bytes."))),
    }
}

/// A bounded list of names; null is none.
pub(crate) fn read_names(value: &Value, param: &'static str) -> Result<Vec<String>, Refusal> {
    let wrong = || {
        let message =
            format!("'{param}' must be a list of at most {MAX_NAMES} texts of at most {MAX_NAME_BYTES} bytes.");
        Refusal::value(param, message)
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(names) if names.len() <= MAX_NAMES => names
            .iter()
            .map(|name| name.as_str().filter(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES))
            .map(|name| name.map(ToOwned::to_owned).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

pub(crate) fn is_nothing(include: &Value) -> bool {
    include.is_null() || include.as_array().is_some_and(Vec::is_empty)
}

pub(crate) fn read_noise_reduction(reduction: &Value) -> Result<Option<&'static str>, Refusal> {
    match reduction.get("type").and_then(Value::as_str) {
        None if reduction.is_null() => Ok(None),
        Some("near_field") => Ok(Some("near_field")),
        Some("far_field") => Ok(Some("far_field")),
        _ => {
            let message = "Noise reduction is 'near_field', 'far_field', or null.";
            Err(Refusal::value("session.audio.input.noise_reduction", message))
        }
    }
}

pub(crate) fn read_format(format: &Value) -> Result<RealtimeFormat, Refusal> {
    match (format.get("type").and_then(Value::as_str), format.get("rate").and_then(Value::as_u64)) {
        (Some("audio/pcm"), Some(24_000)) => Ok(RealtimeFormat::Pcm16(PCM_24K)),
        (Some("audio/pcmu"), _) => Ok(RealtimeFormat::Pcmu),
        (Some("audio/pcma"), _) => Ok(RealtimeFormat::Pcma),
        _ => Err(Refusal::value(
            "session.audio.input.format",
            "The format must be audio/pcm with the rate 24000, audio/pcmu or audio/pcma.",
        )),
    }
}

pub(crate) fn read_turns(turns: &Value) -> Result<Option<Turns>, Refusal> {
    match turns.get("type").and_then(Value::as_str) {
        None if turns.is_null() => Ok(None),
        Some("server_vad") => Ok(Some(Turns::Silence {
            threshold: read_number(turns, "threshold", 0.5, 1.0)?,
            prefix_padding_ms: whole(read_number(turns, "prefix_padding_ms", 300.0, 5000.0)?),
            silence_duration_ms: whole(read_number(turns, "silence_duration_ms", 500.0, 10_000.0)?),
        })),
        Some("semantic_vad") => match turns.get("eagerness").and_then(Value::as_str) {
            None | Some("auto") => Ok(Some(Turns::Meaning("auto"))),
            Some("low") => Ok(Some(Turns::Meaning("low"))),
            Some("medium") => Ok(Some(Turns::Meaning("medium"))),
            Some("high") => Ok(Some(Turns::Meaning("high"))),
            Some(_) => Err(Refusal::value(param::TURNS, "'eagerness' is 'low', 'medium', 'high' or 'auto'.")),
        },
        _ => Err(Refusal::value(param::TURNS, "Turns are detected by 'server_vad', 'semantic_vad', or not with null.")),
    }
}

fn read_number(turns: &Value, name: &str, usual: f64, most: f64) -> Result<f64, Refusal> {
    match turns.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(given) => given
            .as_f64()
            .filter(|n| (0.0..=most).contains(n))
            .ok_or_else(|| Refusal::value(param::TURNS, format!("'{name}' must be from 0 to {most}."))),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
fn whole(number: f64) -> u64 {
    number as u64
}
