//! Deepgram: requests as they go out, answers as the client gets them, and refusals.

use dialects::contract::{SpeechAnswer, SpeechAudio, SpeechPlan, UploadBody};
use dialects::error::DialectError;
use domain::audio::{AudioFile, Container, PCM_24K, SpeechFormat};
use domain::error::{ErrorKind, Retry};
use domain::provider::{Extensions, Operation, ProviderKind};
use domain::speech::{SpeechRequest, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use serde_json::{Value, json};

use proptest::prelude::*;

use crate::golden::{RECORDING, fixture, row, upstream};
use crate::property::json as any_json;

const KIND: ProviderKind = ProviderKind::Deepgram;

fn asks(format: TranscriptFormat) -> TranscriptionRequest {
    TranscriptionRequest { model: "asked".to_owned(), response_format: Some(format), ..Default::default() }
}

fn with(options: Value) -> TranscriptionRequest {
    TranscriptionRequest { extensions: extension(options), ..asks(TranscriptFormat::Json) }
}

fn extension(options: Value) -> Extensions {
    Extensions::from([("deepgram".to_owned(), options), ("elevenlabs".to_owned(), json!({ "tag": "not ours" }))])
}

/// Path and query of the request, or the refusal as `field: message`.
fn listens(model: &str, request: &TranscriptionRequest) -> Result<String, String> {
    let dialect = row(KIND).transcription.unwrap();
    let sent =
        dialect.request(Operation::Transcription, request, &RECORDING, &upstream(KIND, model)).map_err(refusal)?;
    assert_eq!(sent.body, UploadBody::Raw("audio/wav"), "the file is the body");
    assert!(!sent.streams && sent.endpoint.origin.is_none());
    Ok(sent.endpoint.path)
}

fn refusal(error: DialectError) -> String {
    match error {
        DialectError::Unsupported { param, message } | DialectError::Invalid { param, message } => {
            format!("{param}: {message}")
        }
        other => other.to_string(),
    }
}

/// What the client gets.
fn hears(model: &str, request: &TranscriptionRequest, answer: &[u8]) -> Result<String, String> {
    let dialect = row(KIND).transcription.unwrap();
    let model = upstream(KIND, model);
    let reply =
        dialect.reply(Operation::Transcription, request, &model, "application/json", answer).map_err(refusal)?;
    let billed = reply.usage.map(|usage| (usage.audio_in_ms, usage.surcharge_percent));
    let body = String::from_utf8(reply.body).unwrap();
    Ok(format!("{}\n{body}\nlength={:?} billed={billed:?}", reply.content_type, reply.duration_ms))
}

#[test]
fn deepgram_is_asked_in_the_query() {
    use TranscriptFormat::{DiarizedJson, Json, Srt, VerboseJson};
    let language = |language: &str| TranscriptionRequest { language: Some(language.to_owned()), ..asks(Json) };
    let languages = |languages: &[&str]| TranscriptionRequest {
        languages: languages.iter().map(|&language| language.to_owned()).collect(),
        ..asks(Json)
    };
    let terms = TranscriptionRequest { keywords: vec!["Antiphon & Co".to_owned(), "é".to_owned()], ..asks(Json) };
    let tolerated = TranscriptionRequest {
        prompt: Some(" ".to_owned()),
        temperature: Some("0.0".to_owned()),
        chunking_strategy: Some("\"auto\"".to_owned()),
        word_timestamps: true,
        stream: true,
        ..asks(Json)
    };
    let options = with(json!({
        "smart_format": "false", "numerals": true, "tag": "one", "replace": ["a:b", "c:d e"], "version": "latest",
        "utt_split": 0.5, "mip_opt_out": true, "redact": ["pci", "ssn"], "search": null,
    }));
    let cases = [
        ("nova-3", asks(Json)),
        ("nova-3", asks(Srt)),
        ("nova-3", asks(VerboseJson)),
        ("nova-3", asks(DiarizedJson)),
        ("nova-3-medical", asks(Json)),
        ("whisper-large", asks(Json)),
        ("nova-2-phonecall", language("english")),
        ("nova-3", language("de_AT")),
        ("nova-3", language("pt-br")),
        ("nova-3", language("zh-hans-CN")),
        ("nova-3", language("yue")),
        ("nova-3", language("multi")),
        ("nova-3", languages(&["deu", "es-MX"])),
        ("nova-2", languages(&["en", "de"])),
        ("nova-2", languages(&["en-GB", "en"])),
        ("nova-3", terms.clone()),
        ("nova-2", terms.clone()),
        ("nova-3", tolerated),
        ("nova-3", options),
        ("nova-3", with(json!({ "detect_language": ["en", "de"] }))),
        ("nova-3", with(json!({ "detect_language": false }))),
        ("nova-3", with(json!({ "multichannel": true, "diarize_model": "v1" }))),
    ];
    let lines: Vec<String> = cases.iter().map(|(model, request)| listens(model, request).unwrap()).collect();
    insta::assert_snapshot!("deepgram_listen", lines.join("\n"));
}

#[test]
fn deepgram_takes_every_kind_of_file_by_its_own_type() {
    let dialect = row(KIND).transcription.unwrap();
    for container in Container::ALL {
        let file = AudioFile { container: *container, sample_rate: None, channels: None, duration_ms: None };
        let request = asks(TranscriptFormat::Json);
        let sent = dialect.request(Operation::Transcription, &request, &file, &upstream(KIND, "nova-3")).unwrap();
        assert_eq!(sent.body, UploadBody::Raw(container.content_type()));
    }
}

#[test]
fn what_deepgram_cannot_do_is_refused_by_name() {
    use TranscriptFormat::{Json, Srt};
    let text = |text: &str| Some(text.to_owned());
    let one = |text: &str| vec![text.to_owned()];
    let json = || asks(Json);
    let cases = [
        ("nova-3", TranscriptionRequest { prompt: text("Antiphon"), ..json() }),
        ("nova-3", TranscriptionRequest { temperature: text("0.2"), ..json() }),
        ("nova-3", TranscriptionRequest { include: one("logprobs"), ..json() }),
        ("nova-3", TranscriptionRequest { chunking_strategy: text(r#"{"type":"server_vad"}"#), ..json() }),
        ("nova-3", TranscriptionRequest { known_speaker_names: one("agent"), ..json() }),
        ("nova-3", TranscriptionRequest { known_speaker_references: one("data:,"), ..json() }),
        ("nova-3", TranscriptionRequest { language: text("Klingonese"), ..json() }),
        ("nova-2-medical", TranscriptionRequest { language: text("de"), ..json() }),
        ("enhanced", TranscriptionRequest { language: text("multi"), ..json() }),
        ("nova-2-medical", TranscriptionRequest { languages: vec!["en".to_owned(), "de".to_owned()], ..json() }),
        ("whisper-large", TranscriptionRequest { keywords: one("Antiphon"), ..json() }),
        ("flux-general-en", json()),
        ("nova-3", TranscriptionRequest { keywords: one(&"x".repeat(20_000)), ..json() }),
        ("nova-3", with(json!("numerals"))),
        ("nova-3", with(json!({ "callback": "https://example.com" }))),
        ("nova-3", with(json!({ "numerals": "yes" }))),
        ("nova-3", with(json!({ "diarize_model": "v9" }))),
        ("nova-3", with(json!({ "utt_split": -1 }))),
        ("nova-3", with(json!({ "tag": [{}] }))),
        ("nova-3", with(json!({ "version": ["a"] }))),
        ("nova-3", with(json!({ "keywords": ["a:2"] }))),
        ("nova-2", with(json!({ "keyterm": "a" }))),
        ("nova-3", TranscriptionRequest { language: text("en"), ..with(json!({ "detect_language": true })) }),
        ("nova-3", TranscriptionRequest { response_format: Some(Srt), ..with(json!({ "search": "a" })) }),
        ("nova-3", TranscriptionRequest { stream: true, ..with(json!({ "detect_entities": true })) }),
    ];
    let lines: Vec<String> = cases.iter().map(|(model, request)| listens(model, request).unwrap_err()).collect();
    insta::assert_snapshot!("deepgram_listen_refused", lines.join("\n"));
    let translated = row(KIND).transcription.unwrap().request(
        Operation::Translation,
        &json(),
        &RECORDING,
        &upstream(KIND, "whisper-large"),
    );
    assert!(refusal(translated.unwrap_err()).contains("does not support translation"), "never a silent transcription");
}

#[test]
fn deepgrams_answer_comes_out_in_every_format() {
    use TranscriptFormat::{DiarizedJson, Json, Srt, Text, VerboseJson, Vtt};
    let words = TranscriptionRequest { word_timestamps: true, segment_timestamps: true, ..asks(VerboseJson) };
    let chinese = TranscriptionRequest { language: Some("zh-CN".to_owned()), ..words.clone() };
    let streamed = |format| TranscriptionRequest { stream: true, ..asks(format) };
    let channels =
        |format| TranscriptionRequest { response_format: Some(format), ..with(json!({ "multichannel": true })) };
    let analysed = with(json!({ "search": "there", "detect_entities": true }));
    let cases = [
        ("json", "nova-3", asks(Json), "listen.json"),
        ("text", "nova-3", asks(Text), "listen.json"),
        ("srt", "nova-3", asks(Srt), "listen.json"),
        ("vtt", "nova-3", asks(Vtt), "listen.json"),
        ("verbose", "nova-3", words.clone(), "listen.json"),
        ("diarized", "nova-3", asks(DiarizedJson), "listen-diarized.json"),
        ("diarized_stream", "nova-3", streamed(DiarizedJson), "listen-diarized.json"),
        ("stream", "nova-3", streamed(Json), "listen.json"),
        ("channels", "nova-3", channels(DiarizedJson), "listen-channels.json"),
        ("channels_json", "nova-3", channels(Json), "listen-channels.json"),
        ("empty", "nova-3-medical", asks(VerboseJson), "listen-empty.json"),
        ("empty_srt", "nova-3", asks(Srt), "listen-empty.json"),
        ("chinese", "nova-2", chinese, "listen-chinese.json"),
        ("odd", "nova-3", words, "listen-odd.json"),
        ("analysed", "nova-3", analysed, "listen-odd.json"),
    ];
    let mut text = String::new();
    for (name, model, request, answer) in cases {
        let reply = hears(model, &request, &fixture(&format!("deepgram/{answer}"))).unwrap();
        text.push_str(&format!("== {name}\n{reply}\n\n"));
    }
    insta::assert_snapshot!("deepgram_heard", text);
}

#[test]
fn what_costs_more_is_billed_and_reserved() {
    use TranscriptFormat::{DiarizedJson, Json};
    let languages = |languages: &[&str]| TranscriptionRequest {
        languages: languages.iter().map(|&language| language.to_owned()).collect(),
        ..asks(Json)
    };
    let terms = TranscriptionRequest { keywords: vec!["Antiphon".to_owned()], ..asks(Json) };
    let all = with(json!({ "redact": ["pci"], "detect_entities": true, "keyterm": "a", "diarize_model": "v2" }));
    // Percent of the model's price, rounded up.
    let cases = [
        ("nova-3", asks(Json), 0),
        ("nova-3", asks(DiarizedJson), 26),
        ("nova-2", asks(DiarizedJson), 47),
        ("nova-3", terms.clone(), 17),
        ("nova-2", terms, 0),
        ("nova-3", languages(&["en", "es"]), 20),
        ("nova-2", languages(&["en", "es"]), 0),
        ("nova-3", all, 91),
        ("nova-3", with(json!({ "redact": [], "detect_entities": false, "search": "free" })), 0),
    ];
    let dialect = row(KIND).transcription.unwrap();
    let length = Usage { audio_in_ms: 4_500, requests: 1, ..Usage::default() };
    for (name, request, percent) in cases {
        let answer = fixture("deepgram/listen-diarized.json");
        let model = upstream(KIND, name);
        let reply = dialect.reply(Operation::Transcription, &request, &model, "application/json", &answer).unwrap();
        let billed = reply.usage.unwrap();
        assert_eq!((billed.audio_in_ms, billed.surcharge_percent), (4_500, percent), "{name} {request:?}");
        let reserved = dialect.billed(&request, &RECORDING, &model, length);
        assert_eq!(reserved, Usage { surcharge_percent: percent, ..length }, "{name} {request:?}");
    }
    let stereo = AudioFile { channels: Some(2), ..RECORDING };
    let nova = upstream(KIND, "nova-3");
    assert_eq!(dialect.billed(&with(json!({ "multichannel": true })), &stereo, &nova, length).audio_in_ms, 9_000);
    assert_eq!(dialect.billed(&asks(Json), &stereo, &nova, length), length, "channels are mixed unless asked for");
}

#[test]
fn what_is_no_transcript_of_deepgrams_is_not_repeated() {
    let json = asks(TranscriptFormat::Json);
    for body in [
        "<html>internal.host</html>",
        r#"{"request_id":"internal.host"}"#,
        r#"{"results":"internal.host"}"#,
        r#"{"results":{"channels":[],"utterances":[{"transcript":"internal.host"}]}}"#,
        r#"{"metadata":{"duration":"internal.host"},"results":{}}"#,
        "",
    ] {
        let error = hears("nova-3", &json, body.as_bytes()).unwrap_err();
        assert!(error.contains("could not be read") && !error.contains("internal.host"), "{error}");
    }
    let nobody = hears("nova-3", &asks(TranscriptFormat::DiarizedJson), &fixture("deepgram/listen.json")).unwrap_err();
    assert!(nobody.contains("speakers"), "{nobody}");
}

fn says(voice: &str, format: Option<SpeechFormat>) -> SpeechRequest {
    SpeechRequest {
        model: "asked".to_owned(),
        input: "Hi there.".to_owned(),
        voice: Voice::Name(voice.to_owned()),
        instructions: None,
        response_format: format,
        speed: None,
        stream_format: None,
        extensions: Extensions::new(),
    }
}

fn plan(model: &str, request: &SpeechRequest) -> Result<SpeechPlan, String> {
    row(KIND).speech.unwrap().request(request, &upstream(KIND, model)).map_err(refusal)
}

fn path(model: &str, request: &SpeechRequest) -> String {
    match plan(model, request) {
        Ok(plan) => {
            assert_eq!((plan.answer, plan.audio, plan.parts.len()), (SpeechAnswer::Audio, SpeechAudio::AsAsked, 1));
            let part = plan.parts.first().unwrap();
            assert_eq!(part.request.body, br#"{"text":"Hi there."}"#);
            assert_eq!(part.characters, 9);
            part.request.endpoint.path.clone()
        }
        Err(error) => error,
    }
}

#[test]
fn deepgrams_voice_is_its_model() {
    let fast = |speed: f64| SpeechRequest { speed: Some(speed), ..says("thalia", None) };
    let kit = |speed: f64| SpeechRequest { speed: Some(speed), ..says("kit", None) };
    let softly = SpeechRequest { instructions: Some("softly".to_owned()), ..says("thalia", None) };
    let options = |voice: &str, format, options: Value| SpeechRequest {
        extensions: extension(options),
        ..says(voice, Some(format))
    };
    let full = json!({ "bit_rate": 48000, "tag": ["a", "b"], "mip_opt_out": false });
    let mut cases: Vec<(&str, SpeechRequest)> =
        SpeechFormat::ALL.iter().map(|format| ("aura-2", says("thalia", Some(*format)))).collect();
    cases.extend([
        ("aura-2", says("Selena", None)),
        ("aura-2", says("aura-2-ama-ja", None)),
        ("aura-2", says("aura-2-brandnew-en", None)),
        ("aura", says("asteria", None)),
        ("flux", says("kit", None)),
        ("aura-2-thalia-en", says("thalia", None)),
        ("aura-2-thalia-en", says("aura-2-thalia-en", None)),
        ("flux-kit-en", says("kit", None)),
        ("aura-2", fast(1.25)),
        ("aura-2", fast(1.0)),
        ("flux", kit(0.55)),
        ("aura-2", options("thalia", SpeechFormat::Mp3, full)),
        ("flux", options("kit", SpeechFormat::Mp3, json!({ "expressivity": -1.5 }))),
        // What follows is refused.
        ("aura-2", says("alloy", None)),
        ("aura-2", says("aura-asteria-en", None)),
        ("aura-2", says("aura-2-x&y-en", None)),
        ("aura", says("thalia", None)),
        ("aura-2-thalia-en", says("apollo", None)),
        ("nova-3", says("thalia", None)),
        ("aura-2", fast(0.6)),
        ("aura-2", fast(1.6)),
        ("flux", kit(0.52)),
        ("aura-2", softly),
        ("aura-2", options("thalia", SpeechFormat::Wav, json!({ "bit_rate": 48000 }))),
        ("aura-2", options("thalia", SpeechFormat::Mp3, json!({ "expressivity": 1 }))),
        ("aura-2", options("thalia", SpeechFormat::Mp3, json!({ "numerals": true }))),
    ]);
    let lines: Vec<String> = cases.iter().map(|(model, request)| path(model, request)).collect();
    insta::assert_snapshot!("deepgram_speak", lines.join("\n"));
}

#[test]
fn long_text_is_spoken_in_parts_that_can_be_joined() {
    let input = "One sentence of words. ".repeat(100).trim().to_owned();
    let long = |format| SpeechRequest { input: input.clone(), ..says("thalia", Some(format)) };
    for (format, audio) in [
        (SpeechFormat::Mp3, SpeechAudio::AsAsked),
        (SpeechFormat::Wav, SpeechAudio::Pcm(PCM_24K)),
        (SpeechFormat::Pcm, SpeechAudio::Pcm(PCM_24K)),
    ] {
        let plan = plan("aura-2", &long(format)).unwrap();
        assert_eq!((plan.audio, plan.parts.len()), (audio, 2), "{format}");
        let is_raw = plan.parts[0].request.endpoint.path.contains("encoding=linear16&container=none&sample_rate=24000");
        assert_eq!(is_raw, format != SpeechFormat::Mp3, "a head would stand amid the samples");
        let mut said = Vec::new();
        for part in &plan.parts {
            let body: Value = serde_json::from_slice(&part.request.body).unwrap();
            let text = body["text"].as_str().unwrap();
            assert!(part.characters <= 2000 && part.characters == text.chars().count() as u64);
            assert!(text.ends_with('.'), "cut at the end of a sentence: {text}");
            said.push(text.to_owned());
        }
        assert_eq!(said.join(" "), input);
    }
    for format in [SpeechFormat::Opus, SpeechFormat::Aac, SpeechFormat::Flac] {
        assert!(plan("aura-2", &long(format)).unwrap_err().starts_with("response_format: "), "{format}");
    }
}

#[test]
fn every_known_voice_of_deepgrams_has_a_name_on_the_wire() {
    for voice in row(KIND).voices {
        for model in voice.models {
            let expected = format!("model={model}-{}-{}&", voice.name, voice.language.unwrap());
            assert!(path(model, &says(voice.name, None)).contains(&expected), "{expected}");
        }
    }
}

#[test]
fn deepgrams_refusals_are_told_apart() {
    use ErrorKind::{InvalidRequest, UnsupportedAudio, UpstreamError, UpstreamRateLimited, UpstreamTimeout};
    use Retry::{NextTarget, No};
    let cases = [
        (400, "error-400-audio.json", UnsupportedAudio, No, false, Some("file")),
        (400, "error-400-model.json", InvalidRequest, NextTarget, false, Some("language")),
        (400, "error-400-json.json", InvalidRequest, No, false, None),
        (401, "error-401.json", UpstreamError, NextTarget, true, None),
        (401, "error-403.json", UpstreamError, NextTarget, true, None),
        (402, "error-402.json", UpstreamRateLimited, NextTarget, false, None),
        (403, "error-403.json", UpstreamError, NextTarget, true, None),
        (413, "error-413-text.json", InvalidRequest, No, false, Some("input")),
        (422, "error-422.json", InvalidRequest, No, false, None),
        (429, "error-429.json", UpstreamRateLimited, NextTarget, false, None),
        (504, "error-429.json", UpstreamTimeout, NextTarget, false, None),
    ];
    for (status, file, kind, retry, credential, param) in cases {
        let fault = (row(KIND).fault)(status, &fixture(&format!("deepgram/{file}")));
        assert_eq!((fault.kind, fault.retry, fault.credential_refused), (kind, retry, credential), "{status} {file}");
        assert_eq!(fault.param.as_deref(), param, "{status} {file}");
        assert!(!fault.message.contains("status") && !fault.message.contains('{'), "{}", fault.message);
    }
    let said = |status, body: &[u8]| (row(KIND).fault)(status, body).message;
    let json = said(400, &fixture("deepgram/error-400-json.json"));
    assert!(json.starts_with("Invalid JSON submitted. Json deserialize error"), "{json}");
    assert_eq!(said(400, b"Invalid query string."), "Invalid query string.");
    assert_eq!(said(400, br#""Invalid query string.""#), "Invalid query string.");
    assert_eq!(said(499, b"\xff\xfe"), "the provider answered with status 499");
    let secret =
        said(401, br#"{"err_code":"INVALID_AUTH","err_msg":"Key 0123456789abcdef0123456789abcdef01234567 is wrong"}"#);
    assert!(!secret.contains("0123456789abcdef"), "{secret}");
}

proptest! {
    #[test]
    fn whatever_stands_in_an_answer_nothing_panics(
        any in any_json(),
        text: String,
        times in prop::collection::vec((any::<f64>(), any::<f64>(), any::<Option<u64>>()), 0..6),
    ) {
        let word = |(start, end, speaker): &(f64, f64, Option<u64>)| json!({
            "word": text, "start": start, "end": end, "speaker": speaker,
        });
        let words: Vec<Value> = times.iter().map(word).collect();
        let channel = json!({ "alternatives": [{ "transcript": text, "words": words, "entities": any }], "search": any });
        let answers = [
            json!({ "metadata": { "duration": times.first().map(|time| time.0) }, "results": { "channels": [channel, channel] } }),
            json!({ "results": { "channels": [channel], "utterances": [{ "transcript": text, "words": words }, { "end": 1 }] } }),
            json!({ "metadata": any, "results": { "channels": any } }),
            json!({ "results": { "channels": [{ "alternatives": any }], "utterances": any } }),
        ];
        for format in TranscriptFormat::ALL {
            let request = TranscriptionRequest { response_format: Some(*format), ..Default::default() };
            for answer in &answers {
                drop(hears("nova-3", &request, answer.to_string().as_bytes()));
            }
        }
        let options = TranscriptionRequest { extensions: extension(any.clone()), ..asks(TranscriptFormat::Json) };
        drop(listens("nova-3", &options));
        let spoken = SpeechRequest { extensions: extension(any), input: text.clone(), ..says(&text, None) };
        for model in ["aura-2", "flux", text.as_str()] {
            drop(plan(model, &spoken));
        }
    }
}
