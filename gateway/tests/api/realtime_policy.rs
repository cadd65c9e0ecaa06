//! What a key or a client secret may choose inside a session, and under which model it is billed.

use domain::key::SECRET_PREFIX;
use domain::routing::Target;
use loadtest::upstream::{Fault, Rule};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::helpers::{KEY, Realtime, Setup, TestApp, get, post_json, target};

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";

/// A client secret for this session.
async fn secret(app: &TestApp, session: Value) -> String {
    let body = json!({ "session": session });
    let answer = app.call(post_json("/v1/realtime/client_secrets", KEY, &body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let secret = answer.json()["value"].as_str().unwrap().to_owned();
    assert!(secret.starts_with(SECRET_PREFIX));
    secret
}

/// Asks for input transcription by a model: `None` where the provider confirms it, else the error's code.
async fn transcribe(session: &mut Realtime, kind: &str, model: &str) -> Option<String> {
    let input = json!({"transcription": {"model": model}, "turn_detection": null});
    session.say(&json!({"type": "session.update", "session": {"type": kind, "audio": {"input": input}}})).await;
    // Answered behind the update, so that only one of the two outcomes can have come before.
    session.say(&json!({"type": "input_audio_buffer.clear"})).await;
    let mut code = None;
    loop {
        let event = session.event().await;
        match event["type"].as_str().unwrap() {
            "error" => code = Some(event["error"]["code"].as_str().unwrap().to_owned()),
            "input_audio_buffer.cleared" => return code,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_client_secret_is_good_for_sessions_only() {
    let app = TestApp::new().await;
    let secret = secret(&app, json!({"type": "realtime", "model": "live"})).await;
    for path in [
        "/v1/usage",
        "/v1/usage/0190a5c0-0000-7000-8000-000000000000",
        "/v1/models",
        "/v1/models/live",
        "/v1/audio/voices",
    ] {
        app.call(get(path, &secret)).await.assert_error(403, "operation_not_allowed");
    }
    let refused = (403, "operation_not_allowed".to_owned());
    assert_eq!(app.refused("intent=transcription", &secret).await, refused, "it was made for conversations");
}

#[tokio::test]
async fn a_client_secret_chooses_no_transcriber_but_its_own() {
    let app = TestApp::new().await;
    let conversation = json!({"type": "realtime", "model": "live"});
    let mut session = app.realtime("model=live", &secret(&app, conversation.clone()).await).await.unwrap();
    assert_eq!(transcribe(&mut session, "realtime", "whisper-1").await.as_deref(), Some("model_not_allowed"));
    let mut with_transcriber = conversation;
    with_transcriber["audio"] = json!({"input": {"transcription": {"model": "whisper-1"}}});
    let mut session = app.realtime("model=live", &secret(&app, with_transcriber).await).await.unwrap();
    assert_eq!(transcribe(&mut session, "realtime", "gpt-4o-transcribe").await.as_deref(), Some("model_not_allowed"));
    assert_eq!(transcribe(&mut session, "realtime", "whisper-1").await, None);
    let transcription = json!({"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}});
    let secret = secret(&app, transcription).await;
    for query in ["intent=transcription", "model=whisper-1"] {
        let mut session = app.realtime(query, &secret).await.unwrap();
        let code = transcribe(&mut session, "transcription", "gpt-4o-transcribe").await;
        assert_eq!(code.as_deref(), Some("model_not_allowed"), "{query}");
        assert_eq!(transcribe(&mut session, "transcription", "whisper-1").await, None);
    }
}

#[tokio::test]
async fn a_client_secret_names_no_transcriber_that_its_key_lacks() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-live-and-nothing-else", |key| key.models = vec!["live".to_owned()]);
    let app = setup.start().await;
    let session =
        json!({"type": "realtime", "model": "live", "audio": {"input": {"transcription": {"model": "whisper-1"}}}});
    let body = json!({ "session": session });
    let answer = app.call(post_json("/v1/realtime/client_secrets", "sk-ap-live-and-nothing-else", &body)).await;
    answer.assert_error(403, "model_not_allowed");
}

#[tokio::test]
async fn a_transcriber_without_a_price_is_refused_where_the_key_refuses_such_models() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-refuses-what-has-no-price", |key| key.refuse_unpriced = true);
    let app = setup.start().await;
    for (key, code) in [("sk-ap-refuses-what-has-no-price", Some("model_unpriced")), (KEY, None)] {
        let mut session = app.realtime("model=live", key).await.unwrap();
        assert_eq!(transcribe(&mut session, "realtime", "gpt-4o-mini-transcribe").await.as_deref(), code);
        assert_eq!(transcribe(&mut session, "realtime", "whisper-1").await, None);
    }
}

#[tokio::test]
async fn a_deployment_s_transcript_is_recorded_as_the_model_behind_it() {
    let mut setup = Setup::new().await;
    let mut behind = target("one", "whisper-1", 0);
    behind.options.insert("deployment".to_owned(), "our-scribe".to_owned());
    setup.route("scribe", vec![behind]);
    let app = setup.start().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    assert_eq!(transcribe(&mut session, "realtime", "scribe").await, None);
    session.say(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(32_000)})).await;
    session.say(&json!({"type": "input_audio_buffer.commit"})).await;
    session.until(COMPLETED).await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((records[0].model_served.as_str(), records[0].cost.map(|cost| cost.0)), ("whisper-1", Some(50_000)));
}

#[tokio::test]
async fn a_handshake_that_is_refused_for_what_it_asks_says_nothing_against_the_target() {
    let app = TestApp::new().await;
    // As many as would open the breaker.
    for status in [400, 413, 415, 422, 429, 400] {
        app.one.script(Rule::once("realtime", Fault { status: Some(status), ..Fault::default() }));
        let (seen, _) = app.refused("model=live", KEY).await;
        assert!(seen == status || (status, seen) == (422, 400), "{status}: {seen}");
    }
    assert_eq!(app.refused("model=live", KEY).await.0, 101);
}

#[tokio::test]
async fn a_session_s_strategy_is_its_caller_s_where_the_key_lets_it() {
    let mut setup = Setup::new().await;
    let target = |provider, quality| Target { quality: Some(quality), ..target(provider, "gpt-realtime-2.1", 0) };
    setup.route("talk", vec![target("one", 0.5), target("two", 0.9)]);
    setup.key("sk-ap-may-choose-its-strategy", |key| key.allow_strategy = true);
    let app = setup.start().await;
    let asked = [("x-antiphon-strategy", "quality")];
    let refused = app.realtime_with("model=talk", KEY, &asked).await.err();
    assert!(matches!(refused, Some(Error::Http(answer)) if answer.status() == 403));
    for (headers, served_by) in [(&asked[..], "two"), (&[], "one")] {
        let session = app.realtime_with("model=talk", "sk-ap-may-choose-its-strategy", headers).await.unwrap();
        let row = app.live(|row| row.request_id.0 == session.id.0 && row.provider.is_some()).await;
        assert_eq!(row.provider.as_deref(), Some(served_by));
    }
}
