//! What holds whatever an agent sends.

use dialects::conversation::agent::{Incoming, Order, Said};
use dialects::conversation::setup::Setup;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Stage, setup, tool};

/// Frames that look like the vendor's more often than chance would.
fn frame() -> impl Strategy<Value = String> {
    let kinds = [
        ("ping", "ping_event"),
        ("conversation_initiation_metadata", "conversation_initiation_metadata_event"),
        ("vad_score", "vad_score_event"),
        ("tentative_user_transcript", "tentative_user_transcription_event"),
        ("user_transcript", "user_transcription_event"),
        ("agent_response", "agent_response_event"),
        ("agent_chat_response_part", "text_response_part"),
        ("agent_response_correction", "agent_response_correction_event"),
        ("agent_response_complete", "x"),
        ("interruption", "interruption_event"),
        ("client_tool_call", "client_tool_call"),
        ("agent_tool_response", "agent_tool_response"),
        ("audio", "audio_event"),
        ("error", "error_event"),
        ("new_event", "y"),
    ];
    let text = prop_oneof!["[a-z ]{0,6}", Just("AAAA".to_owned()), Just("pcm_16000".to_owned()), "\\PC{0,4}"];
    let value = prop_oneof![
        text.prop_map(Value::from),
        (0..5_u64).prop_map(Value::from),
        Just(json!(0.7)),
        Just(json!(u64::MAX)),
        Just(json!(-1)),
        Just(Value::Null),
        Just(json!({})),
        any::<bool>().prop_map(Value::from),
    ];
    let names = [
        "event_id",
        "vad_score",
        "user_transcript",
        "agent_response",
        "text",
        "type",
        "tool_name",
        "tool_call_id",
        "is_error",
        "audio_base_64",
        "agent_output_audio_format",
        "corrected_agent_response",
        "error_type",
        "code",
    ];
    let fields = prop::collection::btree_map(prop::sample::select(names.to_vec()), value, 0..8);
    let known = (prop::sample::select(kinds.to_vec()), fields)
        .prop_map(|((kind, payload), fields)| json!({"type": kind, payload: fields}).to_string());
    prop_oneof![9 => known, 1 => "\\PC{0,20}"]
}

proptest! {
    #[test]
    fn whatever_comes_responses_are_paired_and_time_goes_on(
        steps in prop::collection::vec((frame(), 0..3_000_u64, 0..8_u8), 0..60)
    ) {
        let mut stage = Stage::new(&Setup { tools: vec![tool(""), tool("a")], ..setup() });
        for (frame, ms, what) in steps {
            let (mut said, mut out) = (vec![], vec![]);
            stage.agent.read(Incoming::Text(&frame), stage.now, &mut said, &mut out);
            stage.note(String::new(), said, out);
            match what {
                0 => stage.order(Order::Respond { instructions: None }),
                1 => stage.order(Order::UserText("x")),
                2 => stage.order(Order::ToolOutput { call_id: "a", name: "a", output: "" }),
                3 => stage.agent.read(Incoming::Binary(frame.as_bytes()), stage.now, &mut stage.said, &mut vec![]),
                _ => {}
            }
            stage.wait(ms);
        }
        stage.wait(60_000);
        let (mut responding, mut speaking) = (false, false);
        for said in &stage.said {
            match said {
                Said::ResponseStarted => prop_assert!(!std::mem::replace(&mut responding, true)),
                Said::ResponseEnded => prop_assert!(std::mem::take(&mut responding)),
                Said::Interrupted => responding = false,
                Said::Text(_) | Said::TextAll(_) | Said::Audio(_) | Said::ToolCall { .. } | Said::ToolCallsEnded => {
                    prop_assert!(responding, "{:?}", said);
                }
                Said::SpeechStarted => prop_assert!(!std::mem::replace(&mut speaking, true)),
                Said::SpeechStopped => prop_assert!(std::mem::take(&mut speaking)),
                _ => {}
            }
        }
        prop_assert!(!responding, "every response ends");
    }

    #[test]
    fn what_is_new_in_a_frame_changes_nothing(frames in prop::collection::vec(frame(), 0..30)) {
        let (mut plain, mut newer) = (Stage::ready(&setup()), Stage::ready(&setup()));
        for frame in frames {
            let Ok(frame) = serde_json::from_str::<Value>(&frame) else { continue };
            let mut extended = frame.clone();
            let Some(fields) = extended.as_object_mut() else { continue };
            for payload in fields.values_mut().filter_map(Value::as_object_mut) {
                payload.insert("new".to_owned(), json!({"deep": [1, "x"]}));
            }
            fields.insert("a_new_field".to_owned(), json!([null]));
            plain.vendor(frame);
            newer.vendor(extended);
        }
        prop_assert_eq!(plain.said, newer.said);
        prop_assert_eq!(plain.sent, newer.sent);
    }
}
