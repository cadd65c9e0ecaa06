//! Clients that leave: what a provider was already asked is finished, billed and given back.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use loadtest::upstream::{Fault, Rule};
use serde_json::json;

use crate::helpers::{KEY, Setup, TestApp, budget, get, operations, post_json, soon, speech, transcription};

/// A key whose budget shows what is reserved.
const BUDGETED: &str = "sk-ap-hangs-up-all-the-time";

async fn app() -> TestApp {
    let mut setup = Setup::new().await;
    setup.key(BUDGETED, |key| key.budget = budget(1_000_000_000));
    setup.start().await
}

impl TestApp {
    /// Sends a request, waits until the provider has it, and breaks the connection.
    async fn abandon(&self, path: &str, request: Request<Full<bytes::Bytes>>) {
        let before = self.one.counts().of(path).requests;
        let stream = self.send(request).await;
        soon(async {
            while self.one.counts().of(path).requests == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // A reset: an orderly end of the client's side alone could be a client that still reads.
        stream.set_zero_linger().unwrap();
    }

    async fn reserved(&self) -> String {
        self.call(get("/v1/usage", BUDGETED)).await.json()["reserved_usd"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn what_the_provider_completes_without_the_client_is_billed_as_reported() {
    let app = app().await;
    for (path, request) in operations(BUDGETED) {
        let before = app.all_records().await.len();
        app.one.script(Rule::once(path, Fault { delay_ms: Some(150), ..Fault::default() }));
        app.abandon(path, request).await;
        assert_ne!(app.reserved().await, "0", "{path}: what is still at work stays reserved");
        let records = soon(async {
            loop {
                let records = app.all_records().await;
                if records.len() > before {
                    return records;
                }
            }
        })
        .await;
        let record = &records[before];
        let expected = match path {
            "audio/transcriptions" => (200_000, "reported"),
            "audio/translations" => (200_000, "measured"),
            "audio/speech" => (75_000, "measured"),
            "chat/completions" => (5 * 150 + 6 * 600, "reported"),
            _ => (60, "reported"),
        };
        assert_eq!((record.cost_nano_usd, record.usage_source.as_str()), (Some(expected.0), expected.1), "{path}");
        assert_eq!((record.status.as_str(), record.attempts), ("client_closed", 1), "{path}");
        assert_eq!(records.len(), before + 1, "{path}: one call is one record");
        soon(async { while app.reserved().await != "0" {} }).await;
    }
}

#[tokio::test]
async fn nobody_tries_again_for_a_client_that_left() {
    let app = app().await;
    let fault = Fault { status: Some(500), delay_ms: Some(100), ..Fault::default() };
    for (path, request) in [
        ("audio/transcriptions", transcription(BUDGETED, "both-stt", &[])),
        ("audio/speech", speech(BUDGETED, "both-tts", "Hello")),
    ] {
        app.one.script(Rule::once(path, fault.clone()));
        app.abandon(path, request).await;
        soon(async { while app.reserved().await != "0" {} }).await;
        assert_eq!(app.two.counts().of(path).requests, 0, "{path}");
    }
    assert!(app.all_records().await.is_empty(), "what failed bills nothing");
}

#[tokio::test]
async fn a_provider_that_hangs_holds_nothing_for_a_client_that_left() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.first_byte = Duration::from_millis(200);
    setup.key(BUDGETED, |key| key.budget = budget(1_000_000_000));
    let app = setup.start().await;
    for (path, request) in operations(BUDGETED) {
        app.one.script(Rule::once(path, Fault { hang: true, ..Fault::default() }));
        app.abandon(path, request).await;
        soon(async { while app.reserved().await != "0" {} }).await;
    }
}

#[tokio::test]
async fn what_is_at_work_when_the_gateway_stops_is_recorded_by_estimate() {
    let mut app = app().await;
    for (path, request) in operations(BUDGETED) {
        app.one.script(Rule::once(path, Fault { hang: true, ..Fault::default() }));
        app.abandon(path, request).await;
    }
    app.begin_drain();
    app.ended().await;
    let records = app.all_records().await;
    let operations: Vec<&str> = records.iter().map(|record| record.operation.as_str()).collect();
    assert_eq!(records.len(), 5, "{operations:?}");
    for record in records {
        assert_eq!(
            (record.status.as_str(), record.usage_source.as_str()),
            ("client_closed", "estimated"),
            "{record:?}"
        );
        assert!(record.cost_nano_usd.is_some_and(|cost| cost > 0), "{record:?}");
    }
}

#[tokio::test]
async fn a_stream_billed_by_tokens_that_breaks_is_billed_by_estimate_and_never_as_nothing() {
    let app = TestApp::new().await;
    let chat = json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let events = json!({"model": "tts-tokens", "input": "Hello, this is long", "voice": "marin"});
    for (path, cut, request) in [
        ("chat/completions", 600, post_json("/v1/chat/completions", KEY, &chat)),
        ("audio/transcriptions", 150, transcription(KEY, "stt-stream", &[("stream", "true")])),
        ("audio/speech", 12_000, post_json("/v1/audio/speech", KEY, &events)),
    ] {
        app.one.script(Rule::once(path, Fault { cut_after_bytes: Some(cut), ..Fault::default() }));
        let answer = app.call(request).await;
        assert_eq!((answer.status, answer.whole), (200, false), "{path}: {}", answer.text());
        let records = app.records(&answer).await;
        let record = &records[0];
        assert_eq!((record.status.as_str(), record.usage_source.as_str()), ("upstream_error", "estimated"), "{path}");
        let usage = record.usage;
        assert!(usage.text_tokens_in + usage.audio_tokens_in > 0, "{path}: what went in: {usage:?}");
        assert!(usage.text_tokens_out + usage.audio_tokens_out > 0, "{path}: what came out: {usage:?}");
        assert!(record.cost.is_some_and(|cost| cost.0 > 0), "{path}: {record:?}");
    }
}

#[tokio::test]
async fn usage_that_was_reported_counts_though_the_client_leaves_right_after_it() {
    let app = TestApp::new().await;
    // The pause stands between the last event and the end of the stream.
    let paced = Fault { chunk_ms: Some(40), ..Fault::default() };
    app.one.script(Rule::once("audio/transcriptions", paced));
    let mut response = app.open(transcription(KEY, "stt-stream", &[("stream", "true")])).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
    let mut seen = String::new();
    while !seen.contains("transcript.text.done") {
        let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
    drop(response);
    let record = app.records_of(KEY, id).await.remove(0);
    assert_eq!((record.cost.map(|cost| cost.0), record.usage_source.as_str()), (Some(230_000), "reported"));
}
