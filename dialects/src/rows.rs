//! The rows of the table of providers, with the models and voices that exist without declaration.
//!
//! Sources: the vendors' model pages and API references, read 2026-11-21.

use domain::provider::{Operation, ProviderKind};

use crate::live::cut::Utterances;
use crate::openai::json::OpenaiJson;
use crate::openai::realtime::OpenaiRealtime;
use crate::openai::speech::OpenaiSpeech;
use crate::openai::transcription::{OpenaiTranscription, models};
use crate::registry::{AuthStyle, Provider, WellKnownModel, WellKnownVoice};
use crate::{azure, deepgram, elevenlabs, google, groq, local, openai, openai_compatible, ultravox};

const BEARER: AuthStyle = AuthStyle::Header("authorization", "Bearer ");

pub(crate) static PROVIDERS: &[Provider] = &[
    deepgram::PROVIDER,
    elevenlabs::PROVIDER,
    google::PROVIDER,
    ultravox::PROVIDER,
    Provider {
        kind: ProviderKind::Openai,
        telemetry_name: "openai",
        base_url: Some("https://api.openai.com/v1"),
        path_prefix: "",
        auth: BEARER,
        key_variable: Some("OPENAI_API_KEY"),
        url_variable: None,
        voices_api: None,
        in_process: false,
        models: OPENAI_MODELS,
        voices: OPENAI_VOICES,
        transcription: Some(&OpenaiTranscription { capabilities: models::openai }),
        speech: Some(&OpenaiSpeech),
        json: Some(&OpenaiJson),
        realtime: Some(&OpenaiRealtime),
        surface: None,
        live: None,
        agent: None,
        fault: openai::errors::fault,
    },
    Provider {
        kind: ProviderKind::Azure,
        telemetry_name: "azure.ai.openai",
        base_url: None,
        path_prefix: "/openai/v1",
        auth: AuthStyle::Header("api-key", ""),
        key_variable: Some("AZURE_OPENAI_API_KEY"),
        url_variable: Some("AZURE_OPENAI_ENDPOINT"),
        voices_api: None,
        in_process: false,
        models: AZURE_MODELS,
        voices: AZURE_VOICES,
        transcription: Some(&OpenaiTranscription { capabilities: models::openai }),
        speech: Some(&OpenaiSpeech),
        json: Some(&OpenaiJson),
        realtime: Some(&OpenaiRealtime),
        surface: Some(&azure::surface::SURFACE),
        live: None,
        agent: None,
        fault: azure::fault,
    },
    Provider {
        kind: ProviderKind::Groq,
        telemetry_name: "groq",
        base_url: Some("https://api.groq.com/openai/v1"),
        path_prefix: "",
        auth: BEARER,
        key_variable: Some("GROQ_API_KEY"),
        url_variable: None,
        voices_api: None,
        in_process: false,
        models: GROQ_MODELS,
        voices: GROQ_VOICES,
        transcription: Some(&OpenaiTranscription { capabilities: groq::capabilities }),
        speech: Some(&groq::GroqSpeech),
        json: Some(&groq::GroqJson),
        realtime: None,
        surface: Some(&groq::surface::SURFACE),
        live: Some(&Utterances),
        agent: None,
        fault: groq::fault,
    },
    Provider {
        kind: ProviderKind::OpenaiCompatible,
        telemetry_name: "openai-compatible",
        base_url: None,
        path_prefix: "",
        auth: BEARER,
        key_variable: None,
        url_variable: None,
        voices_api: None,
        in_process: false,
        models: &[],
        voices: &[],
        transcription: Some(&OpenaiTranscription { capabilities: models::permissive }),
        speech: Some(&openai_compatible::CompatibleSpeech),
        json: Some(&OpenaiJson),
        realtime: Some(&OpenaiRealtime),
        surface: None,
        live: Some(&Utterances),
        agent: None,
        fault: openai::errors::fault,
    },
    Provider {
        kind: ProviderKind::Local,
        telemetry_name: "local",
        base_url: None,
        path_prefix: "",
        auth: AuthStyle::None,
        key_variable: None,
        url_variable: None,
        voices_api: None,
        in_process: true,
        models: LOCAL_MODELS,
        voices: LOCAL_VOICES,
        transcription: Some(&OpenaiTranscription { capabilities: local::capabilities }),
        speech: Some(&local::LocalSpeech),
        json: None,
        realtime: Some(&OpenaiRealtime),
        surface: None,
        live: None,
        agent: None,
        fault: openai::errors::fault,
    },
];

/// Models of turns: over HTTP, and as the transcriber of a realtime transcription session.
const TRANSCRIBES_TURNS: &[Operation] = &[Operation::Transcription, Operation::Realtime];
const TRANSLATES_TURNS: &[Operation] = &[Operation::Transcription, Operation::Translation, Operation::Realtime];
const TRANSLATES: &[Operation] = &[Operation::Transcription, Operation::Translation];
const SPEAKS: &[Operation] = &[Operation::Speech];
const REALTIME: &[Operation] = &[Operation::Realtime];
const CHAT: &[Operation] = &[Operation::Chat];
const EMBEDS: &[Operation] = &[Operation::Embeddings];

const fn model(name: &'static str, operations: &'static [Operation]) -> WellKnownModel {
    WellKnownModel { name, operations }
}

const OPENAI_MODELS: &[WellKnownModel] = &[
    model("gpt-transcribe", TRANSCRIBES_TURNS),
    model("gpt-4o-transcribe", TRANSCRIBES_TURNS),
    model("gpt-4o-mini-transcribe", TRANSCRIBES_TURNS),
    model("gpt-4o-mini-transcribe-2025-12-15", TRANSCRIBES_TURNS),
    model("gpt-4o-transcribe-diarize", TRANSCRIBES_TURNS),
    model("whisper-1", TRANSLATES_TURNS),
    model("gpt-live-transcribe", REALTIME),
    model("gpt-realtime-whisper", REALTIME),
    model("gpt-4o-mini-tts", SPEAKS),
    model("gpt-4o-mini-tts-2025-12-15", SPEAKS),
    model("tts-1", SPEAKS),
    model("tts-1-hd", SPEAKS),
    model("gpt-realtime-2.1", REALTIME),
    model("gpt-realtime-2.1-mini", REALTIME),
    model("gpt-realtime-2", REALTIME),
    model("gpt-realtime-1.5", REALTIME),
    model("gpt-realtime", REALTIME),
    model("gpt-realtime-mini", REALTIME),
    model("gpt-6-luna", CHAT),
    model("gpt-5.6-luna", CHAT),
    model("gpt-4o-mini", CHAT),
    model("gpt-audio-1.5", CHAT),
    model("text-embedding-3-small", EMBEDS),
    model("text-embedding-3-large", EMBEDS),
    model("text-embedding-ada-002", EMBEDS),
];

/// A deployment has the name its owner chose; these hold where it is called as its model.
const AZURE_MODELS: &[WellKnownModel] = &[
    model("whisper", TRANSLATES),
    model("gpt-transcribe", TRANSCRIBES_TURNS),
    model("gpt-4o-transcribe", TRANSCRIBES_TURNS),
    model("gpt-4o-mini-transcribe", TRANSCRIBES_TURNS),
    model("gpt-4o-transcribe-diarize", TRANSCRIBES_TURNS),
    model("gpt-live-transcribe", REALTIME),
    model("gpt-realtime-whisper", REALTIME),
    model("tts", SPEAKS),
    model("tts-hd", SPEAKS),
    model("gpt-4o-mini-tts", SPEAKS),
    model("gpt-realtime-2.1", REALTIME),
    model("gpt-realtime-2.1-mini", REALTIME),
    model("gpt-realtime-2", REALTIME),
    model("gpt-realtime-1.5", REALTIME),
    model("gpt-realtime", REALTIME),
    model("gpt-realtime-mini", REALTIME),
    model("gpt-audio-1.5", CHAT),
    model("text-embedding-3-small", EMBEDS),
    model("text-embedding-3-large", EMBEDS),
];

const GROQ_MODELS: &[WellKnownModel] = &[
    model("whisper-large-v3", TRANSLATES_TURNS),
    model("whisper-large-v3-turbo", TRANSCRIBES_TURNS),
    model(ORPHEUS_ENGLISH, SPEAKS),
    model(ORPHEUS_ARABIC, SPEAKS),
    model("openai/gpt-oss-120b", CHAT),
    model("openai/gpt-oss-20b", CHAT),
    model("qwen/qwen3.8-27b", CHAT),
];

const LOCAL_MODELS: &[WellKnownModel] = &[model("flite", SPEAKS), model("pocketsphinx", TRANSCRIBES_TURNS)];

const ORPHEUS_ENGLISH: &str = "canopylabs/orpheus-v1-english";
const ORPHEUS_ARABIC: &str = "canopylabs/orpheus-arabic-saudi";
const EVERY: &[&str] = &[];
/// Models that have the voices `tts-1` and `tts-1-hd` lack.
const NEWER: &[&str] = &[
    "gpt-4o-mini-tts",
    "gpt-4o-mini-tts-2025-12-15",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime",
    "gpt-realtime-mini",
];
const AZURE_NEWER: &[&str] = &[
    "gpt-4o-mini-tts",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime",
    "gpt-realtime-mini",
];
/// Models of speech alone: realtime sessions lack these voices.
const SPEECH_ONLY: &[&str] = &["gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "tts-1", "tts-1-hd"];
const AZURE_SPEECH_ONLY: &[&str] = &["gpt-4o-mini-tts", "tts", "tts-hd"];

/// OpenAI says of none which language or gender it has.
const fn voice(name: &'static str, models: &'static [&'static str]) -> WellKnownVoice {
    WellKnownVoice { name, language: None, gender: None, models }
}

const fn openai_voices(newer: &'static [&'static str], speech_only: &'static [&'static str]) -> [WellKnownVoice; 13] {
    [
        voice("alloy", EVERY),
        voice("ash", EVERY),
        voice("ballad", newer),
        voice("coral", EVERY),
        voice("echo", EVERY),
        voice("fable", speech_only),
        voice("onyx", speech_only),
        voice("nova", speech_only),
        voice("sage", EVERY),
        voice("shimmer", EVERY),
        voice("verse", newer),
        voice("marin", newer),
        voice("cedar", newer),
    ]
}

const OPENAI_VOICES: &[WellKnownVoice] = &openai_voices(NEWER, SPEECH_ONLY);
const AZURE_VOICES: &[WellKnownVoice] = &openai_voices(AZURE_NEWER, AZURE_SPEECH_ONLY);

const fn spoken(
    name: &'static str,
    language: &'static str,
    gender: &'static str,
    models: &'static [&'static str],
) -> WellKnownVoice {
    WellKnownVoice { name, language: Some(language), gender: Some(gender), models }
}

const GROQ_VOICES: &[WellKnownVoice] = &[
    spoken("autumn", "en", "female", &[ORPHEUS_ENGLISH]),
    spoken("diana", "en", "female", &[ORPHEUS_ENGLISH]),
    spoken("hannah", "en", "female", &[ORPHEUS_ENGLISH]),
    spoken("austin", "en", "male", &[ORPHEUS_ENGLISH]),
    spoken("daniel", "en", "male", &[ORPHEUS_ENGLISH]),
    spoken("troy", "en", "male", &[ORPHEUS_ENGLISH]),
    spoken("abdullah", "ar-SA", "male", &[ORPHEUS_ARABIC]),
    spoken("fahad", "ar-SA", "male", &[ORPHEUS_ARABIC]),
    spoken("sultan", "ar-SA", "male", &[ORPHEUS_ARABIC]),
    spoken("lulwa", "ar-SA", "female", &[ORPHEUS_ARABIC]),
    spoken("noura", "ar-SA", "female", &[ORPHEUS_ARABIC]),
    spoken("aisha", "ar-SA", "female", &[ORPHEUS_ARABIC]),
];

const LOCAL_VOICES: &[WellKnownVoice] = &[
    spoken("slt", "en-US", "female", EVERY),
    spoken("rms", "en-US", "male", EVERY),
    spoken("awb", "en-GB", "male", EVERY),
    spoken("kal16", "en-US", "male", EVERY),
];
