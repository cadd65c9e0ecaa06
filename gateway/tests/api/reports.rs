//! What a gateway tells the control plane while it runs.

use std::time::Duration;

use entities::{Id, gateway_instance, live_session, request_minute, target_health};
use loadtest::upstream::{Fault, Rule};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::helpers::{KEY, Setup, TestApp, operations, speech, target};

const RESPOND: &str = "response.create";

/// The gateways that are known.
async fn gateways(app: &TestApp) -> Vec<gateway_instance::Model> {
    gateway_instance::Entity::find().all(&app.gateway.database).await.unwrap()
}

#[tokio::test]
async fn a_session_is_listed_with_what_it_has_used_for_as_long_as_it_lives() {
    let mut setup = Setup::new().await;
    let dead = ("dead", "http://127.0.0.1:1/v1");
    setup.provider(dead.0, dead.1);
    setup.route("talk", vec![target(dead.0, "gpt-realtime-2.1", 0), target("one", "gpt-realtime-2.1", 1)]);
    let app = setup.start().await;
    let tags = [("x-antiphon-user", "ada"), ("x-antiphon-tags", "team=a")];
    let mut session = app.realtime_with("model=talk", KEY, &tags).await.unwrap();
    session.until("session.created").await;

    let row = app.live(|row| row.provider.is_some()).await;
    assert_eq!((row.request_id, row.gateway_id), (Id(session.id.0), Id(app.gateway.reports.id)));
    assert_eq!((row.tenant_id, row.key_id), (Id(Uuid::from_u128(1)), Id(app.key_id(KEY).0)));
    assert_eq!((row.operation.as_str(), row.kind.as_str(), row.model_asked.as_str()), ("realtime", "realtime", "talk"));
    let served = (row.provider.as_deref(), row.model_served.as_deref());
    assert_eq!(served, (Some("one"), Some("gpt-realtime-2.1")), "not the target that could not be reached");
    assert_eq!((row.user_tag.as_deref(), row.tags.as_deref()), (Some("ada"), Some("team=a")));
    assert_eq!(row.client_address.as_deref(), Some("127.0.0.1"));
    assert_eq!((row.turns, row.cost_nano_usd, row.terminate_requested_at), (0, Some(0), None));

    session.say(&json!({"type": RESPOND})).await;
    session.until("response.done").await;
    let row = app.live(|row| row.turns == 1).await;
    assert_eq!(row.cost_nano_usd, app.records_of(KEY, session.id).await[0].cost.map(|cost| cost.0));
    assert!(row.audio_out_ms > 0, "audio is told of where the provider counts tokens");

    drop(session);
    let left = async || live_session::Entity::find().count(&app.gateway.database).await.unwrap();
    app.until(async || (left().await == 0).then_some(())).await;
}

#[tokio::test]
async fn what_a_session_without_a_price_costs_is_unknown_and_not_zero() {
    let mut setup = Setup::new().await;
    setup.route("free", vec![target("one", "gpt-realtime-nobody-priced", 0)]);
    let app = setup.start().await;
    let mut session = app.realtime("model=free", KEY).await.unwrap();
    session.until("session.created").await;
    session.say(&json!({"type": RESPOND})).await;
    session.until("response.done").await;
    assert_eq!(app.live(|row| row.turns == 1).await.cost_nano_usd, None);
}

#[tokio::test]
async fn an_administrator_ends_a_session_which_learns_why() {
    let app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    app.terminate("a \u{1F6D1} by \"ops\"").await;
    let error = session.until("error").await["error"].clone();
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("permission_error"), Some("session_terminated"))
    );
    assert_eq!(error["message"], "The session was ended by an administrator: a \u{1F6D1} by \"ops\"");
    assert_eq!(session.closed_for().await, (1008, "ended by an administrator: a \u{1F6D1} by \"ops\"".to_owned()));
    app.no_session_left().await;
    assert_eq!(app.refused("model=live", KEY).await.0, 101, "the key is as good as before");
}

#[tokio::test]
async fn a_gateway_is_known_until_it_stops() {
    let mut app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    app.live(|_| true).await;
    let known = gateways(&app).await.remove(0);
    assert_eq!((known.name.as_str(), known.draining), ("test", false));
    app.begin_drain();
    app.ended().await;
    assert_eq!(gateways(&app).await.len(), 0);
    assert_eq!(live_session::Entity::find().count(&app.gateway.database).await.unwrap(), 0);
}

#[tokio::test]
async fn a_gateway_that_was_taken_for_dead_tells_everything_anew() {
    let app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    app.live(|_| true).await;
    let own = Id(app.gateway.reports.id);
    gateway_instance::Entity::delete_by_id(own).exec(&app.gateway.database).await.unwrap();
    assert_eq!(
        live_session::Entity::find().count(&app.gateway.database).await.unwrap(),
        0,
        "its sessions went with it"
    );
    app.live(|row| row.request_id == Id(session.id.0)).await;
    assert_eq!(gateways(&app).await[0].id, own);
}

#[tokio::test]
async fn the_sessions_of_a_gateway_that_died_are_removed_by_another() {
    let app = TestApp::new().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    let row = app.live(|_| true).await;
    let db = &app.gateway.database;
    let mut dead = gateways(&app).await.remove(0);
    dead.id = Id(Uuid::now_v7());
    dead.heartbeat_at = OffsetDateTime::now_utc() - Duration::from_secs(16);
    let mut its = row.clone().into_active_model();
    (its.id, its.gateway_id) = (Set(Id(Uuid::now_v7())), Set(dead.id));
    dead.into_active_model().reset_all().insert(db).await.unwrap();
    its.reset_all().insert(db).await.unwrap();
    app.until(async || (gateways(&app).await.len() == 1).then_some(())).await;
    let left = live_session::Entity::find().all(db).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [row.id], "the living one's stay");
}

#[tokio::test]
async fn what_the_database_does_not_take_is_told_when_it_does() {
    let app = TestApp::new().await;
    let db = &app.gateway.database;
    let away = ["gateway_instances", "live_sessions", "target_health", "request_minutes"];
    app.until(async || gateways(&app).await.pop()).await;
    for table in away {
        db.execute_unprepared(&format!("ALTER TABLE {table} RENAME TO {table}_away")).await.unwrap();
    }
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    for _ in 0..3 {
        assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200, "calls do not wait for it");
    }
    for table in away {
        db.execute_unprepared(&format!("ALTER TABLE {table}_away RENAME TO {table}")).await.unwrap();
    }
    app.live(|row| row.request_id == Id(session.id.0)).await;
    let spoken = async || {
        let rows = request_minute::Entity::find().all(db).await.unwrap();
        rows.iter().filter(|row| row.operation == "speech").map(|row| row.requests).sum::<i64>()
    };
    app.until(async || (spoken().await == 3).then_some(())).await;
}

#[tokio::test]
async fn a_target_that_keeps_failing_is_told_of_with_its_breaker() {
    let app = TestApp::new().await;
    let of = async |breaker: &str| {
        let all = target_health::Entity::find().all(&app.gateway.database).await.unwrap();
        all.into_iter().find(|row| row.model == "tts-1" && row.breaker == breaker)
    };
    assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200);
    let well = app.until(async || of("closed").await).await;
    assert_eq!((well.provider.as_str(), well.failures), ("one", 0));
    let ttfb: serde_json::Value = serde_json::from_str(&well.ttfb_ms).unwrap();
    assert!(ttfb["speech"].is_u64(), "{ttfb}");
    app.one.script(Rule { times: 5, ..Rule::once("audio/speech", Fault { status: Some(500), ..Fault::default() }) });
    for _ in 0..5 {
        assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 502);
    }
    assert_eq!(app.until(async || of("open").await).await.failures, 5);
}

#[tokio::test]
async fn requests_are_counted_by_whose_fault_they_are() {
    let mut setup = Setup::new().await;
    setup.key("sk-ap-one-request-per-minute", |key| key.requests_per_minute = Some(1));
    let app = setup.start().await;
    for (_, request) in operations(KEY) {
        assert_eq!(app.call(request).await.status, 200);
    }
    app.one.script(Rule::once("audio/speech", Fault { status: Some(500), ..Fault::default() }));
    assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 502);
    app.one.script(Rule::once("audio/speech", Fault { cut_after_bytes: Some(10_000), ..Fault::default() }));
    assert!(!app.call(speech(KEY, "tts", &"Hello ".repeat(100))).await.whole);
    assert_eq!(app.call(speech(KEY, "no-such-model", "Hello")).await.status, 404);
    assert_eq!(app.call(speech("sk-ap-nobody", "tts", "Hello")).await.status, 401);
    assert_eq!(app.call(speech("sk-ap-one-request-per-minute", "tts", "Hello")).await.status, 200);
    assert_eq!(app.call(speech("sk-ap-one-request-per-minute", "tts", "Hello")).await.status, 429);
    assert_eq!(app.call(crate::helpers::get("/v1/models", KEY)).await.status, 200, "it asks nobody for anything");
    assert_eq!(app.refused("model=live", KEY).await.0, 101);

    // A test may run over a minute's end, and the rows of one count with those of the next.
    let counted = app.until(async || {
        let rows = request_minute::Entity::find().all(&app.gateway.database).await.unwrap();
        (rows.iter().map(|row| row.requests).sum::<i64>() == 12).then_some(rows)
    });
    let rows = counted.await;
    let sum = |operation: &str, provider: &str| {
        let of = rows.iter().filter(|row| row.operation == operation && row.provider == provider);
        of.fold([0; 6], |sum, row| {
            let row =
                [row.requests, row.client_errors, row.refused, row.upstream_errors, row.gateway_errors, row.ttfb_count];
            std::array::from_fn(|at| sum[at] + row[at])
        })
    };
    for operation in ["transcription", "translation", "chat", "embeddings"] {
        assert_eq!(sum(operation, "one"), [1, 0, 0, 0, 0, 1], "{operation}");
    }
    assert_eq!(sum("realtime", "one"), [1, 0, 0, 0, 0, 0]);
    assert_eq!(sum("speech", "one"), [4, 0, 0, 2, 0, 3], "one failed before it began, and one after");
    assert_eq!(sum("speech", ""), [2, 1, 1, 0, 0, 0], "no provider was asked");
    assert_eq!(sum("", ""), [1, 1, 0, 0, 0, 0], "nobody knows whose it was");
    assert!(rows.iter().all(|row| row.tenant_id.is_some() != row.operation.is_empty()));
    let spread = rows.iter().all(|row| row.ttfb_le_100 <= row.ttfb_le_300 && row.ttfb_le_3000 <= row.ttfb_le_10000);
    assert!(spread && rows.iter().map(|row| row.ttfb_le_10000).sum::<i64>() == 7, "{rows:?}");
}
