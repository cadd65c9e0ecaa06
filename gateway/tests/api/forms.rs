//! Forms as odd clients send them, and requests that are not quite HTTP.

use std::time::Duration;

use domain::pricing::Unit;
use domain::provider::Operation;
use loadtest::upstream::{Fault, Rule};
use tokio::io::AsyncWriteExt;

use crate::helpers::{
    BOUNDARY, KEY, Part, Setup, TestApp, budget, form, form_body, get, post, read_answer, target, two_seconds,
};

#[tokio::test]
async fn fields_may_come_before_or_after_the_file() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    let last = form(KEY, &[Part::File("a.wav", &audio), Part::Field("model", "stt"), Part::Field("language", "en")]);
    assert_eq!(app.call(last).await.status, 200);
    assert_eq!(app.one.requests()[0].field("language"), Some("en"));

    // So large that it is sent on while it arrives: what follows it must still count.
    let large = loadtest::wav::sample(3 * 1024 * 1024);
    let both = [Part::Field("model", "stt"), Part::File("a.wav", &large), Part::Field("response_format", "srt")];
    let answer = app.call(form(KEY, &both)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains(" --> "), "{}", answer.text());
    let request = app.one.requests().pop().unwrap();
    assert_eq!(request.file.unwrap().bytes, large.len() as u64);
    assert_eq!(app.billed(&answer).await.0, Some((large.len() as i64 - 44) * 1000 / 32_000 * 100));
}

/// So large that it is sent on while it arrives.
fn large() -> Vec<u8> {
    loadtest::wav::sample(3 * 1024 * 1024)
}

#[tokio::test]
async fn fields_behind_a_streamed_file_choose_the_target_and_are_no_attempt() {
    let mut setup = Setup::new().await;
    // The first has no times for captions, which is known only when the format comes.
    setup.route("captions", vec![target("one", "gpt-4o-transcribe", 0), target("two", "whisper-1", 1)]);
    let app = setup.start().await;
    let large = large();
    for (model, provider) in [("stt", "one"), ("captions", "two")] {
        let parts = [Part::Field("model", model), Part::File("a.wav", &large), Part::Field("response_format", "srt")];
        let answer = app.call(form(KEY, &parts)).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert!(answer.text().contains(" --> "), "{model}: {}", answer.text());
        let served = (answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts"));
        assert_eq!(served, (provider, "1"), "{model}");
        assert_eq!(app.records(&answer).await[0].attempts, 1, "{model}");
    }
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, 1, "each was transcribed once");
    assert_eq!(app.two.counts().of("audio/transcriptions").whole.answers, 1, "each was transcribed once");
}

#[tokio::test]
async fn fields_behind_the_file_count_for_the_next_target_too() {
    let app = TestApp::new().await;
    // Seen or not before the last field, the refusal comes again when the whole form is sent.
    let fault = Fault { status: Some(503), early: true, ..Fault::default() };
    app.one.script(Rule { times: 2, ..Rule::once("", fault) });
    let large = large();
    let parts = [Part::Field("model", "both-stt"), Part::File("a.wav", &large), Part::Field("response_format", "srt")];
    let answer = app.call(form(KEY, &parts)).await;
    assert!(answer.text().contains(" --> "), "{}", answer.text());
    assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("two", "2"));
    assert_eq!(app.two.requests()[0].field("response_format"), Some("srt"));
}

#[tokio::test]
async fn fields_behind_the_file_that_make_it_dearer_are_reserved_too() {
    // Captions come from the cheap target alone; in another format the dear one may be tried as well.
    let mut setup = Setup::new().await;
    setup.route("grows", vec![target("one", "whisper-1", 0), target("two", "gpt-4o-mini-transcribe", 1)]);
    for unit in [Unit::TextIn, Unit::TextOut, Unit::AudioIn] {
        setup.price("gpt-4o-mini-transcribe", Operation::Transcription, unit, "100");
    }
    setup.key("sk-ap-cannot-pay-the-dear-one", |key| key.budget = budget(20_000_000));
    setup.key("sk-ap-can-pay-the-dear-one-too", |key| key.budget = budget(2_000_000_000));
    let app = setup.start().await;
    let large = large();
    let parts = [
        Part::Field("model", "grows"),
        Part::Field("response_format", "srt"),
        Part::File("a.wav", &large),
        Part::Field("response_format", "json"),
    ];
    let refused = app.call(form("sk-ap-cannot-pay-the-dear-one", &parts)).await;
    refused.assert_error(429, "budget_exceeded");
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, 0);
    let usage = app.call(get("/v1/usage", "sk-ap-cannot-pay-the-dear-one")).await.json();
    assert_eq!((usage["reserved_usd"].as_str(), usage["spent_usd"].as_str()), (Some("0"), Some("0")), "{usage}");
    let served = app.call(form("sk-ap-can-pay-the-dear-one-too", &parts)).await;
    assert_eq!((served.status, served.header("x-antiphon-attempts")), (200, "1"), "{}", served.text());
}

#[tokio::test]
async fn malformed_forms_are_refused_with_a_reason() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    let mut many: Vec<Part<'_>> = (0..1000).map(|_| Part::Field("x", "y")).collect();
    many.insert(0, Part::Field("model", "stt"));
    app.call(form(KEY, &many)).await.assert_error(400, "invalid_request");
    let twice = [Part::Field("model", "stt"), Part::File("a.wav", &audio), Part::File("b.wav", &audio)];
    app.call(form(KEY, &twice)).await.assert_error(400, "invalid_request");
    app.call(form(KEY, &[Part::Field("model", "stt"), Part::File("a.wav", b"")]))
        .await
        .assert_error(400, "invalid_request");
    app.call(form(KEY, &[Part::Field("model", "stt")])).await.assert_error(400, "invalid_request");
    let body = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &audio)]);
    let path = "/v1/audio/transcriptions";
    app.call(post(path, KEY, body.clone(), "multipart/form-data")).await.assert_error(400, "invalid_request");
    let half = body[..body.len() / 2].to_vec();
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    app.call(post(path, KEY, half, &content_type)).await.assert_error(400, "invalid_request");
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, 0);
}

#[tokio::test]
async fn a_file_name_is_a_name_and_nothing_else() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    for name in ["../../../etc/passwd.wav", "a%0d%0aX-Evil: 1.wav", "a\\\"b.wav", "naïve 名前.wav"] {
        let answer = app.call(form(KEY, &[Part::Field("model", "stt"), Part::File(name, &audio)])).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let request = app.one.requests().pop().unwrap();
        let names: Vec<&str> = request.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.iter().filter(|name| **name == "model").count(), 1, "{name}: {names:?}");
        assert_eq!(request.file.unwrap().bytes, audio.len() as u64, "{name}");
    }
    assert_eq!(app.one.counts().violations, Vec::<String>::new());
}

fn head(more: &str) -> String {
    format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\n{more}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_body_that_trickles_is_408() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.body_idle = Duration::from_millis(300);
    let app = setup.start().await;
    let body = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &two_seconds())]);
    let mut stream = app.connect().await;
    stream.write_all(head(&format!("content-length: {}", body.len())).as_bytes()).await.unwrap();
    stream.write_all(&body[..200]).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_431() {
    let app = TestApp::new().await;
    let answer = app.raw(head(&format!("content-length: 0\r\nx-long: {}", "a".repeat(70_000))).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // Many short headers are as long as one long header.
    let many: Vec<String> = (0..80).map(|at| format!("x-{at}: {}", "a".repeat(1000))).collect();
    let answer = app.raw(head(&format!("content-length: 0\r\n{}", many.join("\r\n"))).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn requests_with_two_meanings_are_400() {
    let app = TestApp::new().await;
    for lengths in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: +5",
        "content-length: 5, 5",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: gzip",
        "content-length: 1\r\nx-nul: a\0b",
        "content-length : 5",
    ] {
        let answer = app.raw(format!("{}0\r\n\r\n", head(lengths)).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{lengths:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths:?}: {answer}");
    }
    assert_eq!(app.one.requests(), []);
}

#[tokio::test]
async fn ambiguous_heads_are_400() {
    let app = TestApp::new().await;
    for (what, head) in [
        ("obsolete folding", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n 2\r\n\r\n"),
        ("NUL in a value", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: \0\r\n\r\n"),
        ("a name with a space", "GET /healthz HTTP/1.1\r\nhost: x\r\nx a: 1\r\n\r\n"),
        ("underscore", "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent_length: 1\r\n\r\n"),
    ] {
        let answer = app.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
    }
}

#[tokio::test]
async fn odd_but_legal_clients_are_answered() {
    let app = TestApp::new().await;
    let body = r#"{"model":"tts","input":"Hello","voice":"marin"}"#;
    let head = format!(
        "POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = app.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "a header sent twice and a half-closed connection: {answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "whole");
}
