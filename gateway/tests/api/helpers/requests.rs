//! Requests as clients send them.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

/// The key that may do everything.
pub(crate) const KEY: &str = "sk-ap-the-key-of-these-tests";

pub(crate) fn post(path: &str, key: &str, body: impl Into<Bytes>, content_type: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri(path).header("host", "gateway");
    request = request.header("content-type", content_type);
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) fn post_json(path: &str, key: &str, body: &Value) -> Request<Full<Bytes>> {
    post(path, key, body.to_string(), "application/json")
}

pub(crate) fn get(path: &str, key: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().uri(path).header("host", "gateway");
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(Full::default()).unwrap()
}

/// A request for a realtime session, for those that are refused.
pub(crate) fn upgrade(query: &str, key: &str) -> Request<Full<Bytes>> {
    let mut request = get(&format!("/v1/realtime?{query}"), key);
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

pub(crate) fn speech(key: &str, model: &str, input: &str) -> Request<Full<Bytes>> {
    let body = json!({"model": model, "input": input, "voice": "marin", "response_format": "pcm"});
    post_json("/v1/audio/speech", key, &body)
}

/// One usual request for every REST operation, by the end of its path. None of them asks for a stream.
pub(crate) fn operations(key: &str) -> Vec<(&'static str, Request<Full<Bytes>>)> {
    let mut translation = transcription(key, "stt", &[]);
    *translation.uri_mut() = "/v1/audio/translations".parse().unwrap();
    let chat = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    let embeddings = json!({"model": "embed", "input": "three short words"});
    vec![
        ("audio/transcriptions", transcription(key, "stt", &[])),
        ("audio/translations", translation),
        ("audio/speech", speech(key, "tts", "Hello")),
        ("chat/completions", post_json("/v1/chat/completions", key, &chat)),
        ("embeddings", post_json("/v1/embeddings", key, &embeddings)),
    ]
}

/// Two seconds of WAV: 64 000 bytes of samples at 16 kHz.
pub(crate) fn two_seconds() -> Vec<u8> {
    loadtest::wav::sample(44 + 64_000)
}

/// One part of a form: a field, or a file.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Field(&'a str, &'a str),
    File(&'a str, &'a [u8]),
}

pub(crate) const BOUNDARY: &str = "----a-boundary-of-the-tests";

pub(crate) fn form_body(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=").as_bytes());
        match part {
            Part::Field(name, value) => body.extend_from_slice(format!("\"{name}\"\r\n\r\n{value}").as_bytes()),
            Part::File(name, bytes) => {
                body.extend_from_slice(format!("\"file\"; filename=\"{name}\"\r\n").as_bytes());
                body.extend_from_slice(b"content-type: audio/wav\r\n\r\n");
                body.extend_from_slice(bytes);
            }
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

pub(crate) fn form(key: &str, parts: &[Part<'_>]) -> Request<Full<Bytes>> {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    post("/v1/audio/transcriptions", key, form_body(parts), &content_type)
}

/// A usual transcription request.
pub(crate) fn transcription(key: &str, model: &str, more: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let audio = two_seconds();
    let mut parts = vec![Part::Field("model", model)];
    parts.extend(more.iter().map(|(name, value)| Part::Field(name, value)));
    parts.push(Part::File("a.wav", &audio));
    form(key, &parts)
}
