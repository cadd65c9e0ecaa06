//! `ElevenLabs`: requests as they go out, answers as the client gets them, refusals, voices.

use dialects::contract::UpstreamModel;
use dialects::error::DialectError;
use domain::error::{ErrorKind, Retry};
use domain::provider::{Extensions, Operation, ProviderKind};
use domain::speech::{SpeechRequest, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{RECORDING, asks, fixture, refusal, row, spoken, transcribed, upstream};

const KIND: ProviderKind = ProviderKind::Elevenlabs;
const CONVERSATION: &str = "elevenlabs/transcription-conversation.json";

fn model(name: &str) -> UpstreamModel {
    upstream(KIND, name)
}

fn own(object: Value) -> Extensions {
    Extensions::from([("elevenlabs".to_owned(), object)])
}

fn says(fields: Value) -> SpeechRequest {
    let mut request = json!({ "model": "asked", "input": "Hello there.", "voice": "21m00Tcm4TlvDq8ikWAM" });
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(request).unwrap()
}

#[test]
fn transcriptions() {
    use TranscriptFormat::{DiarizedJson, Json, Srt, Text, VerboseJson, Vtt};
    let words = TranscriptionRequest { word_timestamps: true, segment_timestamps: true, ..asks(VerboseJson) };
    let full = TranscriptionRequest {
        language: Some("de-AT".to_owned()),
        languages: vec!["english".to_owned(), "de".to_owned()],
        keywords: vec!["Antiphon".to_owned(), "virtual key".to_owned()],
        temperature: Some("0.2".to_owned()),
        chunking_strategy: Some("\"auto\"".to_owned()),
        extensions: own(json!({
            "diarize": true, "num_speakers": 2, "tag_audio_events": true, "no_verbatim": true, "seed": 7,
            "keyterms": 2024, "entity_detection": ["pii", "phi"], "enable_logging": false, "numbers_format": "digits",
            "use_multi_channel": false,
        })),
        ..asks(VerboseJson)
    };
    let roles = TranscriptionRequest {
        extensions: own(json!({ "detect_speaker_roles": true, "entity_detection": "all" })),
        ..asks(DiarizedJson)
    };
    let channels = TranscriptionRequest {
        extensions: own(json!({ "use_multi_channel": true })),
        keywords: vec!["x".to_owned()],
        ..asks(DiarizedJson)
    };
    let streamed = TranscriptionRequest { stream: true, ..asks(DiarizedJson) };
    let speakers = TranscriptionRequest { extensions: own(json!({ "diarize": true })), ..asks(Vtt) };
    let several = TranscriptionRequest { languages: vec!["en".to_owned(), "de".to_owned()], ..asks(Json) };
    let cases: &[(&str, &str, &TranscriptionRequest, &str)] = &[
        ("json", "scribe_v2", &asks(Json), "elevenlabs/transcription.json"),
        ("text", "scribe_v2", &asks(Text), CONVERSATION),
        ("verbose", "scribe_v2", &words, CONVERSATION),
        ("chinese", "scribe_v3", &words, "elevenlabs/transcription-chinese.json"),
        ("srt", "scribe_v2", &asks(Srt), CONVERSATION),
        ("vtt_with_speakers", "scribe_v2", &speakers, CONVERSATION),
        ("diarized", "scribe_v2", &asks(DiarizedJson), CONVERSATION),
        ("roles_and_entities", "scribe_v2", &roles, "elevenlabs/transcription-roles.json"),
        ("channels", "scribe_v2", &channels, "elevenlabs/transcription-channels.json"),
        ("stream_is_emulated", "scribe_v2", &streamed, CONVERSATION),
        ("every_field", "scribe_v3", &full, CONVERSATION),
        ("one_language_before_v3", "scribe_v2", &several, CONVERSATION),
    ];
    for (name, model, request, answer) in cases {
        insta::assert_snapshot!(*name, transcribed(KIND, model, request, answer));
    }
}

#[test]
fn speakers_that_nobody_told_apart_are_one() {
    let body = br#"{"text":"Hi. Ho.","words":[{"text":"Hi.","start":0,"end":1},{"text":"Ho.","start":1,"end":2}]}"#;
    let dialect = row(KIND).transcription.unwrap();
    let request = asks(TranscriptFormat::DiarizedJson);
    let reply = dialect.reply(Operation::Transcription, &request, &model("scribe_v2"), "", body).unwrap();
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    let speakers: Vec<&str> =
        answer["segments"].as_array().unwrap().iter().map(|segment| segment["speaker"].as_str().unwrap()).collect();
    assert_eq!(speakers, ["A", "A"]);
}

#[test]
fn what_scribe_cannot_do_is_refused_by_name() {
    let base = asks(TranscriptFormat::Json);
    let text = |text: &str| Some(text.to_owned());
    let extended = |object: Value| TranscriptionRequest { extensions: own(object), ..asks(TranscriptFormat::Json) };
    let one = |list: &str| vec![list.to_owned()];
    let cases = [
        (TranscriptionRequest { prompt: text("hint"), ..base.clone() }, "unsupported prompt"),
        (TranscriptionRequest { include: one("logprobs"), ..base.clone() }, "unsupported include"),
        (
            TranscriptionRequest { chunking_strategy: text(r#"{"type":"server_vad"}"#), ..base.clone() },
            "unsupported chunking_strategy",
        ),
        (TranscriptionRequest { known_speaker_names: one("Ann"), ..base.clone() }, "unsupported known_speaker_names"),
        (TranscriptionRequest { language: text("klingon"), ..base.clone() }, "invalid language"),
        (TranscriptionRequest { keywords: one("a b c d e f"), ..base.clone() }, "invalid keywords"),
        (TranscriptionRequest { keywords: one("a{b}"), ..base.clone() }, "invalid keywords"),
        (extended(json!({ "webhook": true })), "invalid elevenlabs: `elevenlabs.webhook` is not known"),
        (extended(json!({ "diarize": "yes" })), "invalid elevenlabs.diarize: `elevenlabs.diarize` must be true or"),
        (extended(json!({ "num_speakers": 33, "diarize": true })), "invalid elevenlabs.num_speakers"),
        (extended(json!({ "num_speakers": 3 })), "invalid elevenlabs.num_speakers: `elevenlabs.num_speakers` needs"),
        (extended(json!({ "entity_redaction": "pii" })), "invalid elevenlabs.entity_redaction"),
        (
            extended(json!({ "use_multi_channel": true, "detect_speaker_roles": true, "diarize": true })),
            "invalid elevenlabs.detect_speaker_roles",
        ),
        (extended(json!({ "numbers_format": "words" })), "unsupported elevenlabs.numbers_format"),
        (extended(json!([])), "invalid elevenlabs: `elevenlabs` must be an object"),
    ];
    let dialect = row(KIND).transcription.unwrap();
    for (request, expected) in cases {
        let error = dialect.request(Operation::Transcription, &request, &RECORDING, &model("scribe_v2")).unwrap_err();
        assert!(refusal(&error).starts_with(expected), "{} is not {expected}", refusal(&error));
    }
    let error = dialect.request(Operation::Translation, &base, &RECORDING, &model("scribe_v2")).unwrap_err();
    assert_eq!(
        refusal(&error),
        "unsupported model: provider `my-elevenlabs` does not support translation with model `scribe_v2`"
    );
}

#[test]
fn what_is_billed_beside_the_audio_is_counted() {
    let dialect = row(KIND).transcription.unwrap();
    let billed = |request: &TranscriptionRequest| {
        let file = domain::audio::AudioFile { channels: Some(2), ..RECORDING };
        let usage =
            dialect.billed(request, &file, &model("scribe_v2"), Usage { audio_in_ms: 2_000, ..Usage::default() });
        (usage.audio_in_ms, usage.surcharge_percent)
    };
    let base = asks(TranscriptFormat::Json);
    assert_eq!(billed(&base), (2_000, 0), "two channels of one recording are one");
    let channels = TranscriptionRequest { extensions: own(json!({ "use_multi_channel": true })), ..base.clone() };
    assert_eq!(billed(&channels), (4_000, 0));
    let terms = |count: usize| TranscriptionRequest { keywords: vec!["word".to_owned(); count], ..base.clone() };
    assert_eq!((billed(&terms(1)), billed(&terms(100)), billed(&terms(101))), ((2_000, 20), (2_000, 20), (20_000, 20)));
    let all = json!({ "entity_detection": "all", "entity_redaction": ["pii"], "diarize": true,
        "detect_speaker_roles": true, "keyterms": ["a"] });
    assert_eq!(billed(&TranscriptionRequest { extensions: own(all), ..base.clone() }), (2_000, 90));
    let request = TranscriptionRequest { keywords: vec!["x".to_owned()], ..channels };
    let body = fixture("elevenlabs/transcription-channels.json");
    let reply = dialect.reply(Operation::Transcription, &request, &model("scribe_v2"), "", &body).unwrap();
    let expected = Usage { audio_in_ms: 2 * 7_250, surcharge_percent: 20, ..Usage::default() };
    assert_eq!(reply.usage, Some(expected), "each channel in full");
    let unknown = dialect.billed(&terms(101), &RECORDING, &model("scribe_v2"), Usage::default());
    assert_eq!(unknown.audio_in_ms, 0, "an unknown length stays unknown");
}

#[test]
fn speech() {
    let full = json!({ "response_format": "pcm", "speed": 1.1, "voice": { "id": "weird/ id?" }, "elevenlabs": {
        "voice_settings": { "stability": 0.3, "use_speaker_boost": false }, "language_code": "de-DE", "seed": 5,
        "previous_text": "Before.", "next_request_ids": "only", "apply_text_normalization": "off",
        "pronunciation_dictionary_locators": [{ "pronunciation_dictionary_id": "d", "version_id": null }],
        "enable_logging": false, "optimize_streaming_latency": 3, "next_text": null,
    } });
    let long = |count: usize| json!({ "input": "é".repeat(count) });
    let own = |object: Value| json!({ "elevenlabs": object });
    let cases: &[(&str, &str, Value)] = &[
        ("speech_mp3", "eleven_multilingual_v2", json!({})),
        ("speech_opus", "eleven_flash_v2_5", json!({ "response_format": "opus" })),
        ("speech_wav_is_made_of_samples", "eleven_flash_v2_5", json!({ "response_format": "wav" })),
        ("speech_every_field", "eleven_turbo_v2_5", full),
        ("speech_has_no_flac", "eleven_flash_v2_5", json!({ "response_format": "flac" })),
        ("speech_too_fast", "eleven_flash_v2_5", json!({ "speed": 1.3 })),
        ("speech_far_too_fast", "eleven_flash_v2_5", json!({ "speed": 4.1 })),
        ("speech_v3_has_no_speed", "eleven_v3", json!({ "speed": 1.1 })),
        (
            "speech_v3_usual_speed",
            "eleven_v3",
            json!({ "speed": 1.0, "elevenlabs": { "voice_settings": { "stability": 1 } } }),
        ),
        ("speech_v3_heeds_stability_alone", "eleven_v3", own(json!({ "voice_settings": { "style": 0.5 } }))),
        ("speech_v3_has_no_text_around", "eleven_v3", own(json!({ "previous_text": "x" }))),
        ("speech_v3_too_long", "eleven_v3", long(5001)),
        ("speech_has_no_instructions", "eleven_v4", json!({ "instructions": "softly" })),
        ("speech_multilingual_takes_no_language", "eleven_multilingual_v2", own(json!({ "language_code": "de" }))),
        ("speech_english_alone", "eleven_flash_v2", own(json!({ "language_code": "de" }))),
        ("speech_stability_out_of_range", "eleven_flash_v2", own(json!({ "voice_settings": { "stability": 2 } }))),
        ("speech_unknown_option", "eleven_flash_v2", own(json!({ "output_format": "pcm_44100" }))),
        ("speech_dictionary_without_id", "eleven_v4", own(json!({ "pronunciation_dictionary_locators": [{}] }))),
    ];
    let dialect = row(KIND).speech.unwrap();
    for (name, model_name, fields) in cases {
        let text = match dialect.request(&says(fields.clone()), &model(model_name)) {
            Ok(plan) => spoken(&plan),
            Err(error) => refusal(&error),
        };
        insta::assert_snapshot!(*name, text);
    }
    assert!(dialect.request(&says(long(40_000)), &model("eleven_flash_v2_5")).is_ok(), "longer than OpenAI's");
    let empty = SpeechRequest { voice: Voice::Name(String::new()), ..says(json!({})) };
    assert!(matches!(dialect.request(&empty, &model("eleven_v4")), Err(DialectError::Invalid { param: "voice", .. })));
}

#[test]
fn refusals() {
    use ErrorKind::{InvalidRequest, UpstreamError, UpstreamRateLimited};
    let cases = [
        ("error-401-key.json", 401, UpstreamError, Retry::NextTarget, true, None),
        ("error-401-quota.json", 401, UpstreamRateLimited, Retry::NextTarget, false, None),
        ("error-422.json", 422, InvalidRequest, Retry::No, false, Some("input")),
        ("error-404-voice.json", 404, InvalidRequest, Retry::NextTarget, false, Some("voice")),
        ("error-403-format.json", 403, UpstreamError, Retry::NextTarget, false, None),
        ("error-429.json", 429, UpstreamRateLimited, Retry::NextTarget, false, None),
    ];
    for (file, status, kind, retry, credential, param) in cases {
        let fault = (row(KIND).fault)(status, &fixture(&format!("elevenlabs/{file}")));
        let got = (fault.kind, fault.retry, fault.credential_refused, fault.param.as_deref());
        assert_eq!(got, (kind, retry, credential, param), "{file}");
        assert!(!fault.message.starts_with("the provider answered"), "{file}: {}", fault.message);
    }
    let codes = [
        (400, "text_too_long", InvalidRequest, Some("input")),
        (400, "invalid_output_format", InvalidRequest, Some("response_format")),
        (400, "invalid_voice_settings", InvalidRequest, Some("elevenlabs.voice_settings")),
        (400, "unsupported_model", InvalidRequest, Some("model")),
        (400, "voice_does_not_exist", InvalidRequest, Some("voice")),
        (402, "insufficient_credits", UpstreamRateLimited, None),
        (403, "voice_access_denied", InvalidRequest, Some("voice")),
        (403, "only_for_creator+", UpstreamError, None),
        (425, "too_early", UpstreamError, None),
        (500, "internal_error", UpstreamError, None),
        (503, "system_busy", UpstreamRateLimited, None),
    ];
    for (status, code, kind, param) in codes {
        for name in ["code", "status", "type"] {
            let body = json!({ "detail": { name: code, "message": "key sk_0123456789abcdef0123 is wrong" } });
            let fault = (row(KIND).fault)(status, body.to_string().as_bytes());
            assert_eq!((fault.kind, fault.param.as_deref(), fault.credential_refused), (kind, param, false), "{code}");
            assert!(!fault.message.contains("0123456789abcdef"), "{}", fault.message);
        }
    }
    let forbidden = (row(KIND).fault)(403, br#"{"detail":{"code":"forbidden","message":"IP not allowed"}}"#);
    assert!(forbidden.credential_refused, "an account that may not be used from here needs its operator");
    let nested = (row(KIND).fault)(422, br#"{"detail":[{"loc":["body","voice_settings","style"],"msg":"Too much"}]}"#);
    assert_eq!(nested.param.as_deref(), Some("elevenlabs.voice_settings.style"));
}

#[test]
fn what_is_no_transcript_is_told_without_its_words() {
    let (dialect, request) = (row(KIND).transcription.unwrap(), asks(TranscriptFormat::Json));
    let accepted = fixture("elevenlabs/transcription-accepted.json");
    for body in [&b"<html>secret page</html>"[..], b"{\"text\":5}", b"[]", b"", &accepted] {
        let read = dialect.reply(Operation::Transcription, &request, &model("scribe_v2"), "", body);
        let Err(DialectError::Upstream(message)) = read else { panic!("{read:?}") };
        assert!(!message.contains("secret") && !message.contains("1234567890"), "{message}");
    }
}

#[test]
fn voices_are_listed_in_pages() {
    let directory = row(KIND).voices_api.unwrap();
    let page = directory.parse(&fixture("elevenlabs/voices.json")).unwrap();
    let [rachel, sarah, nameless] = page.voices.as_slice() else { panic!("{page:?}") };
    assert_eq!((rachel.id.as_str(), rachel.name.as_str()), ("21m00Tcm4TlvDq8ikWAM", "Rachel"));
    assert_eq!((rachel.language.as_deref(), rachel.gender.as_deref()), (Some("en"), Some("female")));
    assert_eq!(rachel.preview_url.as_deref(), Some("https://storage.example.com/rachel.mp3"));
    assert_eq!((sarah.language.as_deref(), sarah.preview_url.as_deref()), (None, None), "no link that is not secure");
    assert_eq!(nameless.name, nameless.id);
    assert_eq!(directory.page(None).path, "/v2/voices?page_size=100&include_total_count=false");
    let next = directory.page(page.next.as_deref()).path;
    assert_eq!(next, "/v2/voices?page_size=100&include_total_count=false&next_page_token=tok%2F2%3D");
    let last = directory.parse(br#"{"voices":[],"has_more":false,"next_page_token":"x"}"#).unwrap();
    assert_eq!(last.next, None);
    assert!(directory.parse(b"<html>").is_err());
}

#[test]
fn an_id_is_told_from_a_name() {
    let directory = row(KIND).voices_api.unwrap();
    for id in ["21m00Tcm4TlvDq8ikWAM", "EXAVITQu4vr4xnSDxMaL", "aaaaaaaaaaaaaaaaaaa1"] {
        assert!(directory.is_id(id), "{id}");
    }
    for name in ["Rachel", "alloy", "Extraordinarilylongs", "21m00Tcm4TlvDq8ikWA", "21m00Tcm4TlvDq8ikW/M", ""] {
        assert!(!directory.is_id(name), "{name}");
    }
}

proptest! {
    #[test]
    fn no_answer_of_the_right_shape_panics(
        words in prop::collection::vec((".{0,8}", any::<Option<f64>>(), any::<Option<f64>>(), "[a-c]?", "(word|spacing|audio_event|x)"), 0..12),
        text in ".{0,60}",
        channels in 0_usize..4,
        seconds in any::<Option<f64>>(),
    ) {
        let words: Vec<Value> = words.iter().map(|(text, start, end, speaker, kind)| {
            let speaker = (!speaker.is_empty()).then_some(speaker);
            json!({ "text": text, "start": start, "end": end, "speaker_id": speaker, "type": kind })
        }).collect();
        let one = json!({ "text": text, "language_code": text, "words": words });
        let mut answer = one.clone();
        answer["audio_duration_secs"] = json!(seconds);
        if channels > 0 {
            answer["transcripts"] = json!(vec![one; channels]);
        }
        let dialect = row(KIND).transcription.unwrap();
        for format in TranscriptFormat::ALL {
            let request = TranscriptionRequest { word_timestamps: true, ..asks(*format) };
            let body = answer.to_string();
            drop(dialect.reply(Operation::Transcription, &request, &model("scribe_v2"), "", body.as_bytes()));
        }
    }

    #[test]
    fn no_object_of_a_client_panics(object in prop::collection::btree_map("(seed|keyterms|voice_settings|diarize|.)", ".*", 0..5)) {
        let object = json!(object);
        drop(row(KIND).speech.unwrap().request(&says(json!({ "elevenlabs": object })), &model("eleven_v3")));
        let request = TranscriptionRequest { extensions: own(object), ..asks(TranscriptFormat::Json) };
        drop(row(KIND).transcription.unwrap().request(Operation::Transcription, &request, &RECORDING, &model("scribe_v2")));
    }

    #[test]
    fn no_bytes_panic_the_directory(bytes: Vec<u8>, text: String) {
        let directory = row(KIND).voices_api.unwrap();
        drop(directory.parse(&bytes));
        directory.is_id(&text);
        prop_assert!(directory.page(Some(&text)).path.is_ascii());
    }
}
