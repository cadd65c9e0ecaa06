//! Requests as they go out and answers as the client gets them: one line per case, one snapshot each.

use dialects::contract::{SpeechPlan, UploadBody, UpstreamModel};
use dialects::error::DialectError;
use dialects::registry::{Provider, provider};
use domain::audio::{AudioFile, Container, SampleRate, SpeechFormat};
use domain::provider::{Extensions, Operation, ProviderKind};
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};

pub(crate) fn row(kind: ProviderKind) -> &'static Provider {
    provider(kind).unwrap()
}

pub(crate) fn upstream(kind: ProviderKind, model: &str) -> UpstreamModel {
    let (model, provider) = (model.to_owned(), format!("my-{kind}"));
    UpstreamModel { wire_name: model.clone(), model, provider, options: Default::default() }
}

pub(crate) fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Two seconds of 16 kHz mono.
pub(crate) const RECORDING: AudioFile = AudioFile {
    container: Container::Wav,
    sample_rate: Some(SampleRate(16_000)),
    channels: Some(1),
    duration_ms: Some(2_000),
};

/// The requests of a plan, and what comes back.
pub(crate) fn spoken(plan: &SpeechPlan) -> String {
    let mut text = format!("{:?} {:?}\n", plan.answer, plan.audio);
    for part in &plan.parts {
        let body = String::from_utf8_lossy(&part.request.body);
        text.push_str(&format!("POST {} {} characters\n  {body}\n", part.request.endpoint.path, part.characters));
    }
    text
}

pub(crate) fn asks(format: TranscriptFormat) -> TranscriptionRequest {
    TranscriptionRequest { model: "asked".to_owned(), response_format: Some(format), ..Default::default() }
}

/// The form that goes out and the reply that comes back, or the refusal, as text.
pub(crate) fn transcribed(kind: ProviderKind, model: &str, request: &TranscriptionRequest, answer: &str) -> String {
    let (dialect, model) = (row(kind).transcription.unwrap(), upstream(kind, model));
    let form = match dialect.request(Operation::Transcription, request, &RECORDING, &model) {
        Ok(form) => form,
        Err(error) => return refusal(&error),
    };
    let body = fixture(answer);
    let mut text = format!("POST {} streams={}\n{}", form.endpoint.path, form.streams, wrapping(&form.body));
    let reply = dialect.reply(Operation::Transcription, request, &model, "application/json", &body).unwrap();
    text.push_str(&format!(
        "{}\n{}\nusage={:?}\nduration_ms={:?}",
        reply.content_type,
        String::from_utf8(reply.body).unwrap(),
        reply.usage.map(|usage| (usage.audio_in_ms, usage.audio_tokens_in, usage.text_tokens_out)),
        reply.duration_ms
    ));
    text
}

/// How the file goes out: a line for each field, or what surrounds it.
pub(crate) fn wrapping(body: &UploadBody) -> String {
    match body {
        UploadBody::Form(fields) => fields.iter().map(|(name, value)| format!("  {name}={value}\n")).collect(),
        UploadBody::Raw(content_type) => format!("  [file as {content_type}]\n"),
        UploadBody::Base64 { before, after } => {
            format!("  {}[file]{}\n", String::from_utf8_lossy(before), String::from_utf8_lossy(after))
        }
    }
}

pub(crate) fn refusal(error: &DialectError) -> String {
    match error {
        DialectError::Unsupported { param, message } => format!("unsupported {param}: {message}"),
        DialectError::Audio(message) => format!("unsupported audio: {message}"),
        DialectError::Invalid { param, message } => format!("invalid {param}: {message}"),
        DialectError::Upstream(message) => format!("upstream: {message}"),
    }
}

#[test]
fn transcriptions() {
    use ProviderKind::{Azure, Groq, Local, Openai, OpenaiCompatible};
    use TranscriptFormat::{DiarizedJson, Json, Srt, Text, VerboseJson, Vtt};
    let words = TranscriptionRequest { word_timestamps: true, segment_timestamps: true, ..asks(VerboseJson) };
    let streamed = TranscriptionRequest { stream: true, ..asks(Json) };
    let prompted = TranscriptionRequest { prompt: Some("Antiphon".to_owned()), ..asks(Json) };
    let several = TranscriptionRequest { languages: vec!["en".to_owned(), "de".to_owned()], ..asks(Json) };
    let one = TranscriptionRequest { language: Some("en".to_owned()), ..asks(Json) };
    let included = TranscriptionRequest { include: vec!["logprobs".to_owned()], ..asks(Json) };
    let long = TranscriptionRequest { prompt: Some("ä".repeat(449)), ..asks(Json) };
    let chunked = TranscriptionRequest {
        chunking_strategy: Some(r#"{"type":"server_vad","threshold":0.5}"#.to_owned()),
        ..asks(Json)
    };
    let full = TranscriptionRequest {
        language: Some("en".to_owned()),
        languages: vec!["de".to_owned()],
        keywords: vec!["Antiphon".to_owned()],
        prompt: Some("p".to_owned()),
        temperature: Some("0.2".to_owned()),
        word_timestamps: true,
        include: vec!["logprobs".to_owned()],
        chunking_strategy: Some("\"auto\"".to_owned()),
        known_speaker_names: vec!["agent".to_owned()],
        known_speaker_references: vec!["data:audio/wav;base64,AA==".to_owned()],
        ..asks(VerboseJson)
    };
    const TOKENS: &str = "openai/transcription-json.json";
    const VERBOSE: &str = "openai/transcription-verbose.json";
    const DIARIZED: &str = "openai/transcription-diarized.json";
    const WHISPER: &str = "openai/transcription-whisper-json.json";
    const GROQ: &str = "groq/transcription-verbose.json";
    let cases: &[(&str, ProviderKind, &str, &TranscriptionRequest, &str)] = &[
        ("openai_tokens_json", Openai, "gpt-4o-transcribe", &included, TOKENS),
        ("openai_tokens_text_is_made_from_json", Openai, "gpt-4o-mini-transcribe-2025-12-15", &asks(Text), TOKENS),
        ("openai_tokens_have_no_captions", Openai, "gpt-4o-transcribe", &asks(Srt), TOKENS),
        ("openai_tokens_have_no_verbose", Openai, "gpt-4o-transcribe", &asks(VerboseJson), TOKENS),
        ("openai_streams", Openai, "gpt-4o-transcribe", &streamed, TOKENS),
        ("openai_chunking_object", Openai, "gpt-4o-transcribe", &chunked, TOKENS),
        ("openai_whisper_verbose", Openai, "whisper-1", &words, VERBOSE),
        ("openai_whisper_stream_is_emulated", Openai, "whisper-1", &streamed, WHISPER),
        ("openai_whisper_has_one_language", Openai, "whisper-1", &several, WHISPER),
        ("openai_whisper_has_no_logprobs", Openai, "whisper-1", &included, WHISPER),
        ("openai_diarized", Openai, "gpt-4o-transcribe-diarize", &asks(DiarizedJson), DIARIZED),
        ("openai_diarized_captions", Openai, "gpt-4o-transcribe-diarize", &asks(Vtt), DIARIZED),
        ("openai_diarize_takes_no_prompt", Openai, "gpt-4o-transcribe-diarize", &prompted, DIARIZED),
        ("openai_gpt_transcribe_language", Openai, "gpt-transcribe", &one, WHISPER),
        ("openai_unknown_model_gets_everything", Openai, "gpt-next", &full, VERBOSE),
        ("azure_whisper_verbose", Azure, "whisper", &words, VERBOSE),
        ("groq_json", Groq, "whisper-large-v3-turbo", &asks(Json), GROQ),
        ("groq_verbose", Groq, "whisper-large-v3-turbo", &words, GROQ),
        ("groq_srt", Groq, "whisper-large-v3", &asks(Srt), GROQ),
        ("groq_stream_is_emulated", Groq, "whisper-large-v3", &streamed, GROQ),
        ("groq_has_no_speakers", Groq, "whisper-large-v3", &asks(DiarizedJson), GROQ),
        ("groq_prompt_is_counted_in_bytes", Groq, "whisper-large-v3", &long, GROQ),
        ("compatible_passes_everything", OpenaiCompatible, "any", &full, VERBOSE),
        ("local_vtt", Local, "pocketsphinx", &asks(Vtt), VERBOSE),
    ];
    for (name, kind, model, request, answer) in cases {
        insta::assert_snapshot!(*name, transcribed(*kind, model, request, answer));
    }
}

#[test]
fn whisper_captions_pass_as_the_provider_wrote_them() {
    let (dialect, model) =
        (row(ProviderKind::Openai).transcription.unwrap(), upstream(ProviderKind::Openai, "whisper-1"));
    let body = b"1\n00:00:00,000 --> 00:00:01,000\nHi\n\n";
    let reply =
        dialect.reply(Operation::Transcription, &asks(TranscriptFormat::Srt), &model, "text/plain", body).unwrap();
    assert_eq!(reply.body, body);
    assert_eq!(reply.usage, None, "nobody told, so it is measured");
}

#[test]
fn only_models_that_translate_are_asked_to() {
    let request = asks(TranscriptFormat::Json);
    let translate = |kind: ProviderKind, model: &str| {
        let form = row(kind).transcription.unwrap().request(
            Operation::Translation,
            &request,
            &RECORDING,
            &upstream(kind, model),
        );
        form.map(|form| form.endpoint.path).map_err(|error| refusal(&error))
    };
    assert_eq!(translate(ProviderKind::Openai, "whisper-1").unwrap(), "/audio/translations");
    assert_eq!(translate(ProviderKind::Groq, "whisper-large-v3").unwrap(), "/audio/translations");
    let refused = translate(ProviderKind::Groq, "whisper-large-v3-turbo").unwrap_err();
    assert_eq!(
        refused,
        "unsupported model: provider `my-groq` does not support translation with model `whisper-large-v3-turbo`"
    );
    assert!(translate(ProviderKind::Openai, "gpt-4o-transcribe").unwrap_err().starts_with("unsupported model"));
}

#[test]
fn speech() {
    use ProviderKind::{Azure, Groq, Openai, OpenaiCompatible};
    let says = |input: &str| SpeechRequest {
        model: "asked".to_owned(),
        input: input.to_owned(),
        voice: Voice::Name("marin".to_owned()),
        instructions: None,
        response_format: None,
        speed: None,
        stream_format: None,
        extensions: Extensions::new(),
    };
    let full = SpeechRequest {
        instructions: Some("softly".to_owned()),
        response_format: Some(SpeechFormat::Opus),
        speed: Some(1.5),
        stream_format: Some(StreamFormat::Sse),
        voice: Voice::Id { id: "voice_1234".to_owned() },
        ..says("Hi")
    };
    let wav = |input: &str| SpeechRequest { response_format: Some(SpeechFormat::Wav), ..says(input) };
    let cases: &[(&str, ProviderKind, &str, SpeechRequest)] = &[
        ("openai_speech_tokens_ask_for_events", Openai, "gpt-4o-mini-tts-2025-12-15", full.clone()),
        ("openai_speech_plain", Openai, "tts-1", says("Hi")),
        ("openai_speech_too_long", Openai, "tts-1", says(&"é".repeat(4097))),
        ("openai_speech_too_fast", Openai, "tts-1", SpeechRequest { speed: Some(4.1), ..says("Hi") }),
        ("azure_speech_plain", Azure, "tts-hd", says("Hi")),
        ("groq_speech_wav", Groq, "canopylabs/orpheus-v1-english", wav("Hi")),
        ("groq_speech_has_no_mp3", Groq, "canopylabs/orpheus-v1-english", says("Hi")),
        ("groq_speech_in_parts", Groq, "canopylabs/orpheus-v1-english", wav(&"So it is, more or less. ".repeat(9))),
        (
            "groq_speech_pcm",
            Groq,
            "canopylabs/orpheus-v1-english",
            SpeechRequest { response_format: Some(SpeechFormat::Pcm), ..says("Hi") },
        ),
        ("compatible_speech", OpenaiCompatible, "kokoro", full),
    ];
    for (name, kind, model, request) in cases {
        let text = match row(*kind).speech.unwrap().request(request, &upstream(*kind, model)) {
            Ok(plan) => spoken(&plan),
            Err(error) => refusal(&error),
        };
        insta::assert_snapshot!(*name, text);
    }
}

#[test]
fn chat_keeps_every_field_byte_for_byte() {
    let body = br#"{"model":"asked","temperature":1.00,"stream":true,"stream_options":{"include_obfuscation":false},"big":123456789012345678901234567890}"#;
    let json = row(ProviderKind::Openai).json.unwrap();
    let request = json.request(Operation::Chat, body, &upstream(ProviderKind::Openai, "gpt-6-luna")).unwrap();
    assert_eq!(request.endpoint.path, "/chat/completions");
    insta::assert_snapshot!("openai_chat", String::from_utf8(request.body).unwrap());
    let error = json.request(Operation::Chat, b"[1]", &upstream(ProviderKind::Openai, "m")).unwrap_err();
    assert!(matches!(error, DialectError::Invalid { param: "body", .. }));
    let error = row(ProviderKind::Groq).json.unwrap();
    let error = error.request(Operation::Embeddings, b"{}", &upstream(ProviderKind::Groq, "m")).unwrap_err();
    assert!(refusal(&error).starts_with("unsupported model"), "{error}");
}
