use std::borrow::Cow;

use actix_web::body::to_bytes;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, AsHeaderName, HeaderMap, IF_NONE_MATCH};
use actix_web::test::TestRequest;

use super::*;

/// A bundle of four files, one of them in three encodings. The hash is made up of the name.
fn small(path: &str) -> Option<File> {
    let data: &'static [u8] = match path {
        "index.html" => b"<!doctype html>",
        "assets/app-1.js" => b"start()",
        "assets/app-1.js.br" => b"br",
        "assets/app-1.js.gz" => b"gz",
        "favicon.svg" => b"<svg/>",
        ".made-of" => b"this and that",
        _ => return None,
    };
    let mut sha256 = [0; 32];
    for (place, byte) in sha256.iter_mut().zip(path.bytes().rev()) {
        *place = byte;
    }
    Some(File { data: Cow::Borrowed(data), sha256 })
}

fn settings() -> AdminSettings {
    AdminSettings::at("127.0.0.1:0".parse().unwrap())
}

fn ask(request: TestRequest) -> Result<HttpResponse, AdminError> {
    answer(&request.to_http_request(), &settings(), small)
}

/// The text of a header that is there.
fn text(headers: &HeaderMap, name: impl AsHeaderName) -> &str {
    headers.get(name).unwrap().to_str().unwrap()
}

async fn asked(path: &str, encodings: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
    let response = ask(TestRequest::get().uri(path).insert_header((ACCEPT_ENCODING, encodings))).unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, to_bytes(response.into_body()).await.unwrap().to_vec())
}

#[actix_web::test]
async fn a_file_comes_in_the_smallest_encoding_that_is_accepted() {
    for (accepted, name, body) in [
        ("gzip, deflate, br, zstd", Some("br"), "br"),
        ("gzip;q=1.0, br;q=0", Some("gzip"), "gz"),
        ("*", Some("br"), "br"),
        ("br;q=0, *", Some("gzip"), "gz"),
        ("*;q=0.000", None, "start()"),
        ("zstd", None, "start()"),
        ("", None, "start()"),
    ] {
        let (status, headers, read) = asked("/assets/app-1.js", accepted).await;
        let encoding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap());
        assert_eq!((status, encoding), (StatusCode::OK, name), "{accepted}");
        assert_eq!(read, body.as_bytes(), "{accepted}");
        assert_eq!(text(&headers, CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(text(&headers, VARY), "accept-encoding");
        assert_eq!(text(&headers, CACHE_CONTROL), "public, max-age=31536000, immutable");
    }
}

#[actix_web::test]
async fn what_a_browser_has_is_not_sent_again() {
    let (_, headers, _) = asked("/assets/app-1.js", "br").await;
    let tag = text(&headers, ETAG).to_owned();
    let (_, other, _) = asked("/assets/app-1.js", "gzip").await;
    assert_ne!(text(&other, ETAG), tag, "other bytes, another tag");
    for (told, status) in [
        (tag.clone(), StatusCode::NOT_MODIFIED),
        (format!("\"x\", W/{tag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"x\"".to_owned(), StatusCode::OK),
    ] {
        let request = TestRequest::get().uri("/assets/app-1.js").insert_header((ACCEPT_ENCODING, "br"));
        let response = ask(request.insert_header((IF_NONE_MATCH, told.as_str()))).unwrap();
        assert_eq!((response.status(), text(response.headers(), ETAG)), (status, tag.as_str()), "{told}");
    }
}

#[actix_web::test]
async fn every_other_path_is_a_page() {
    for path in ["/", "/keys", "/keys/0190?tab=usage", "/voices/a.b", "/apiary"] {
        let (status, headers, read) = asked(path, "br").await;
        assert_eq!((status, read.as_slice()), (StatusCode::OK, &b"<!doctype html>"[..]), "{path}");
        assert_eq!(text(&headers, CACHE_CONTROL), "no-cache");
        assert_eq!(text(&headers, CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(text(&headers, "permissions-policy").contains("camera=(), "));
    }
    for path in [
        "/assets/app-0.js",
        "/assets/",
        "/assets/app-1.js.br",
        "/app.js",
        "/.made-of.js",
        "/api/v1/x",
        "/docs/x",
        "/readyz/x",
    ] {
        assert!(matches!(ask(TestRequest::get().uri(path)), Err(AdminError::NotFound)), "{path}");
    }
    let (_, headers, _) = asked("/favicon.svg", "br").await;
    assert_eq!((text(&headers, CACHE_CONTROL), text(&headers, CONTENT_TYPE)), ("no-cache", "image/svg+xml"));
    let (_, _, hidden) = asked("/.made-of", "br").await;
    assert_eq!(hidden, b"<!doctype html>", "what is hidden is not sent");
    assert!(matches!(ask(TestRequest::post().uri("/keys")), Err(AdminError::MethodNotAllowed(_))));
}

#[actix_web::test]
async fn a_program_without_a_bundle_says_how_to_build_it() {
    let response = answer(&TestRequest::get().uri("/").to_http_request(), &settings(), |_| None).unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = to_bytes(response.into_body()).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("cargo xtask web"));
}

#[test]
fn pages_may_talk_to_the_gateway_and_to_nobody_else() {
    let without = "connect-src 'self'; ";
    let with = "connect-src 'self' https://voice.example.com wss://voice.example.com; ";
    let local = "connect-src 'self' http://127.0.0.1:8080 ws://127.0.0.1:8080; ";
    for (gateway, expected) in [
        (None, without),
        (Some("https://voice.example.com/gateway/"), with),
        (Some("http://127.0.0.1:8080"), local),
        (Some("no address"), without),
    ] {
        let policy = policy(gateway);
        assert!(policy.contains(expected) && policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval;"), "{policy}");
    }
}
