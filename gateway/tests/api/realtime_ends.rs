//! Peers that stall, fall silent or vanish: a session ends with the code for it, and its slot is free.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use loadtest::upstream::{CloseWs, Fault, Rule};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::helpers::{KEY, Setup, TestApp, soon};
use crate::realtime_parts::{close_code, frame};

const CLEAR: &[u8] = b"{\"type\":\"input_audio_buffer.clear\"}";

/// A gateway on which the key may have one session: the next one opens only where the last is over.
async fn start(change: impl FnOnce(&mut gateway::settings::Timeouts)) -> TestApp {
    let mut setup = Setup::new().await;
    setup.key(KEY, |key| key.max_concurrent_sessions = Some(1));
    change(&mut setup.settings.timeouts);
    setup.start().await
}

fn once(app: &TestApp, fault: Fault) {
    app.one.script(Rule::once("realtime", fault));
}

/// The session is over, and the key has its slot again.
async fn assert_free(app: &TestApp) {
    app.no_session_left().await;
    assert!(app.realtime("model=live", KEY).await.is_ok(), "the slot is free");
}

/// A client that takes nothing while more comes than sockets hold: the provider's next event waits.
async fn stalled(app: &TestApp) -> TcpStream {
    once(app, Fault { huge_bytes: Some(15 * 1024 * 1024), ..Fault::default() });
    let mut stream = app.raw_realtime().await;
    stream.write_all(&frame(0x81, true, CLEAR)).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_does_not_read_is_1008_after_the_write_deadline() {
    let app = start(|timeouts| timeouts.write = Duration::from_millis(1500)).await;
    let mut stream = stalled(&app).await;
    app.no_session_left().await;
    assert_eq!(close_code(&mut stream).await, 1008, "it learns why, behind what it had not read");
    assert_free(&app).await;
}

#[tokio::test]
async fn a_revoked_key_does_not_keep_its_session_by_not_reading() {
    let app = start(|timeouts| timeouts.write = Duration::from_secs(600)).await;
    let mut stream = stalled(&app).await;
    soon(async {
        // The huge event has passed as soon as the small one is asked for.
        while app.one.counts().of("realtime").frames_in == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    swap_snapshot(&app.gateway, Snapshot::default());
    app.no_session_left().await;
    assert_eq!(close_code(&mut stream).await, 1008);
}

#[tokio::test]
async fn a_provider_that_does_not_read_is_1013() {
    let app = start(|timeouts| timeouts.write = Duration::from_millis(200)).await;
    once(&app, Fault { hang: true, ..Fault::default() });
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    let (mut sink, mut stream) = session.socket.split();
    let append = json!({"type": "input_audio_buffer.append", "audio": "A".repeat(1024 * 1024)}).to_string();
    let pushing = async { while sink.send(Message::text(append.clone())).await.is_ok() {} };
    let closed = async {
        loop {
            if let Some(Ok(Message::Close(Some(frame)))) = soon(stream.next()).await {
                return u16::from(frame.code);
            }
        }
    };
    let pushing = async {
        pushing.await;
        std::future::pending().await
    };
    let code = tokio::select! { code = closed => code, () = pushing => 0 };
    assert_eq!(code, 1013);
    assert_free(&app).await;
}

#[tokio::test]
async fn a_client_that_misses_two_pings_is_dead() {
    let app = start(|timeouts| timeouts.ping = Duration::from_millis(50)).await;
    let stream = app.raw_realtime().await;
    assert_free(&app).await;
    drop(stream);
}

#[tokio::test]
async fn a_provider_that_misses_two_pings_is_1011_and_a_client_that_answers_lives() {
    let app = start(|timeouts| timeouts.ping = Duration::from_millis(50)).await;
    once(&app, Fault { hang: true, ..Fault::default() });
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    assert_eq!(session.closed().await, 1011);
    assert_free(&app).await;
}

#[tokio::test]
async fn the_provider_s_close_is_relayed_and_its_vanishing_is_1011() {
    let app = start(|_| {}).await;
    let codes = [(1000, 1000), (1001, 1001), (1008, 1008), (1012, 1012), (1013, 1013), (3000, 3000), (4001, 4001)];
    for (sent, seen) in codes.into_iter().chain([(1005, 1011), (1006, 1011)]) {
        let close_ws = Some(CloseWs { code: sent, reason: "because".to_owned(), after_frames: 1 });
        once(&app, Fault { close_ws, ..Fault::default() });
        let mut session = app.realtime("model=live", KEY).await.unwrap();
        session.say(&json!({"type": "input_audio_buffer.clear"})).await;
        let (code, reason) = session.farewell().await;
        assert_eq!(code, seen, "{sent}");
        assert_eq!(reason == "because", sent == seen, "{sent}: {reason}");
        app.no_session_left().await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_frees_its_slot() {
    let app = start(|_| {}).await;
    let mut session = app.realtime("model=live", KEY).await.unwrap();
    session.until("session.created").await;
    session.vanish();
    assert_free(&app).await;
}

#[tokio::test]
async fn a_browser_s_key_comes_in_a_subprotocol_and_the_other_one_is_answered() {
    let app = start(|_| {}).await;
    let mut request = format!("ws://{}/v1/realtime?model=live", app.address).into_client_request().unwrap();
    let offered = format!("realtime, openai-insecure-api-key.{KEY}, openai-beta.realtime-v1");
    request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
    let (socket, response) = soon(tokio_tungstenite::client_async(request, app.connect().await)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "realtime", "a browser fails on any other");
    drop(socket);
    assert_free(&app).await;
    assert_eq!(app.one.counts().violations, Vec::<String>::new(), "the key went no further");
}
