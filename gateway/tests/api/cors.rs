//! Requests from pages: who may send them, and what they may read.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::helpers::{Answer, KEY, Setup, TestApp, get, speech};

const DASHBOARD: &str = "https://antiphon.example.com";

async fn app(origins: &[&str]) -> TestApp {
    let mut setup = Setup::new().await;
    setup.settings.allowed_origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    setup.start().await
}

fn from(origin: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("origin", origin.parse().unwrap());
    request
}

/// What a browser asks before a page may send a request.
fn preflight(origin: &str, path: &str) -> Request<Full<Bytes>> {
    let request = Request::options(path)
        .header("host", "gateway")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-lang");
    from(origin, request.body(Full::default()).unwrap())
}

fn says(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_page_of_a_configured_origin_is_told_before_it_has_a_key() {
    let app = app(&["http://127.0.0.1:8081", DASHBOARD]).await;
    for path in ["/v1/audio/speech", "/v1/models", "/elevenlabs/v1/voices"] {
        let answer = app.call(preflight(DASHBOARD, path)).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(says(&answer, "access-control-allow-origin").as_deref(), Some(DASHBOARD));
        let headers = says(&answer, "access-control-allow-headers");
        assert_eq!(headers.as_deref(), Some("authorization,content-type,x-stainless-lang"));
        assert!(says(&answer, "access-control-allow-methods").unwrap().contains("POST"));
        assert_eq!(says(&answer, "access-control-allow-credentials"), None);
        assert_eq!(says(&answer, "vary").as_deref(), Some("origin"));
    }
    assert!(app.all_records().await.is_empty());
}

#[tokio::test]
async fn a_page_reads_what_a_call_has_cost_and_why_one_was_refused() {
    let app = app(&[DASHBOARD]).await;
    let answer = app.call(from(DASHBOARD, speech(KEY, "tts", "Hello"))).await;
    assert_eq!(answer.status, 200);
    let exposed = says(&answer, "access-control-expose-headers").unwrap();
    let exposed: Vec<&str> = exposed.split(", ").collect();
    for name in answer.headers.keys().map(http::HeaderName::as_str) {
        let is_ours = name.starts_with("x-") || name == "server-timing";
        assert!(!is_ours || exposed.contains(&name), "{name} is kept from pages");
    }
    let refused = app.call(from(DASHBOARD, get("/v1/models", "sk-nobody-knows-this-key"))).await;
    refused.assert_error(401, "invalid_api_key");
    assert_eq!(says(&refused, "access-control-allow-origin").as_deref(), Some(DASHBOARD));
}

#[tokio::test]
async fn pages_of_other_origins_are_told_nothing() {
    let app = app(&[DASHBOARD]).await;
    let near = [
        "https://antiphon.example.com.evil.example",
        "http://antiphon.example.com",
        "https://antiphon.example.com:8443",
        "null",
    ];
    for origin in near {
        let asked = app.call(preflight(origin, "/v1/audio/speech")).await;
        assert_eq!(asked.status, 405, "{origin}");
        let answered = app.call(from(origin, get("/v1/models", KEY))).await;
        assert_eq!(answered.status, 200, "a key is a key: {origin}");
        for answer in [asked, answered] {
            assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{origin}");
        }
    }
    let no_page = app.call(get("/v1/models", KEY)).await;
    assert!(no_page.headers.keys().all(|name| !name.as_str().starts_with("access-control-") && name != "vary"));
}

#[tokio::test]
async fn an_asterisk_stands_for_every_origin() {
    let app = app(&["*"]).await;
    let answer = app.call(preflight("https://anywhere.example", "/v1/audio/speech")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(says(&answer, "access-control-allow-origin").as_deref(), Some("https://anywhere.example"));
}
