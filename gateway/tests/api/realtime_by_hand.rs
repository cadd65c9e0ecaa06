//! Sessions at a provider whose every step a test takes itself.

use domain::usage::{UsageSource, UsageStatus};
use futures_util::{SinkExt, StreamExt};
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::helpers::{KEY, Realtime, Setup, TestApp, soon, target};
use crate::realtime_parts::{frame, read_frame};

/// The provider's side.
struct ByHand(TcpListener);

impl ByHand {
    /// A gateway whose model `by-hand` is here.
    async fn start(change: impl FnOnce(&mut Setup)) -> (TestApp, Self) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut setup = Setup::new().await;
        setup.provider("hand", &format!("http://{}/v1", listener.local_addr().unwrap()));
        setup.route("by-hand", vec![target("hand", "gpt-realtime-2.1", 0)]);
        change(&mut setup);
        (setup.start().await, Self(listener))
    }

    /// A gateway that knocks and is not answered yet.
    async fn knock(&self) -> TcpStream {
        soon(self.0.accept()).await.unwrap().0
    }

    /// A session, and the provider's side of it.
    async fn session(&self, app: &TestApp) -> (Realtime, WebSocketStream<TcpStream>) {
        let answering = async { soon(accept_async(self.knock().await)).await.unwrap() };
        let (session, mut provider) = tokio::join!(app.realtime("model=by-hand", KEY), answering);
        let mut session = session.unwrap();
        tell(&mut provider, json!({"type": "session.created", "session": {"type": "realtime"}})).await;
        session.until("session.created").await;
        (session, provider)
    }
}

async fn tell(provider: &mut WebSocketStream<TcpStream>, event: Value) {
    provider.send(Message::text(event.to_string())).await.unwrap();
}

/// The next event that reaches the provider.
async fn told(provider: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        match soon(provider.next()).await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(text.as_str()).unwrap(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("no event came, but {other:?}"),
        }
    }
}

/// A response that has begun and has spoken.
async fn begin(session: &mut Realtime, provider: &mut WebSocketStream<TcpStream>) {
    session.say(&json!({"type": "response.create"})).await;
    assert_eq!(told(provider).await["type"], "response.create");
    tell(provider, json!({"type": "response.created", "response": {}})).await;
    // A tenth of a second: 4800 bytes are 6400 characters of base64.
    tell(provider, json!({"type": "response.output_audio.delta", "delta": "A".repeat(6400)})).await;
    session.until("response.output_audio.delta").await;
}

#[tokio::test]
async fn a_response_that_is_asked_for_by_model_is_noted_and_waited_for_like_any_other() {
    let (app, hand) = ByHand::start(|_| {}).await;
    let (mut session, mut provider) = hand.session(&app).await;
    let id = session.id;
    session.say(&json!({"type": "response.create", "response": {"model": "by-hand"}})).await;
    assert_eq!(told(&mut provider).await["response"]["model"], "gpt-realtime-2.1");
    assert_eq!(app.noted(id), 1, "a kill would leave a record");
    drop(session);
    let cancel = told(&mut provider).await;
    assert_eq!(cancel["type"], "response.cancel");
    // It came too early, which does not mean that nothing will be made.
    tell(&mut provider, json!({"type": "error", "error": {"code": "x", "event_id": cancel["event_id"]}})).await;
    tell(&mut provider, json!({"type": "response.created", "response": {}})).await;
    let usage = json!({"input_tokens": 12, "output_tokens": 6, "input_token_details": {"text_tokens": 12},
        "output_token_details": {"text_tokens": 6}});
    tell(&mut provider, json!({"type": "response.done", "response": {"status": "cancelled", "usage": usage}})).await;
    let records = app.records_of(KEY, id).await;
    assert_eq!((records.len(), records[0].status), (1, UsageStatus::ClientClosed));
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(12 * 4000 + 6 * 16_000));
}

#[tokio::test]
async fn a_response_that_the_gateway_cuts_is_stopped_at_the_provider_first() {
    let (app, hand) = ByHand::start(|_| {}).await;
    let (mut session, mut provider) = hand.session(&app).await;
    begin(&mut session, &mut provider).await;
    swap_snapshot(&app.gateway, Snapshot::default());
    assert_eq!(told(&mut provider).await["type"], "response.cancel");
}

#[tokio::test]
async fn an_utterance_that_the_provider_ends_itself_is_noted_and_billed_as_the_confirmed_model() {
    let (app, hand) = ByHand::start(|_| {}).await;
    let (mut session, mut provider) = hand.session(&app).await;
    let committed = |item: &str| json!({"type": "input_audio_buffer.committed", "item_id": item});
    tell(&mut provider, committed("item_1")).await;
    session.until("input_audio_buffer.committed").await;
    assert_eq!(app.noted(session.id), 0, "nothing is transcribed yet");
    let input = json!({"transcription": {"model": "whisper-1"}});
    tell(&mut provider, json!({"type": "session.updated", "session": {"audio": {"input": input}}})).await;
    tell(&mut provider, committed("item_2")).await;
    session.until("input_audio_buffer.committed").await;
    assert_eq!(app.noted(session.id), 1, "a kill would leave a record");
    // Neither what the client asks for nor the end of the transcription changes what is owed.
    let input = json!({"transcription": {"model": "gpt-4o-mini-transcribe"}});
    session.say(&json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": input}}})).await;
    assert_eq!(told(&mut provider).await["type"], "session.update");
    let off = json!({"type": "session.updated", "session": {"audio": {"input": {"transcription": null}}}});
    tell(&mut provider, off).await;
    let completed = "conversation.item.input_audio_transcription.completed";
    let usage = json!({"type": "duration", "seconds": 0.5});
    tell(&mut provider, json!({"type": completed, "item_id": "item_2", "transcript": "Hi", "usage": usage})).await;
    session.until(completed).await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((records.len(), records[0].model_served.as_str()), (1, "whisper-1"));
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(50_000));
}

#[tokio::test]
async fn a_provider_cannot_repeat_our_credential() {
    let (app, hand) = ByHand::start(|setup| setup.credential("hand", "a-tired-horse")).await;
    let (mut session, mut provider) = hand.session(&app).await;
    let error = json!({"code": "x", "message": "Who is a-tired-horse?", "param": "a-tired-horse"});
    tell(&mut provider, json!({"type": "error", "error": error})).await;
    let seen = session.until("error").await["error"].take();
    assert_eq!(seen, json!({"code": "x", "message": "Who is …?", "param": "…"}));
    let goodbye = CloseFrame { code: CloseCode::from(3000), reason: "No a-tired-horse here".into() };
    provider.close(Some(goodbye)).await.unwrap();
    assert_eq!(session.farewell().await, (3000, "No … here".to_owned()));
}

#[tokio::test]
async fn a_provider_s_message_that_cannot_be_taken_is_1011_and_what_was_made_is_recorded() {
    let too_long = frame(0x81, false, &vec![b' '; 17 * 1024 * 1024]);
    let not_utf_8 = frame(0x81, false, b"{\"type\":\"\xff\"}");
    for bytes in [too_long, not_utf_8] {
        let (app, hand) = ByHand::start(|_| {}).await;
        let (mut session, mut provider) = hand.session(&app).await;
        begin(&mut session, &mut provider).await;
        let mut stream = provider.into_inner();
        let sending = tokio::spawn(async move {
            // The gateway may hang up before it has taken the last byte.
            drop(stream.write_all(&bytes).await);
            read_frame(&mut stream).await.0
        });
        assert_eq!(session.closed().await, 1011);
        let records = app.records_of(KEY, session.id).await;
        assert_eq!((records.len(), records[0].status), (1, UsageStatus::UpstreamError));
        assert_eq!((records[0].usage_source, records[0].usage.audio_out_ms), (UsageSource::Estimated, 100));
        app.no_session_left().await;
        sending.abort();
    }
}

#[tokio::test]
async fn a_session_counts_from_before_its_provider_is_asked() {
    let (app, hand) = ByHand::start(|setup| setup.settings.limits.max_sessions = 1).await;
    let others = async {
        let waiting = hand.knock().await;
        assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()));
        drop(waiting);
    };
    let (first, ()) = tokio::join!(app.refused("model=by-hand", KEY), others);
    assert_eq!(first, (502, "upstream_error".to_owned()));
    assert_eq!(app.refused("model=live", KEY).await.0, 101, "its place is free");
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_provider_is_asked_opens_no_session() {
    let (app, hand) = ByHand::start(|_| {}).await;
    let revoking = async {
        let waiting = hand.knock().await;
        swap_snapshot(&app.gateway, Snapshot::default());
        soon(accept_async(waiting)).await.unwrap()
    };
    let (refused, provider) = tokio::join!(app.refused("model=by-hand", KEY), revoking);
    assert_eq!(refused, (401, "invalid_api_key".to_owned()));
    app.no_session_left().await;
    drop(provider);
}
