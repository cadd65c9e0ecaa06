//! Vendors of OpenAI's language below their own prefixes: their accounts alone serve them.

use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use serde_json::json;

use crate::helpers::{
    BOUNDARY, KEY, Part, SECRET, Said, Setup, SocketVendor, Vendor, form_body, get, post, post_json, target,
    two_seconds,
};

fn configure(setup: &mut Setup, kind: ProviderKind, base_url: &str) {
    setup.vendor(kind, "theirs", base_url);
    let mut deployment = target("theirs", "whisper-1", 0);
    deployment.options.insert("deployment".to_owned(), "whis".to_owned());
    setup.route("only-for-names", vec![deployment]);
    setup.vendor_price(kind, "whisper-1", Operation::Transcription, Unit::AudioMinute, "0.03");
}

fn transcription(path: &str, fields: &[(&str, &str)]) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let sound = two_seconds();
    let mut parts: Vec<Part<'_>> = fields.iter().map(|(name, value)| Part::Field(name, value)).collect();
    parts.push(Part::File("a.wav", &sound));
    post(path, KEY, form_body(&parts), &format!("multipart/form-data; boundary={BOUNDARY}"))
}

#[tokio::test]
async fn groq_s_own_paths_are_served_by_groq_s_account_whoever_else_has_the_model() {
    let mut setup = Setup::new().await;
    let base_url = setup.two.base_url();
    configure(&mut setup, ProviderKind::Groq, &base_url);
    setup.credential("theirs", "sk-upstream");
    let app = setup.start().await;
    let answer = app.call(transcription("/groq/openai/v1/audio/transcriptions", &[("model", "whisper-1")])).await;
    assert_eq!((answer.status, answer.header("x-antiphon-provider")), (200, "theirs"), "{}", answer.text());
    assert!(answer.json()["text"].is_string());
    let record = app.records(&answer).await.remove(0);
    assert_eq!((record.provider.as_str(), record.cost.unwrap().0), ("theirs", 1_000_000));
    assert_eq!(app.one.counts().of("audio/transcriptions").requests, 0);
    let models = app.call(get("/groq/openai/v1/models", KEY)).await.json();
    let owners: Vec<&str> =
        models["data"].as_array().unwrap().iter().map(|model| model["owned_by"].as_str().unwrap()).collect();
    assert!(!owners.is_empty() && owners.iter().all(|owner| *owner == "theirs"), "{owners:?}");
    let chat = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    let elsewhere = app.call(post_json("/groq/openai/v1/chat/completions", KEY, &chat)).await;
    assert_eq!(elsewhere.header("x-antiphon-provider"), "theirs", "a route to others does not lead away");
    app.call(get("/groq/openai/v1/batches", KEY)).await.assert_error(404, "not_found");
    app.call(get("/groq/openai/v1/models", "")).await.assert_error(401, "invalid_api_key");
}

#[tokio::test]
async fn azure_s_deployments_name_the_model_in_either_style() {
    let mut vendor = Vendor::start().await;
    let mut setup = Setup::new().await;
    configure(&mut setup, ProviderKind::Azure, &vendor.base_url);
    let app = setup.start().await;
    let dated = "/azure/openai/deployments/whis/audio/transcriptions?api-version=2025-04-01-preview";
    for (path, fields) in [
        (dated, &[][..]),
        (dated, &[("model", "ignored")]),
        ("/azure/openai/v1/audio/transcriptions", &[("model", "whis")]),
    ] {
        let heard = r#"{"text":"Hi.","task":"transcribe","language":"english","duration":2.0}"#;
        vendor.say(Said::whole(200, "application/json", heard));
        let mut request = transcription(path, fields);
        request.headers_mut().remove("authorization");
        request.headers_mut().insert("api-key", KEY.parse().unwrap());
        let answer = app.call(request).await;
        assert_eq!((answer.status, answer.header("x-antiphon-provider")), (200, "theirs"), "{path} {}", answer.text());
        let mut seen = vendor.next().await;
        assert_eq!((seen.target.as_str(), seen.header("api-key")), ("/openai/v1/audio/transcriptions", SECRET));
        let form = String::from_utf8_lossy(&seen.whole().await).into_owned();
        assert!(form.contains("name=\"model\"\r\n\r\nwhis\r\n") && !form.contains("ignored"), "{path}");
        let record = app.records(&answer).await.remove(0);
        assert_eq!((record.model_asked.as_str(), record.model_served.as_str()), ("whis", "whisper-1"), "{path}");
        assert_eq!(record.cost.unwrap().0, 1_000_000, "priced as the model behind the deployment");
    }
    let chat = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let path = "/azure/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21";
    let answer = app.call(post_json(path, KEY, &chat)).await;
    assert_eq!((answer.status, answer.header("x-antiphon-provider")), (200, "theirs"), "{}", answer.text());
    let sent: serde_json::Value = serde_json::from_slice(&vendor.next().await.whole().await).unwrap();
    assert_eq!(sent["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn azure_s_sessions_open_under_their_old_name_and_their_new_one() {
    let mut vendor = SocketVendor::start().await;
    let mut setup = Setup::new().await;
    setup.vendor(ProviderKind::Azure, "theirs", &format!("http://{}", vendor.address));
    let mut deployment = target("theirs", "gpt-realtime-2.1", 0);
    deployment.options.insert("deployment".to_owned(), "talk".to_owned());
    setup.route("only-for-names", vec![deployment]);
    let app = setup.start().await;
    for path in [
        "/azure/openai/realtime?api-version=2025-04-01-preview&deployment=talk",
        "/azure/openai/v1/realtime?model=talk",
    ] {
        let client = app.dial(path, &[("api-key", KEY)]).await.unwrap();
        let theirs = vendor.next().await;
        assert_eq!(theirs.target, "/openai/v1/realtime?model=talk", "{path}");
        assert_eq!(theirs.headers["api-key"], SECRET);
        drop(client);
    }
}
