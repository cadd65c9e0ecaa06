//! Sessions whose address a vendor makes: it is given out rewritten, and what it opens is billed by time.

use std::time::Duration;

use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use domain::usage::{UsageSource, UsageStatus};
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use crate::helpers::{KEY, SECRET, Said, Setup, SocketVendor, TestApp, Vendor, VendorSession};

pub(crate) async fn start(change: impl FnOnce(&mut Setup)) -> (TestApp, Vendor, SocketVendor) {
    let (vendor, sessions) = (Vendor::start().await, SocketVendor::start().await);
    let mut setup = Setup::new().await;
    // No vendor here says what it bills unless its test has it do so.
    setup.settings.timeouts.settle = Duration::ZERO;
    setup.vendor(ProviderKind::Ultravox, "ultravox", &format!("{}/api", vendor.base_url));
    setup.vendor(ProviderKind::Elevenlabs, "elevenlabs", &vendor.base_url);
    setup.vendor_price(ProviderKind::Ultravox, "ultravox-v0.7", Operation::Realtime, Unit::AudioMinute, "0.05");
    setup.vendor_price(ProviderKind::Elevenlabs, "agents", Operation::Realtime, Unit::AudioMinute, "0.08");
    change(&mut setup);
    (setup.start().await, vendor, sessions)
}

pub(crate) fn make_call(body: &Value) -> Request<Full<bytes::Bytes>> {
    let request = Request::builder().method("POST").uri("/ultravox/api/calls?enableGreetingPrompt=false");
    let request = request.header("host", "gateway.example").header("x-api-key", KEY);
    request.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap()
}

fn call() -> Value {
    json!({"systemPrompt": "Be brief.", "medium": {"serverWebSocket": {"inputSampleRate": 8000}}})
}

/// The path below this gateway of a rewritten address.
pub(crate) fn below(address: &str, host: &str) -> String {
    let path = address.strip_prefix(&format!("ws://{host}")).unwrap_or_else(|| panic!("{address} leads elsewhere"));
    path.to_owned()
}

#[tokio::test]
async fn a_call_is_made_joined_here_and_billed_for_the_time_it_was_connected() {
    let (app, mut vendor, mut sessions) = start(|_| {}).await;
    let theirs = format!("ws://{}/calls/1?secret=of-the-vendor", sessions.address);
    vendor.say(Said::whole(201, "application/json", json!({"callId": "1", "joinUrl": theirs}).to_string()));
    let answer = app.call(make_call(&call())).await;
    assert_eq!((answer.status, answer.json()["callId"].as_str()), (201, Some("1")), "{}", answer.text());
    let mut seen = vendor.next().await;
    assert_eq!((seen.target.as_str(), seen.header("x-api-key")), ("/api/calls?enableGreetingPrompt=false", SECRET));
    assert_eq!(serde_json::from_slice::<Value>(&seen.whole().await).unwrap(), call());
    let address = answer.json()["joinUrl"].as_str().unwrap().to_owned();
    for secret in ["of-the-vendor", &sessions.address.to_string(), SECRET, KEY] {
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
    assert_eq!(app.all_records().await.len(), 0, "nothing is billed before it is joined");

    let path = format!("{}&clientVersion=js_1&apiVersion=1", below(&address, "gateway.example"));
    let mut client = app.dial(&path, &[]).await.unwrap();
    let VendorSession { target, headers, mut socket } = sessions.next().await;
    assert_eq!(target, "/calls/1?secret=of-the-vendor&clientVersion=js_1&apiVersion=1");
    assert!(!headers.contains_key("x-api-key"), "the address is credential enough");
    futures_util::SinkExt::send(&mut socket, Message::text(r#"{"type":"state","state":"listening"}"#)).await.unwrap();
    assert!(client.next().await.is_text());
    drop(socket);
    client.closed().await;
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!((record.usage_source, record.model_asked.as_str()), (UsageSource::Measured, "ultravox-v0.7"));
    let expected = record.usage.audio_in_ms as f64 * 50_000_000.0 / 60_000.0;
    assert!((record.cost.unwrap().0 as f64 - expected).abs() <= 1.0, "{record:?}");
    assert_eq!((record.provider.as_str(), record.status), ("ultravox", UsageStatus::UpstreamError));

    let mut again = app.dial(&path, &[]).await.unwrap();
    let refusal = CloseFrame { code: CloseCode::from(4404), reason: "no such call".into() };
    sessions.next().await.socket.close(Some(refusal)).await.unwrap();
    assert_eq!(again.closed().await.0, 4404);
    app.no_session_left().await;
    assert_eq!(app.all_records().await.len(), 1, "what the vendor does not begin costs nothing");
}

#[tokio::test]
async fn an_address_is_good_for_its_key_and_its_vendor_alone() {
    let (app, vendor, mut sessions) = start(|_| {}).await;
    let theirs = format!("ws://{}/calls/1", sessions.address);
    vendor.say(Said::whole(201, "application/json", json!({"joinUrl": theirs}).to_string()));
    let address = app.call(make_call(&call())).await.json()["joinUrl"].as_str().unwrap().to_owned();
    let path = below(&address, "gateway.example");
    let mut changed = path.clone();
    changed.replace_range(path.len() - 2.., if path.ends_with("AA") { "BB" } else { "AA" });
    for wrong in [changed, path.replace("/ultravox/", "/elevenlabs/"), "/ultravox/join?call=".to_owned()] {
        assert_eq!(app.refusal(&wrong, &[]).await.0, 401, "{wrong}");
    }
    let sealed = path.split_once("call=").unwrap().1.to_owned();
    let as_key = app.refusal("/elevenlabs/v1/convai/conversation?agent_id=a", &[("xi-api-key", &sealed)]).await;
    assert_eq!(as_key.0, 401, "it stands for a session, not for the key");
    swap_snapshot(&app.gateway, Snapshot::default());
    assert_eq!(app.refusal(&path, &[]).await.0, 401, "its key is revoked");
    assert!(sessions.is_idle());
}

#[tokio::test]
async fn calls_without_a_join_socket_are_refused() {
    let (app, mut vendor, _) = start(|_| {}).await;
    for body in [json!({"medium": {"sip": {}}}), json!({"medium": {"twilio": {}}})] {
        let answer = app.call(make_call(&body)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.json()["medium"][0].is_string());
    }
    assert!(vendor.is_idle());
    vendor.say(Said::whole(402, "application/json", r#"{"detail":"no minutes left"}"#));
    let answer = app.call(make_call(&call())).await;
    assert_eq!((answer.status, answer.text().as_str()), (402, r#"{"detail":"no minutes left"}"#), "in its own words");
}

#[tokio::test]
async fn a_signed_url_of_an_agent_leads_here_too_and_the_agent_is_priced_as_agents_are() {
    let (app, mut vendor, mut sessions) = start(|setup| {
        setup.key(KEY, |key| key.models = vec!["agent_1".to_owned()]);
    })
    .await;
    let theirs = format!("ws://{}/v1/convai/conversation?agent_id=agent_1&conversation_signature=s", sessions.address);
    vendor.say(Said::whole(200, "application/json", json!({"signed_url": theirs}).to_string()));
    let get = |agent: &str| {
        let path = format!("/elevenlabs/v1/convai/conversation/get-signed-url?agent_id={agent}");
        let request = Request::builder().uri(path).header("host", "gateway.example").header("xi-api-key", KEY);
        request.header("x-forwarded-proto", "http").body(Full::default()).unwrap()
    };
    assert_eq!(app.call(get("agent_2")).await.status, 403);
    let answer = app.call(get("agent_1")).await;
    assert!(vendor.next().await.target.ends_with("get-signed-url?agent_id=agent_1"));
    let path = below(answer.json()["signed_url"].as_str().unwrap(), "gateway.example");
    let mut client = app.dial(&format!("{path}&source=python_sdk"), &[]).await.unwrap();
    let mut theirs = sessions.next().await;
    assert!(theirs.target.contains("conversation_signature=s") && theirs.target.contains("source=python_sdk"));
    theirs.say(Message::text(r#"{"type":"ping","ping_event":{"event_id":1}}"#)).await;
    assert!(client.next().await.is_text(), "answering it is the client's business");
    client.say(r#"{"type":"pong","event_id":1}"#).await;
    assert!(theirs.next().await.unwrap().is_text());
    client.socket.close(None).await.unwrap();
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!((record.model_asked.as_str(), record.status), ("agent_1", UsageStatus::Ok));
    assert!(record.cost.is_some());
}
