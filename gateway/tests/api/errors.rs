//! Every row of the error table, over the wire.

use std::time::Duration;

use domain::provider::Operation;
use loadtest::upstream::{self, Fault, Rule};
use serde_json::json;
use time::OffsetDateTime;

use crate::helpers::{
    KEY, Part, Setup, TestApp, budget, form, get, post, post_json, speech, target, transcription, two_seconds, upgrade,
};

#[tokio::test]
async fn what_cannot_be_read_is_400_and_names_the_field() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    let no_model = app.call(form(KEY, &[Part::File("a.wav", &audio)])).await;
    no_model.assert_error(400, "invalid_request");
    assert_eq!(no_model.json()["error"]["param"], "model");
    for (field, value) in [("response_format", "docx"), ("temperature", "7"), ("stream", "perhaps")] {
        let answer = app.call(transcription(KEY, "stt", &[(field, value)])).await;
        answer.assert_error(400, "invalid_request");
        assert_eq!(answer.json()["error"]["param"], field);
    }
    let body = json!({"model": "tts", "input": "Hello"});
    let answer = app.call(post_json("/v1/audio/speech", KEY, &body)).await;
    answer.assert_error(400, "invalid_request");
    assert_eq!(answer.json()["error"]["param"], "voice");
    for path in ["/v1/audio/speech", "/v1/chat/completions", "/v1/embeddings"] {
        app.call(post(path, KEY, "{\"model\":", "application/json")).await.assert_error(400, "invalid_request");
        app.call(post_json(path, KEY, &json!({}))).await.assert_error(400, "invalid_request");
    }
    app.call(post("/v1/audio/transcriptions", KEY, "{}", "application/json"))
        .await
        .assert_error(400, "invalid_request");
    assert_eq!(app.one.requests(), [], "the provider was never asked");
}

#[tokio::test]
async fn what_no_target_can_do_is_400_and_names_the_field_and_the_model() {
    let mut setup = Setup::new().await;
    // Neither has times for captions.
    setup.route("plain", vec![target("one", "gpt-4o-transcribe", 0), target("two", "gpt-4o-mini-transcribe", 1)]);
    let app = setup.start().await;
    for format in ["srt", "vtt", "verbose_json"] {
        let answer = app.call(transcription(KEY, "plain", &[("response_format", format)])).await;
        answer.assert_error(400, "invalid_request");
        let error = &answer.json()["error"];
        assert_eq!(error["param"], "response_format", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("gpt-4o-transcribe") && message.contains("one"), "{format}: {message}");
    }
    assert_eq!((app.one.requests(), app.two.requests()), (vec![], vec![]), "nobody was asked");
    assert!(app.all_records().await.is_empty());
    assert_eq!(app.call(transcription(KEY, "plain", &[])).await.status, 200, "what they can do they do");
}

#[tokio::test]
async fn what_an_operator_must_know_is_counted() {
    let mut setup = Setup::new().await;
    setup.settings.metrics_bind = Some(([127, 0, 0, 1], 0).into());
    // The process has one set of counters: these names are this test's own.
    let base_url = setup.one.base_url();
    for name in ["refuses-us", "has-no-price"] {
        setup.provider(name, &base_url);
    }
    setup.route("refused", vec![target("refuses-us", "tts-1", 0)]);
    setup.route("priceless", vec![target("has-no-price", "nobody-priced-this", 0)]);
    let app = setup.start().await;
    let refused = || app.counter("antiphon_upstream_credential_refused_total", "provider=\"refuses-us\"");
    let unpriced = || app.counter("antiphon_unpriced_records_total", "provider=\"has-no-price\"");
    assert_eq!((refused().await, unpriced().await), (0, 0));
    app.one.script(Rule::once("", status(401)));
    app.call(speech(KEY, "refused", "Hello")).await.assert_error(502, "upstream_error");
    assert_eq!((refused().await, unpriced().await), (1, 0));
    let answer = app.call(speech(KEY, "priceless", "Hello")).await;
    assert_eq!(app.billed(&answer).await.0, None);
    assert_eq!((refused().await, unpriced().await), (1, 1));
    assert_eq!(app.call(speech(KEY, "refused", "Hello")).await.status, 200);
    assert_eq!((refused().await, unpriced().await), (1, 1));
}

#[tokio::test]
async fn every_bad_key_is_the_same_401() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-expired-key-of-the-tests", |key| key.expires_at = Some(OffsetDateTime::UNIX_EPOCH));
    let app = setup.start().await;
    let mut bodies = Vec::new();
    for key in ["", "sk-ap-nobody-knows-this-key", "sk-ap-expired-key-of-the-tests", "ek-ap-nonsense"] {
        let answer = app.call(speech(key, "tts", "Hello")).await;
        answer.assert_error(401, "invalid_api_key");
        bodies.push(answer.text());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one message for all: {bodies:?}");
    app.call(transcription("", "stt", &[])).await.assert_error(401, "invalid_api_key");
    app.call(get("/v1/models", "")).await.assert_error(401, "invalid_api_key");
}

#[tokio::test]
async fn what_a_key_may_not_is_403() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-speaks-only-and-one-model", |key| {
        key.operations = vec![Operation::Speech];
        key.models = vec!["tts*".to_owned(), "unpriced".to_owned()];
        key.refuse_unpriced = true;
    });
    let app = setup.start().await;
    let key = "sk-ap-speaks-only-and-one-model";
    app.call(transcription(key, "tts", &[])).await.assert_error(403, "operation_not_allowed");
    app.call(speech(key, "both-tts", "Hello")).await.assert_error(403, "model_not_allowed");
    app.call(speech(key, "unpriced", "Hello")).await.assert_error(403, "model_unpriced");
    assert_eq!(app.call(speech(key, "tts", "Hello")).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_wrong_method_is_405() {
    let app = TestApp::new().await;
    app.call(speech(KEY, "no-such-model", "Hello")).await.assert_error(404, "model_not_found");
    app.call(transcription(KEY, "no-such-model", &[])).await.assert_error(404, "model_not_found");
    app.call(get("/v1/nothing/here", KEY)).await.assert_error(404, "not_found");
    app.call(get("/v1/usage/not-an-id", KEY)).await.assert_error(404, "not_found");
    app.call(get("/v1/audio/speech", KEY)).await.assert_error(405, "method_not_allowed");
}

#[tokio::test]
async fn too_large_is_413_and_no_audio_is_415() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-small-files-only-please", |key| key.max_upload_bytes = Some(10_000));
    let app = setup.start().await;
    app.call(transcription("sk-ap-small-files-only-please", "stt", &[])).await.assert_error(413, "file_too_large");

    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(4000, 0);
    let parts = [Part::Field("model", "stt"), Part::File("song.mp3", &zip)];
    app.call(form(KEY, &parts)).await.assert_error(415, "unsupported_audio");
    for mut encoded in [transcription(KEY, "stt", &[]), speech(KEY, "tts", "Hello")] {
        encoded.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        app.call(encoded).await.assert_error(415, "unsupported_audio");
    }
    assert_eq!(app.one.requests(), [], "the provider was never asked");
}

#[tokio::test]
async fn limits_are_429_and_say_when_to_come_back() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-one-request-per-minute", |key| key.requests_per_minute = Some(1));
    setup.key("sk-ap-no-money-to-speak-of", |key| key.budget = budget(10));
    setup.key("sk-ap-one-session-at-a-time", |key| key.max_concurrent_sessions = Some(1));
    let app = setup.start().await;
    assert_eq!(app.call(speech("sk-ap-one-request-per-minute", "tts", "Hello")).await.status, 200);
    let answer = app.call(speech("sk-ap-one-request-per-minute", "tts", "Hello")).await;
    answer.assert_error(429, "rate_limit_exceeded");
    assert!((1..=60).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
    let left = ["limit", "remaining"].map(|of| answer.header(&format!("x-ratelimit-{of}-requests")).to_owned());
    assert_eq!(left, ["1", "0"]);
    let reset = answer.header("x-ratelimit-reset-requests").strip_suffix("ms").unwrap().parse::<u64>().unwrap();
    assert!((1..=60_000).contains(&reset), "{reset}");
    let answer = app.call(speech("sk-ap-no-money-to-speak-of", "tts", "Hello")).await;
    answer.assert_error(429, "budget_exceeded");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(app.one.counts().of("audio/speech").requests, 1, "what is refused costs nothing");

    let session = app.realtime("model=live", "sk-ap-one-session-at-a-time").await.unwrap();
    let answer = app.call(upgrade("model=live", "sk-ap-one-session-at-a-time")).await;
    answer.assert_error(429, "session_limit_exceeded");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    drop(session);
}

#[tokio::test]
async fn answers_that_are_asked_for_together_are_reserved_together() {
    let mut setup = Setup::new().await;
    // A thousand tokens are 600 000 nano-dollars.
    setup.key("sk-ap-pays-for-a-few-answers", |key| key.budget = budget(5_000_000));
    let app = setup.start().await;
    let chat =
        |n: u64| json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1000, "n": n});
    let ask = |n: u64| app.call(post_json("/v1/chat/completions", "sk-ap-pays-for-a-few-answers", &chat(n)));
    ask(10).await.assert_error(429, "budget_exceeded");
    ask(u64::MAX).await.assert_error(429, "budget_exceeded");
    assert_eq!(app.one.requests(), []);
    assert_eq!(ask(2).await.status, 200);
}

#[tokio::test]
async fn a_full_journal_is_503_before_anything_is_asked_of_a_provider() {
    let mut setup = Setup::new().await;
    setup.settings.limits.max_journal_bytes = 0;
    let app = setup.start().await;
    let chat = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    for request in [
        speech(KEY, "tts", "Hello"),
        transcription(KEY, "stt", &[]),
        post_json("/v1/chat/completions", KEY, &chat),
        post_json("/v1/embeddings", KEY, &json!({"model": "embed", "input": "Hi"})),
        upgrade("model=live", KEY),
    ] {
        let answer = app.call(request).await;
        answer.assert_error(503, "overloaded");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert_eq!(app.one.requests(), [], "what could not be recorded is not done");
    let ready = app.call(get("/readyz", "")).await;
    assert_eq!((ready.status, &ready.json()["journal"]["accepting"]), (503, &false.into()));
}

#[tokio::test]
async fn a_provider_s_words_are_carried_and_its_credential_is_not() {
    let mut setup = Setup::new().await;
    let key = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let provider = upstream::Config { api_key: Some(key.to_owned()), ..upstream::Config::default() };
    setup.one = upstream::start(provider).await.unwrap();
    setup.provider("one", &setup.one.base_url());
    setup.credential("one", key);
    let app = setup.start().await;
    for (status, expected, code) in [(400, 400, "invalid_request"), (500, 502, "upstream_error")] {
        let body = json!({"error": {"message": format!("The key {key} may not whisper."), "param": "voice"}});
        let fault = Fault { status: Some(status), body: Some(body.to_string()), ..Fault::default() };
        app.one.script(Rule::once("audio/speech", fault));
        let answer = app.call(speech(KEY, "tts", "Hello")).await;
        answer.assert_error(expected, code);
        assert!(answer.text().contains("may not whisper"), "{}", answer.text());
        assert!(!answer.text().contains(key), "{}", answer.text());
    }
}

#[tokio::test]
async fn json_that_is_too_long_is_413_and_too_deep_is_400() {
    let app = TestApp::new().await;
    for path in ["/v1/audio/speech", "/v1/chat/completions", "/v1/embeddings", "/v1/realtime/client_secrets"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
        );
        let announced = app.raw(format!("{head}content-length: 17000000\r\n\r\n").as_bytes()).await;
        assert!(announced.starts_with("HTTP/1.1 413") && announced.contains("file_too_large"), "{path}: {announced}");
        let deep = format!("{{\"model\":\"tts\",\"input\":{}", "[".repeat(10_000));
        app.call(post(path, KEY, deep, "application/json")).await.assert_error(400, "invalid_request");
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        app.call(post(path, KEY, deep, "application/json")).await.assert_error(400, "invalid_request");
        let nested = format!("{{\"model\":\"chat\",\"input\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        app.call(post(path, KEY, nested, "application/json")).await.assert_error(400, "invalid_request");
    }
    let chunks = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n\
         1100000\r\n{}\r\n0\r\n\r\n",
        " ".repeat(0x0110_0000)
    );
    let unannounced = app.raw(chunks.as_bytes()).await;
    assert!(unannounced.starts_with("HTTP/1.1 413"), "{unannounced}");
    assert_eq!(app.one.requests(), []);
}

fn status(status: u16) -> Fault {
    Fault { status: Some(status), ..Fault::default() }
}

#[tokio::test]
async fn a_failing_provider_is_429_or_502_and_never_blamed_on_the_client() {
    let app = TestApp::new().await;
    let mut limited = status(429);
    limited.headers.insert("retry-after".to_owned(), "70".to_owned());
    app.one.script(Rule::once("audio/speech", limited));
    let answer = app.call(speech(KEY, "tts", "Hello")).await;
    answer.assert_error(429, "upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), "70");
    for fault in [status(500), status(501), status(401), Fault { html: true, ..Fault::default() }] {
        app.one.script(Rule::once("", fault.clone()));
        app.call(transcription(KEY, "stt", &[])).await.assert_error(502, "upstream_error");
    }
    for request in [
        speech(KEY, "tts", "Hello"),
        post_json(
            "/v1/chat/completions",
            KEY,
            &json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}),
        ),
        post_json("/v1/embeddings", KEY, &json!({"model": "embed", "input": "Hi"})),
    ] {
        app.one.script(Rule::once("", Fault { html: true, ..Fault::default() }));
        app.call(request).await.assert_error(502, "upstream_error");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_502_and_then_503() {
    let mut setup = Setup::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    setup.provider("one", &format!("http://{free}/v1"));
    let app = setup.start().await;
    // Three tries, and two until the breaker opens.
    for _ in 0..2 {
        app.call(speech(KEY, "tts", "Hello")).await.assert_error(502, "upstream_error");
    }
    let answer = app.call(speech(KEY, "tts", "Hello")).await;
    answer.assert_error(503, "no_healthy_target");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_504() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.first_byte = Duration::from_millis(200);
    let app = setup.start().await;
    for request in [speech(KEY, "tts", "Hello"), transcription(KEY, "stt", &[])] {
        app.one.script(Rule::once("", Fault { hang: true, ..Fault::default() }));
        app.call(request).await.assert_error(504, "upstream_timeout");
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let app = TestApp::new().await;
    let head = |key: &str, length: u64| {
        format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: multipart/form-data; boundary=b\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let unknown = app.raw(head("sk-ap-nobody", 20_000_000).as_bytes()).await;
    assert!(unknown.starts_with("HTTP/1.1 401"), "{unknown}");
    let large = app.raw(head(KEY, 100_000_000).as_bytes()).await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
}
