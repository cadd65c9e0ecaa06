//! What providers do wrong, for each operation: the client gets the right status and code, and nothing
//! is billed that was not delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use domain::usage::UsageStatus;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::{KEY, Part, Setup, TestApp, form, operations, post_json, provider, soon, speech, transcription};

fn status(status: u16) -> Fault {
    Fault { status: Some(status), ..Fault::default() }
}

fn limited(retry_after: &str) -> Fault {
    let mut fault = status(429);
    fault.headers.insert("retry-after".to_owned(), retry_after.to_owned());
    fault
}

/// A gateway whose breakers never keep a test waiting.
async fn app() -> TestApp {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.breaker_open = Duration::ZERO;
    setup.settings.timeouts.first_byte = Duration::from_millis(300);
    setup.settings.timeouts.idle = Duration::from_millis(300);
    setup.start().await
}

#[tokio::test]
async fn every_fault_has_its_status_and_bills_nothing() {
    let app = app().await;
    let hang = Fault { hang: true, ..Fault::default() };
    let html = Fault { html: true, ..Fault::default() };
    let cut = Fault { cut_after_bytes: Some(20), ..Fault::default() };
    for (fault, code, error, retry_after) in [
        (status(500), 502, "upstream_error", ""),
        (status(503), 502, "upstream_error", ""),
        (status(401), 502, "upstream_error", ""),
        (status(403), 502, "upstream_error", ""),
        (status(404), 502, "upstream_error", ""),
        (status(408), 504, "upstream_timeout", ""),
        (status(400), 400, "invalid_request", ""),
        (status(429), 429, "upstream_rate_limited", "1"),
        (limited("12"), 429, "upstream_rate_limited", "12"),
        (limited("Fri, 31 Dec 2100 23:59:59 GMT"), 429, "upstream_rate_limited", "3600"),
        (limited("99999999999999999999"), 429, "upstream_rate_limited", "3600"),
        (hang, 504, "upstream_timeout", ""),
        (html, 502, "upstream_error", ""),
        (cut, 502, "upstream_error", ""),
    ] {
        for (path, request) in operations(KEY) {
            // Speech flows: its head has left when it breaks.
            if path == "audio/speech" && fault.cut_after_bytes.is_some() {
                continue;
            }
            // What may pass is asked again, as long as there is budget for it.
            app.one.script(Rule { times: 3, ..Rule::once(path, fault.clone()) });
            let answer = app.call(request).await;
            answer.assert_error(code, error);
            app.one.reset();
            assert_eq!(answer.header("retry-after"), retry_after, "{path} {fault:?}");
            assert!(!answer.text().contains("Incorrect API key"), "{path}: it is not the client's key");
        }
    }
    assert!(app.all_records().await.is_empty(), "nothing was delivered");
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_502_for_every_operation() {
    let mut setup = Setup::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    setup.provider("one", &format!("http://{free}/v1"));
    let app = setup.start().await;
    for (_, request) in operations(KEY) {
        app.call(request).await.assert_error(502, "upstream_error");
    }
    assert!(app.all_records().await.is_empty());
}

/// Answers as soon as a request begins and reads the rest of it for as long as it comes; without a
/// status it neither answers nor reads.
async fn answer_early(mut stream: TcpStream, status: u16) {
    let mut request = vec![0; 64 * 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    if status == 0 {
        return std::future::pending().await;
    }
    let head = format!("HTTP/1.1 {status} Early\r\ncontent-type: application/json\r\nretry-after: 30\r\n");
    let body = "{\"text\":\"Early\",\"error\":{\"message\":\"Incorrect API key provided.\"}}";
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    while stream.read(&mut request).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn an_answer_before_the_upload_is_complete_ends_the_call_at_once() {
    let large = loadtest::wav::sample(8 * 1024 * 1024);
    for (status, code, error) in [
        (413, 413, "file_too_large"),
        (401, 502, "upstream_error"),
        (429, 429, "upstream_rate_limited"),
        (0, 504, "upstream_timeout"),
    ] {
        let mut setup = Setup::new().await;
        setup.settings.timeouts.idle = Duration::from_millis(300);
        setup.provider("one", &provider(move |stream| answer_early(stream, status)).await);
        let app = setup.start().await;
        let answer = app.call(form(KEY, &[Part::Field("model", "stt"), Part::File("a.wav", &large)])).await;
        answer.assert_error(code, error);
        assert!(!answer.text().contains("Incorrect API key") || status != 401);
        assert!(app.all_records().await.is_empty(), "{status}");
    }
}

/// Refuses at once, and tells why byte by byte, for an hour.
async fn refuse_slowly(mut stream: TcpStream) {
    let mut request = vec![0; 256 * 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let head = b"HTTP/1.1 503 Slow\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut beat = tokio::time::interval(Duration::from_millis(60));
    while stream.write_all(b" ").await.is_ok() {
        beat.tick().await;
    }
}

#[tokio::test]
async fn a_refusal_that_trickles_in_does_not_keep_the_next_target_waiting() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.idle = Duration::from_millis(300);
    setup.provider("one", &provider(refuse_slowly).await);
    let app = setup.start().await;
    app.call(speech(KEY, "tts", "Hello")).await.assert_error(502, "upstream_error");
    let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((answer.status, answer.header("x-antiphon-provider")), (200, "two"), "{}", answer.text());
}

/// Begins a JSON answer and stops.
async fn stall_in_the_middle(mut stream: TcpStream) {
    let mut request = vec![0; 256 * 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"text\":";
    stream.write_all(head).await.unwrap();
    std::future::pending().await
}

#[tokio::test]
async fn an_answer_that_stalls_before_anything_was_passed_on_is_504_and_bills_nothing() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.idle = Duration::from_millis(300);
    setup.provider("one", &provider(stall_in_the_middle).await);
    let app = setup.start().await;
    for (path, request) in operations(KEY) {
        // Speech flows, and this is no speech.
        let (status, code) = if path == "audio/speech" { (502, "upstream_error") } else { (504, "upstream_timeout") };
        app.call(request).await.assert_error(status, code);
    }
    assert!(app.all_records().await.is_empty());
}

#[tokio::test]
async fn a_stream_that_stalls_is_aborted_and_billed_for_what_came() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.idle = Duration::from_millis(300);
    let app = setup.start().await;
    let chat = json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    for (path, request) in [
        ("audio/speech", speech(KEY, "tts", "Hello")),
        ("chat/completions", post_json("/v1/chat/completions", KEY, &chat)),
        ("audio/transcriptions", transcription(KEY, "stt-stream", &[("stream", "true")])),
    ] {
        // The first piece comes, and the second would come in an hour.
        app.one.script(Rule::once(path, Fault { chunk_ms: Some(3_600_000), ..Fault::default() }));
        let answer = app.call(request).await;
        assert_eq!((answer.status, answer.whole), (200, false), "{path}: {}", answer.text());
        assert!(!answer.body.is_empty(), "{path}: what came was passed on");
        let records = app.records(&answer).await;
        let (record, count) = (&records[0], records.len());
        assert_eq!((count, record.status, record.attempts), (1, UsageStatus::UpstreamError, 1), "{path}");
        if path == "audio/speech" {
            assert_eq!(record.cost.map(|cost| cost.0), Some(75_000), "five characters");
            assert_eq!(record.usage.audio_out_ms, answer.body.len() as u64 / 48, "what was delivered");
        } else {
            assert!(record.cost.is_some_and(|cost| cost.0 > 0), "{path}: what went in: {record:?}");
        }
    }
}

/// Sends the head of a good answer and breaks the connection.
async fn break_after_the_head(mut stream: TcpStream) {
    let mut request = vec![0; 256 * 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_byte_is_asked_of_the_next_target() {
    let mut setup = Setup::new().await;
    setup.provider("one", &provider(break_after_the_head).await);
    let app = setup.start().await;
    let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
    assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("two", "2"));
    app.call(speech(KEY, "tts", "Hello")).await.assert_error(502, "upstream_error");
    let records = app.all_records().await;
    assert_eq!((records.len(), records[0].provider.as_str(), records[0].status.as_str()), (1, "two", "ok"));
}

const GIBIBYTE: usize = 1024 * 1024 * 1024;

/// What a provider could write of an answer before the gateway hung up, and how often it has.
#[derive(Debug, Default)]
struct Flood {
    written: AtomicUsize,
    hung_up: AtomicUsize,
}

/// Answers with a JSON text of a gibibyte.
async fn pour(mut stream: TcpStream, flood: Arc<Flood>) {
    let mut request = vec![0; 256 * 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {GIBIBYTE}\r\n\r\n\"");
    stream.write_all(head.as_bytes()).await.unwrap();
    let block = vec![b'x'; 256 * 1024];
    while flood.written.load(Ordering::Relaxed) < GIBIBYTE && stream.write_all(&block).await.is_ok() {
        flood.written.fetch_add(block.len(), Ordering::Relaxed);
    }
    flood.hung_up.fetch_add(1, Ordering::Relaxed);
}

#[tokio::test]
async fn an_answer_of_a_gibibyte_is_cut_off_at_the_bound() {
    let flood = Arc::<Flood>::default();
    let poured = Arc::clone(&flood);
    let mut setup = Setup::new().await;
    setup.provider("one", &provider(move |stream| pour(stream, Arc::clone(&poured))).await);
    let app = setup.start().await;
    let json = operations(KEY).into_iter().filter(|(path, _)| *path != "audio/speech");
    for (served, (path, request)) in json.enumerate() {
        flood.written.store(0, Ordering::Relaxed);
        app.call(request).await.assert_error(502, "upstream_error");
        soon(async {
            while flood.hung_up.load(Ordering::Relaxed) <= served {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // What the socket buffers of both ends hold comes on top of the bound.
        let written = flood.written.load(Ordering::Relaxed);
        assert!(written < 2 * MAX_UPSTREAM_JSON_BYTES, "{path}: {written} bytes were taken");
    }
    assert!(app.all_records().await.is_empty());
}
