//! What each of Google's models can do, and which of its three services has it.

use std::borrow::Cow;

use domain::provider::Operation;

use crate::contract::{Endpoint, UpstreamModel};
use crate::error::DialectError;
use crate::openai::unsupported;
use crate::registry::{WellKnownModel, WellKnownVoice};

/// The language that is meant where neither the request nor the target's option `language` names one.
const DEFAULT_LANGUAGE: &str = "en-US";

/// A service that transcribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearer {
    /// Cloud Speech-to-Text, version 1.
    V1,
    /// Cloud Speech-to-Text, version 2.
    V2,
    /// Gemini.
    Gemini,
}

/// What a transcription model can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hears {
    pub(super) service: Hearer,
    /// Times of words.
    pub(super) words: bool,
    /// Times of stretches of speech, without those of words.
    pub(super) stretches: bool,
    /// Who speaks.
    pub(super) speakers: bool,
    /// Finds out the language by itself.
    pub(super) detects_language: bool,
    /// Milliseconds of the longest audio.
    pub(super) longest_ms: u64,
}

const MINUTE: u64 = 60_000;
const V1: Hears = Hears {
    service: Hearer::V1,
    words: true,
    stretches: true,
    speakers: true,
    detects_language: false,
    longest_ms: MINUTE,
};
const V2: Hears = Hears { service: Hearer::V2, ..V1 };
const CHIRP_2: Hears = Hears { speakers: false, ..V2 };
const CHIRP_3: Hears = Hears { words: false, detects_language: true, ..CHIRP_2 };
const GEMINI: Hears =
    Hears { service: Hearer::Gemini, stretches: false, detects_language: true, longest_ms: 15 * MINUTE, ..V1 };

/// What `model` can tell of audio.
///
/// # Errors
/// [`DialectError::Unsupported`] where it does not transcribe over HTTP.
pub(super) fn hears(model: &UpstreamModel) -> Result<Hears, DialectError> {
    let name = model.model.as_str();
    if name.starts_with("gemini-") {
        let transcribes = name.contains("transcribe") && !name.contains("live");
        return if transcribes { Ok(GEMINI) } else { Err(unsupported(model, "model", "transcription over HTTP")) };
    }
    if family(name).is_some() {
        return Err(unsupported(model, "model", "transcription"));
    }
    Ok(match name {
        "chirp_3" => CHIRP_3,
        "chirp_2" | "chirp" => CHIRP_2,
        "long" | "short" | "telephony_short" => V2,
        _ if model.options.contains_key("project") => V2,
        _ => V1,
    })
}

/// A service that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Cloud Text-to-Speech with a family of voices.
    Cloud(Family),
    /// Cloud Text-to-Speech with a Gemini model behind it.
    CloudGemini,
    /// Gemini.
    Gemini,
}

/// Voices of Cloud Text-to-Speech that are made and billed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family {
    /// The model's name here.
    pub(super) model: &'static str,
    /// How it stands in the names of voices.
    pub(super) mark: &'static str,
    /// Takes SSML and a pitch.
    pub(super) classic: bool,
}

const fn family_of(model: &'static str, mark: &'static str, classic: bool) -> Family {
    Family { model, mark, classic }
}

const FAMILIES: &[Family] = &[
    family_of("chirp3-hd", "Chirp3-HD", false),
    family_of("chirp-hd", "Chirp-HD", false),
    family_of("studio", "Studio", false),
    family_of("neural2", "Neural2", true),
    family_of("polyglot", "Polyglot", true),
    family_of("wavenet", "Wavenet", true),
    family_of("news", "News", true),
    family_of("casual", "Casual", true),
    family_of("standard", "Standard", true),
];

fn family(model: &str) -> Option<Family> {
    FAMILIES.iter().copied().find(|family| family.model == model)
}

/// Who speaks as `model`.
///
/// # Errors
/// [`DialectError::Unsupported`] where it does not speak.
pub(super) fn speaks(model: &UpstreamModel) -> Result<Speaker, DialectError> {
    let name = model.model.as_str();
    if let Some(family) = family(name) {
        return Ok(Speaker::Cloud(family));
    }
    match name.starts_with("gemini-") && name.ends_with("-tts") {
        true if name.starts_with("gemini-2.5-") => Ok(Speaker::CloudGemini),
        true => Ok(Speaker::Gemini),
        false => Err(unsupported(model, "model", "speech")),
    }
}

/// A prebuilt voice of Chirp 3 HD and Gemini as Google writes it, whatever the case.
pub(super) fn prebuilt(voice: &str) -> Option<&'static str> {
    let prebuilt = VOICES.iter().filter(|known| known.language.is_none()).map(|known| known.name);
    prebuilt.into_iter().find(|name| name.eq_ignore_ascii_case(voice))
}

/// The language that holds where the request names none.
pub(super) fn default_language(model: &UpstreamModel) -> &str {
    model.options.get("language").map_or(DEFAULT_LANGUAGE, String::as_str)
}

/// Where a Gemini model is asked.
pub(super) fn gemini(model: &UpstreamModel, method: &str) -> Result<Endpoint, DialectError> {
    let name = part_of_path(model, "model", &model.wire_name)?;
    Ok(Endpoint::at(format!("/v1beta/models/{name}:{method}")))
}

/// Where Cloud Speech-to-Text is asked.
pub(super) fn speech_to_text(model: &UpstreamModel, service: Hearer, beta: bool) -> Result<Endpoint, DialectError> {
    if service == Hearer::V1 {
        let version = if beta { "v1p1beta1" } else { "v1" };
        return cloud(model, "speech", None, format!("/{version}/speech:recognize"));
    }
    let Some(project) = model.options.get("project") else {
        return Err(unsupported(model, "model", "transcription without the target's option `project`"));
    };
    let (project, place) = (part_of_path(model, "project", project)?, place(model));
    let path = format!("/v2/projects/{project}/locations/{place}/recognizers/_:recognize");
    cloud(model, "speech", Some(&place).filter(|place| *place != "global").map(AsRef::as_ref), path)
}

/// Where Cloud Text-to-Speech is asked.
pub(super) fn text_to_speech(model: &UpstreamModel) -> Result<Endpoint, DialectError> {
    let place = model.options.get("location").filter(|place| *place != "global");
    cloud(model, "texttospeech", place.map(String::as_str), "/v1/text:synthesize".to_owned())
}

/// The location that was configured, else the first that Google names for the model.
fn place(model: &UpstreamModel) -> Cow<'_, str> {
    match (model.options.get("location"), model.model.as_str()) {
        (Some(place), _) => Cow::Borrowed(place),
        (None, "chirp_3") => Cow::Borrowed("us"),
        (None, "chirp_2" | "chirp") => Cow::Borrowed("us-central1"),
        (None, _) => Cow::Borrowed("global"),
    }
}

fn cloud(model: &UpstreamModel, host: &str, place: Option<&str>, path: String) -> Result<Endpoint, DialectError> {
    let before = match place {
        Some(place) => format!("{}-", part_of_path(model, "location", place)?),
        None => String::new(),
    };
    Ok(Endpoint { origin: Some(format!("https://{before}{host}.googleapis.com")), path })
}

/// What stands in a URL may not lead elsewhere.
fn part_of_path<'a>(model: &UpstreamModel, what: &str, text: &'a str) -> Result<&'a str, DialectError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    let fits = !text.is_empty() && text.chars().all(plain) && !(what == "location" && text.contains(['.', ':', '_']));
    if fits { Ok(text) } else { Err(unsupported(model, "model", &format!("this {what}"))) }
}

const HEARD: &[Operation] = &[Operation::Transcription];
const FOLLOWED: &[Operation] = &[Operation::Realtime];
const SPOKEN: &[Operation] = &[Operation::Speech];

const fn model(name: &'static str, operations: &'static [Operation]) -> WellKnownModel {
    WellKnownModel { name, operations }
}

/// Models that work with nothing but a credential. Those of Speech-to-Text version 2 need a project.
pub(super) const MODELS: &[WellKnownModel] = &[
    model("gemini-3.5-transcribe", HEARD),
    model("gemini-3.5-transcribe-live", FOLLOWED),
    model("gemini-3.8-live", FOLLOWED),
    model("gemini-3.8-live-extended-thinking", FOLLOWED),
    model("latest_long", HEARD),
    model("latest_short", HEARD),
    model("telephony", HEARD),
    model("phone_call", HEARD),
    model("video", HEARD),
    model("command_and_search", HEARD),
    model("medical_dictation", HEARD),
    model("medical_conversation", HEARD),
    model("gemini-3.8-flash-tts", SPOKEN),
    model("gemini-3.8-flash-lite-tts", SPOKEN),
    model("gemini-2.5-flash-tts", SPOKEN),
    model("gemini-2.5-pro-tts", SPOKEN),
    model("chirp3-hd", SPOKEN),
    model("studio", SPOKEN),
    model("neural2", SPOKEN),
    model("polyglot", SPOKEN),
    model("wavenet", SPOKEN),
    model("standard", SPOKEN),
];

const PREBUILT: &[&str] =
    &["gemini-3.8-flash-tts", "gemini-3.8-flash-lite-tts", "gemini-2.5-flash-tts", "gemini-2.5-pro-tts", "chirp3-hd"];

const fn voice(name: &'static str) -> WellKnownVoice {
    WellKnownVoice { name, language: None, gender: None, models: PREBUILT }
}

const fn american(name: &'static str, models: &'static [&'static str]) -> WellKnownVoice {
    WellKnownVoice { name, language: Some("en-US"), gender: None, models }
}

/// The voices that speak every language, and one of each of the other families, whose names begin with
/// their language.
pub(super) const VOICES: &[WellKnownVoice] = &[
    voice("Zephyr"),
    voice("Puck"),
    voice("Charon"),
    voice("Kore"),
    voice("Fenrir"),
    voice("Leda"),
    voice("Orus"),
    voice("Aoede"),
    voice("Callirrhoe"),
    voice("Autonoe"),
    voice("Enceladus"),
    voice("Iapetus"),
    voice("Umbriel"),
    voice("Algieba"),
    voice("Despina"),
    voice("Erinome"),
    voice("Algenib"),
    voice("Rasalgethi"),
    voice("Laomedeia"),
    voice("Achernar"),
    voice("Alnilam"),
    voice("Schedar"),
    voice("Gacrux"),
    voice("Pulcherrima"),
    voice("Achird"),
    voice("Zubenelgenubi"),
    voice("Vindemiatrix"),
    voice("Sadachbia"),
    voice("Sadaltager"),
    voice("Sulafat"),
    american("en-US-Neural2-A", &["neural2"]),
    american("en-US-Polyglot-1", &["polyglot"]),
    american("en-US-Standard-A", &["standard"]),
    american("en-US-Studio-O", &["studio"]),
    american("en-US-Wavenet-A", &["wavenet"]),
];
