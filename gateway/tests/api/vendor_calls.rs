//! Calls whose sound goes around the gateway, in a room: bounded when they are made, billed as their vendor
//! says, and ended there when nobody here may go on.

use std::time::Duration;

use domain::usage::{UsageSource, UsageStatus};
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::helpers::{KEY, SECRET, Said, Setup, SocketVendor, TestApp, Vendor, VendorSession, budget};
use crate::vendor_joins::{below, make_call, start};
use crate::vendor_sockets::Session;

const ROOM: &str = r#"{"type":"room_info","roomUrl":"wss://rooms.example","token":"eyJ.room.token"}"#;

fn json_said(status: u16, body: &Value) -> Said {
    Said::whole(status, "application/json", body.to_string())
}

/// A WebRTC call that has been made and joined, and its vendor heard.
async fn joined(app: &TestApp, vendor: &mut Vendor, sessions: &mut SocketVendor) -> (Session, VendorSession) {
    let (mut client, mut session) = entered(app, vendor, sessions).await;
    session.say(Message::text(ROOM)).await;
    assert_eq!(client.next().await, Message::text(ROOM), "the way to the room is the client's own");
    (client, session)
}

/// A WebRTC call that has been made and joined.
async fn entered(app: &TestApp, vendor: &mut Vendor, sessions: &mut SocketVendor) -> (Session, VendorSession) {
    let theirs = format!("ws://{}/calls/c-1?secret=s", sessions.address);
    vendor.say(json_said(201, &json!({"callId": "c-1", "joinUrl": theirs})));
    let answer = app.call(make_call(&json!({"systemPrompt": "Be brief."}))).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let mut seen = vendor.next().await;
    let asked: Value = serde_json::from_slice(&seen.whole().await).unwrap();
    let expected = json!({"systemPrompt": "Be brief.", "medium": {"webRtc": {}}, "maxDuration": "3600s"});
    assert_eq!(asked, expected, "it says what it is and how long it lasts at most");
    let path = below(answer.json()["joinUrl"].as_str().unwrap(), "gateway.example");
    let client = app.dial(&path, &[]).await.unwrap();
    (client, sessions.next().await)
}

#[tokio::test]
async fn a_call_in_a_room_is_ended_with_its_join_socket_and_billed_as_its_vendor_says() {
    let (app, mut vendor, mut sessions) = start(|setup| setup.settings.timeouts.settle = Duration::from_secs(10)).await;
    let (mut client, mut session) = joined(&app, &mut vendor, &mut sessions).await;
    client.say(r#"{"type":"input_text_message","text":"what does not fit into a packet"}"#).await;
    assert!(session.next().await.unwrap().is_text());
    client.socket.close(None).await.unwrap();
    // It still runs at its vendor, whatever that is asked: until it is ended.
    let ended = loop {
        let mut seen = vendor.next().await;
        assert_eq!(seen.header("x-api-key"), SECRET);
        if seen.method == "POST" {
            assert_eq!(seen.target, "/api/calls/c-1/send_data_message");
            break serde_json::from_slice::<Value>(&seen.whole().await).unwrap();
        }
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/api/calls/c-1"));
        assert!(app.all_records().await.is_empty(), "the bill is awaited");
    };
    assert_eq!(ended, json!({"type": "hang_up"}));
    vendor.say(json_said(200, &json!({"ended": "2026-11-21T09:00:37Z", "billedDuration": null})));
    vendor.say(json_said(200, &json!({"ended": "2026-11-21T09:00:37Z", "billedDuration": "42s"})));
    let records = app.records_of(KEY, client.id).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.usage_source, record.usage.audio_in_ms), (UsageSource::Reported, 42_000));
    assert_eq!((record.cost.unwrap().0, record.status), (35_000_000, UsageStatus::Ok));
    assert_eq!((record.provider.as_str(), record.model_asked.as_str()), ("ultravox", "ultravox-v0.7"));
}

#[tokio::test]
async fn a_call_whose_key_is_revoked_is_ended_at_its_vendor_before_anything_else() {
    let (app, mut vendor, mut sessions) = start(|setup| setup.settings.timeouts.settle = Duration::from_secs(10)).await;
    let (mut client, _session) = joined(&app, &mut vendor, &mut sessions).await;
    let key = app.key_id(KEY);
    vendor.say(json_said(422, &json!({"detail": "The call is not active."})));
    vendor.say(json_said(200, &json!({"ended": "2026-11-21T09:00:01Z", "billedDuration": "6s"})));
    swap_snapshot(&app.gateway, Snapshot::default());
    assert_eq!(client.closed().await.0, 1008);
    let mut seen = vendor.next().await;
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/calls/c-1/send_data_message"));
    assert_eq!(serde_json::from_slice::<Value>(&seen.whole().await).unwrap(), json!({"type": "hang_up"}));
    let record = app.records_of_key(key, client.id).await.remove(0);
    assert_eq!((record.usage.audio_in_ms, record.status), (6_000, UsageStatus::EndedByPolicy));
}

#[tokio::test]
async fn a_call_that_is_left_before_its_vendor_speaks_is_ended_there_unless_the_vendor_refused_it() {
    let (app, mut vendor, mut sessions) = start(|setup| setup.settings.timeouts.settle = Duration::from_secs(10)).await;
    let (mut client, session) = entered(&app, &mut vendor, &mut sessions).await;
    drop(session);
    client.closed().await;
    app.no_session_left().await;
    assert!(vendor.is_idle(), "one that is refused may be another's, which goes on");

    let (mut client, _session) = entered(&app, &mut vendor, &mut sessions).await;
    client.socket.close(None).await.unwrap();
    while vendor.next().await.method != "POST" {}
    vendor.say(json_said(200, &json!({"ended": "2026-11-21T09:00:01Z", "billedDuration": "6s"})));
    app.no_session_left().await;
    assert!(app.all_records().await.is_empty(), "whose call it was is not known");
}

#[tokio::test]
async fn a_gateway_that_stops_hangs_up_and_waits_for_the_bill() {
    let (mut app, mut vendor, mut sessions) =
        start(|setup| setup.settings.timeouts.settle = Duration::from_secs(10)).await;
    let (mut client, _session) = joined(&app, &mut vendor, &mut sessions).await;
    vendor.say(json_said(204, &Value::Null));
    app.begin_drain();
    assert_eq!(client.closed().await.0, 1001);
    assert_eq!(vendor.next().await.method, "POST");
    vendor.say(json_said(200, &json!({"ended": "2026-11-21T09:00:01Z", "billedDuration": "12s"})));
    app.ended().await;
    let record = app.all_records().await.remove(0);
    assert_eq!((record.audio_in_ms, record.usage_source.as_str()), (12_000, "reported"));
}

#[tokio::test]
async fn what_was_measured_stands_where_the_vendor_does_not_say_and_nothing_where_it_bills_nothing() {
    let (app, mut vendor, mut sessions) = start(|setup| {
        setup.settings.timeouts.settle = Duration::from_millis(200);
        setup.key(KEY, |key| key.max_concurrent_sessions = Some(1));
    })
    .await;
    let (mut client, _session) = joined(&app, &mut vendor, &mut sessions).await;
    client.socket.close(None).await.unwrap();
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!(record.usage_source, UsageSource::Measured);
    assert!(record.cost.is_some() && record.usage.audio_in_ms > 0);
    app.no_session_left().await;
    while !vendor.is_idle() {}

    let (mut client, session) = joined(&app, &mut vendor, &mut sessions).await;
    let failed = json!({"ended": "2026-11-21T09:00:01Z", "billingStatus": "BILLING_STATUS_FREE_SYSTEM_ERROR"});
    vendor.say(json_said(200, &failed));
    drop(session);
    client.closed().await;
    app.no_session_left().await;
    assert_eq!(app.all_records().await.len(), 1, "the vendor bills nothing for it");
}

#[tokio::test]
async fn a_call_in_a_room_is_made_no_longer_than_can_be_answered_for() {
    async fn made(change: impl FnOnce(&mut Setup), body: &Value) -> (u16, Value) {
        let (app, mut vendor, _) = start(change).await;
        vendor.say(json_said(201, &json!({"callId": "c-1", "joinUrl": "ws://127.0.0.1:9/c-1"})));
        let answer = app.call(make_call(body)).await;
        if answer.status != 201 {
            assert!(vendor.is_idle(), "it is refused before the vendor has it");
            return (answer.status, Value::Null);
        }
        let asked: Value = serde_json::from_slice(&vendor.next().await.whole().await).unwrap();
        (answer.status, asked["maxDuration"].clone())
    }
    let pays = |nano: i64| move |setup: &mut Setup| setup.key(KEY, |key| key.budget = budget(nano));
    let asked = |duration: &str| json!({"maxDuration": duration, "medium": {"webRtc": {}}});
    assert_eq!(made(|_| {}, &asked("90.5s")).await, (201, json!("90.500s")));
    let aged = |setup: &mut Setup| setup.settings.limits.session_max_age = Duration::from_secs(1800);
    assert_eq!(made(aged, &asked("7200s")).await, (201, json!("1800s")));
    // Five cents a minute: five are a minute; of four, seven steps of 6 s and no part of the next.
    assert_eq!(made(pays(50_000_000), &asked("3600s")).await, (201, json!("60s")));
    assert_eq!(made(pays(39_000_000), &json!({})).await, (201, json!("42s")));
    assert_eq!(made(pays(50_000_000), &asked("20s")).await, (201, json!("20s")));
    assert_eq!(made(pays(1_000_000), &json!({})).await, (429, Value::Null));
    assert_eq!(made(|_| {}, &asked("soon")).await, (400, Value::Null));
}

#[tokio::test]
async fn a_call_that_its_vendor_does_not_name_is_not_given_out() {
    let (app, vendor, sessions) = start(|_| {}).await;
    vendor.say(json_said(201, &json!({"joinUrl": format!("ws://{}/c-1", sessions.address)})));
    let answer = app.call(make_call(&json!({}))).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(!answer.text().contains("joinUrl"));
}
