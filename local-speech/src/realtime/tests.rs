//! Sessions as a client sees them: through the channels, with real programs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::speech::{SpeechRequest, Voice};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::LocalSession;
use crate::{LocalLimits, LocalSpeech};

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const DELTA: &str = "conversation.item.input_audio_transcription.delta";

fn speech() -> LocalSpeech {
    let speech = LocalSpeech::detect(LocalLimits::default());
    assert_eq!(speech.missing(), [], "install flite, pocketsphinx and pocketsphinx-en-us");
    speech
}

async fn spoken(speech: &LocalSpeech, text: &str) -> Vec<u8> {
    let request = SpeechRequest {
        model: "local".into(),
        input: text.into(),
        voice: Voice::Name("slt".into()),
        instructions: None,
        response_format: Some(domain::audio::SpeechFormat::Pcm),
        speed: None,
        stream_format: None,
        extensions: Default::default(),
    };
    let mut body = speech.speak(&request).await.unwrap().body;
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend(part.unwrap());
    }
    bytes
}

async fn send(session: &LocalSession, event: Value) {
    session.to.send(event.to_string()).await.unwrap();
}

fn update(mut session: Value) -> Value {
    session["type"] = "transcription".into();
    json!({"type": "session.update", "session": session})
}

async fn append(session: &LocalSession, audio: &[u8]) {
    for part in audio.chunks(9_601) {
        let audio = STANDARD.encode(part);
        send(session, json!({"type": "input_audio_buffer.append", "audio": audio})).await;
    }
}

async fn receive(session: &mut LocalSession) -> Value {
    let text = tokio::time::timeout(std::time::Duration::from_secs(30), session.from.recv());
    serde_json::from_str(&text.await.unwrap().unwrap()).unwrap()
}

async fn until(session: &mut LocalSession, kind: &str) -> Vec<Value> {
    let mut events = vec![receive(session).await];
    while events.last().unwrap()["type"] != kind {
        events.push(receive(session).await);
    }
    events
}

#[tokio::test]
async fn a_spoken_turn_is_found_and_transcribed_in_the_order_of_the_protocol() {
    let speech = speech();
    let audio = spoken(&speech, "The weather is very nice in the city today.").await;
    let mut session = speech.open_transcription("local".into(), "a");
    assert_eq!(receive(&mut session).await["type"], "session.created");
    append(&session, &vec![0; 24_000]).await;
    append(&session, &audio).await;
    append(&session, &vec![0; 48_000]).await;
    let events = until(&mut session, COMPLETED).await;
    let order: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).filter(|kind| *kind != DELTA).collect();
    assert_eq!(
        order,
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            COMPLETED,
        ]
    );
    let completed = events.last().unwrap();
    let transcript = completed["transcript"].as_str().unwrap();
    assert!(transcript.contains("weather") && transcript.contains("city"), "{transcript}");
    assert_eq!(completed["usage"]["type"], "duration");
    let deltas: String = events.iter().filter(|e| e["type"] == DELTA).map(|e| e["delta"].as_str().unwrap()).collect();
    assert!(!deltas.is_empty());
    assert!(events.iter().all(|e| e["item_id"].is_null() || e["item_id"] == "item_a_1"));
}

#[tokio::test]
async fn a_manual_commit_in_g711_is_transcribed_and_the_session_ends_with_its_client() {
    let speech = speech();
    let audio = spoken(&speech, "The weather is very nice in the city today.").await;
    let mut down = audio::Resampler::new(domain::audio::PCM_24K, domain::audio::SampleRate(8000)).unwrap();
    let samples = down.push(&audio::encode::pcm16_samples(&audio)).unwrap();
    let ulaw: Vec<u8> = samples.into_iter().map(audio::g711::pcm16_to_ulaw).collect();
    let mut session = speech.open_transcription("local".into(), "b");
    send(
        &session,
        json!({"type": "session.update", "session": {"type": "transcription", "audio":
        {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": null}}}}),
    )
    .await;
    let updated = until(&mut session, "session.updated").await.pop().unwrap();
    let input = &updated["session"]["audio"]["input"];
    assert_eq!(input["format"], json!({"type": "audio/pcmu"}));
    assert!(input["turn_detection"].is_null());
    append(&session, &ulaw).await;
    send(&session, json!({"type": "input_audio_buffer.commit"})).await;
    let (closed, _) = tokio::sync::mpsc::channel(1);
    session.to = closed;
    let completed = until(&mut session, COMPLETED).await.pop().unwrap();
    assert!(completed["transcript"].as_str().unwrap().contains("weather"), "{completed}");
    assert!(session.from.recv().await.is_none());
}

#[tokio::test]
async fn bad_events_are_answered_with_their_id_and_the_session_stays_open() {
    let mut session = speech().open_transcription("local".into(), "c");
    receive(&mut session).await;
    session.to.send("{nonsense".into()).await.unwrap();
    assert_eq!(receive(&mut session).await["error"]["code"], "invalid_event");
    let cases = [
        (json!({"type": "response.create"}), "invalid_value"),
        (json!({"no": "type"}), "missing_required_parameter"),
        (json!({"type": "input_audio_buffer.append", "audio": "%%%"}), "invalid_value"),
        (json!({"type": "input_audio_buffer.commit"}), "input_audio_buffer_commit_empty"),
        (json!({"type": "session.update", "session": {"type": "realtime"}}), "invalid_value"),
        (update(json!({"audio": {"input": {"transcription": {"language": "de"}}}})), "invalid_value"),
        (update(json!({"audio": {"input": {"transcription": {"prompt": "a".repeat(5000)}}}})), "invalid_value"),
        (update(json!({"audio": {"input": {"transcription": {"model": ["a"]}}}})), "invalid_value"),
        (update(json!({"audio": {"input": {"transcription": {"notes": "a"}}}})), "unknown_parameter"),
        (update(json!({"audio": {"input": {"noise_reduction": {"type": "a".repeat(5000)}}}})), "invalid_value"),
        (update(json!({"include": ["a"]})), "invalid_value"),
    ];
    for (mut event, code) in cases {
        event["event_id"] = "mine".into();
        send(&session, event).await;
        let answer = receive(&mut session).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert_eq!(answer["error"]["event_id"], "mine");
    }
    send(&session, json!({"type": "input_audio_buffer.clear"})).await;
    assert_eq!(receive(&mut session).await["type"], "input_audio_buffer.cleared");
}

#[tokio::test]
async fn what_a_session_is_told_is_kept_where_it_is_known() {
    let mut session = speech().open_transcription("local".into(), "d");
    receive(&mut session).await;
    let input = json!({"noise_reduction": {"type": "near_field", "more": "a"},
        "transcription": {"model": "m", "language": "en-US", "prompt": "names"}});
    send(&session, update(json!({"audio": {"input": input}, "include": []}))).await;
    let input = receive(&mut session).await["session"]["audio"]["input"].take();
    assert_eq!(input["noise_reduction"], json!({"type": "near_field"}));
    assert_eq!(input["transcription"], json!({"model": "m", "language": "en-US", "prompt": "names"}));
    send(&session, update(json!({"audio": {"input": {"transcription": {"prompt": null}}}}))).await;
    let input = receive(&mut session).await["session"]["audio"]["input"].take();
    assert_eq!(input["transcription"], json!({"model": "m", "language": "en-US"}));
}

#[tokio::test]
async fn a_long_append_lets_others_have_their_turn() {
    let mut session = speech().open_transcription("local".into(), "e");
    receive(&mut session).await;
    // Ten seconds of silence in one event.
    let audio = STANDARD.encode(vec![0; 480_000]);
    send(&session, json!({"type": "input_audio_buffer.append", "audio": audio})).await;
    send(&session, json!({"type": "input_audio_buffer.clear"})).await;
    let mut turns = 0;
    while session.from.try_recv().is_err() {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert!(turns >= 10, "{turns}");
}
