//! Realtime sessions that pass through: names, policy, usage.

use dialects::contract::{Action, Flow, RealtimeDialect, TurnUsage};
use dialects::openai::realtime::{Passthrough, PassthroughConfig, Transcriber};
use serde_json::{Value, json};

use crate::golden::fixture;

fn session(transcription: bool) -> Passthrough {
    Passthrough::new(PassthroughConfig {
        asked_model: "voice".to_owned(),
        wire_model: "deployment-7".to_owned(),
        transcription,
        own_transcripts: false,
        transcription_models: vec![
            may("scribe", "whisper-1", false),
            may("cheap", "cheap-1", false),
            may("free", "free-1", true),
        ],
    })
}

fn may(asked: &str, wire: &str, refused_unpriced: bool) -> Transcriber {
    Transcriber { asked: asked.to_owned(), wire: wire.to_owned(), refused_unpriced }
}

/// The client asks for input transcription with this configuration.
fn ask(session: &mut Passthrough, transcription: Value) -> (Flow, Vec<Action>) {
    let input = json!({"transcription": transcription});
    client(session, &json!({"type": "session.update", "session": {"audio": {"input": input}}}).to_string())
}

/// The provider says what transcribes.
fn confirm(session: &mut Passthrough, kind: &str, transcription: Value) {
    let input = json!({"transcription": transcription});
    upstream(session, &json!({"type": kind, "session": {"audio": {"input": input}}}).to_string());
}

fn commit(session: &mut Passthrough, item: &str) {
    upstream(session, &json!({"type": "input_audio_buffer.committed", "item_id": item}).to_string());
}

/// The model that a transcript is billed for.
fn billed(session: &mut Passthrough, item: &str) -> String {
    let done = json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": item,
        "transcript": "Hi", "usage": {"type": "duration", "seconds": 2.5}});
    let (flow, actions) = upstream(session, &done.to_string());
    assert_eq!(flow, Flow::Forward);
    let [Action::Used(turn)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((turn.usage.audio_in_ms, turn.reported), (2500, true));
    turn.model.clone().unwrap()
}

#[test]
fn a_provider_that_hears_by_itself_may_be_told_any_transcriber_and_bills_none() {
    let mut agent = Passthrough::new(PassthroughConfig {
        asked_model: "voice".to_owned(),
        own_transcripts: true,
        ..PassthroughConfig::default()
    });
    for transcription in [json!({"model": "whatever"}), json!({"language": "en"}), Value::Null] {
        let (_, actions) = ask(&mut agent, transcription.clone());
        assert!(!actions.iter().any(|action| matches!(action, Action::ToClient(_))), "not refused: {transcription}");
        confirm(&mut agent, "session.updated", transcription);
        assert!(!agent.transcribes());
    }
    let done = json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": "i",
        "transcript": "Hi", "usage": {"type": "duration", "seconds": 2.5}});
    assert_eq!(upstream(&mut agent, &done.to_string()), (Flow::Forward, Vec::new()), "no account");
    let other = json!({"type": "session.update", "session": {"model": "another"}}).to_string();
    let (flow, refused) = client(&mut agent, &other);
    assert!(
        flow == Flow::Replace && matches!(&refused[..], [Action::ToClient(error)] if error.contains("not_allowed"))
    );
    for (source, estimated) in [(json!({"source": "estimated"}), true), (Value::Null, false)] {
        let usage = json!({"input_tokens": 3, "output_tokens": 4, "antiphon": source});
        let done = json!({"type": "response.done", "response": {"status": "completed", "usage": usage}});
        let (_, actions) = upstream(&mut agent, &done.to_string());
        let [Action::Used(turn)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!((turn.reported, turn.estimated), (true, estimated), "{usage}");
    }
}

fn client(session: &mut Passthrough, frame: &str) -> (Flow, Vec<Action>) {
    let mut actions = Vec::new();
    (session.client(frame, &mut actions), actions)
}

fn upstream(session: &mut Passthrough, frame: &str) -> (Flow, Vec<Action>) {
    let mut actions = Vec::new();
    (session.upstream(frame, &mut actions), actions)
}

fn only(actions: &[Action]) -> Value {
    match actions {
        [Action::ToClient(text) | Action::ToUpstream(text)] => serde_json::from_str(text).unwrap(),
        other => panic!("one event was expected: {other:?}"),
    }
}

#[test]
fn audio_and_unknown_events_pass_both_ways_as_they_are() {
    let mut session = session(false);
    for frame in [
        r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
        r#"{"event_id":"e","audio":{"type":"session.update"},"type":"input_audio_buffer.append"}"#,
        r#"{"type":"response.create"}"#,
        r#"{"type":"something.new","model":"x"}"#,
        r#"{"type":"session.update","session":{"type":"realtime","instructions":"Be kind."}}"#,
    ] {
        assert_eq!(client(&mut session, frame), (Flow::Forward, vec![]), "{frame}");
    }
    for frame in [r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#, "not json", r#"{"type":"new.event"}"#] {
        assert_eq!(upstream(&mut session, frame), (Flow::Forward, vec![]), "{frame}");
    }
}

#[test]
fn a_client_names_its_model_and_the_provider_its_own() {
    let mut session = session(false);
    let update = r#"{"type":"session.update","session":{"model":"voice","audio":{"input":{"transcription":{"model":"scribe"}}}}}"#;
    let (flow, actions) = client(&mut session, update);
    assert_eq!(flow, Flow::Replace);
    let sent = only(&actions);
    assert_eq!(sent["session"]["model"], "deployment-7");
    assert_eq!(sent["session"]["audio"]["input"]["transcription"]["model"], "whisper-1");
    let updated = sent.to_string().replace("session.update", "session.updated");
    let (flow, actions) = upstream(&mut session, &updated);
    assert_eq!(flow, Flow::Replace);
    let seen = only(&actions);
    assert_eq!(seen["session"]["model"], "voice");
    assert_eq!(seen["session"]["audio"]["input"]["transcription"]["model"], "scribe");
}

#[test]
fn a_model_the_key_lacks_is_refused_and_never_sent() {
    let cases = [
        (r#"{"type":"session.update","event_id":"e1","session":{"model":"other"}}"#, "session.model"),
        (
            r#"{"type":"session.update","event_id":"e1","session":{"audio":{"input":{"transcription":{"model":"other"}}}}}"#,
            "session.audio.input.transcription.model",
        ),
        (
            r#"{"type":"transcription_session.update","event_id":"e1","session":{"input_audio_transcription":{"model":"other"}}}"#,
            "session.input_audio_transcription.model",
        ),
        (r#"{"type":"response.create","event_id":"e1","response":{"model":"other"}}"#, "response.model"),
        (r#"{"typ\u0065":"session.upd\u0061te","event_id":"e1","session":{"mod\u0065l":"other"}}"#, "session.model"),
    ];
    for (frame, param) in cases {
        let (flow, actions) = client(&mut session(false), frame);
        assert_eq!(flow, Flow::Replace, "{frame}");
        assert!(matches!(actions.as_slice(), [Action::ToClient(_)]), "{actions:?}");
        let error = only(&actions);
        assert_eq!(error["type"], "error");
        assert_eq!(error["error"]["code"], "model_not_allowed");
        assert_eq!(error["error"]["param"], param);
        assert_eq!(error["error"]["event_id"], "e1");
    }
}

#[test]
fn what_is_no_event_or_has_two_types_is_refused() {
    for frame in [
        "",
        "[]",
        "hello",
        r#"{"audio":"x"}"#,
        r#"{"type":7}"#,
        r#"{"type":"input_audio_buffer.append","type":"session.update","session":{"model":"other"}}"#,
        r#"{"type":"input_audio_buffer.append","audio":"x"#,
    ] {
        let (flow, actions) = client(&mut session(false), frame);
        assert_eq!((flow, only(&actions)["error"]["code"].clone()), (Flow::Replace, json!("invalid_event")), "{frame}");
    }
}

#[test]
fn a_second_session_in_one_event_cannot_smuggle_a_model() {
    let frame = r#"{"type":"session.update","session":{"model":"other"},"session":{"type":"realtime"}}"#;
    let (flow, actions) = client(&mut session(false), frame);
    assert_eq!(flow, Flow::Replace);
    assert!(!format!("{actions:?}").contains("other"), "{actions:?}");
}

#[test]
fn every_turn_is_counted() {
    let mut session = session(false);
    let done = String::from_utf8(fixture("openai/realtime-response-done.json")).unwrap();
    let (flow, actions) = upstream(&mut session, &done);
    assert_eq!(flow, Flow::Forward);
    insta::assert_debug_snapshot!("realtime_response_done", actions);
    let cancelled = r#"{"type":"response.done","response":{"status":"cancelled","usage":null}}"#;
    let expected =
        TurnUsage { usage: Default::default(), model: None, completed: false, reported: false, estimated: false };
    assert_eq!(upstream(&mut session, cancelled).1, [Action::Used(expected)]);
}

#[test]
fn a_transcript_is_billed_for_the_model_that_the_provider_confirmed_and_not_for_the_one_asked_for() {
    let mut session = session(false);
    assert!(!session.transcribes());
    confirm(&mut session, "session.created", Value::Null);
    ask(&mut session, json!({"model": "scribe"}));
    assert!(!session.transcribes(), "the provider has not agreed");
    confirm(&mut session, "session.updated", json!({"model": "whisper-1"}));
    assert!(session.transcribes());
    ask(&mut session, json!({"model": "cheap"}));
    commit(&mut session, "item_1");
    assert_eq!(billed(&mut session, "item_1"), "whisper-1");
    assert_eq!(billed(&mut session, "item_of_nobody"), "whisper-1");
}

#[test]
fn a_late_transcript_is_billed_for_the_model_of_its_utterance() {
    let mut session = session(false);
    confirm(&mut session, "session.updated", json!({"model": "whisper-1"}));
    commit(&mut session, "item_1");
    confirm(&mut session, "session.updated", json!({"model": "cheap-1"}));
    commit(&mut session, "item_2");
    commit(&mut session, "item_3");
    ask(&mut session, Value::Null);
    confirm(&mut session, "session.updated", Value::Null);
    assert!(!session.transcribes());
    commit(&mut session, "item_4");
    assert_eq!(billed(&mut session, "item_2"), "cheap-1");
    assert_eq!(billed(&mut session, "item_1"), "whisper-1");
    assert_eq!(session.next_transcriber(), "cheap-1", "that of item_3");
}

#[test]
fn a_model_that_was_asked_for_serves_while_the_provider_names_none() {
    let mut session = session(false);
    assert_eq!(billed(&mut session, "item_1"), "unknown", "nobody has named one: it has no price");
    ask(&mut session, json!({"model": "scribe"}));
    // Refused as a whole: it names a model that the session does not have.
    let refused = json!({"model": "other", "audio": {"input": {"transcription": {"model": "cheap"}}}});
    client(&mut session, &json!({"type": "session.update", "session": refused}).to_string());
    assert_eq!(billed(&mut session, "item_2"), "whisper-1");
}

#[test]
fn only_so_many_utterances_are_remembered() {
    let mut session = session(false);
    confirm(&mut session, "session.updated", json!({"model": "whisper-1"}));
    commit(&mut session, "item_0");
    confirm(&mut session, "session.updated", json!({"model": "cheap-1"}));
    for item in 1..=256 {
        commit(&mut session, &format!("item_{item}"));
    }
    assert_eq!(session.next_transcriber(), "cheap-1", "the oldest is forgotten");
}

#[test]
fn the_choice_of_a_transcriber_is_never_left_to_the_provider() {
    let mut session = session(false);
    for unnamed in [json!({}), json!({"model": null}), json!({"language": "en"}), json!("whisper-1")] {
        let (flow, actions) = ask(&mut session, unnamed);
        assert_eq!((flow, only(&actions)["error"]["code"].clone()), (Flow::Replace, json!("invalid_request")));
        assert!(matches!(actions.as_slice(), [Action::ToClient(_)]), "{actions:?}");
    }
    confirm(&mut session, "session.updated", json!({"model": "whisper-1"}));
    let (_, actions) = ask(&mut session, json!({"language": "en"}));
    let sent = only(&actions)["session"]["audio"]["input"]["transcription"].clone();
    assert_eq!(sent, json!({"model": "whisper-1", "language": "en"}));
    confirm(&mut session, "session.updated", json!({"model": "the-provider-s-own-choice"}));
    let (_, actions) = ask(&mut session, json!({}));
    assert_eq!(only(&actions)["error"]["code"], "invalid_request", "the key may not use it");
    let twice = r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{},"transcription":null}}}}"#;
    let (flow, actions) = client(&mut session, twice);
    assert_eq!(
        (flow, only(&actions)["session"]["audio"]["input"].clone()),
        (Flow::Replace, json!({"transcription": null}))
    );
}

#[test]
fn a_transcriber_without_a_price_is_refused_where_the_key_refuses_such_models() {
    let mut session = session(false);
    let (flow, actions) = ask(&mut session, json!({"model": "free"}));
    assert_eq!(flow, Flow::Replace);
    assert!(matches!(actions.as_slice(), [Action::ToClient(_)]), "{actions:?}");
    assert_eq!(only(&actions)["error"]["code"], "model_unpriced");
}

#[test]
fn a_transcription_session_gets_the_model_of_its_url_once() {
    let mut session = session(true);
    let update = r#"{"type":"session.update","session":{"type":"transcription"}}"#;
    let (flow, actions) = client(&mut session, update);
    assert_eq!(flow, Flow::Replace);
    assert_eq!(only(&actions)["session"]["audio"]["input"]["transcription"]["model"], "deployment-7");
    let (_, actions) = client(&mut session, update);
    assert_eq!(only(&actions), serde_json::from_str::<Value>(update).unwrap(), "later updates keep what is set");
}

#[test]
fn errors_of_the_provider_pass_without_credentials() {
    let mut session = session(false);
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Incorrect API key provided: sk-abc123456"}}"#;
    let (flow, actions) = upstream(&mut session, error);
    assert_eq!(flow, Flow::Replace);
    assert_eq!(only(&actions)["error"]["message"], "Incorrect API key provided: [redacted]");
    let failed = json!({"type": "response.done", "response": {"status": "failed", "status_details":
        {"type": "failed", "error": {"code": "x", "message": "Bearer sk-abc123456 was refused"}}}});
    let (flow, actions) = upstream(&mut session, &failed.to_string());
    assert_eq!(flow, Flow::Replace);
    let [Action::Used(_), Action::ToClient(seen)] = actions.as_slice() else { panic!("{actions:?}") };
    assert!(seen.contains("was refused") && !seen.contains("abc123456"), "{seen}");
    let id = "0123456789abcdef0123456789abcdef";
    for place in ["response.output_item.done", "conversation.item.input_audio_transcription.failed"] {
        let event = json!({"type": place, "item": {"error": {"message": "key sk-abc123456", "event_id": id}}, "error": "sk-abc123456"});
        let (flow, actions) = upstream(&mut session, &event.to_string());
        assert_eq!(flow, Flow::Replace);
        let seen = only(&actions);
        assert_eq!(seen["item"]["error"], json!({"message": "key [redacted]", "event_id": id}));
        assert_eq!(seen["error"], "[redacted]");
    }
    let plain = r#"{"type":"error","error":{"message":"no"}}"#;
    assert_eq!(upstream(&mut session, plain), (Flow::Forward, vec![]));
}
