//! Speech: the voice in the path, the format in the query, everything else in the body.

use domain::audio::{PCM_24K, SpeechFormat};
use domain::language::Language;
use domain::speech::SpeechRequest;
use serde_json::{Map, Value, json};

use super::options::{self, Field, Holds, field};
use crate::contract::{
    Endpoint, JsonRequest, SpeechAnswer, SpeechAudio, SpeechDialect, SpeechPart, SpeechPlan, UpstreamModel,
};
use crate::error::DialectError;
use crate::openai::realtime::percent_encode;
use crate::openai::unsupported;

/// What one model takes.
#[derive(Debug)]
struct Model {
    name: &'static str,
    /// Characters of one request.
    most: Option<usize>,
    /// Whose `language_code` it takes; `None` for every language's.
    languages: Option<&'static [&'static str]>,
    /// Of the voice settings it heeds `stability` alone, and it refuses the text around the input.
    only_stability: bool,
}

/// Languages of `eleven_flash_v2_5` and `eleven_turbo_v2_5`.
const FLASH: &[&str] = &[
    "en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "it", "es", "id", "nl", "tr", "fil", "pl", "sv", "bg", "ro", "ar",
    "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "ru", "hu", "no", "vi",
];
/// Models that speak English alone.
const ENGLISH: &[&str] = &["en"];
/// Models that tell the language from the text and take no code.
const NONE: &[&str] = &[];

const fn model(name: &'static str, most: usize, languages: Option<&'static [&'static str]>) -> Model {
    Model { name, most: Some(most), languages, only_stability: false }
}

const fn newer(name: &'static str, most: Option<usize>) -> Model {
    Model { name, most, languages: None, only_stability: true }
}

const MODELS: &[Model] = &[
    newer("eleven_v4", Some(10_000)),
    newer("eleven_v4_turbo", Some(10_000)),
    newer("eleven_v3", Some(5_000)),
    newer("eleven_v3_conversational", None),
    model("eleven_multilingual_v2", 10_000, Some(NONE)),
    model("eleven_flash_v2_5", 40_000, Some(FLASH)),
    model("eleven_turbo_v2_5", 40_000, Some(FLASH)),
    model("eleven_flash_v2", 30_000, Some(ENGLISH)),
    model("eleven_turbo_v2", 30_000, Some(ENGLISH)),
    model("eleven_multilingual_v1", 10_000, Some(NONE)),
    model("eleven_monolingual_v1", 10_000, Some(ENGLISH)),
];

/// A model that is not known here: the provider judges.
const UNKNOWN: Model = Model { name: "", most: None, languages: None, only_stability: false };

const VOICE_SETTINGS: &[Field] = &[
    field!("stability", Holds::Number(0.0, 1.0)),
    field!("similarity_boost", Holds::Number(0.0, 1.0)),
    field!("style", Holds::Number(0.0, 1.0)),
    field!("use_speaker_boost", Holds::Flag),
    field!("speed", Holds::Number(SLOWEST, FASTEST)),
];
const DICTIONARY: &[Field] = &[field!("pronunciation_dictionary_id", Holds::Text), field!("version_id", Holds::Text)];

/// What the object `elevenlabs` may hold.
const FIELDS: &[Field] = &[
    field!("voice_settings", Holds::Object(VOICE_SETTINGS)),
    field!("language_code", Holds::Text),
    field!("seed", Holds::Whole(0, 4_294_967_295)),
    field!("previous_text", Holds::Text),
    field!("next_text", Holds::Text),
    field!("previous_request_ids", Holds::Texts(3)),
    field!("next_request_ids", Holds::Texts(3)),
    field!("pronunciation_dictionary_locators", Holds::Objects(3, DICTIONARY)),
    field!("apply_text_normalization", Holds::OneOf(&["auto", "on", "off"])),
    field!("apply_language_text_normalization", Holds::Flag),
    field!("use_pvc_as_ivc", Holds::Flag),
    field!("enable_logging", Holds::Flag),
    field!("optimize_streaming_latency", Holds::Whole(0, 4)),
];
/// The fields that stand in the query.
const IN_QUERY: [&str; 2] = ["enable_logging", "optimize_streaming_latency"];

const SLOWEST: f64 = 0.7;
const FASTEST: f64 = 1.2;

/// Speech as `ElevenLabs` takes it.
#[derive(Debug)]
pub struct ElevenlabsSpeech;

impl SpeechDialect for ElevenlabsSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        let can = MODELS.iter().find(|known| known.name == model.model).unwrap_or(&UNKNOWN);
        input(request, model, can)?;
        if request.instructions.as_deref().is_some_and(|text| !text.is_empty()) {
            return Err(unsupported(model, "instructions", "`instructions`"));
        }
        let (output_format, audio) = format(request.format(), model)?;
        let mut body = options::read(&request.extensions, FIELDS)?;
        language(&mut body, model, can)?;
        settings(&mut body, request.speed, model, can)?;
        let path = path(request.voice.as_str(), output_format, &mut body);
        body.insert("text".to_owned(), json!(request.input));
        body.insert("model_id".to_owned(), json!(model.wire_name));
        let body = serde_json::to_vec(&body).map_err(|error| invalid("body", error.to_string()))?;
        let request_out = JsonRequest { endpoint: Endpoint::at(path), body };
        let part = SpeechPart { request: request_out, characters: request.characters() };
        Ok(SpeechPlan { parts: vec![part], answer: SpeechAnswer::Audio, audio })
    }
}

fn invalid(param: &'static str, message: String) -> DialectError {
    DialectError::Invalid { param, message }
}

fn input(request: &SpeechRequest, model: &UpstreamModel, can: &Model) -> Result<(), DialectError> {
    if request.input.is_empty() {
        return Err(invalid("input", "`input` must not be empty".to_owned()));
    }
    if request.voice.as_str().is_empty() {
        return Err(invalid("voice", "`voice` must not be empty".to_owned()));
    }
    match can.most {
        Some(most) if request.characters() > most as u64 => {
            Err(unsupported(model, "input", &format!("an `input` of more than {most} characters")))
        }
        _ => Ok(()),
    }
}

/// The provider's name of a format. There is no streamed WAV, so it is made of the samples; samples at
/// 44.1 kHz would need a dearer plan.
fn format(format: SpeechFormat, model: &UpstreamModel) -> Result<(&'static str, SpeechAudio), DialectError> {
    match format {
        SpeechFormat::Mp3 => Ok(("mp3_44100_128", SpeechAudio::AsAsked)),
        SpeechFormat::Opus => Ok(("opus_48000_64", SpeechAudio::AsAsked)),
        SpeechFormat::Pcm => Ok(("pcm_24000", SpeechAudio::AsAsked)),
        SpeechFormat::Wav => Ok(("pcm_24000", SpeechAudio::Pcm(PCM_24K))),
        SpeechFormat::Aac | SpeechFormat::Flac => {
            let what = format!("`response_format` {format} (only mp3, opus, wav and pcm)");
            Err(unsupported(model, "response_format", &what))
        }
    }
}

/// A language by any of its names becomes the code that the provider has for it; one that the model lacks
/// is refused here, since the provider ignores or refuses it as it likes.
fn language(body: &mut Map<String, Value>, model: &UpstreamModel, can: &Model) -> Result<(), DialectError> {
    const PARAM: &str = "elevenlabs.language_code";
    let Some(named) = body.get("language_code").and_then(Value::as_str) else { return Ok(()) };
    let Some(language) = Language::find(named) else {
        return Err(invalid(PARAM, format!("`{PARAM}` must be an ISO 639 code")));
    };
    // The provider's Filipino has no two letters.
    let code = if language.code == "tl" { "fil" } else { language.code };
    match can.languages {
        Some([]) => Err(unsupported(model, PARAM, &format!("`{PARAM}`"))),
        Some(languages) if !languages.contains(&code) => {
            Err(unsupported(model, PARAM, &format!("the language {}", language.name)))
        }
        _ => {
            body.insert("language_code".to_owned(), json!(code));
            Ok(())
        }
    }
}

/// `speed` is one of the voice settings. Newer models would ignore all of them but one without a word.
fn settings(
    body: &mut Map<String, Value>,
    speed: Option<f64>,
    model: &UpstreamModel,
    can: &Model,
) -> Result<(), DialectError> {
    if let Some(speed) = speed.filter(|speed| !(SLOWEST..=FASTEST).contains(speed)) {
        if !(0.25..=4.0).contains(&speed) {
            return Err(invalid("speed", format!("`speed` must be from 0.25 to 4.0, not {speed}")));
        }
        return Err(unsupported(model, "speed", &format!("a `speed` of {speed} (only {SLOWEST} to {FASTEST})")));
    }
    // A speed of 1 asks for the usual.
    let speed = speed.filter(|speed| (speed - 1.0).abs() > f64::EPSILON);
    if can.only_stability {
        if speed.is_some() {
            return Err(unsupported(model, "speed", "`speed`"));
        }
        let heard = |name: &String| name == "stability";
        if let Some(Value::Object(sent)) = body.get("voice_settings")
            && let Some(name) = sent.keys().find(|name| !heard(name))
        {
            let what = format!("`elevenlabs.voice_settings.{name}` (only stability)");
            return Err(unsupported(model, "elevenlabs.voice_settings", &what));
        }
        for (name, param) in [("previous_text", "elevenlabs.previous_text"), ("next_text", "elevenlabs.next_text")] {
            if body.contains_key(name) {
                return Err(unsupported(model, param, &format!("`{param}`")));
            }
        }
    }
    if let Some(speed) = speed {
        let settings = body.entry("voice_settings").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(settings) = settings {
            settings.insert("speed".to_owned(), json!(speed));
        }
    }
    Ok(())
}

/// Path and query; what stands in the query leaves the body.
fn path(voice: &str, output_format: &str, body: &mut Map<String, Value>) -> String {
    let mut path = format!("/v1/text-to-speech/{}/stream?output_format={output_format}", percent_encode(voice));
    for name in IN_QUERY {
        if let Some(value) = body.remove(name) {
            path.push_str(&format!("&{name}={value}"));
        }
    }
    path
}
