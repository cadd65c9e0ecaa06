//! Who may use a vendor's own paths: where keys stand, what is refused, and in whose words.

use bytes::Bytes;
use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::helpers::{Answer, KEY, SECRET, Said, Setup, TestApp, Vendor, budget};

/// A key with `passthrough`.
const TRUSTED: &str = "sk-ap-may-call-any-path-there-is";

async fn start(change: impl FnOnce(&mut Setup)) -> (TestApp, Vendor) {
    let vendor = Vendor::start().await;
    let mut setup = Setup::new().await;
    for kind in [ProviderKind::Deepgram, ProviderKind::Elevenlabs] {
        setup.vendor(kind, kind.as_str(), &vendor.base_url);
        setup.vendor_price(kind, "priced", Operation::Speech, Unit::MillionCharacters, "30");
    }
    setup.vendor(ProviderKind::Ultravox, "ultravox", &format!("{}/api", vendor.base_url));
    setup.key(TRUSTED, |key| key.passthrough = true);
    change(&mut setup);
    (setup.start().await, vendor)
}

fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "gateway");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

fn speak(key: &str, model: &str, text: &str) -> Request<Full<Bytes>> {
    let token = format!("Token {key}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    ask("POST", &format!("/deepgram/v1/speak?model={model}"), &headers, &json!({ "text": text }).to_string())
}

#[tokio::test]
async fn every_vendor_s_sdk_finds_the_key_accepted_where_it_puts_its_own() {
    let (app, mut vendor) = start(|_| {}).await;
    let (token, bearer) = (format!("Token {KEY}"), format!("Bearer {KEY}"));
    let vendor_token = format!("Token {SECRET}");
    for (path, name, value, ours, paid) in [
        ("/deepgram/v1/models", "authorization", token.as_str(), "authorization", vendor_token.as_str()),
        ("/deepgram/v1/models", "authorization", bearer.as_str(), "authorization", vendor_token.as_str()),
        ("/elevenlabs/v1/models", "xi-api-key", KEY, "xi-api-key", SECRET),
        ("/elevenlabs/v1/models", "authorization", bearer.as_str(), "xi-api-key", SECRET),
        ("/ultravox/api/models", "x-api-key", KEY, "x-api-key", SECRET),
        ("/ultravox/api/models", "x-unsafe-api-key", KEY, "x-api-key", SECRET),
    ] {
        let headers = [(name, value), ("x-private", "of the client"), ("cookie", "a=b")];
        let answer = app.call(ask("GET", path, &headers, "")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{path} {name}");
        let seen = vendor.next().await;
        assert_eq!(seen.header(ours), paid, "{path}");
        assert_eq!(
            seen.target,
            path.split_once('/').unwrap().1.split_once('/').map(|(_, at)| format!("/{at}")).unwrap()
        );
        let told = format!("{:?} {}", seen.headers, seen.target);
        assert!(!told.contains(KEY) && !told.contains("of the client") && !told.contains("cookie"), "{told}");
    }
}

#[tokio::test]
async fn refusals_of_ours_have_the_vendor_s_shape() {
    let (app, mut vendor) = start(|_| {}).await;
    let wrong = app.call(ask("GET", "/deepgram/v1/models", &[("authorization", "Token sk-wrong")], "")).await;
    assert_eq!((wrong.status, wrong.json()["err_code"].as_str()), (401, Some("INVALID_AUTH")));
    assert_eq!(wrong.json()["request_id"], wrong.header("x-request-id"));
    assert!(wrong.header("dg-error").starts_with("Incorrect API key"), "{}", wrong.header("dg-error"));
    let wrong = app.call(ask("GET", "/elevenlabs/v1/models", &[("xi-api-key", "sk-wrong")], "")).await;
    let detail = &wrong.json()["detail"];
    assert_eq!((wrong.status, detail["type"].as_str()), (401, Some("authentication_error")));
    assert_eq!(
        (detail["status"].as_str(), detail["code"].as_str()),
        (Some("invalid_api_key"), Some("invalid_api_key"))
    );
    let wrong = app.call(ask("GET", "/ultravox/api/models", &[], "")).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.json()["detail"].is_string());
    let uncalled = app.call(ask("GET", "/deepgram/v1/unheard-of", &[], "")).await;
    assert_eq!(uncalled.status, 401, "a stranger learns nothing of paths");
    assert!(vendor.is_idle());
}

#[tokio::test]
async fn limits_hold_on_a_vendor_s_paths_and_take_nothing_when_they_refuse() {
    let (app, mut vendor) = start(|setup| {
        setup.key("sk-ap-only-transcribes", |key| key.operations = vec![Operation::Transcription]);
        setup.key("sk-ap-only-other-models", |key| key.models = vec!["aura-*".into()]);
        setup.key("sk-ap-by-the-account", |key| key.models = vec!["deepgram/*".into()]);
        setup.key("sk-ap-once-a-minute", |key| key.requests_per_minute = Some(1));
        setup.key("sk-ap-with-little-money", |key| key.budget = budget(299_999));
        setup.key("sk-ap-with-enough-money", |key| key.budget = budget(300_000));
        setup.key("sk-ap-refuses-unpriced", |key| key.refuse_unpriced = true);
    })
    .await;
    let code = |answer: &Answer| (answer.status, answer.json()["err_code"].as_str().unwrap_or_default().to_owned());
    let ten = "0123456789";
    for (key, model, status, refused) in [
        ("sk-ap-only-transcribes", "priced", 403, "INSUFFICIENT_PERMISSIONS"),
        ("sk-ap-only-other-models", "priced", 403, "INSUFFICIENT_PERMISSIONS"),
        ("sk-ap-with-little-money", "priced", 429, "BUDGET_EXCEEDED"),
        ("sk-ap-refuses-unpriced", "nobody-priced-this", 403, "INSUFFICIENT_PERMISSIONS"),
    ] {
        let answer = app.call(speak(key, model, ten)).await;
        assert_eq!(code(&answer), (status, refused.to_owned()), "{key}");
    }
    assert!(vendor.is_idle(), "nobody was asked");
    for key in ["sk-ap-with-enough-money", "sk-ap-by-the-account", "sk-ap-once-a-minute"] {
        assert_eq!(app.call(speak(key, "priced", ten)).await.status, 200, "{key}");
    }
    let again = app.call(speak("sk-ap-once-a-minute", "priced", ten)).await;
    assert_eq!(code(&again), (429, "TOO_MANY_REQUESTS".to_owned()));
    assert!(!again.header("retry-after").is_empty());
    let spent = app.call(speak("sk-ap-with-enough-money", "priced", "x")).await;
    assert_eq!(code(&spent), (429, "BUDGET_EXCEEDED".to_owned()), "what was spoken was settled");
}

#[tokio::test]
async fn a_model_is_named_once_or_not_at_all() {
    let (app, mut vendor) = start(|setup| {
        setup.key("sk-ap-one-model-alone", |key| key.models = vec!["priced".into()]);
    })
    .await;
    let twice = app.call(speak("sk-ap-one-model-alone", "priced&model=other", "Hi")).await;
    assert_eq!(twice.status, 400, "{}", twice.text());
    let body = r#"{"text":"Hi","model_id":"priced","model_id":"other"}"#;
    let headers = [("xi-api-key", "sk-ap-one-model-alone"), ("content-type", "application/json")];
    let twice = app.call(ask("POST", "/elevenlabs/v1/text-to-speech/voice", &headers, body)).await;
    assert_eq!((twice.status, twice.json()["detail"]["param"].as_str()), (400, Some("body")));
    let headers = [("authorization", "Token sk-ap-one-model-alone")];
    let none = app.call(ask("POST", "/deepgram/v2/speak", &headers, r#"{"text":"Hi"}"#)).await;
    assert_eq!(none.status, 400, "the vendor has no default there");
    assert!(vendor.is_idle());
}

#[tokio::test]
async fn unknown_paths_need_a_permission_and_are_recorded_without_a_price() {
    let (app, mut vendor) = start(|_| {}).await;
    let path = "/deepgram/v1/projects?limit=2";
    let (plain, trusted) = (format!("Token {KEY}"), format!("Token {TRUSTED}"));
    let refused = app.call(ask("GET", path, &[("authorization", &plain)], "")).await;
    assert_eq!((refused.status, refused.json()["err_code"].as_str()), (404, Some("NOT_FOUND")));
    assert!(vendor.is_idle());
    vendor.say(Said::whole(200, "application/json", format!(r#"{{"key":"{SECRET}","projects":[]}}"#)));
    let answer = app.call(ask("GET", path, &[("authorization", &trusted)], "")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"key":"[redacted]","projects":[]}"#));
    assert_eq!(vendor.next().await.target, "/v1/projects?limit=2");
    let id = answer.header("x-request-id").parse().unwrap();
    let record = app.records_of(TRUSTED, id).await.remove(0);
    assert_eq!((record.cost, record.operation), (None, Operation::Passthrough));
    let headers = [("authorization", trusted.as_str()), ("content-type", "application/json")];
    let made = app.call(ask("PATCH", "/deepgram/v1/projects/x", &headers, r#"{"name":"n"}"#)).await;
    assert_eq!(made.status, 200);
    let mut seen = vendor.next().await;
    assert_eq!((seen.whole().await, seen.method.as_str()), (br#"{"name":"n"}"#.to_vec(), "PATCH"));
    for path in ["/deepgram/v1/%2e%2e/x", "/deepgram/v1/..%2fx"] {
        assert_eq!(app.call(ask("GET", path, &[("authorization", &trusted)], "")).await.status, 404, "{path}");
    }
    assert!(vendor.is_idle(), "nobody leaves the vendor's paths");
}

#[tokio::test]
async fn short_lived_tokens_are_ours_and_work_where_the_vendor_s_would() {
    let (app, mut vendor) = start(|_| {}).await;
    let token = format!("Token {KEY}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let granted = app.call(ask("POST", "/deepgram/v1/auth/grant", &headers, r#"{"ttl_seconds":60}"#)).await;
    assert_eq!((granted.status, granted.json()["expires_in"].as_u64()), (200, Some(60)));
    let issued = granted.json()["access_token"].as_str().unwrap().to_owned();
    assert!(vendor.is_idle(), "a token of the vendor would go around the gateway");
    let bearer = format!("Bearer {issued}");
    let answer = app.call(ask("GET", "/deepgram/v1/models", &[("authorization", &bearer)], "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = vendor.next().await;
    assert_eq!(seen.header("authorization"), format!("Token {SECRET}"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let another = app.call(ask("POST", "/deepgram/v1/auth/grant", &headers, "{}")).await;
    assert_eq!(another.status, 403, "a token that makes tokens would never expire");
    let elsewhere = app.call(ask("GET", "/elevenlabs/v1/models", &[("xi-api-key", &issued)], "")).await;
    assert_eq!(elsewhere.status, 401, "each vendor has its own");
    let single =
        app.call(ask("POST", "/elevenlabs/v1/single-use-token/batch_scribe", &[("xi-api-key", KEY)], "")).await;
    let issued: Value = single.json()["token"].clone();
    let path = format!("/elevenlabs/v1/models?token={}&page=1", issued.as_str().unwrap());
    assert_eq!(app.call(ask("GET", &path, &[], "")).await.status, 200);
    assert_eq!(vendor.next().await.target, "/v1/models?page=1", "the token goes no further");
    let key = app.call(ask("GET", &format!("/elevenlabs/v1/models?token={KEY}"), &[], "")).await;
    assert_eq!(key.status, 401, "a key in the query of what is no socket");
}
