//! Vendors' own sessions: messages pass as they are both ways, and what they use is billed however they
//! end.

use std::time::Duration;

use bytes::Bytes;
use domain::ids::RequestId;
use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use domain::usage::{UsageSource, UsageStatus};
use futures_util::{SinkExt, StreamExt};
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::helpers::{KEY, SECRET, Said, Setup, SocketVendor, TestApp, Vendor, budget, post_json, soon};

/// A client's side of a vendor's session.
pub(crate) struct Session {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) id: RequestId,
    pub(crate) subprotocol: String,
}

impl Session {
    pub(crate) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message that is not about the connection.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            match soon(self.socket.next()).await.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The code and reason with which the gateway closes.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(_)) => {}
                _ => return (1006, String::new()),
            }
        }
    }
}

impl TestApp {
    /// Opens a session at a vendor's own path.
    pub(crate) async fn dial(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Session, Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = self.connect().await;
        let (socket, response) = soon(tokio_tungstenite::client_async(request, stream)).await?;
        let header =
            |name| response.headers().get(name).map_or("", |value: &http::HeaderValue| value.to_str().unwrap());
        let (id, subprotocol) = (header("x-request-id").parse().unwrap(), header("sec-websocket-protocol").to_owned());
        Ok(Session { socket, id, subprotocol })
    }

    /// Opens one with the usual key of Deepgram's SDK.
    async fn deepgram(&self, path: &str) -> Session {
        self.dial(&format!("/deepgram{path}"), &[("authorization", &format!("Token {KEY}"))]).await.unwrap()
    }

    /// A handshake that is refused: status, headers and body.
    pub(crate) async fn refusal(&self, path: &str, headers: &[(&'static str, &str)]) -> (u16, http::HeaderMap, Value) {
        match self.dial(path, headers).await {
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                (status, headers, serde_json::from_slice(&body).unwrap_or_default())
            }
            Err(other) => panic!("refused in another way: {other}"),
            Ok(_) => panic!("it was not refused"),
        }
    }
}

async fn start(change: impl FnOnce(&mut Setup)) -> (TestApp, SocketVendor) {
    let vendor = SocketVendor::start().await;
    let mut setup = Setup::new().await;
    for kind in [ProviderKind::Deepgram, ProviderKind::Elevenlabs] {
        setup.vendor(kind, kind.as_str(), &format!("http://{}", vendor.address));
        setup.vendor_price(kind, "aura-2", Operation::Speech, Unit::MillionCharacters, "30");
        setup.vendor_price(kind, "eleven_flash_v2_5", Operation::Speech, Unit::MillionCharacters, "40");
        for model in ["nova-3", "flux-general-en", "scribe_v2_realtime"] {
            setup.vendor_price(kind, model, Operation::Realtime, Unit::AudioMinute, "0.006");
        }
    }
    change(&mut setup);
    (setup.start().await, vendor)
}

const SPEAK: &str = "/v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=24000";
const LISTEN: &str = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000";

#[tokio::test]
async fn text_goes_to_the_vendor_sound_comes_back_and_the_characters_are_billed() {
    let (app, mut vendor) = start(|_| {}).await;
    let mut client = app.deepgram(SPEAK).await;
    let mut theirs = vendor.next().await;
    assert_eq!(theirs.target, SPEAK, "as the client wrote it");
    assert_eq!(theirs.headers["authorization"], format!("Token {SECRET}"));
    assert!(!format!("{:?}", theirs.headers).contains(KEY));
    for text in [r#"{"type":"Speak","text":"Grüße 👋"}"#, r#"{ "type" : "Flush" }"#] {
        client.say(text).await;
        assert_eq!(theirs.next().await, Some(Message::text(text)), "byte for byte");
    }
    theirs.say(Message::binary(vec![1, 2, 3])).await;
    theirs.say(Message::text(format!(r#"{{"type":"Flushed","note":"{SECRET}"}}"#))).await;
    assert_eq!(client.next().await, Message::binary(vec![1, 2, 3]));
    assert_eq!(client.next().await, Message::text(r#"{"type":"Flushed","note":"[redacted]"}"#));
    client.socket.close(None).await.unwrap();
    assert!(matches!(theirs.next().await, Some(Message::Close(_))));
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!((record.usage.characters, record.cost.unwrap().0), (7, 210_000));
    assert_eq!((record.status, record.usage_source), (UsageStatus::Ok, UsageSource::Measured));
    assert_eq!((record.model_asked.as_str(), record.operation), ("aura-2-thalia-en", Operation::Speech));
    assert!(record.session_id.is_some());
    app.no_session_left().await;
}

#[tokio::test]
async fn what_a_client_says_is_billed_by_its_length_and_the_vendor_s_goodbye_is_relayed() {
    let (app, mut vendor) = start(|_| {}).await;
    let mut client = app.deepgram(LISTEN).await;
    let mut theirs = vendor.next().await;
    client.socket.send(Message::binary(vec![0; 32_000])).await.unwrap();
    client.socket.send(Message::binary(Bytes::new())).await.unwrap();
    client.say(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(theirs.next().await.unwrap().len(), 32_000);
    assert_eq!(theirs.next().await, Some(Message::binary(Bytes::new())), "an empty one means something there");
    assert!(theirs.next().await.unwrap().is_text());
    let frame = CloseFrame { code: 1011.into(), reason: "NET-0000".into() };
    theirs.socket.close(Some(frame)).await.unwrap();
    assert_eq!(client.closed().await, (1011, "NET-0000".to_owned()));
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!((record.usage.audio_in_ms, record.cost.unwrap().0), (1_000, 100_000));
    assert_eq!(record.status, UsageStatus::UpstreamError);
}

#[tokio::test]
async fn nothing_of_ours_but_pings_reaches_a_vendor_and_both_sides_stay_alive_by_them() {
    let (app, mut vendor) = start(|setup| setup.settings.timeouts.ping = Duration::from_millis(30)).await;
    let mut client = app.deepgram("/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000").await;
    let mut theirs = vendor.next().await;
    let (mut pings, mut asked) = (0, 0);
    while pings < 5 || asked < 5 {
        tokio::select! {
            message = theirs.socket.next() => match message.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                other => panic!("the vendor got {other:?}"),
            },
            message = client.socket.next() => match message.unwrap().unwrap() {
                Message::Ping(_) => asked += 1,
                other => panic!("the client got {other:?}"),
            },
        }
    }
    assert_eq!(app.gateway.sessions.len(), 1);
}

#[tokio::test]
async fn browsers_keys_come_in_subprotocols_and_queries_and_go_no_further() {
    let (app, mut vendor) = start(|_| {}).await;
    let offered = format!("token, {KEY}");
    let client = app.dial(&format!("/deepgram{LISTEN}"), &[("sec-websocket-protocol", &offered)]).await.unwrap();
    assert_eq!(client.subprotocol, "token", "a browser insists on one of its own");
    let theirs = vendor.next().await;
    assert!(!format!("{:?} {}", theirs.headers, theirs.target).contains(KEY));
    let issued = app.call(post_json("/elevenlabs/v1/single-use-token/tts_websocket", KEY, &json!({}))).await.json();
    let token = issued["token"].as_str().unwrap();
    let path = "/v1/text-to-speech/v1/stream-input?model_id=eleven_flash_v2_5";
    for key in [format!("single_use_token={token}"), format!("authorization=Bearer%20{KEY}")] {
        let mut client = app.dial(&format!("/elevenlabs{path}&{key}"), &[]).await.unwrap();
        let mut theirs = vendor.next().await;
        assert_eq!((theirs.target.as_str(), theirs.headers["xi-api-key"].to_str().unwrap()), (path, SECRET));
        client.say(&json!({"text": " ", "xi_api_key": KEY, "voice_settings": {"speed": 1.0}}).to_string()).await;
        let Some(Message::Text(text)) = theirs.next().await else { panic!("no text") };
        let first: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(first, json!({"text": " ", "voice_settings": {"speed": 1.0}}));
    }
}

#[tokio::test]
async fn a_vendor_s_refusal_of_the_handshake_passes_and_ours_has_its_shape() {
    let http = Vendor::start().await;
    let (app, mut sessions) = start(|setup| {
        setup.vendor(ProviderKind::Deepgram, "deepgram", &http.base_url);
        setup.key("sk-ap-does-not-listen", |key| key.operations = vec![Operation::Speech]);
    })
    .await;
    let token = format!("Token {KEY}");
    let headers = [("authorization", token.as_str())];
    let said = json!({"err_code": "Bad Request", "err_msg": "no such encoding"});
    http.say(Said::whole(400, "application/json", said.to_string()).with("dg-error", "no such encoding"));
    let (status, told, body) = app.refusal(&format!("/deepgram{LISTEN}"), &headers).await;
    assert_eq!((status, told["dg-error"].to_str().unwrap(), body), (400, "no such encoding", said));
    http.say(Said::whole(401, "application/json", json!({"err_msg": SECRET}).to_string()));
    let (status, told, body) = app.refusal(&format!("/deepgram{LISTEN}"), &headers).await;
    assert_eq!((status, body["err_code"].as_str()), (502, Some("UPSTREAM_ERROR")));
    assert!(!told["dg-error"].to_str().unwrap().contains(SECRET));
    let (status, _, body) = app.refusal(&format!("/deepgram{LISTEN}"), &[]).await;
    assert_eq!((status, body["err_code"].as_str()), (401, Some("INVALID_AUTH")));
    let headers = [("authorization", "Token sk-ap-does-not-listen")];
    let (status, _, body) = app.refusal(&format!("/deepgram{LISTEN}"), &headers).await;
    assert_eq!((status, body["err_code"].as_str()), (403, Some("INSUFFICIENT_PERMISSIONS")));
    let (status, _, _) = app.refusal("/deepgram/v1/unheard-of", &[("authorization", &token)]).await;
    assert_eq!(status, 404);
    assert_eq!(app.call(crate::helpers::get("/deepgram/v1/listen", KEY)).await.status, 404, "no handshake, no session");
    assert_eq!(app.all_records().await.len(), 0);
    assert!(sessions.is_idle());
    app.no_session_left().await;
}

#[tokio::test]
async fn a_budget_ends_a_session_before_the_vendor_has_more_than_it_holds() {
    // 1000 characters at 30 USD a million.
    let (app, mut vendor) = start(|setup| setup.key(KEY, |key| key.budget = budget(30_000_000))).await;
    let mut client = app.deepgram(SPEAK).await;
    let mut theirs = vendor.next().await;
    let speak = |count: usize| json!({"type": "Speak", "text": "x".repeat(count)}).to_string();
    for count in [600, 390] {
        client.say(&speak(count)).await;
        assert!(theirs.next().await.unwrap().is_text());
    }
    client.say(&speak(11)).await;
    let Message::Text(event) = client.next().await else { panic!("it is told") };
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!((event["type"].as_str(), event["code"].as_str()), (Some("Error"), Some("BUDGET_EXCEEDED")));
    assert_eq!(client.closed().await.0, 1008);
    assert!(matches!(theirs.next().await, Some(Message::Close(_))), "the vendor never had the last text");
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!((record.usage.characters, record.cost.unwrap().0), (990, 29_700_000));
    assert_eq!(record.status, UsageStatus::EndedByPolicy);
}

#[tokio::test]
async fn a_revoked_key_and_a_drain_end_sessions_which_are_billed_for_what_they_used() {
    let (app, mut vendor) = start(|_| {}).await;
    let mut client = app.deepgram(LISTEN).await;
    let mut theirs = vendor.next().await;
    client.socket.send(Message::binary(vec![0; 3_200])).await.unwrap();
    theirs.next().await;
    swap_snapshot(&app.gateway, Snapshot::default());
    assert_eq!(client.closed().await.0, 1008);
    app.no_session_left().await;
    let record = app.all_records().await.remove(0);
    assert_eq!((record.audio_in_ms, record.status.as_str()), (100, "ended_by_policy"));

    let (mut app, mut vendor) = start(|_| {}).await;
    let mut client = app.deepgram(LISTEN).await;
    let mut theirs = vendor.next().await;
    client.socket.send(Message::binary(vec![0; 3_200])).await.unwrap();
    theirs.next().await;
    app.begin_drain();
    assert_eq!(client.closed().await.0, 1001);
    assert!(matches!(theirs.next().await, Some(Message::Close(_))));
    app.ended().await;
}

#[tokio::test]
async fn a_drain_is_told_in_the_vendor_s_shape() {
    let (mut app, mut vendor) = start(|_| {}).await;
    let path = "/elevenlabs/v1/text-to-speech/v1/stream-input?model_id=eleven_flash_v2_5";
    let mut client = app.dial(path, &[("xi-api-key", KEY)]).await.unwrap();
    let _theirs = vendor.next().await;
    app.begin_drain();
    let Message::Text(event) = client.next().await else { panic!("it is told") };
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event["error"], "server_draining", "{event}");
    assert_eq!(client.closed().await, (1001, "the gateway is restarting".to_owned()));
    app.ended().await;
}

#[tokio::test]
async fn an_administrator_ends_a_session_which_is_billed_for_what_it_used() {
    let (app, mut vendor) = start(|_| {}).await;
    let path = "/elevenlabs/v1/text-to-speech/v1/stream-input?model_id=eleven_flash_v2_5";
    let mut client = app.dial(path, &[("xi-api-key", KEY)]).await.unwrap();
    let mut theirs = vendor.next().await;
    client.say(r#"{"text":"Hello "}"#).await;
    theirs.next().await;
    app.terminate("misuse").await;
    let Message::Text(event) = client.next().await else { panic!("it is told") };
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!((event["error"].as_str(), event["code"].as_u64()), (Some("session_terminated"), Some(1008)));
    assert!(event["message"].as_str().unwrap().ends_with("misuse"), "{event}");
    assert_eq!(client.closed().await, (1008, "ended by an administrator: misuse".to_owned()));
    assert!(matches!(theirs.next().await, Some(Message::Close(_))));
    app.no_session_left().await;
    let record = app.records_of(KEY, client.id).await.remove(0);
    assert_eq!((record.usage.characters, record.status), (6, UsageStatus::EndedByPolicy));
}

#[tokio::test]
async fn a_session_in_which_nobody_speaks_ends_and_is_billed_for_nothing() {
    let (app, mut vendor) = start(|setup| setup.settings.limits.session_idle = Duration::from_millis(100)).await;
    let path = "/elevenlabs/v1/text-to-speech/v1/stream-input?model_id=eleven_flash_v2_5";
    let mut client = app.dial(path, &[("xi-api-key", KEY)]).await.unwrap();
    let mut theirs = vendor.next().await;
    let Message::Text(event) = client.next().await else { panic!("it is told") };
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!((event["error"].as_str(), event["code"].as_u64()), (Some("request_timeout"), Some(1008)));
    assert_eq!(client.closed().await.0, 1008);
    assert!(matches!(theirs.next().await, Some(Message::Close(_))));
    app.no_session_left().await;
    assert_eq!(app.all_records().await.len(), 0);
}

#[tokio::test]
async fn a_client_that_vanishes_is_billed_and_its_slot_is_free() {
    let (app, mut vendor) = start(|setup| setup.key(KEY, |key| key.max_concurrent_sessions = Some(1))).await;
    let mut client = app.deepgram(LISTEN).await;
    let mut theirs = vendor.next().await;
    client.socket.send(Message::binary(vec![0; 3_200])).await.unwrap();
    theirs.next().await;
    let headers = [("authorization", format!("Token {KEY}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (status, told, body) = app.refusal(&format!("/deepgram{LISTEN}"), &headers).await;
    assert_eq!((status, body["err_code"].as_str()), (429, Some("SESSION_LIMIT_EXCEEDED")));
    assert!(told.contains_key("retry-after"));
    let id = client.id;
    client.socket.get_ref().set_zero_linger().unwrap();
    drop(client);
    let record = app.records_of(KEY, id).await.remove(0);
    assert_eq!((record.usage.audio_in_ms, record.status), (100, UsageStatus::ClientClosed));
    app.no_session_left().await;
    app.deepgram(LISTEN).await;
}

#[tokio::test]
async fn a_session_at_an_unknown_path_needs_a_permission_and_has_no_price() {
    let (app, mut vendor) = start(|setup| setup.key("sk-ap-may-open-anything", |key| key.passthrough = true)).await;
    let headers = [("authorization", "Token sk-ap-may-open-anything")];
    let mut client = app.dial("/deepgram/v9/unheard-of?x=1", &headers).await.unwrap();
    let mut theirs = vendor.next().await;
    assert_eq!(theirs.target, "/v9/unheard-of?x=1");
    theirs.say(Message::text("hello")).await;
    assert_eq!(client.next().await, Message::text("hello"));
    client.socket.close(None).await.unwrap();
    let record = app.records_of("sk-ap-may-open-anything", client.id).await.remove(0);
    assert_eq!((record.cost, record.operation), (None, Operation::Passthrough));
}
