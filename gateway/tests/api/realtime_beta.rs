//! Clients that speak the older shapes of the Realtime language, at a provider that serves the present ones.

use serde_json::json;

use crate::helpers::{KEY, TestApp};

const OLDER: &[(&str, &str)] = &[("openai-beta", "realtime=v1")];

#[tokio::test]
async fn a_turn_is_asked_and_told_in_the_older_shapes() {
    let app = TestApp::new().await;
    let mut session = app.realtime_with("model=live", KEY, OLDER).await.unwrap();
    let created = session.until("session.created").await;
    assert_eq!(created["session"]["modalities"], json!(["text", "audio"]), "{created}");
    assert_eq!(created["session"]["model"], "live");
    assert!(created["session"].get("audio").is_none(), "nothing stands in a place that the client does not know");
    let flat = json!({"voice": "cedar", "input_audio_format": "g711_ulaw", "turn_detection": null, "temperature": 0.7});
    session.say(&json!({"type": "session.update", "session": flat})).await;
    let updated = session.until("session.updated").await;
    assert_eq!(updated["session"]["voice"], "cedar", "{updated}");
    assert_eq!(updated["session"]["input_audio_format"], "g711_ulaw");
    session.say(&json!({"type": "response.create", "response": {"modalities": ["text", "audio"]}})).await;
    let mut kinds = Vec::new();
    let done = loop {
        let event = session.event().await;
        kinds.push(event["type"].as_str().unwrap().to_owned());
        if kinds.last().is_some_and(|kind| kind == "response.done") {
            break event;
        }
    };
    assert!(kinds.iter().any(|kind| kind == "response.audio.delta"), "{kinds:?}");
    assert!(kinds.iter().any(|kind| kind == "conversation.item.created"), "{kinds:?}");
    let present = |kind: &String| kind.contains("output_audio") || kind == "conversation.item.added";
    assert!(!kinds.iter().any(present), "no name that came later: {kinds:?}");
    assert_eq!(done["response"]["modalities"], json!(["text", "audio"]), "{done}");
    assert_eq!(done["response"]["output_audio_format"], "pcm16");
    let records = app.records_of(KEY, session.id).await;
    assert_eq!(records.len(), 1, "it is billed like any other");
    assert!(records[0].cost.is_some());
    assert_eq!(app.one.counts().violations, Vec::<String>::new(), "the provider was asked in the present shapes");
}

#[tokio::test]
async fn a_refusal_of_the_gateway_names_the_older_field() {
    let app = TestApp::new().await;
    let mut session = app.realtime_with("model=live", KEY, OLDER).await.unwrap();
    session.until("session.created").await;
    let transcription = json!({"input_audio_transcription": {"model": "nobody"}});
    session.say(&json!({"type": "session.update", "session": transcription})).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["param"], "session.input_audio_transcription.model", "{error}");
}

#[tokio::test]
async fn a_browser_asks_for_the_older_shapes_by_a_subprotocol() {
    let app = TestApp::new().await;
    let protocols = format!("realtime, openai-insecure-api-key.{KEY}, openai-beta.realtime-v1");
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    let mut session = app.realtime_with("model=live", "", &headers).await.unwrap();
    assert!(session.until("session.created").await["session"].get("modalities").is_some());
}
