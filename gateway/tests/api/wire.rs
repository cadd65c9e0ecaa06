//! Requests byte by byte: heads that are not quite HTTP, clients that stall, connections that are reused.

use std::time::Duration;

use domain::usage::UsageStatus;
use loadtest::upstream::{Fault, Rule};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::helpers::{BOUNDARY, KEY, Part, Setup, TestApp, form_body, read_answer, soon, two_seconds};

const GOOD: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// The head of a transcription request.
fn head(more: &str) -> String {
    format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\n{more}\r\n\r\n"
    )
}

fn speech_body(input: &str) -> String {
    format!(r#"{{"model":"tts","input":"{input}","voice":"marin","response_format":"pcm"}}"#)
}

fn speech_head(length: usize) -> String {
    format!(
        "POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Reads until the gateway closes.
async fn to_end(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    soon(stream.read_to_end(&mut seen)).await.unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

/// Asserts that this is the last answer on its connection, refused with OpenAI's body.
fn assert_refused(what: &str, answers: &str, status: u16, code: &str) {
    let last = answers.split_at(answers.rfind("HTTP/1.1 ").unwrap_or_default()).1;
    assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answers}");
    let (head, body) = last.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.contains("\r\nconnection: close"), "{what}: {answers}");
    assert!(head.contains("\r\nx-request-id: ") && head.contains("content-type: application/json"), "{what}: {head}");
    let error = &serde_json::from_str::<Value>(body).unwrap_or_else(|_| panic!("{what}: not JSON: {body}"))["error"];
    assert_eq!(error["code"], code, "{what}: {body}");
    assert!(error["message"].is_string() && error["type"].is_string(), "{what}: {body}");
}

/// Sends bytes and asserts that the one answer is this refusal, and that the connection ends with it.
async fn assert_refuses(app: &TestApp, what: &str, bytes: &[u8], status: u16, code: &str) {
    let mut stream = app.connect().await;
    // The gateway may refuse and close before the last byte was taken.
    drop(stream.write_all(bytes).await);
    let answer = to_end(&mut stream).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    assert_refused(what, &answer, status, code);
}

#[tokio::test]
async fn heads_with_two_readings_are_refused_and_the_connection_is_closed() {
    let app = TestApp::new().await;
    for (what, lines) in [
        ("a bare line feed between headers", "x-a: 1\nx-b: 2\r\n"),
        ("a bare line feed at the end", "x-a: 1\r\n\n"),
        ("a folded line", "x-a: 1\r\n 2\r\n"),
        ("a carriage return in a value", "x-a: 1\rx-b: 2\r\n"),
        ("NUL in a value", "x-a: a\0b\r\n"),
        ("NUL in a name", "x-\0a: b\r\n"),
        ("a space before the colon", "content-length : 5\r\n"),
        ("a space in a name", "x a: 1\r\n"),
        ("no name", ": 1\r\n"),
        ("an underscore", "content_length: 5\r\n"),
        ("two hosts", "host: y\r\n"),
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("the same length twice", "content-length: 5\r\ncontent-length: 5\r\n"),
        ("a list of lengths", "content-length: 5, 5\r\n"),
        ("a signed length", "content-length: +5\r\n"),
        ("a negative length", "content-length: -5\r\n"),
        ("a length and chunks", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        ("chunks and a length", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
        ("chunks twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        ("chunks and more", "transfer-encoding: chunked, identity\r\n"),
        ("an unknown coding", "transfer-encoding: gzip\r\n"),
        ("an obfuscated coding", "transfer-encoding: \u{b}chunked\r\n"),
    ] {
        let request = format!("POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\n{lines}\r\n0\r\n\r\n{GOOD}");
        assert_refuses(&app, what, request.as_bytes(), 400, "invalid_request").await;
    }
    for request in [
        "GET / HTTP/1.1\nhost: x\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /a\u{1}b HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /v1/audio/speech HTTP/1.0\r\nhost: x\r\n\r\n",
        "\r\n\r\n\r\n",
        "\u{16}\u{3}\u{1} a TLS handshake\r\n\r\n",
    ] {
        assert_refuses(&app, request, request.as_bytes(), 400, "invalid_request").await;
    }
    assert_eq!(app.one.requests(), []);
}

#[tokio::test]
async fn a_bad_head_after_good_requests_is_refused_in_its_turn() {
    let app = TestApp::new().await;
    let body = speech_body("Hello");
    let first = format!("{}{body}", speech_head(body.len()));
    let bad = "GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: 1\n\r\n";
    for requests in [format!("{first}{GOOD}{bad}"), format!("{GOOD}{first}{bad}{GOOD}")] {
        let mut stream = app.connect().await;
        stream.write_all(requests.as_bytes()).await.unwrap();
        let answers = to_end(&mut stream).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
        assert_refused("the last", &answers, 400, "invalid_request");
    }
}

#[tokio::test]
async fn requests_are_answered_wherever_the_network_cuts_them() {
    let app = TestApp::new().await;
    let body = speech_body("Hello");
    let (start, rest) = body.split_at(5);
    let chunked = format!(
        "POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\n{start}\r\n{:x};a=b\r\n{rest}\r\n0\r\nx-trailer: 1\r\n\r\n",
        rest.len()
    );
    let last = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let requests = format!("{}{body}\r\n{chunked}{last}", speech_head(body.len()));
    for cut in (1..requests.len()).step_by(7) {
        let mut stream = app.connect().await;
        stream.write_all(&requests.as_bytes()[..cut]).await.unwrap();
        stream.flush().await.unwrap();
        // Another connection's answer shows that the first piece has been looked at.
        assert!(app.raw(last.as_bytes()).await.starts_with("HTTP/1.1 200"));
        stream.write_all(&requests.as_bytes()[cut..]).await.unwrap();
        let answers = to_end(&mut stream).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "cut at {cut}: {answers}");
    }
    let mut stream = app.connect().await;
    for byte in requests.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(to_end(&mut stream).await.matches("HTTP/1.1 200 OK\r\n").count(), 3, "byte by byte");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_431() {
    let app = TestApp::new().await;
    let long = head(&format!("content-length: 0\r\nx-long: {}", "a".repeat(70_000)));
    assert_refuses(&app, "one long header", long.as_bytes(), 431, "invalid_request").await;
    // Many short headers are as long as one long header.
    let many: Vec<String> = (0..80).map(|at| format!("x-{at}: {}", "a".repeat(1000))).collect();
    let many = head(&format!("content-length: 0\r\n{}", many.join("\r\n")));
    assert_refuses(&app, "many headers", many.as_bytes(), 431, "invalid_request").await;
    let short: Vec<String> = (0..100).map(|at| format!("x-{at}: 1")).collect();
    let short = head(&format!("content-length: 0\r\n{}", short.join("\r\n")));
    assert_refuses(&app, "a hundred headers", short.as_bytes(), 431, "invalid_request").await;
    let endless = format!("GET /{} ", "a".repeat(200_000));
    assert_refuses(&app, "no end", endless.as_bytes(), 431, "invalid_request").await;
    let fits = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(60_000));
    assert!(app.raw(fits.as_bytes()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_408_on_a_new_and_on_a_used_connection() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.header_read = Duration::from_millis(700);
    let app = setup.start().await;
    let mut idle = app.connect().await;
    idle.write_all(GOOD.as_bytes()).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));

    let partial = "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ";
    tokio::join!(
        assert_refuses(&app, "a new connection", partial.as_bytes(), 408, "request_timeout"),
        assert_refuses(&app, "nothing at all", b"", 408, "request_timeout"),
    );
    let mut used = app.connect().await;
    used.write_all(format!("{GOOD}{partial}").as_bytes()).await.unwrap();
    let answers = to_end(&mut used).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert_refused("a used connection", &answers, 408, "request_timeout");

    // Longer than that it has been quiet by now, between two requests, as it may.
    idle.write_all(GOOD.as_bytes()).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));
}

/// Sends a request's head and then its body in pieces of this size, one every 20 ms, until it is whole or
/// the gateway has closed; gives the answer.
async fn trickle(app: &TestApp, head: &str, body: &[u8], piece: usize) -> String {
    let (mut from, mut to) = app.connect().await.into_split();
    let send = async {
        to.write_all(head.as_bytes()).await.unwrap();
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        for piece in body.chunks(piece) {
            beat.tick().await;
            if to.write_all(piece).await.is_err() {
                break;
            }
        }
    };
    let receive = async {
        let mut seen = Vec::new();
        // A reset comes where the gateway has closed and more was sent.
        drop(soon(from.read_to_end(&mut seen)).await);
        String::from_utf8_lossy(&seen).into_owned()
    };
    tokio::join!(send, receive).1
}

#[tokio::test]
async fn a_body_below_the_floor_is_408_however_steadily_it_comes() {
    let mut setup = Setup::new().await;
    // The floor of a window is a kibibyte at least.
    setup.settings.timeouts.body_idle = Duration::from_millis(400);
    let app = setup.start().await;
    let form = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &two_seconds())]);
    let form_head = head(&format!("connection: close\r\ncontent-length: {}", form.len()));
    let speech = speech_body(&"Hello ".repeat(1000));
    let speech_head = speech_head(speech.len());
    let (slow_form, slow_json, good_form) = tokio::join!(
        trickle(&app, &form_head, &form, 8),
        trickle(&app, &speech_head, speech.as_bytes(), 8),
        trickle(&app, &form_head, &form, 1024),
    );
    for (what, answer) in [("a form", slow_form), ("JSON", slow_json)] {
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"request_timeout\""), "{what}: {answer}");
    }
    assert!(good_form.starts_with("HTTP/1.1 200"), "fast enough, though longer than a window: {good_form}");
    let counts = app.one.counts();
    assert_eq!((counts.of("audio/transcriptions").whole.answers, counts.of("audio/speech").requests), (1, 0));
}

#[tokio::test]
async fn a_body_that_stops_is_408() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.body_idle = Duration::from_millis(300);
    let app = setup.start().await;
    let form = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &two_seconds())]);
    let mut upload = head(&format!("content-length: {}", form.len())).into_bytes();
    upload.extend_from_slice(&form[..200]);
    assert_refuses(&app, "a form", &upload, 408, "request_timeout").await;
    let speech = format!("{}{{", speech_head(100));
    assert_refuses(&app, "JSON", speech.as_bytes(), 408, "request_timeout").await;
    // A body that nobody reads is not waited for either.
    let mut unread = app.connect().await;
    let request = "POST /nothing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel";
    unread.write_all(request.as_bytes()).await.unwrap();
    let answer = to_end(&mut unread).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let counts = app.one.counts();
    assert_eq!((counts.of("audio/transcriptions").whole.answers, counts.of("audio/speech").requests), (0, 0));
}

#[tokio::test]
async fn broken_chunks_are_one_400() {
    let app = TestApp::new().await;
    let body = speech_body("Hello");
    for (what, chunks) in [
        ("a size that is none", format!("zz\r\n{body}\r\n0\r\n\r\n")),
        ("a chunk that is too long", format!("5\r\n{body}\r\n0\r\n\r\n")),
        ("a bare line feed", format!("{:x}\n{body}\r\n0\r\n\r\n", body.len())),
        ("a size that overflows", format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("an endless extension", format!("1;{}\r\n", "a".repeat(20_000))),
    ] {
        let head = format!(
            "POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let mut stream = app.connect().await;
        drop(stream.write_all(format!("{head}{chunks}{GOOD}").as_bytes()).await);
        let answer = to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        assert!(answer.contains("\"invalid_request\""), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
    assert_eq!(app.one.requests(), []);
}

#[tokio::test]
async fn a_client_that_closes_its_half_is_answered() {
    let app = TestApp::new().await;
    // So much that not all of it has been looked at when the end arrives.
    let large = loadtest::wav::sample(110_000);
    let form = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &large)]);
    let mut upload = head(&format!("content-length: {}", form.len())).into_bytes();
    upload.extend_from_slice(&form);
    let body = speech_body("Hello");
    let speech = format!("{}{body}", speech_head(body.len())).into_bytes();
    for (what, request) in [("an upload", upload), ("speech", speech)] {
        let mut stream = app.connect().await;
        stream.write_all(&request).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
    }
    assert_eq!(app.one.requests()[0].file.as_ref().unwrap().bytes, large.len() as u64);
    // One that leaves between two requests, or within a head, needs no answer.
    for rest in ["", "GET /heal"] {
        let mut stream = app.connect().await;
        stream.write_all(format!("{GOOD}{rest}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(to_end(&mut stream).await.matches("HTTP/1.1 ").count(), 1);
    }
}

#[tokio::test]
async fn a_header_may_be_sent_twice() {
    let app = TestApp::new().await;
    let body = speech_body("Hello");
    let request = speech_head(body.len())
        .replace("\r\nhost", &format!("\r\nAuthorization: Bearer {KEY}\r\nconnection: close\r\nhost"));
    let answer = app.raw(format!("{request}{body}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let app = TestApp::new().await;
    let form = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &loadtest::wav::sample(600_000))]);
    let mut stream = app.connect().await;
    let head = head(&format!("content-length: {}\r\nexpect: 100-continue", form.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    soon(stream.read_exact(&mut asked)).await.unwrap();
    assert_eq!(asked, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&form).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A client with a small buffer, which takes a first piece of a long answer and then nothing more.
async fn deaf(app: &TestApp, request: &str) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(app.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = vec![0; 1000];
    soon(stream.read_exact(&mut start)).await.unwrap();
    let head = String::from_utf8_lossy(&start).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let id = head.split_once("x-request-id: ").unwrap().1.split('\r').next().unwrap().to_owned();
    (stream, id)
}

#[tokio::test]
async fn a_client_that_never_reads_is_left_and_its_provider_too() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.write = Duration::from_millis(300);
    let app = setup.start().await;
    let endless = Fault { bytes: Some(1 << 30), ..Fault::default() };
    app.one.script(Rule::once("audio/speech", endless));
    let body = speech_body("A very long story");
    let (mut stream, id) = deaf(&app, &format!("{}{body}", speech_head(body.len()))).await;
    let records = app.records_of(KEY, id.parse().unwrap()).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].status, UsageStatus::ClientClosed);
    assert!(records[0].cost.is_some(), "what was delivered is billed");
    soon(async {
        while app.one.counts().of("audio/speech").cut.answers == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let sent = app.one.counts().of("audio/speech").cut.bytes_out;
    assert!(sent < 64 << 20, "the gateway stopped taking what nobody took from it: {sent} bytes");
    let mut rest = Vec::new();
    drop(soon(stream.read_to_end(&mut rest)).await);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "cut short, and not as if it were whole");
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_left() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.write = Duration::from_millis(800);
    let app = setup.start().await;
    let length = 32 << 20;
    app.one.script(Rule::once("audio/speech", Fault { bytes: Some(length), ..Fault::default() }));
    let body = speech_body("A long story");
    let request = format!("{}{body}", speech_head(body.len())).replace("\r\nhost", "\r\nconnection: close\r\nhost");
    let (mut stream, _) = deaf(&app, &request).await;
    // Several times as long as a client may take nothing, it takes so little that the kernel does not
    // tell the gateway of it.
    let mut beat = tokio::time::interval(Duration::from_millis(15));
    let mut heard = 1000;
    let mut little = vec![0; 2048];
    for _ in 0..130 {
        beat.tick().await;
        heard += soon(stream.read(&mut little)).await.unwrap();
    }
    let mut rest = Vec::new();
    heard += soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(heard > length, "{heard} of {length} bytes");
    assert!(rest.ends_with(b"0\r\n\r\n"), "whole");
}
