//! Requests that are sent again under the same idempotency key.

use http::Request;
use http_body_util::Full;
use loadtest::upstream::{Fault, Rule};
use serde_json::{Value, json};

use crate::helpers::{Answer, KEY, Part, Setup, TestApp, form, operations, post_json, soon, speech, two_seconds};

const ANOTHER: &str = "sk-ap-another-key-of-these-tests";

async fn app() -> TestApp {
    let mut setup = Setup::new().await;
    setup.key(ANOTHER, |_| {});
    setup.start().await
}

fn under(key: &str, mut request: Request<Full<bytes::Bytes>>) -> Request<Full<bytes::Bytes>> {
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

fn chat(secret: &str, question: &str) -> Request<Full<bytes::Bytes>> {
    chat_with(secret, &json!({"model": "chat", "messages": [{"role": "user", "content": question}]}))
}

fn chat_with(secret: &str, body: &Value) -> Request<Full<bytes::Bytes>> {
    post_json("/v1/chat/completions", secret, body)
}

fn assert_replayed(first: &Answer, again: &Answer) {
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"), "{}", again.text());
    assert_eq!(first.header("idempotent-replayed"), "", "the first is served");
    assert_eq!(again.body, first.body);
    for name in ["content-type", "x-antiphon-provider", "x-antiphon-model"] {
        assert_eq!(again.header(name), first.header(name));
        assert!(!again.header(name).is_empty());
    }
    assert_eq!(again.header("x-antiphon-cost-usd"), "", "it costs nothing");
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
}

#[tokio::test]
async fn what_is_small_and_whole_is_answered_again_and_billed_once() {
    let app = app().await;
    let mut served = 0;
    for (path, request) in operations(KEY).into_iter().filter(|(path, _)| *path != "audio/speech") {
        let first = app.call(under("order 66", request.clone())).await;
        assert_eq!(first.status, 200, "{path}: {}", first.text());
        assert_replayed(&first, &app.call(under("order 66", request.clone())).await);
        served += 1;
        assert_eq!(app.one.counts().of(path).requests, 1, "{path}: the key is for each path");
    }
    assert_eq!(app.all_records().await.len(), served, "one record for each");
    let others = app.call(under("order 66", chat(ANOTHER, "Hi"))).await;
    assert_eq!((others.status, others.header("idempotent-replayed")), (200, ""), "and for each virtual key");
    let plain = app.call(chat(KEY, "Hi")).await;
    assert_eq!((plain.status, plain.header("idempotent-replayed")), (200, ""));
}

#[tokio::test]
async fn the_same_key_with_another_request_is_refused() {
    let app = app().await;
    assert_eq!(app.call(under("k", chat(KEY, "Hi"))).await.status, 200);
    let refused = app.call(under("k", chat(KEY, "Bye"))).await;
    refused.assert_error(422, "idempotency_key_reused");
    assert_eq!(refused.json()["error"]["param"], "idempotency-key");
    let upload = |file: &[u8], model| {
        form(KEY, &[Part::Field("model", model), Part::Field("language", "en"), Part::File("a.wav", file)])
    };
    let (one, mut other) = (two_seconds(), two_seconds());
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(app.call(under("k", upload(&one, "stt"))).await.status, 200);
    for changed in [upload(&other, "stt"), upload(&one, "both-stt")] {
        app.call(under("k", changed)).await.assert_error(422, "idempotency_key_reused");
    }
    assert_eq!(app.one.requests().len(), 2, "no provider heard of it");
    for bad in ["", " ", &"k".repeat(256)] {
        app.call(under(bad, chat(KEY, "Hi"))).await.assert_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_form_that_is_cut_into_parts_in_another_way_is_the_same() {
    let app = app().await;
    let audio = two_seconds();
    let request = form(KEY, &[Part::Field("model", "stt"), Part::File("a.wav", &audio)]);
    let first = app.call(under("k", request.clone())).await;
    let (mut parts, _) = request.into_parts();
    let other = "another-boundary";
    parts.headers.insert("content-type", format!("multipart/form-data; boundary={other}").parse().unwrap());
    let mut body = format!("--{other}\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nstt\r\n").into_bytes();
    body.extend_from_slice(format!("--{other}\r\ncontent-disposition: form-data; name=\"file\"; ").as_bytes());
    body.extend_from_slice(b"filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n");
    body.extend_from_slice(&audio);
    body.extend_from_slice(format!("\r\n--{other}--\r\n").as_bytes());
    assert_replayed(&first, &app.call(under("k", Request::from_parts(parts, Full::new(body.into())))).await);
}

#[tokio::test]
async fn a_repeat_of_what_is_running_is_told_to_come_back() {
    let app = app().await;
    app.one.script(Rule::once("chat/completions", Fault { delay_ms: Some(1500), ..Fault::default() }));
    let first = app.call(under("k", chat(KEY, "Hi")));
    let repeats = async {
        soon(async {
            while app.one.counts().of("chat/completions").requests == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let told = app.call(under("k", chat(KEY, "Hi"))).await;
        told.assert_error(409, "idempotency_conflict");
        assert_eq!(told.header("retry-after"), "1");
        app.call(under("k", chat(KEY, "Bye"))).await.assert_error(422, "idempotency_key_reused");
    };
    let (first, ()) = tokio::join!(first, repeats);
    assert_replayed(&first, &app.call(under("k", chat(KEY, "Hi"))).await);
}

#[tokio::test]
async fn a_client_that_lost_its_answer_gets_it_by_asking_again() {
    let app = app().await;
    app.one.script(Rule::once("chat/completions", Fault { delay_ms: Some(500), ..Fault::default() }));
    let stream = app.send(under("k", chat(KEY, "Hi"))).await;
    soon(async {
        while app.one.counts().of("chat/completions").requests == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let again = app
        .until(async || Some(app.call(under("k", chat(KEY, "Hi"))).await).filter(|answer| answer.status != 409))
        .await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"), "{}", again.text());
    assert_eq!(app.all_records().await.len(), 1, "it is billed once");
}

#[tokio::test]
async fn audio_and_streams_are_not_kept_and_a_repeat_says_so() {
    let app = app().await;
    let body = json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    for request in [speech(KEY, "tts", "Hello"), chat_with(KEY, &body)] {
        assert_eq!(app.call(under("k", request.clone())).await.status, 200);
        let told = app.call(under("k", request)).await;
        told.assert_error(409, "idempotency_conflict");
        assert!(told.json()["error"]["message"].as_str().unwrap().contains("billed"), "{}", told.text());
        assert_eq!(told.header("retry-after"), "", "coming back would not help");
    }
    assert_eq!(app.one.requests().len(), 2);
    assert_eq!(app.all_records().await.len(), 2);
}

#[tokio::test]
async fn what_failed_may_be_sent_again() {
    let app = app().await;
    app.one.script(Rule::once("chat/completions", Fault { status: Some(500), ..Fault::default() }));
    app.call(under("k", chat(KEY, "Hi"))).await.assert_error(502, "upstream_error");
    let served = app.call(under("k", chat(KEY, "Hi"))).await;
    assert_eq!((served.status, served.header("idempotent-replayed")), (200, ""));
    let unknown = json!({"model": "nobody-knows-it", "messages": []});
    app.call(under("other", chat_with(KEY, &unknown))).await.assert_error(404, "model_not_found");
    assert_eq!(app.call(under("other", chat(KEY, "Hi"))).await.status, 200, "a refusal takes no key");
}
