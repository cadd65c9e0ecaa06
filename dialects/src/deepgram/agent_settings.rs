//! What a conversation is configured with, in the words of Deepgram's voice agent: how it listens, thinks
//! and speaks. Each is replaced whole by a message of its own later on.
//!
//! Source: Deepgram's `AsyncAPI` document and its pages on the agent's settings, Flux, managed language
//! models and voices, read 2026-11-21.

use domain::audio::RealtimeFormat;
use serde_json::{Map, Value, json};

use super::live::encoding;
use super::voices::{Family, VOICES};
use super::{flux, languages};
use crate::conversation::setup::{Role, Setup, Tool, ToolChoice};
use crate::live::events::Refusal;
use crate::live::settings::{Turns, param};

/// The most characters of a prompt for a language model that Deepgram manages.
const PROMPT_CHARS: usize = 25_000;
/// The language model, where the target names none.
const THINK: (&str, &str) = ("open_ai", "gpt-4o-mini");
/// The voice, where neither the client nor the language asks for another.
const VOICE: &str = "aura-2-thalia-en";
/// How sure Flux must be that a turn is over: as Deepgram has it, and never by itself.
const USUALLY_SURE: f64 = 0.7;
const NEVER_SURE: f64 = 1.0;
/// The longest silence within a turn: what may be asked, and as Deepgram has it.
const TIMEOUT_MS: (u64, u64) = (500, 60_000);
const USUAL_TIMEOUT_MS: u64 = 5_000;
/// Where the client ends turns by silence behind its audio, and where it ends them by a message: that one
/// is for clients that never do.
const SILENT_TIMEOUT_MS: u64 = 1_000;
const FORCED_TIMEOUT_MS: u64 = 30_000;
/// The languages between which `flux-general-multi` tells.
const FLUX_LANGUAGES: [&str; 10] = ["en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"];
/// The speeds of the Aura voices.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.7..=1.5;

/// Whether the target's account may end turns by message, which Deepgram enables on request.
pub(super) fn ends_turns_by_message(setup: &Setup) -> bool {
    setup.options.get("force_end_turn").is_some_and(|on| on == "true") && flux::is_flux(&listening_model(setup))
}

/// What Deepgram is told of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Configuration {
    /// `agent.listen`.
    pub(super) listen: Value,
    /// `agent.think`.
    pub(super) think: Value,
    /// `agent.speak`.
    pub(super) speak: Value,
}

impl Configuration {
    /// The configuration of a conversation to whose prompt this was added.
    ///
    /// # Errors
    /// Names the field of the session that the agent cannot serve.
    pub(super) fn of(setup: &Setup, added: &str) -> Result<Self, Refusal> {
        Ok(Self { listen: listen(setup)?, think: think(setup, added)?, speak: speak(setup)? })
    }

    /// The first message of a socket.
    pub(super) fn settings(&self, setup: &Setup) -> String {
        let mut agent = Map::new();
        agent.insert("listen".to_owned(), self.listen.clone());
        agent.insert("think".to_owned(), self.think.clone());
        agent.insert("speak".to_owned(), self.speak.clone());
        let said = setup.history.iter().filter_map(|message| {
            let role = match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::System => return None,
            };
            Some(json!({"type": "History", "role": role, "content": message.text}))
        });
        let messages: Vec<Value> = said.collect();
        if !messages.is_empty() {
            agent.insert("context".to_owned(), json!({"messages": messages}));
        }
        let mut output = audio(setup.output_format);
        if let Some(output) = output.as_object_mut() {
            output.insert("container".to_owned(), "none".into());
        }
        // Everything in the messages of the history is told by other messages as well.
        json!({
            "type": "Settings", "flags": {"history": false},
            "audio": {"input": audio(setup.input_format), "output": output}, "agent": agent,
        })
        .to_string()
    }

    /// Whether a running agent can become this one: it keeps the model that it listens with.
    ///
    /// # Errors
    /// Names the field of the session that cannot be changed.
    pub(super) fn can_become(&self, next: &Self) -> Result<(), Refusal> {
        if self.listen == next.listen {
            return Ok(());
        }
        let of = |listen: &Value, name: &str| listen.pointer("/provider")?.get(name).cloned();
        if of(&self.listen, "model") != of(&next.listen, "model") {
            let message =
                "Deepgram's agent keeps the model that it began to listen with, and these languages need another.";
            return Err(Refusal::value(param::LANGUAGE, message));
        }
        if of(&next.listen, "version").is_none_or(|version| version != "v2") {
            let message = "Deepgram's agent changes how it listens only where it listens with Flux.";
            return Err(Refusal::value("session.audio.input.transcription", message));
        }
        Ok(())
    }
}

fn audio(format: RealtimeFormat) -> Value {
    let (encoding, rate) = encoding(format);
    json!({"encoding": encoding, "sample_rate": rate})
}

/// The languages that are spoken, without regions.
fn spoken(setup: &Setup) -> Vec<&str> {
    let languages = setup.transcription.iter().flat_map(|transcription| &transcription.languages);
    let mut spoken = Vec::new();
    for language in languages {
        let language = language.split(['-', '_']).next().unwrap_or(language);
        if !spoken.contains(&language) {
            spoken.push(language);
        }
    }
    spoken
}

/// The target's model to listen with, or the one that knows the languages; Flux wherever it does.
fn listening_model(setup: &Setup) -> String {
    if let Some(model) = setup.options.get("listen_model") {
        return model.clone();
    }
    let spoken = spoken(setup);
    let model = if spoken.iter().all(|language| *language == "en") {
        "flux-general-en"
    } else if spoken.iter().all(|language| FLUX_LANGUAGES.contains(language)) {
        "flux-general-multi"
    } else {
        "nova-3"
    };
    model.to_owned()
}

fn listen(setup: &Setup) -> Result<Value, Refusal> {
    let transcription = setup.transcription.as_ref();
    if transcription.is_some_and(|transcription| transcription.prompt.is_some()) {
        return Err(Refusal::value(param::PROMPT, "Deepgram takes no prompt; name words in 'keywords'."));
    }
    let model = listening_model(setup);
    let keyterms = transcription.map(|transcription| transcription.keywords.as_slice()).unwrap_or_default();
    let provider = if flux::is_flux(&model) { flux(setup, &model, keyterms)? } else { nova(setup, &model, keyterms)? };
    Ok(json!({"provider": provider}))
}

fn flux(setup: &Setup, model: &str, keyterms: &[String]) -> Result<Value, Refusal> {
    let (threshold, timeout_ms) = match setup.turns {
        None if ends_turns_by_message(setup) => (NEVER_SURE, FORCED_TIMEOUT_MS),
        None => (NEVER_SURE, SILENT_TIMEOUT_MS),
        Some(Turns::Silence { silence_duration_ms, .. }) => {
            (USUALLY_SURE, silence_duration_ms.clamp(TIMEOUT_MS.0, TIMEOUT_MS.1))
        }
        Some(Turns::Meaning("low")) => (0.85, USUAL_TIMEOUT_MS),
        Some(Turns::Meaning("high")) => (0.55, USUAL_TIMEOUT_MS),
        Some(Turns::Meaning(_)) => (USUALLY_SURE, USUAL_TIMEOUT_MS),
    };
    let mut provider = json!({
        "type": "deepgram", "version": "v2", "model": model,
        "eot_threshold": threshold, "eot_timeout_ms": timeout_ms, "keyterms": keyterms,
    });
    let spoken = spoken(setup);
    if model.ends_with("multi") {
        if let Some(provider) = provider.as_object_mut() {
            provider.insert("language_hints".to_owned(), json!(spoken));
        }
    } else if spoken.iter().any(|language| *language != "en") {
        let message = format!("Deepgram's '{model}' knows English only; 'flux-general-multi' knows more.");
        return Err(Refusal::value(param::LANGUAGE, message));
    }
    Ok(provider)
}

fn nova(setup: &Setup, model: &str, keyterms: &[String]) -> Result<Value, Refusal> {
    if matches!(setup.turns, Some(Turns::Meaning(_))) {
        let message = format!("Deepgram's '{model}' finds turns by 'server_vad' only.");
        return Err(Refusal::value(param::TURNS, message));
    }
    let language = match setup.transcription.as_ref().map(|transcription| transcription.languages.as_slice()) {
        None | Some([]) => None,
        Some([language]) => Some(language.as_str()),
        Some(_) => Some(languages::MULTI),
    };
    let mut provider = json!({"type": "deepgram", "version": "v1", "model": model, "smart_format": true});
    if let Some(provider) = provider.as_object_mut() {
        if let Some(language) = language {
            provider.insert("language".to_owned(), language.into());
        }
        if !keyterms.is_empty() {
            provider.insert("keyterms".to_owned(), json!(keyterms));
        }
    }
    Ok(provider)
}

fn think(setup: &Setup, added: &str) -> Result<Value, Refusal> {
    let option = |name: &str| setup.options.get(name).map(String::as_str);
    let kind = option("think_provider").unwrap_or(THINK.0);
    let model = match option("think_model") {
        Some(model) => model,
        None if kind == THINK.0 => THINK.1,
        None => {
            let message = format!("The target names 'think_provider' {kind} without a 'think_model'.");
            return Err(Refusal::value("session.model", message));
        }
    };
    let mut provider = json!({"type": kind, "model": model});
    if let Some(provider) = provider.as_object_mut() {
        if let Some(temperature) = setup.temperature {
            provider.insert("temperature".to_owned(), json!(temperature));
        }
        if let Some(mode) = option("think_reasoning") {
            provider.insert("reasoning_mode".to_owned(), mode.into());
        }
    }
    let mut think = Map::new();
    think.insert("provider".to_owned(), provider);
    let prompt = prompt(setup, added)?;
    if !prompt.is_empty() {
        think.insert("prompt".to_owned(), prompt.into());
    }
    let functions = functions(setup)?;
    if !functions.is_empty() {
        think.insert("functions".to_owned(), functions.into());
    }
    Ok(Value::Object(think))
}

/// The instructions, and what the operator has said beside them.
fn prompt(setup: &Setup, added: &str) -> Result<String, Refusal> {
    let told = setup.history.iter().filter(|message| message.role == Role::System).map(|message| message.text.as_str());
    let parts: Vec<&str> = std::iter::once(setup.instructions.as_str())
        .chain(told)
        .chain(std::iter::once(added))
        .filter(|part| !part.is_empty())
        .collect();
    let prompt = parts.join("\n\n");
    if prompt.chars().count() > PROMPT_CHARS {
        let message = format!("Deepgram's agent takes instructions of at most {PROMPT_CHARS} characters.");
        return Err(Refusal::value("session.instructions", message));
    }
    Ok(prompt)
}

fn functions(setup: &Setup) -> Result<Vec<Value>, Refusal> {
    match setup.tool_choice {
        ToolChoice::Auto => Ok(setup.tools.iter().map(function).collect()),
        ToolChoice::None => Ok(Vec::new()),
        ToolChoice::Required | ToolChoice::Function(_) => {
            let message = "Deepgram's agent decides itself which function it calls: 'auto' or 'none'.";
            Err(Refusal::value("session.tool_choice", message))
        }
    }
}

/// A function without an endpoint is the client's. A call for a turn that goes on after all would be taken
/// back, which `OpenAI`'s clients know nothing of: it is held until the turn is confirmed.
fn function(tool: &Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.name.as_str().into());
    if !tool.description.is_empty() {
        function.insert("description".to_owned(), tool.description.as_str().into());
    }
    function.insert("parameters".to_owned(), tool.parameters.clone());
    function.insert("defer_until_eot".to_owned(), true.into());
    Value::Object(function)
}

fn speak(setup: &Setup) -> Result<Value, Refusal> {
    let voice = voice(setup)?;
    let is_flux = Family::of(&voice).is_some_and(|(family, _)| family == Family::Flux);
    let mut provider =
        json!({"type": "deepgram", "version": if is_flux { "v2" } else { "v1" }, "model": voice.as_str()});
    if (setup.speed - 1.0).abs() > f64::EPSILON {
        if is_flux || !SPEEDS.contains(&setup.speed) {
            let message = "Deepgram's agent speaks at a 'speed' from 0.7 to 1.5, and only with the Aura voices.";
            return Err(Refusal::value("session.audio.output.speed", message));
        }
        if let Some(provider) = provider.as_object_mut() {
            provider.insert("speed".to_owned(), json!(setup.speed));
        }
    }
    Ok(json!({"provider": provider}))
}

/// The whole name of the voice: of a speaker, or the first one of the language.
fn voice(setup: &Setup) -> Result<String, Refusal> {
    let Some(voice) = setup.voice.as_deref() else {
        let language = spoken(setup).first().copied().filter(|language| *language != "en");
        let speaker = VOICES.iter().find(|voice| voice.language.is_some() && voice.language == language);
        let voice = speaker.and_then(|speaker| Family::Aura2.id(speaker.name));
        return Ok(voice.unwrap_or_else(|| VOICE.to_owned()));
    };
    if Family::of(voice).is_some() {
        return Ok(voice.to_owned());
    }
    let families = [Family::Aura2, Family::Aura1, Family::Flux];
    families.iter().find_map(|family| family.id(voice)).ok_or_else(|| {
        let message = format!("Deepgram has no voice '{voice}'; name one such as 'thalia' or '{VOICE}'.");
        Refusal::value("session.audio.output.voice", message)
    })
}
