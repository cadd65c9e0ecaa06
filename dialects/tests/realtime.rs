//! Realtime sessions that pass through: names, policy, usage.

use dialects::contract::{Action, Flow, RealtimeDialect, TurnUsage};
use dialects::openai::realtime::{Passthrough, PassthroughConfig};
use serde_json::{Value, json};

use crate::golden::fixture;

fn session(transcription: bool) -> Passthrough {
    Passthrough::new(PassthroughConfig {
        asked_model: "voice".to_owned(),
        wire_model: "deployment-7".to_owned(),
        transcription,
        transcription_models: vec![("scribe".to_owned(), "whisper-1".to_owned())],
    })
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
    let expected = TurnUsage { usage: Default::default(), model: None, completed: false, reported: false };
    assert_eq!(upstream(&mut session, cancelled).1, [Action::Used(expected)]);
}

#[test]
fn input_transcription_is_counted_for_the_model_in_force() {
    let mut session = session(false);
    let update = r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"scribe"}}}}}"#;
    client(&mut session, update);
    client(
        &mut session,
        r#"{"type":"session.update","session":{"model":"other","audio":{"input":{"transcription":null}}}}"#,
    );
    let done = r#"{"type":"conversation.item.input_audio_transcription.completed","transcript":"Hi","usage":{"type":"duration","seconds":2.5}}"#;
    let (flow, actions) = upstream(&mut session, done);
    assert_eq!(flow, Flow::Forward);
    let [Action::Used(turn)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((turn.usage.audio_in_ms, turn.model.as_deref(), turn.reported), (2500, Some("whisper-1"), true));
}

#[test]
fn a_transcription_session_gets_the_model_of_its_url_once() {
    let mut session = session(true);
    let update = r#"{"type":"session.update","session":{"type":"transcription"}}"#;
    let (flow, actions) = client(&mut session, update);
    assert_eq!(flow, Flow::Replace);
    assert_eq!(only(&actions)["session"]["audio"]["input"]["transcription"]["model"], "deployment-7");
    assert_eq!(client(&mut session, update).0, Flow::Forward, "later updates keep what is set");
}

#[test]
fn errors_of_the_provider_pass_without_credentials() {
    let mut session = session(false);
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Incorrect API key provided: sk-abc123456"}}"#;
    let (flow, actions) = upstream(&mut session, error);
    assert_eq!(flow, Flow::Replace);
    assert_eq!(only(&actions)["error"]["message"], "Incorrect API key provided: [redacted]");
    let plain = r#"{"type":"error","error":{"message":"no"}}"#;
    assert_eq!(upstream(&mut session, plain), (Flow::Forward, vec![]));
}
