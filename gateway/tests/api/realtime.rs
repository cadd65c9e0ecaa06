//! Realtime sessions: turns, refusals, and every way in which one ends.

use std::time::Duration;

use domain::provider::Operation;
use domain::usage::{UsageSource, UsageStatus};
use gateway::realtime::secrets::Grant;
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;
use time::OffsetDateTime;

use crate::helpers::{KEY, Setup, TestApp, budget, get, post_json, soon};

const RESPOND: &str = "response.create";

#[tokio::test]
async fn a_turn_is_relayed_recorded_and_priced() {
    let app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    let created = session.until("session.created").await;
    assert_eq!(created["session"]["model"], "live", "the client sees the name that it asked for");
    session.say(&json!({"type": RESPOND})).await;
    let done = session.until("response.done").await;
    assert_eq!(done["response"]["usage"]["output_tokens"], 26);
    let records = app.records_of(KEY, session.id).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    // 12 text tokens in at 4 dollars, 6 out at 16, 20 audio tokens out at 64, each a million.
    assert_eq!(record.cost.map(|cost| cost.0), Some(12 * 4000 + 6 * 16_000 + 20 * 64_000));
    assert_eq!((record.operation, record.status), (Operation::Realtime, UsageStatus::Ok));
    assert_eq!((record.usage_source, record.sequence), (UsageSource::Reported, 0));
    assert_eq!(record.routing, None, "one target leaves nothing to decide");
    session.say(&json!({"type": RESPOND})).await;
    session.until("response.done").await;
    soon(async {
        while app.records_of(KEY, session.id).await.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    session.socket.close(None).await.unwrap();
    assert_eq!(app.one.counts().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_session_cannot_switch_to_another_model() {
    let app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    session.say(&json!({"type": "session.update", "session": {"type": "realtime", "model": "secret"}})).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "model_not_allowed", "{error}");
    assert_eq!(app.one.counts().of("realtime").frames_in, 0, "the provider is never asked");
    session.say(&json!({"type": "session.update", "session": {"type": "realtime", "model": "live"}})).await;
    assert_eq!(session.until("session.updated").await["session"]["model"], "live");
}

#[tokio::test]
async fn what_is_known_to_fail_is_refused_before_the_upgrade() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-may-transcribe-and-no-more", |key| key.operations = vec![Operation::Transcription]);
    setup.key("sk-ap-has-one-session-at-a-time", |key| key.max_concurrent_sessions = Some(1));
    setup.key("sk-ap-has-no-money-for-sessions", |key| key.budget = budget(1));
    setup.provider("nobody-there", "http://127.0.0.1:1/v1");
    let app = setup.start().await;
    let refusal = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(app.refused("model=live", "").await, refusal(401, "invalid_api_key"));
    assert_eq!(app.refused("model=live", "sk-ap-nobody").await, refusal(401, "invalid_api_key"));
    let key = "sk-ap-may-transcribe-and-no-more";
    assert_eq!(app.refused("model=live", key).await, refusal(403, "operation_not_allowed"));
    assert_eq!(app.refused("model=none", KEY).await, refusal(404, "model_not_found"));
    assert_eq!(app.refused("", KEY).await, refusal(400, "invalid_request"));
    let key = "sk-ap-has-no-money-for-sessions";
    assert_eq!(app.refused("model=live", key).await, refusal(429, "budget_exceeded"));
    let key = "sk-ap-has-one-session-at-a-time";
    let mut first = app.realtime("model=live", key).await.unwrap();
    first.until("session.created").await;
    assert_eq!(app.refused("model=live", key).await, refusal(429, "session_limit_exceeded"));
    first.socket.close(None).await.unwrap();
    app.no_session_left().await;
    assert_eq!(app.refused("model=live", key).await.0, 101);
    app.no_session_left().await;
    app.one.script(Rule::once("realtime", Fault { status: Some(500), ..Fault::default() }));
    assert_eq!(app.refused("model=live", KEY).await, refusal(502, "upstream_error"));
    assert_eq!(app.refused("model=nobody-there/gpt-realtime-2.1", key).await, refusal(502, "upstream_error"));
    // None of the refusals has kept a slot of the key's one.
    assert_eq!(app.refused("model=live", key).await.0, 101);
}

#[tokio::test]
async fn a_session_ends_when_its_key_is_revoked() {
    let app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    swap_snapshot(&app.gateway, Snapshot::default());
    assert_eq!(session.until("error").await["error"]["code"], "invalid_api_key");
    assert_eq!(session.closed().await, 1008);
    app.no_session_left().await;
    assert_eq!(app.refused("model=live", KEY).await.0, 401);
}

#[tokio::test]
async fn a_session_ends_when_its_budget_is_spent() {
    let mut setup = Setup::new().await;
    // The window that is reserved at the start costs 56.8 thousandths of a dollar; one turn takes
    // 1.4 thousandths of it, so that a second window cannot be reserved.
    let window = 300 * 32_000 + 600 * 64_000 + 1000 * 4000 + 300 * 16_000;
    setup.key("sk-ap-money-for-one-turn-only", |key| key.budget = budget(window + 1_000_000));
    let app = setup.start().await;
    let mut session = app.realtime("model=live", "sk-ap-money-for-one-turn-only").await.unwrap();
    session.until("session.created").await;
    session.say(&json!({"type": RESPOND})).await;
    assert_eq!(session.until("error").await["error"]["code"], "budget_exceeded");
    assert_eq!(session.closed().await, 1008);
    app.no_session_left().await;
    let records = app.records_of("sk-ap-money-for-one-turn-only", session.id).await;
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(1_424_000), "the turn that spent it is billed");
}

#[tokio::test]
async fn a_draining_gateway_tells_its_sessions_and_takes_no_more() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.drain = Duration::from_secs(7);
    let mut app = setup.start().await;
    // A turn that goes on holds the drain open.
    app.one.script(Rule::once("realtime", Fault { chunk_ms: Some(30), ..Fault::default() }));
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    session.say(&json!({"type": RESPOND})).await;
    session.until("response.created").await;
    app.begin_drain();
    soon(app.gateway.draining.cancelled()).await;
    assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()));
    session.until("response.done").await;
    assert_eq!(session.until("error").await["error"]["code"], "server_draining");
    assert_eq!(session.closed().await, 1001);
    app.ended().await;
}

#[tokio::test]
async fn a_client_secret_opens_its_own_model_and_nothing_else() {
    let app = TestApp::new().await;
    let body = json!({"session": {"type": "realtime", "model": "live"}});
    let answer = app.call(post_json("/v1/realtime/client_secrets", KEY, &body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let secret = answer.json()["value"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("ek-ap-"));
    let mut session = app.realtime("model=live", &secret).await.unwrap();
    session.until("session.created").await;
    assert_eq!(app.refused("model=secret", &secret).await, (403, "model_not_allowed".to_owned()));
    let again = app.call(post_json("/v1/realtime/client_secrets", &secret, &body)).await;
    again.assert_error(403, "operation_not_allowed");
    let forged = format!("{secret}x");
    assert_eq!(app.refused("model=live", &forged).await.0, 401);
    let grant = Grant { key: app.key_id(KEY), model: "live".into(), transcription: false, transcriber: None };
    let expired = app.gateway.secrets.issue(grant, OffsetDateTime::now_utc()).unwrap();
    assert_eq!(app.refused("model=live", &expired).await, (401, "invalid_api_key".to_owned()));
}

#[tokio::test]
async fn a_client_that_leaves_mid_answer_is_billed_for_what_the_provider_reports() {
    let app = TestApp::new().await;
    // The whole answer would take longer than the gateway waits for a report: the provider is told to stop.
    app.one.script(Rule::once("realtime", Fault { chunk_ms: Some(500), ..Fault::default() }));
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    session.say(&json!({"type": RESPOND})).await;
    session.until("response.created").await;
    let id = session.id;
    drop(session);
    let records = app.records_of(KEY, id).await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].status, records[0].usage_source), (UsageStatus::ClientClosed, UsageSource::Reported));
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(12 * 4000 + 6 * 16_000), "no audio had been made");
    app.no_session_left().await;
}

#[tokio::test]
async fn a_transcription_session_is_billed_by_its_seconds() {
    let app = TestApp::new().await;
    let mut session = app.realtime("intent=transcription", KEY).await.unwrap();
    session.until("session.created").await;
    let input = json!({"transcription": {"model": "whisper-1"}, "turn_detection": null});
    let update = json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}});
    session.say(&update).await;
    session.until("session.updated").await;
    // Half a second of silence at 24 kHz: 24 000 bytes are 32 000 characters of base64.
    session.say(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(32_000)})).await;
    session.say(&json!({"type": "input_audio_buffer.commit"})).await;
    let done = session.until("conversation.item.input_audio_transcription.completed").await;
    assert!(done["transcript"].as_str().unwrap().contains("quick brown"));
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((records.len(), records[0].cost.map(|cost| cost.0)), (1, Some(50_000)), "half a second");
}

#[tokio::test]
async fn what_is_no_handshake_is_400() {
    let app = TestApp::new().await;
    for (query, param) in [("model=live", "upgrade"), ("model=live&intent=dance", "intent")] {
        let answer = app.call(get(&format!("/v1/realtime?{query}"), KEY)).await;
        answer.assert_error(400, "invalid_request");
        assert_eq!(answer.json()["error"]["param"], param);
    }
    assert_eq!(app.one.counts().connections, 0, "no provider is asked");
}

#[tokio::test]
async fn a_full_gateway_takes_no_more_sessions() {
    let mut setup = Setup::new().await;
    setup.settings.limits.max_sessions = 1;
    let app = setup.start().await;
    let mut first = app.realtime("model=live", KEY).await.unwrap();
    first.until("session.created").await;
    assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()));
}

#[tokio::test]
async fn a_session_that_is_idle_or_old_is_ended_with_a_reason() {
    for (old, reason) in [(true, "the session is too old"), (false, "the session was idle")] {
        let mut setup = Setup::new().await;
        let limits = &mut setup.settings.limits;
        let clock = if old { &mut limits.session_max_age } else { &mut limits.session_idle };
        *clock = Duration::from_millis(300);
        let app = setup.start().await;
        let mut session = app.realtime("model=live", KEY).await.unwrap();
        assert_eq!(session.until("error").await["error"]["code"], "request_timeout");
        assert_eq!(session.farewell().await, (1008, reason.to_owned()));
        app.no_session_left().await;
    }
}
