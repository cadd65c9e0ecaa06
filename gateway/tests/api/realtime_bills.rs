//! What a session's turns are billed when the provider does not say what they used, or is cut short.

use domain::usage::{UsageSource, UsageStatus};
use futures_util::future::join_all;
use gateway::snapshot::Snapshot;
use gateway::startup::swap_snapshot;
use loadtest::upstream::{CloseWs, Fault, Rule};
use serde_json::json;

use crate::helpers::{KEY, Realtime, TestApp};

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const COMMITTED: &str = "input_audio_buffer.committed";

async fn open(app: &TestApp, query: &str, fault: Fault) -> Realtime {
    app.one.script(Rule::once("realtime", fault));
    let mut session = app.realtime(query, KEY).await.unwrap();
    session.until("session.created").await;
    session
}

/// Half a second of silence at 24 kHz: 24 000 bytes are 32 000 characters of base64.
async fn speak(session: &mut Realtime) {
    session.say(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(32_000)})).await;
    session.say(&json!({"type": "input_audio_buffer.commit"})).await;
}

async fn transcribe(session: &mut Realtime) {
    let input = json!({"transcription": {"model": "whisper-1"}, "turn_detection": null});
    let update = json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}});
    session.say(&update).await;
    session.until("session.updated").await;
}

#[tokio::test]
async fn a_turn_whose_tokens_nobody_counted_is_unpriced_and_not_free() {
    let app = TestApp::new().await;
    let mut session = open(&app, "model=live", Fault { no_usage: true, ..Fault::default() }).await;
    speak(&mut session).await;
    session.until(COMMITTED).await;
    session.say(&json!({"type": "response.create"})).await;
    session.until("response.done").await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((records.len(), records[0].cost), (1, None));
    assert_eq!((records[0].usage_source, records[0].status), (UsageSource::Estimated, UsageStatus::Ok));
    assert_eq!((records[0].usage.audio_in_ms, records[0].usage.audio_out_ms), (500, 1000), "the audio that passed");
}

#[tokio::test]
async fn a_transcript_without_usage_is_billed_for_the_audio_that_passed() {
    let app = TestApp::new().await;
    let mut session = open(&app, "intent=transcription", Fault { no_usage: true, ..Fault::default() }).await;
    transcribe(&mut session).await;
    speak(&mut session).await;
    session.until(COMPLETED).await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((records.len(), records[0].cost.map(|cost| cost.0)), (1, Some(50_000)), "half a second");
    assert_eq!(records[0].usage_source, UsageSource::Estimated);
}

#[tokio::test]
async fn a_turn_that_is_cut_short_leaves_a_record_that_says_who_cut_it() {
    let cuts = [UsageStatus::ClientClosed, UsageStatus::EndedByPolicy, UsageStatus::UpstreamError];
    join_all(cuts.map(cut_short)).await;
}

async fn cut_short(status: UsageStatus) {
    let app = TestApp::new().await;
    let stall_before = Some("response.output_audio.done".to_owned());
    let dies = CloseWs { code: 1006, reason: String::new(), after_frames: 2 };
    let close_ws = (status == UsageStatus::UpstreamError).then_some(dies);
    // It stops when it is told to, and does not say what it has used.
    let fault = Fault { stall_before, close_ws, no_usage: true, ..Fault::default() };
    let mut session = open(&app, "model=live", fault).await;
    session.say(&json!({"type": "response.create"})).await;
    session.until("response.output_audio.delta").await;
    // The key is gone when one of the records is asked for.
    let (id, key) = (session.id, app.key_id(KEY));
    match status {
        UsageStatus::ClientClosed => drop(session),
        UsageStatus::EndedByPolicy => {
            swap_snapshot(&app.gateway, Snapshot::default());
            assert_eq!(session.closed().await, 1008);
        }
        _ => {
            session.say(&json!({"type": "input_audio_buffer.clear"})).await;
            assert_eq!(session.closed().await, 1011);
        }
    }
    let records = app.records_of_key(key, id).await;
    assert_eq!((records.len(), records[0].status, records[0].cost), (1, status, None));
    assert_eq!(records[0].usage_source, UsageSource::Estimated);
    assert!(records[0].usage.audio_out_ms >= 100, "what was delivered: {:?}", records[0].usage);
}

#[tokio::test]
async fn an_utterance_whose_transcript_never_comes_is_billed_when_the_session_ends() {
    let app = TestApp::new().await;
    let fault = Fault { stall_before: Some(COMPLETED.to_owned()), ..Fault::default() };
    let mut session = open(&app, "intent=transcription", fault).await;
    transcribe(&mut session).await;
    speak(&mut session).await;
    session.until("conversation.item.input_audio_transcription.delta").await;
    let id = session.id;
    drop(session);
    let records = app.records_of(KEY, id).await;
    assert_eq!((records.len(), records[0].status), (1, UsageStatus::ClientClosed));
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(50_000), "half a second at the session's price");
}

#[tokio::test]
async fn a_session_in_which_nothing_was_made_leaves_no_record() {
    let app = TestApp::new().await;
    let mut session = open(&app, "model=live", Fault::default()).await;
    speak(&mut session).await;
    session.until(COMMITTED).await;
    let (id, key) = (session.id, app.key_id(KEY));
    session.socket.close(None).await.unwrap();
    assert_eq!(session.closed().await, 1000);
    app.no_session_left().await;
    app.gateway.ledger.flush().await;
    let records = gateway::repositories::usage::find_by_request(&app.gateway.database, key, id).await.unwrap();
    assert!(records.is_empty(), "{records:?}");
}

#[tokio::test]
async fn usage_that_arrives_when_the_client_is_gone_is_recorded_all_the_same() {
    let app = TestApp::new().await;
    // The turn is over only when the provider is told to stop.
    let fault = Fault { stall_before: Some("response.output_audio.done".to_owned()), ..Fault::default() };
    let mut session = open(&app, "model=live", fault).await;
    session.say(&json!({"type": "response.create"})).await;
    let id = session.id;
    session.until("response.output_audio.delta").await;
    session.vanish();
    let records = app.records_of(KEY, id).await;
    assert_eq!((records.len(), records[0].usage_source), (1, UsageSource::Reported));
    assert_eq!((records[0].status, records[0].cost.map(|cost| cost.0)), (UsageStatus::ClientClosed, Some(1_424_000)));
}

#[tokio::test]
async fn a_transcript_beside_a_conversation_that_never_comes_is_noted_and_billed_by_its_own_model() {
    let app = TestApp::new().await;
    let fault = Fault { stall_before: Some(COMPLETED.to_owned()), ..Fault::default() };
    let mut session = open(&app, "model=live", fault).await;
    let input = json!({"transcription": {"model": "whisper-1"}, "turn_detection": null});
    session.say(&json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": input}}})).await;
    session.until("session.updated").await;
    speak(&mut session).await;
    session.until("conversation.item.input_audio_transcription.delta").await;
    let id = session.id;
    assert_eq!(app.noted(id), 1, "a kill would leave a record");
    drop(session);
    let records = app.records_of(KEY, id).await;
    assert_eq!((records.len(), records[0].status), (1, UsageStatus::ClientClosed));
    assert_eq!(records[0].model_served, "whisper-1");
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(50_000), "half a second");
}
