//! What is refused while there is too much to do, and what is not.

use domain::provider::Operation;
use gateway::overload::OverloadBounds;
use serde_json::json;

use crate::helpers::{KEY, Setup, TestApp, get, speech};

/// Gives the process so many bytes of memory, of which it may use nearly none, and waits until that is noticed.
async fn allow(app: &TestApp, memory_bytes: u64, level: u64) {
    let mut bounds = app.gateway.bounds();
    bounds.overload = OverloadBounds { memory_percent: 80, memory_bytes: Some(memory_bytes), ..bounds.overload };
    app.gateway.adjust(bounds, app.gateway.timeouts());
    app.until(async || (readiness(app).await["level"] == level).then_some(())).await;
}

async fn readiness(app: &TestApp) -> serde_json::Value {
    let answer = app.call(get("/readyz", KEY)).await;
    assert_eq!(answer.status, 200, "it is ready all the same");
    answer.json()["overload"].clone()
}

#[tokio::test]
async fn new_work_is_refused_while_memory_is_short_and_what_has_begun_goes_on() {
    let app = Setup::new().await.start().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200);

    allow(&app, 1024 * 1024, 3).await;
    let told = readiness(&app).await;
    assert!(told["resident_bytes"].as_u64() > told["memory_limit_bytes"].as_u64(), "{told}");
    for (operation, retry_after) in [(Operation::Speech, "5"), (Operation::Chat, "2")] {
        let request = match operation {
            Operation::Speech => speech(KEY, "tts", "Hello"),
            _ => {
                let body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}).to_string();
                let request = http::Request::post("/v1/chat/completions").header("host", "x");
                let request = request.header("content-type", "application/json");
                request.header("authorization", format!("Bearer {KEY}")).body(body.into()).unwrap()
            }
        };
        let refused = app.call(request).await;
        refused.assert_error(503, "overloaded");
        assert_eq!(refused.header("retry-after"), retry_after, "{operation}");
    }
    assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()));
    for path in ["/healthz", "/v1/models", "/v1/usage"] {
        assert_eq!(app.call(get(path, KEY)).await.status, 200, "{path}");
    }
    let stranger = app.call(speech("sk-ap-nobody-has-this-key", "tts", "Hello")).await;
    stranger.assert_error(401, "invalid_api_key");

    session.say(&json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}})).await;
    session.until("session.updated").await;

    // It becomes better a step at a time.
    allow(&app, 1 << 50, 0).await;
    assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200);
}
