//! What happens when a provider breaks, or the client leaves.

use domain::usage::UsageStatus;
use http_body_util::BodyExt;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::helpers::{
    BOUNDARY, KEY, Part, Setup, TestApp, budget, form, form_body, get, post_json, soon, speech, transcription,
};

#[tokio::test]
async fn the_next_target_serves_what_the_first_could_not() {
    let app = TestApp::new().await;
    for (fault, error) in [
        (Fault { status: Some(500), ..Fault::default() }, "upstream_error"),
        (Fault { status: Some(429), ..Fault::default() }, "upstream_rate_limited"),
        (Fault { status: Some(401), ..Fault::default() }, "upstream_error"),
        (Fault { html: true, ..Fault::default() }, "upstream_error"),
    ] {
        for request in [transcription(KEY, "both-stt", &[]), speech(KEY, "both-tts", "Hello")] {
            app.one.script(Rule::once("", fault.clone()));
            let answer = app.call(request).await;
            assert_eq!(answer.status, 200, "{fault:?}: {}", answer.text());
            assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("two", "2"));
            let records = app.records(&answer).await;
            assert_eq!((records.len(), records[0].provider.as_str(), records[0].attempts), (1, "two", 2));
            let failed: Vec<_> =
                records[0].failed_attempts.iter().map(|one| (one.provider.as_str(), one.error.as_str())).collect();
            assert_eq!(failed, [("one", error)], "the record names both");
            let routing = records[0].routing.as_deref().unwrap();
            let order = routing.candidates.iter().map(|one| (one.provider.as_str(), one.dropped.is_none()));
            assert_eq!(order.collect::<Vec<_>>(), [("one", true), ("two", true)], "and in which order they stood");
        }
    }
}

#[tokio::test]
async fn a_fault_of_the_client_is_not_tried_elsewhere() {
    let app = TestApp::new().await;
    app.one.script(Rule::once("", Fault { status: Some(400), ..Fault::default() }));
    app.call(speech(KEY, "both-tts", "Hello")).await.assert_error(400, "invalid_request");
    assert_eq!(app.two.counts().of("audio/speech").requests, 0);
}

#[tokio::test]
async fn a_stream_that_breaks_is_seen_as_broken_and_billed_as_such() {
    let app = TestApp::new().await;
    app.one.script(Rule::once("audio/speech", Fault { cut_after_bytes: Some(10_000), ..Fault::default() }));
    let answer = app.call(speech(KEY, "tts", "Hello, this is long")).await;
    assert_eq!((answer.status, answer.whole), (200, false), "the client must not take half for the whole");
    assert_eq!(answer.body.len(), 10_000);
    assert_eq!(app.billed(&answer).await, (Some(19 * 15_000), UsageStatus::UpstreamError));

    app.one.script(Rule::once("chat/completions", Fault { cut_after_bytes: Some(600), ..Fault::default() }));
    let body = json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = app.call(post_json("/v1/chat/completions", KEY, &body)).await;
    assert!(!answer.whole && !answer.text().contains("[DONE]"));
    assert_eq!(app.billed(&answer).await.1, UsageStatus::UpstreamError);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_recorded() {
    let app = TestApp::new().await;
    let slow = Fault { bytes: Some(4096 * 2000), chunk_ms: Some(10), ..Fault::default() };
    app.one.script(Rule::once("audio/speech", slow));
    let mut response = app.open(speech(KEY, "tts", "Hello")).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
    soon(response.body_mut().frame()).await.unwrap().unwrap();
    drop(response);
    let records = app.records_of(KEY, id).await;
    assert_eq!((records[0].status, records[0].cost.map(|cost| cost.0)), (UsageStatus::ClientClosed, Some(75_000)));
    assert!(records[0].usage.audio_out_ms > 0, "billed for what was delivered");
}

#[tokio::test]
async fn a_large_upload_is_sent_again_to_the_next_target() {
    let app = TestApp::new().await;
    let large = loadtest::wav::sample(4 * 1024 * 1024);
    // Answered while the file is still on its way, and after all of it.
    for early in [true, false] {
        app.one.script(Rule::once("", Fault { status: Some(503), early, ..Fault::default() }));
        let parts = [Part::Field("model", "both-stt"), Part::File("a.wav", &large)];
        let answer = app.call(form(KEY, &parts)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-antiphon-provider"), "two");
        assert_eq!(app.two.requests().pop().unwrap().file.unwrap().bytes, large.len() as u64);
        assert_eq!(app.records(&answer).await.len(), 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_holds_nothing() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-leaves-in-the-middle-of-it", |key| key.budget = budget(1_000_000_000));
    let app = setup.start().await;
    let large = loadtest::wav::sample(4 * 1024 * 1024);
    let body = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &large)]);
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-ap-leaves-in-the-middle-of-it\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = app.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..2 * 1024 * 1024]).await.unwrap();
    let reserved = |usage: &serde_json::Value| usage["reserved_usd"].as_str().unwrap() != "0";
    let usage = || async { app.call(get("/v1/usage", "sk-ap-leaves-in-the-middle-of-it")).await.json() };
    soon(async { while !reserved(&usage().await) {} }).await;
    drop(stream);
    soon(async { while reserved(&usage().await) {} }).await;
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, 0, "half a file is never transcribed");
}
