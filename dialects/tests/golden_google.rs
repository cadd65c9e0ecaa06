//! Google's three services: what goes out, what comes back, what is refused.

use dialects::contract::{SpeechAnswer, SpeechAudio, SpeechPlan, UploadBody, UpstreamModel};
use dialects::registry::Provider;
use domain::audio::{AudioFile, Container, SampleRate, SpeechFormat};
use domain::error::{ErrorKind, Retry};
use domain::provider::{Extensions, Operation, ProviderKind};
use domain::speech::{SpeechRequest, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use serde_json::{Value, json};

use crate::golden::{RECORDING, asks, fixture, refusal, row, upstream, wrapping};

fn google() -> &'static Provider {
    row(ProviderKind::Google)
}

/// A model of version 2 has a project.
fn model(name: &str) -> UpstreamModel {
    let mut model = upstream(ProviderKind::Google, name.trim_start_matches("v2:"));
    if name.starts_with("v2:") {
        model.options.insert("project".to_owned(), "acme-1".to_owned());
    }
    model
}

fn with(request: TranscriptionRequest, google: Value) -> TranscriptionRequest {
    TranscriptionRequest { extensions: Extensions::from([("google".to_owned(), google)]), ..request }
}

fn asked(request: &TranscriptionRequest, file: AudioFile, name: &str) -> Result<String, String> {
    let dialect = google().transcription.unwrap();
    let form = dialect.request(Operation::Transcription, request, &file, &model(name));
    let form = form.map_err(|error| refusal(&error))?;
    let UploadBody::Base64 { before, after } = &form.body else { panic!("the file goes in base64") };
    let whole = [before.as_slice(), b"AAAA", after].concat();
    serde_json::from_slice::<Value>(&whole).unwrap();
    let origin = form.endpoint.origin.as_deref().unwrap_or_default();
    Ok(format!("POST {origin}{}\n{}", form.endpoint.path, wrapping(&form.body)))
}

fn transcribed(request: &TranscriptionRequest, name: &str, answer: &str) -> String {
    let out = match asked(request, RECORDING, name) {
        Ok(out) => out,
        Err(refused) => return refused,
    };
    let dialect = google().transcription.unwrap();
    let body = fixture(&format!("google/{answer}.json"));
    let reply = dialect.reply(Operation::Transcription, request, &model(name), "application/json", &body).unwrap();
    let usage = reply.usage.map(|usage| (usage.audio_in_ms, usage.audio_tokens_in, usage.text_tokens_out));
    let body = String::from_utf8(reply.body).unwrap();
    format!("{out}{}\n{body}\nusage={usage:?}\nduration_ms={:?}", reply.content_type, reply.duration_ms)
}

#[test]
fn transcriptions() {
    use TranscriptFormat::{DiarizedJson, Json, Srt, Text, VerboseJson, Vtt};
    let german = |format| TranscriptionRequest { language: Some("de".to_owned()), ..asks(format) };
    let words = TranscriptionRequest { word_timestamps: true, segment_timestamps: true, ..asks(VerboseJson) };
    let streamed = TranscriptionRequest { stream: true, ..asks(Json) };
    let terms = TranscriptionRequest {
        prompt: Some("Antiphon, Kore.".to_owned()),
        keywords: vec!["Zephyr".to_owned(), "Kore".to_owned()],
        temperature: Some("0".to_owned()),
        ..asks(Json)
    };
    let several = TranscriptionRequest { languages: vec!["en-GB".to_owned(), "de".to_owned()], ..asks(Json) };
    let tuned = json!({ "profanityFilter": true, "minSpeakerCount": 2, "enableAutomaticPunctuation": false });
    let cases: &[(&str, &str, TranscriptionRequest, &str)] = &[
        ("google_v1_json", "latest_long", asks(Json), "recognize-v1"),
        ("google_v1_text", "latest_long", asks(Text), "recognize-v1"),
        ("google_v1_verbose_with_words", "latest_long", words.clone(), "recognize-v1"),
        ("google_v1_srt", "telephony", asks(Srt), "recognize-v1"),
        ("google_v1_speakers", "latest_long", with(asks(DiarizedJson), tuned), "recognize-v1-speakers"),
        ("google_v1_stream_is_emulated", "latest_short", streamed.clone(), "recognize-v1"),
        ("google_v1_terms", "latest_long", terms.clone(), "recognize-v1"),
        ("google_v1_languages", "latest_long", several.clone(), "recognize-v1"),
        ("google_v2_verbose", "v2:long", german(VerboseJson), "recognize-v2"),
        ("google_v2_terms", "v2:telephony", terms.clone(), "recognize-v2"),
        ("google_chirp_3_vtt", "v2:chirp_3", asks(Vtt), "recognize-v2-chirp"),
        ("google_chirp_3_has_no_words", "v2:chirp_3", words.clone(), "recognize-v2-chirp"),
        ("google_chirp_3_has_no_speakers", "v2:chirp_3", asks(DiarizedJson), "recognize-v2-chirp"),
        ("google_chirp_3_needs_a_project", "chirp_3", asks(Json), "recognize-v2-chirp"),
        ("google_gemini_json", "gemini-3.5-transcribe", terms, "generated-transcript"),
        ("google_gemini_speakers", "gemini-3.5-transcribe", asks(DiarizedJson), "generated-transcript"),
        ("google_gemini_verbose", "gemini-3.5-transcribe", words, "generated-transcript"),
        ("google_gemini_live_is_not_for_files", "gemini-3.5-transcribe-live", asks(Json), "generated-transcript"),
    ];
    for (name, of, request, answer) in cases {
        insta::assert_snapshot!(*name, transcribed(request, of, answer));
    }
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let base = asks(TranscriptFormat::Json);
    let refused: &[(&str, TranscriptionRequest, &str)] = &[
        ("latest_long", TranscriptionRequest { temperature: Some("0.5".to_owned()), ..base.clone() }, "temperature"),
        ("latest_long", TranscriptionRequest { include: vec!["logprobs".to_owned()], ..base.clone() }, "include"),
        ("latest_long", TranscriptionRequest { prompt: Some("long ".repeat(30)), ..base.clone() }, "prompt"),
        ("latest_long", TranscriptionRequest { language: Some("%".to_owned()), ..base.clone() }, "language"),
        (
            "latest_long",
            TranscriptionRequest {
                languages: ["en", "de", "fr", "it", "es"].map(str::to_owned).into(),
                ..base.clone()
            },
            "languages",
        ),
        ("latest_long", with(base.clone(), json!({ "denoiserConfig": {} })), "google"),
        ("latest_long", with(base.clone(), json!({ "profanityFilter": "yes" })), "google.profanityFilter"),
        ("latest_long", with(base.clone(), json!({ "minSpeakerCount": 2 })), "google"),
        ("latest_long", with(base.clone(), json!(7)), "google"),
        ("chirp3-hd", base.clone(), "model"),
        ("gemini-3.8-live", base.clone(), "model"),
    ];
    for (name, request, param) in refused {
        let error = asked(request, RECORDING, name).unwrap_err();
        assert_eq!(error.split([' ', ':']).nth(1), Some(*param), "{error}");
    }
    let dialect = google().transcription.unwrap();
    let translated = dialect.request(Operation::Translation, &base, &RECORDING, &model("latest_long")).unwrap_err();
    assert!(refusal(&translated).starts_with("unsupported model: provider `my-google` does not support translation"));
}

#[test]
fn a_project_and_a_location_lead_to_the_host_that_has_them() {
    let at = |options: &[(&str, &str)]| {
        let mut model = model("v2:chirp_2");
        model.options.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let form = google().transcription.unwrap().request(
            Operation::Transcription,
            &asks(TranscriptFormat::Json),
            &RECORDING,
            &model,
        );
        form.map(|form| form.endpoint.origin.unwrap() + &form.endpoint.path).map_err(|error| refusal(&error))
    };
    let path = |place: &str| format!("/v2/projects/acme-1/locations/{place}/recognizers/_:recognize");
    let host = |place: &str| format!("https://{place}-speech.googleapis.com{}", path(place));
    assert_eq!(at(&[]).unwrap(), host("us-central1"));
    assert_eq!(at(&[("location", "europe-west4")]).unwrap(), host("europe-west4"));
    assert_eq!(at(&[("location", "global")]).unwrap(), format!("https://speech.googleapis.com{}", path("global")));
    assert!(at(&[("location", "evil.example/")]).unwrap_err().starts_with("unsupported model"));
    assert!(at(&[("project", "a/b")]).unwrap_err().starts_with("unsupported model"));
}

#[test]
fn only_audio_that_the_service_takes_goes_up() {
    let json = asks(TranscriptFormat::Json);
    let file = |container, rate: Option<u32>| AudioFile {
        container,
        sample_rate: rate.map(SampleRate),
        channels: None,
        duration_ms: None,
    };
    let mp3 = asked(&json, file(Container::Mp3, Some(44_100)), "latest_long").unwrap();
    assert!(mp3.contains("/v1p1beta1/speech:recognize") && mp3.contains(r#""encoding":"MP3""#), "{mp3}");
    let webm = asked(&json, file(Container::WebM, None), "latest_long").unwrap();
    assert!(webm.contains(r#""encoding":"WEBM_OPUS""#) && webm.contains(r#""sampleRateHertz":48000"#), "{webm}");
    let taken = |container, rate, name: &str| asked(&json, file(container, rate), name);
    assert!(taken(Container::Ogg, Some(44_100), "latest_long").is_err(), "this is no Opus");
    assert!(taken(Container::Mp4, None, "latest_long").unwrap_err().starts_with("unsupported audio"));
    assert!(taken(Container::Mp4, None, "v2:long").is_ok());
    assert!(taken(Container::Aac, None, "v2:long").is_err());
    assert!(taken(Container::Aac, None, "gemini-3.5-transcribe").is_ok());

    let long = |ms| AudioFile { duration_ms: Some(ms), ..RECORDING };
    assert!(asked(&json, long(60_000), "latest_long").is_ok());
    let refused = asked(&json, long(60_001), "v2:long").unwrap_err();
    assert!(refused.starts_with("unsupported file:") && refused.contains("60 seconds"), "{refused}");
    assert!(asked(&json, long(60_001), "gemini-3.5-transcribe").is_ok());
    assert!(asked(&json, long(900_001), "gemini-3.5-transcribe").is_err());

    let stereo = AudioFile { channels: Some(2), ..RECORDING };
    let refused = asked(&json, stereo, "latest_long").unwrap_err();
    assert!(refused.contains("google.enableSeparateRecognitionPerChannel"), "{refused}");
    let decided = with(json, json!({ "enableSeparateRecognitionPerChannel": true }));
    assert!(asked(&decided, stereo, "latest_long").unwrap().contains(r#""audioChannelCount":2"#));
    let length = Usage { audio_in_ms: 2_000, ..Usage::default() };
    let billed =
        |request| google().transcription.unwrap().billed(request, &stereo, &model("latest_long"), length).audio_in_ms;
    assert_eq!((billed(&decided), billed(&asks(TranscriptFormat::Json))), (4_000, 2_000));
}

#[test]
fn words_without_spaces_stay_together_and_channels_are_speakers() {
    let reply = |format, body: Value| {
        let dialect = google().transcription.unwrap();
        let body = body.to_string();
        let reply = dialect.reply(Operation::Transcription, &asks(format), &model("latest_long"), "", body.as_bytes());
        String::from_utf8(reply.unwrap().body).unwrap()
    };
    let word = |word: &str, end: &str| json!({ "word": word, "startTime": "0.1s", "endTime": end });
    let chinese = json!({ "results": [{ "alternatives": [{ "transcript": "你好。再见", "words": [word("你", "0.2s"), word("好。", "0.4s"), word("再见", "0.9s")] }] }] });
    assert!(reply(TranscriptFormat::Srt, chinese).contains("\n你好。\n"));
    let channel = |tag: u64, text: &str, end: &str| json!({ "alternatives": [{ "transcript": text, "words": [word(text, end)] }], "channelTag": tag, "resultEndTime": end });
    let two = json!({ "results": [channel(1, "Hello?", "0.5s"), channel(2, "Yes.", "0.9s")] });
    let diarized: Value = serde_json::from_str(&reply(TranscriptFormat::DiarizedJson, two)).unwrap();
    assert_eq!(diarized["segments"][0]["speaker"], "A");
    assert_eq!(diarized["segments"][1]["speaker"], "B");
    assert_eq!(reply(TranscriptFormat::Json, json!({})), r#"{"text":""}"#, "silence has no results");
}

#[test]
fn what_is_no_answer_of_googles_is_an_error_without_its_words() {
    for body in [
        "<!doctype html>secret",
        r#"{"text":"secret"}"#,
        "[]",
        r#"{"results":{"secret":1}}"#,
        r#"{"error":{"message":"x"}}"#,
    ] {
        for name in ["latest_long", "gemini-3.5-transcribe"] {
            let dialect = google().transcription.unwrap();
            let request = asks(TranscriptFormat::Json);
            let reply = dialect.reply(Operation::Transcription, &request, &model(name), "", body.as_bytes());
            let error = refusal(&reply.unwrap_err());
            assert!(error.starts_with("upstream") && !error.contains("secret"), "{error}");
        }
    }
    let cut = json!({ "candidates": [{ "content": { "parts": [{ "text": "Hel" }] }, "finishReason": "MAX_TOKENS" }] });
    let dialect = google().transcription.unwrap();
    let request = asks(TranscriptFormat::Json);
    let model = model("gemini-3.5-transcribe");
    let cut = dialect.reply(Operation::Transcription, &request, &model, "", cut.to_string().as_bytes());
    assert!(refusal(&cut.unwrap_err()).contains("MAX_TOKENS"));
}

fn says(input: &str, voice: &str, format: Option<SpeechFormat>) -> SpeechRequest {
    SpeechRequest {
        model: "asked".to_owned(),
        input: input.to_owned(),
        voice: Voice::Name(voice.to_owned()),
        instructions: None,
        response_format: format,
        speed: None,
        stream_format: None,
        extensions: Extensions::new(),
    }
}

fn tuned(request: SpeechRequest, google: Value) -> SpeechRequest {
    SpeechRequest { extensions: Extensions::from([("google".to_owned(), google)]), ..request }
}

fn plan(request: &SpeechRequest, name: &str) -> Result<SpeechPlan, String> {
    google().speech.unwrap().request(request, &model(name)).map_err(|error| refusal(&error))
}

#[test]
fn speech() {
    use SpeechFormat::{Aac, Flac, Mp3, Opus, Pcm, Wav};
    let styled = |request| SpeechRequest { instructions: Some("cheerful".to_owned()), ..request };
    let fast = |request, speed| SpeechRequest { speed: Some(speed), ..request };
    let cases: &[(&str, &str, SpeechRequest)] = &[
        ("google_chirp_mp3", "chirp3-hd", says("Hi", "kore", None)),
        ("google_chirp_whole_name", "chirp3-hd", says("Hi", "de-DE-Chirp3-HD-Kore", Some(Opus))),
        ("google_chirp_has_no_such_voice", "chirp3-hd", says("Hi", "alloy", Some(Mp3))),
        ("google_chirp_has_no_pitch", "chirp3-hd", tuned(says("Hi", "Kore", None), json!({ "pitch": 0.0 }))),
        (
            "google_neural_everything",
            "neural2",
            tuned(
                fast(says("<speak>Hi</speak>", "A", Some(Pcm)), 1.5),
                json!({ "languageCode": "en-GB", "input": "ssml", "pitch": -2, "volumeGainDb": 3.5, "effectsProfileId": "telephony-class-application" }),
            ),
        ),
        ("google_neural_is_not_wavenet", "neural2", says("Hi", "en-US-Wavenet-A", None)),
        ("google_cloud_has_no_flac", "wavenet", says("Hi", "A", Some(Flac))),
        ("google_cloud_has_no_aac", "wavenet", says("Hi", "A", Some(Aac))),
        ("google_cloud_too_fast", "wavenet", fast(says("Hi", "A", Some(Wav)), 2.5)),
        ("google_cloud_takes_no_instructions", "standard", styled(says("Hi", "A", Some(Wav)))),
        ("google_cloud_long_mp3", "standard", says(&"字".repeat(1_700), "A", Some(Mp3))),
        ("google_cloud_gemini", "gemini-2.5-flash-tts", styled(says("Hi", "puck", Some(Wav)))),
        (
            "google_gemini_wav",
            "gemini-3.8-flash-tts",
            tuned(styled(says("Hi", "Kore", Some(Wav))), json!({ "languageCode": "en-US", "temperature": 0.5 })),
        ),
        ("google_gemini_has_no_mp3", "gemini-3.8-flash-tts", says("Hi", "Kore", None)),
        ("google_gemini_has_no_speed", "gemini-3.8-flash-lite-tts", fast(says("Hi", "Kore", Some(Pcm)), 1.2)),
        ("google_transcribers_do_not_speak", "latest_long", says("Hi", "Kore", Some(Pcm))),
    ];
    for (name, of, request) in cases {
        insta::assert_snapshot!(*name, plan(request, of).map_or_else(|refused| refused, |plan| spoken(&plan)));
    }
    // 4,096 characters at most, so only letters of several bytes come to more than 5,000 bytes.
    let long = "Это одно предложение. ".repeat(180);
    let parts = plan(&says(long.trim(), "A", Some(Wav)), "standard").unwrap();
    assert!(parts.parts.len() == 2 && parts.audio == SpeechAudio::Wav);
    let sent: Vec<Value> = parts.parts.iter().map(|part| serde_json::from_slice(&part.request.body).unwrap()).collect();
    let texts: Vec<&str> = sent.iter().map(|body| body["input"]["text"].as_str().unwrap()).collect();
    assert!(texts.iter().all(|text| text.len() <= 5_000 && text.ends_with("предложение.")));
    assert_eq!(texts.join(" "), long.trim());
}

/// The requests of a plan with their hosts.
fn spoken(plan: &SpeechPlan) -> String {
    let mut text = format!("{:?} {:?}\n", plan.answer, plan.audio);
    for part in &plan.parts {
        let (endpoint, body) = (&part.request.endpoint, String::from_utf8_lossy(&part.request.body));
        let origin = endpoint.origin.as_deref().unwrap_or_default();
        text.push_str(&format!("POST {origin}{} {} characters\n  {body}\n", endpoint.path, part.characters));
    }
    text
}

/// What a decoder makes of an answer in pieces.
fn decoded(name: &str, answer: &[u8], piece: usize) -> Result<(Vec<u8>, Option<Usage>), String> {
    let plan = plan(&says("Hi", "Kore", Some(SpeechFormat::Wav)), name).unwrap();
    let SpeechAnswer::Wrapped(make) = plan.answer else { panic!("the audio is wrapped") };
    let (mut decoder, mut audio) = (make(), Vec::new());
    for bytes in answer.chunks(piece) {
        decoder.feed(bytes, &mut audio).map_err(|error| error.to_string())?;
    }
    decoder.finish(&mut audio).map_err(|error| error.to_string())?;
    Ok((audio, decoder.usage()))
}

const CLIPS: &str = "chirp3-hd";
const EVENTS: &str = "gemini-3.8-flash-tts";

#[test]
fn audio_comes_out_whole_whatever_the_pieces() {
    let (clip, events) = (fixture("google/clip.json"), fixture("google/generated-speech.sse"));
    for piece in [1, 2, 3, 5, 7, 64, 10_000] {
        let (audio, usage) = decoded(CLIPS, &clip, piece).unwrap();
        assert!(audio.starts_with(b"RIFF") && audio.ends_with(&[1, 0, 2, 0, 3, 0]) && audio.len() == 50);
        assert_eq!(usage, None, "characters are billed");
        let (audio, usage) = decoded(EVENTS, &events, piece).unwrap();
        assert_eq!(audio, [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
        assert_eq!(usage, Some(Usage { text_tokens_in: 4, audio_tokens_out: 31, ..Usage::default() }));
    }
}

#[test]
fn speech_that_is_not_whole_is_an_error() {
    let event = |json: Value| format!("data: {json}\n\n").into_bytes();
    let sound = |rate: u32| json!({ "inlineData": { "mimeType": format!("audio/L16;rate={rate}"), "data": "AQA=" } });
    let said = |part: Value, reason: &str| {
        event(json!({ "candidates": [{ "content": { "parts": [part] }, "finishReason": reason }] }))
    };
    let clip = fixture("google/clip.json");
    let broken: &[(&str, &str, Vec<u8>)] = &[
        ("cut clip", CLIPS, clip[..40].to_vec()),
        ("empty clip", CLIPS, br#"{"audioContent":""}"#.to_vec()),
        ("no clip", CLIPS, br#"{"error":"audioContent"}"#.to_vec()),
        ("no base64", CLIPS, br#"{"audioContent":"!!!!"}"#.to_vec()),
        ("odd escape", CLIPS, br#"{"audioContent":"AA\n="}"#.to_vec()),
        ("web page", CLIPS, b"<html>".to_vec()),
        ("endless head", CLIPS, vec![b' '; 70_000]),
        ("cut stream", EVENTS, event(json!({ "candidates": [{ "content": { "parts": [sound(24_000)] } }] }))),
        ("other rate", EVENTS, said(sound(16_000), "STOP")),
        ("too long", EVENTS, said(sound(24_000), "MAX_TOKENS")),
        ("nothing said", EVENTS, said(json!({ "text": "no" }), "STOP")),
        ("failure", EVENTS, event(json!({ "error": { "code": 500, "message": "internal" } }))),
        ("withheld", EVENTS, event(json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } }))),
    ];
    for (what, name, answer) in broken {
        assert!(decoded(name, answer, 11).is_err(), "{what}");
    }
    assert!(decoded(EVENTS, &said(sound(24_000), "STOP"), 11).is_ok());
}

#[test]
fn refusals() {
    use ErrorKind::{InvalidRequest, UnsupportedAudio, UpstreamError, UpstreamRateLimited, UpstreamTimeout};
    type Case = (u16, &'static str, ErrorKind, Retry, bool, Option<&'static str>);
    let cases: &[Case] = &[
        (400, "error-400-key", UpstreamError, Retry::NextTarget, true, None),
        (400, "error-400-audio", UnsupportedAudio, Retry::NextTarget, false, Some("file")),
        (400, "error-400-long", InvalidRequest, Retry::NextTarget, false, Some("file")),
        (400, "error-400-location", UpstreamError, Retry::NextTarget, false, None),
        (400, "error-400-place", UpstreamError, Retry::NextTarget, false, None),
        (400, "error-400-field", InvalidRequest, Retry::No, false, Some("language")),
        (403, "error-403-disabled", UpstreamError, Retry::NextTarget, true, None),
        (429, "error-429", UpstreamRateLimited, Retry::NextTarget, false, None),
        (504, "error-504", UpstreamTimeout, Retry::NextTarget, false, None),
    ];
    for (status, name, kind, retry, credential, param) in cases {
        let fault = (google().fault)(*status, &fixture(&format!("google/{name}.json")));
        assert_eq!((fault.kind, fault.retry, fault.credential_refused), (*kind, *retry, *credential), "{name}");
        assert_eq!(fault.param.as_deref(), *param, "{name}");
        assert_eq!(fault.retry_after_s, (*status == 429).then_some(12), "{name}");
    }
}
