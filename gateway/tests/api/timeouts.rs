//! Providers that take too long over a phase of a call, and what the client is told.

use std::time::Duration;

use domain::usage::UsageStatus;
use http_body_util::BodyExt;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::helpers::{KEY, Setup, post_json, provider, soon, speech, target, transcription};

const SHORT: Option<Duration> = Some(Duration::from_millis(200));

#[tokio::test]
async fn each_phase_has_its_time_by_operation_and_is_named() {
    let mut setup = Setup::new().await;
    setup.settings.metrics_bind = Some(([127, 0, 0, 1], 0).into());
    let operations = &mut setup.settings.timeouts.operations;
    operations.speech.first_byte = SHORT;
    operations.chat.total = SHORT;
    operations.embeddings.idle = SHORT;
    let stalling = provider(|mut stream| async move {
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            seen.push(stream.read_u8().await.unwrap());
        }
        let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
        stream.write_all(half).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    setup.provider("stalling", &stalling);
    setup.route("stalls", vec![target("stalling", "text-embedding-3-small", 0)]);
    let app = setup.start().await;
    let chat = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    let hangs = Fault { hang: true, ..Fault::default() };
    let embeddings = json!({"model": "stalls", "input": "Hi"});
    for (phase, request) in [
        ("first_byte", speech(KEY, "tts", "Hello")),
        ("total", post_json("/v1/chat/completions", KEY, &chat)),
        ("idle", post_json("/v1/embeddings", KEY, &embeddings)),
    ] {
        app.one.script(Rule::once("", hangs.clone()));
        let answer = app.call(request).await;
        answer.assert_error(504, "upstream_timeout");
        assert!(answer.text().contains(&format!("`{phase}`")), "{}", answer.text());
        let asked: u64 = app.one.counts().by.iter().map(|count| count.requests).sum();
        assert_eq!(asked, u64::from(phase != "idle"), "one that may be at work on it is not asked again");
        assert!(app.counter("antiphon_upstream_timeouts_total", &format!("phase=\"{phase}\"")).await >= 1);
        app.one.reset();
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_in_time_is_told_as_such() {
    for own in [SHORT, None] {
        let mut setup = Setup::new().await;
        // It accepts, and says nothing to a client that wants TLS.
        let base_url = provider(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        setup.provider("one", &base_url.replace("http://", "https://"));
        setup.settings.timeouts.operations.speech.connect = own;
        if own.is_none() {
            setup.settings.timeouts.connect = Duration::from_millis(200);
        }
        let app = setup.start().await;
        let answer = app.call(speech(KEY, "tts", "Hello")).await;
        answer.assert_error(504, "upstream_timeout");
        assert!(answer.text().contains("`connect`"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_stream_is_cut_by_a_total_that_was_set_and_billed_for_what_came() {
    let flows = Fault { bytes: Some(4096 * 200), chunk_bytes: Some(4096), chunk_ms: Some(10), ..Fault::default() };
    for total in [SHORT, None] {
        let mut setup = Setup::new().await;
        setup.settings.timeouts.operations.speech.total = total;
        let app = setup.start().await;
        app.one.script(Rule::once("audio/speech", flows.clone()));
        let answer = app.call(speech(KEY, "tts", "Hello")).await;
        let status = if total.is_some() { UsageStatus::UpstreamError } else { UsageStatus::Ok };
        assert_eq!((answer.status, answer.whole), (200, total.is_none()));
        assert_eq!(app.billed(&answer).await, (Some(75_000), status));
        let records = app.records(&answer).await;
        let delivered = u64::try_from(answer.body.len()).unwrap() / 48;
        assert!(records[0].usage.audio_out_ms.abs_diff(delivered) <= 1, "{}", records[0].usage.audio_out_ms);
    }
}

#[tokio::test]
async fn the_time_for_a_call_does_not_run_while_its_client_sends() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.operations.transcription.total = SHORT;
    let app = setup.start().await;
    let (parts, body) = transcription(KEY, "stt", &[]).into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let mut head = format!("{} {} HTTP/1.1\r\ncontent-length: {}\r\n", parts.method, parts.uri, bytes.len());
    for (name, value) in &parts.headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut stream = app.connect().await;
    let (early, late) = bytes.split_at(bytes.len() - 1024);
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stream.write_all(early).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(late).await.unwrap();
    let answer = soon(crate::helpers::read_answer(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
