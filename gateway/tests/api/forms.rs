//! Forms as odd clients send them.

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
