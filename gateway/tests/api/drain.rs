//! A gateway that is told to stop.

use std::time::Duration;

use domain::usage::UsageStatus;
use entities::usage_record;
use gateway::repositories::usage::find_by_request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use loadtest::upstream::{Fault, Rule};
use sea_orm::EntityTrait;
use serde_json::json;

use crate::helpers::{KEY, Setup, TestApp, get, post_json, soon, speech};

/// So long that it does not fit between the provider and a client that has not begun to read.
const LONG: usize = 32 << 20;

async fn kept_alive(app: &TestApp) -> SendRequest<Full<bytes::Bytes>> {
    let io = TokioIo::new(app.connect().await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let first = soon(sender.send_request(get("/healthz", ""))).await.unwrap();
    assert!(first.headers().get("connection").is_none());
    drop(soon(first.into_body().collect()).await.unwrap());
    sender
}

/// Waits until the gateway has closed a connection.
async fn closed(connection: &SendRequest<Full<bytes::Bytes>>) {
    soon(async {
        while !connection.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_draining_gateway_finishes_what_it_began_and_takes_nothing_new() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.drain = Duration::from_secs(20);
    let mut app = setup.start().await;
    let mut used = kept_alive(&app).await;
    let idle = kept_alive(&app).await;
    app.one.script(Rule::once("audio/speech", Fault { bytes: Some(LONG), ..Fault::default() }));
    let under_way = app.open(speech(KEY, "tts", "A long story")).await;
    assert_eq!(app.call(get("/readyz", "")).await.status, 200);

    app.begin_drain();
    soon(app.gateway.refusing.cancelled()).await;
    let ready = app.call(get("/readyz", "")).await;
    assert_eq!((ready.status, &ready.json()["draining"]), (503, &true.into()));
    assert_eq!(app.call(get("/healthz", "")).await.status, 200, "it lives");
    for request in [speech(KEY, "tts", "Hello"), get("/v1/models", KEY), post_json("/v1/embeddings", "", &"".into())] {
        let refused = app.call(request).await;
        refused.assert_error(503, "overloaded");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(refused.header("connection"), "close");
    }
    assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()));

    // A connection that was open before may have one more answer.
    let last = soon(used.send_request(speech(KEY, "tts", "Hello"))).await.unwrap();
    assert_eq!((last.status().as_u16(), last.headers()["connection"].to_str().unwrap()), (200, "close"));
    assert!(!soon(last.into_body().collect()).await.unwrap().to_bytes().is_empty());
    closed(&used).await;

    let body = soon(under_way.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body.len(), LONG, "what was under way is heard to its end");
    app.ended().await;
    // It held nothing up; that it is gone is seen a moment later.
    closed(&idle).await;
    assert!(tokio::net::TcpStream::connect(app.address).await.is_err(), "nobody listens any more");
    assert_eq!(app.gateway.ledger.health().pending_records, 0, "every record is in the database");
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut_and_recorded() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.drain = Duration::from_millis(300);
    let mut app = setup.start().await;
    app.one.script(Rule::once("audio/speech", Fault { bytes: Some(1 << 30), ..Fault::default() }));
    let endless = app.open(speech(KEY, "tts", "An endless story")).await;
    let id = endless.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
    let listening = tokio::spawn(async move {
        let mut body = endless.into_body();
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(_)) => {}
            }
        }
    });
    app.begin_drain();
    app.ended().await;
    assert!(!soon(listening).await.unwrap(), "the client sees that it is cut");
    let key = app.gateway.snapshot.load().keys.values().next().unwrap().id;
    let records = find_by_request(&app.gateway.database, key, id).await.unwrap();
    assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [UsageStatus::EndedByPolicy]);
}

#[tokio::test]
async fn before_new_connections_are_refused_there_is_time_to_send_them_elsewhere() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.drain_delay = Duration::from_secs(3600);
    let mut app = setup.start().await;
    app.begin_drain();
    soon(app.gateway.draining.cancelled()).await;
    assert_eq!(app.call(get("/readyz", "")).await.status, 503);
    assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()), "sessions would be cut short");
    let served = app.call(speech(KEY, "tts", "Hello")).await;
    assert_eq!((served.status, served.header("connection")), (200, "close"));
    app.hurry();
    app.ended().await;
    assert!(tokio::net::TcpStream::connect(app.address).await.is_err());
}

#[tokio::test]
async fn a_session_goes_on_until_near_the_deadline() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.drain = Duration::from_secs(6);
    let mut app = setup.start().await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    app.begin_drain();
    soon(app.gateway.draining.cancelled()).await;
    session.say(&json!({"type": "response.create"})).await;
    session.until("response.done").await;
    let error = session.until("error").await;
    assert_eq!((&error["error"]["code"], &error["error"]["type"]), (&"server_draining".into(), &"server_error".into()));
    assert_eq!(session.closed_for().await, (1001, "the gateway is restarting".to_owned()));
    app.ended().await;
}

#[tokio::test]
async fn a_second_signal_ends_everything_at_once_and_loses_no_record() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.drain = Duration::from_secs(3600);
    let mut app = setup.start().await;
    app.one.script(Rule::once("audio/speech", Fault { bytes: Some(1 << 30), ..Fault::default() }));
    let mut endless = app.open(speech(KEY, "tts", "An endless story")).await.into_body();
    soon(endless.frame()).await.unwrap().unwrap();
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    app.begin_drain();
    soon(app.gateway.draining.cancelled()).await;
    app.hurry();
    assert_eq!(session.until("error").await["error"]["code"], "server_draining");
    assert_eq!(session.closed().await, 1001);
    app.ended().await;
    let in_journal = app.gateway.ledger.health().pending_records;
    let written = usage_record::Entity::find().all(&app.gateway.database).await.unwrap();
    assert_eq!(written.len() as u64 + in_journal, 1, "what was spoken is billed, now or at the next start");
}
