//! Clients that leave: what a provider was already asked is finished, billed and given back.

use std::time::Duration;

use domain::usage::{UsageSource, UsageStatus};
use http::Request;
use http_body_util::Full;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::{
    BOUNDARY, KEY, Part, Setup, TestApp, budget, form_body, get, operations, post_json, provider, soon, speech,
    transcription,
};

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

    async fn reserved(&self, key: &str) -> String {
        self.call(get("/v1/usage", key)).await.json()["reserved_usd"].as_str().unwrap().to_owned()
    }
}

/// How long a provider works on what is abandoned meanwhile: far longer than hanging up takes.
const AT_WORK_MS: u64 = 1500;

#[tokio::test]
async fn what_the_provider_completes_without_the_client_is_billed_as_reported() {
    let mut setup = Setup::new().await;
    let keys: Vec<String> = (0..5).map(|at| format!("sk-ap-hangs-up-on-operation-{at}")).collect();
    for key in &keys {
        setup.key(key, |key| key.budget = budget(1_000_000_000));
    }
    let app = setup.start().await;
    for (at, key) in keys.iter().enumerate() {
        let (path, request) = operations(key).swap_remove(at);
        app.one.script(Rule::once(path, Fault { delay_ms: Some(AT_WORK_MS), ..Fault::default() }));
        app.abandon(path, request).await;
    }
    for key in &keys {
        assert_ne!(app.reserved(key).await, "0", "{key}: what is still at work stays reserved");
    }
    let records = soon(async {
        loop {
            let records = app.all_records().await;
            if records.len() == keys.len() {
                return records;
            }
        }
    })
    .await;
    for (operation, cost, source) in [
        ("transcription", 200_000, "reported"),
        ("translation", 200_000, "measured"),
        ("speech", 75_000, "measured"),
        ("chat", 5 * 150 + 6 * 600, "reported"),
        ("embeddings", 60, "reported"),
    ] {
        let record = records.iter().find(|record| record.operation == operation).unwrap();
        assert_eq!((record.cost_nano_usd, record.usage_source.as_str()), (Some(cost), source), "{operation}");
        assert_eq!((record.status.as_str(), record.attempts), ("client_closed", 1), "{operation}");
    }
    for key in &keys {
        soon(async { while app.reserved(key).await != "0" {} }).await;
    }
    assert_eq!(app.all_records().await.len(), keys.len(), "one call is one record");
}

#[tokio::test]
async fn nobody_tries_again_for_a_client_that_left() {
    let app = app().await;
    let fault = Fault { status: Some(500), delay_ms: Some(AT_WORK_MS), ..Fault::default() };
    let calls = [
        ("audio/transcriptions", transcription(BUDGETED, "both-stt", &[])),
        ("audio/speech", speech(BUDGETED, "both-tts", "Hello")),
    ];
    for (path, request) in calls {
        app.one.script(Rule::once(path, fault.clone()));
        app.abandon(path, request).await;
    }
    assert_ne!(app.reserved(BUDGETED).await, "0", "both are at work");
    soon(async { while app.reserved(BUDGETED).await != "0" {} }).await;
    assert_eq!(app.two.requests(), [], "the next target was not asked");
    assert!(app.all_records().await.is_empty(), "what failed bills nothing");
}

#[tokio::test]
async fn a_provider_that_hangs_is_known_to_fail_though_every_client_left() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.first_byte = Duration::from_millis(500);
    setup.key(BUDGETED, |key| key.budget = budget(1_000_000_000));
    let app = setup.start().await;
    for _ in 0..5 {
        app.one.script(Rule::once("audio/speech", Fault { hang: true, ..Fault::default() }));
        app.abandon("audio/speech", speech(BUDGETED, "tts", "Hello")).await;
    }
    soon(async { while app.reserved(BUDGETED).await != "0" {} }).await;
    app.call(speech(BUDGETED, "tts", "Hello")).await.assert_error(503, "no_healthy_target");
    assert!(app.all_records().await.is_empty(), "nothing was delivered");
}

#[tokio::test]
async fn what_is_at_work_when_the_gateway_stops_is_recorded_as_it_is_known_here() {
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
        // Characters and lengths are counted here; tokens only the provider can count.
        let counted = matches!(record.operation.as_str(), "speech" | "transcription" | "translation");
        let known = if counted { "measured" } else { "estimated" };
        assert_eq!((record.status.as_str(), record.usage_source.as_str()), ("client_closed", known), "{record:?}");
        assert!(record.cost_nano_usd.is_some_and(|cost| cost > 0), "{record:?}");
    }
}

/// What a kill would leave now: the calls that are noted, as text.
fn noted(app: &TestApp) -> String {
    let slots = std::fs::read(app.gateway.settings.data_dir.join("journal/open-calls")).unwrap();
    String::from_utf8_lossy(&slots).into_owned()
}

#[tokio::test]
async fn half_an_upload_is_not_noted_against_a_kill_and_a_whole_one_is_with_its_cost() {
    let app = TestApp::new().await;
    let large = loadtest::wav::sample(4 * 1024 * 1024);
    let cost = (large.len() as u64 - 44) * 1000 / 32_000 * 100;
    let body = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &large)]);
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    app.one.script(Rule::once("audio/transcriptions", Fault { hang: true, ..Fault::default() }));
    let mut stream = app.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (most, rest) = body.split_at(body.len() - 10);
    stream.write_all(most).await.unwrap();
    // The provider has nearly all of it.
    let almost = large.len() as u64 - 256 * 1024;
    soon(async {
        while app.one.counts().bytes_in < almost {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert!(!noted(&app).contains("whisper-1"), "a provider bills nothing for a part");
    stream.write_all(rest).await.unwrap();
    soon(async {
        while app.one.counts().of("audio/transcriptions").requests == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let noted = noted(&app);
    assert!(noted.contains(&format!("\"cost\":{cost},")) && noted.contains("\"measured\""), "{noted}");
}

#[tokio::test]
async fn speech_is_noted_with_its_cost_while_the_provider_has_it_and_not_once_it_is_refused() {
    let app = TestApp::new().await;
    let slow = Fault { delay_ms: Some(300), status: Some(400), ..Fault::default() };
    app.one.script(Rule::once("audio/speech", slow));
    let (answer, ()) = tokio::join!(app.call(speech(KEY, "tts", "Hello")), async {
        soon(async {
            while app.one.counts().of("audio/speech").requests == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let noted = noted(&app);
        assert!(noted.contains("\"cost\":75000,") && noted.contains("\"measured\""), "{noted}");
    });
    assert_eq!(answer.status, 400);
    // An entry of length zero is none.
    let slots = std::fs::read(app.gateway.settings.data_dir.join("journal/open-calls")).unwrap();
    assert!(slots.chunks(4096).all(|slot| slot[..4] == [0; 4]), "what was refused bills nothing");
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

/// Tells all of a transcript and its usage, and does not end its answer.
async fn tell_all_and_hold_on(mut stream: TcpStream) {
    let mut request = vec![0; 256 * 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let usage = json!({"type": "tokens", "input_tokens": 20, "output_tokens": 11, "total_tokens": 31,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 20}});
    let done = json!({"type": "transcript.text.done", "text": "All of it.", "usage": usage});
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let event = format!("data: {done}\n\n");
    stream.write_all(format!("{head}{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
    std::future::pending().await
}

#[tokio::test]
async fn usage_that_was_reported_counts_though_the_client_leaves_right_after_it() {
    let mut setup = Setup::new().await;
    setup.provider("one", &provider(tell_all_and_hold_on).await);
    let app = setup.start().await;
    let mut stream = app.send(transcription(KEY, "stt-stream", &[("stream", "true")])).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("transcript.text.done") {
        assert!(soon(stream.read_buf(&mut seen)).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    // A reset, as above.
    stream.set_zero_linger().unwrap();
    drop(stream);
    let seen = String::from_utf8_lossy(&seen).to_lowercase();
    let id = seen.split_once("x-request-id: ").unwrap().1.lines().next().unwrap().parse().unwrap();
    let record = app.records_of(KEY, id).await.remove(0);
    // 20 audio tokens at 6 dollars and 11 text tokens at 10 dollars, each a million.
    assert_eq!((record.cost.map(|cost| cost.0), record.usage_source), (Some(230_000), UsageSource::Reported));
    assert_eq!(record.status, UsageStatus::ClientClosed);
}
