//! What a client gets when all goes well, and that each call is one record with its exact cost.

use domain::usage::{UsageSource, UsageStatus};
use loadtest::upstream::{Fault, Rule};
use serde_json::json;

use crate::helpers::{KEY, TestApp, get, operations, post_json, speech, transcription};

/// Two seconds at 0.006 dollars a minute.
const TWO_SECONDS: Option<i64> = Some(200_000);

#[tokio::test]
async fn a_transcript_comes_in_every_format_and_is_billed_by_its_seconds() {
    let app = TestApp::new().await;
    for (format, expected) in [("json", "\"text\""), ("verbose_json", "\"segments\""), ("srt", "00:00:00,000 --> ")] {
        let answer = app.call(transcription(KEY, "stt", &[("response_format", format)])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains(expected), "{format}: {}", answer.text());
        assert!(answer.text().contains("quick brown"), "{format}: {}", answer.text());
        assert_eq!(answer.header("x-antiphon-provider"), "one");
        assert_eq!(app.billed(&answer).await, (TWO_SECONDS, UsageStatus::Ok), "{format}");
    }
    let counts = app.one.counts();
    assert_eq!(counts.violations, Vec::<String>::new(), "nothing of the client's reaches the provider");
    assert_eq!(counts.of("audio/transcriptions").whole.audio_in_ms, 6000);
}

#[tokio::test]
async fn a_provider_that_reports_no_length_for_audio_that_has_one_is_billed_by_ours() {
    let app = TestApp::new().await;
    let nothing = r#"{"text":"Hi","duration":0.0,"usage":{"type":"duration","seconds":0}}"#;
    app.one.script(Rule::once("", Fault { body: Some(nothing.to_owned()), ..Fault::default() }));
    let answer = app.call(transcription(KEY, "stt", &[])).await;
    let records = app.records(&answer).await;
    let record = &records[0];
    assert_eq!((record.usage.audio_in_ms, record.usage_source), (2000, UsageSource::Measured));
    assert_eq!(record.cost.map(|cost| cost.0), TWO_SECONDS);
}

#[tokio::test]
async fn a_streamed_transcript_ends_with_done_and_is_billed_by_its_tokens() {
    let app = TestApp::new().await;
    let answer = app.call(transcription(KEY, "stt-stream", &[("stream", "true")])).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"), "{}", answer.text());
    assert!(answer.whole && answer.text().contains("transcript.text.delta"));
    assert!(answer.text().contains("transcript.text.done"));
    let sent = app.one.counts().of("audio/transcriptions").whole;
    assert_eq!((sent.tokens_in, sent.tokens_out), (20, 11));
    // 20 audio tokens at 6 dollars and 11 text tokens at 10 dollars, each a million.
    assert_eq!(app.billed(&answer).await, (Some(120_000 + 110_000), UsageStatus::Ok));
}

#[tokio::test]
async fn speech_flows_and_is_billed_by_its_characters() {
    let app = TestApp::new().await;
    let answer = app.call(speech(KEY, "tts", "Grüße aus Köln")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "audio/pcm"), "{}", answer.text());
    assert_eq!(answer.body.len(), 14 * 60 * 48);
    let records = app.records(&answer).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.cost.map(|cost| cost.0), Some(210_000), "14 characters at 15 dollars a million");
    assert_eq!((record.usage.characters, record.usage.audio_out_ms), (14, 840));
    assert_eq!((record.status, record.usage_source), (UsageStatus::Ok, UsageSource::Measured));
    assert_eq!((record.model_asked.as_str(), record.model_served.as_str()), ("tts", "tts-1"));
    assert!(record.ttfb_ms.is_some());

    let body = json!({"model": "tts", "input": "Hello", "voice": "marin", "stream_format": "sse"});
    let events = app.call(post_json("/v1/audio/speech", KEY, &body)).await;
    assert_eq!((events.status, events.header("content-type")), (200, "text/event-stream"), "{}", events.text());
    assert!(events.text().contains("speech.audio.delta") && events.text().contains("speech.audio.done"));
    assert_eq!(app.one.counts().violations, Vec::<String>::new());
}

#[tokio::test]
async fn chat_and_embeddings_are_forwarded_and_billed_by_reported_tokens() {
    let app = TestApp::new().await;
    let mut body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi there"}]});
    let whole = app.call(post_json("/v1/chat/completions", KEY, &body)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.json()["choices"][0]["message"]["content"], "Hello from the scripted upstream.");
    // Six tokens in at 0.15 dollars and six out at 0.60 dollars, each a million.
    assert_eq!(app.billed(&whole).await, (Some(6 * 150 + 6 * 600), UsageStatus::Ok));

    body["stream"] = json!(true);
    let stream = app.call(post_json("/v1/chat/completions", KEY, &body)).await;
    assert!(stream.whole && stream.text().trim_end().ends_with("data: [DONE]"), "{}", stream.text());
    assert!(!stream.text().contains("prompt_tokens"), "usage that the client did not ask for stays here");
    assert_eq!(app.billed(&stream).await, (Some(4500), UsageStatus::Ok));

    let body = json!({"model": "embed", "input": "three short words"});
    let vector = app.call(post_json("/v1/embeddings", KEY, &body)).await;
    assert_eq!(vector.json()["data"][0]["embedding"].as_array().unwrap().len(), 1536);
    assert_eq!(app.billed(&vector).await, (Some(60), UsageStatus::Ok));
    assert_eq!(app.one.counts().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_client_can_ask_what_there_is_and_what_a_call_cost() {
    let app = TestApp::new().await;
    let models = app.call(get("/v1/models", KEY)).await.json();
    let names: Vec<&str> = models["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(names.contains(&"stt") && names.contains(&"tts"), "{names:?}");
    assert_eq!(app.call(get("/v1/models/stt", KEY)).await.json()["id"], "stt");
    app.call(get("/v1/models/none", KEY)).await.assert_error(404, "model_not_found");
    assert_eq!(app.call(get("/v1/audio/voices", KEY)).await.status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(app.call(get(path, "")).await.status, 200, "{path}");
    }
    let answer = app.call(speech(KEY, "tts", "Hello")).await;
    app.billed(&answer).await;
    let usage = app.call(get(&format!("/v1/usage/{}", answer.header("x-request-id")), KEY)).await.json();
    assert_eq!(usage["data"][0]["cost_usd"], "0.000075", "{usage}");
    assert_eq!(app.call(get("/v1/usage", KEY)).await.json()["spent_usd"], "0.000075");
}

/// Milliseconds of the gateway and of the provider, as `Server-Timing` tells them.
fn timing(answer: &str) -> (f64, f64) {
    let (gateway, upstream) = answer.split_once(", ").unwrap_or_else(|| panic!("{answer:?}"));
    let ms = |part: &str, name: &str| part.strip_prefix(name).unwrap().parse().unwrap();
    (ms(gateway, "gateway;dur="), ms(upstream, "upstream;dur="))
}

#[tokio::test]
async fn every_answer_says_where_its_time_went() {
    let app = TestApp::new().await;
    for status in [None, Some(500)] {
        for (path, request) in operations(KEY) {
            app.one.script(Rule::once(path, Fault { delay_ms: Some(30), status, ..Fault::default() }));
            let answer = app.call(request).await;
            assert_eq!(answer.status, if status.is_some() { 502 } else { 200 }, "{path}");
            let (gateway, upstream) = timing(answer.header("server-timing"));
            assert!(gateway > 0.0 && upstream >= 30.0, "{path}: {}", answer.header("server-timing"));
        }
    }
}

#[tokio::test]
async fn what_characters_cost_is_known_before_the_speech_starts() {
    let app = TestApp::new().await;
    let answer = app.call(speech(KEY, "tts", "Hello")).await;
    assert_eq!(answer.header("x-antiphon-cost-usd"), "0.000075");
    let by_tokens = app.call(speech(KEY, "tts-tokens", "Hello")).await;
    assert_eq!((by_tokens.status, by_tokens.header("x-antiphon-cost-usd")), (200, ""));
}

#[tokio::test]
async fn an_unknown_price_is_recorded_as_unknown() {
    let app = TestApp::new().await;
    let answer = app.call(speech(KEY, "unpriced", "Hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(app.billed(&answer).await, (None, UsageStatus::Ok));
}
