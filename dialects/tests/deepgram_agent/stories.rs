//! What the agent says and does.

use dialects::conversation::agent::Order;
use dialects::live::Frame;
use serde_json::json;

use super::{Played, calls, is, output, setup, text, weather, with};

#[test]
fn turns_are_told_as_they_come_and_noise_is_not() {
    let mut played = Played::new(&setup());
    assert_eq!(played.sends(|agent, out| agent.keep_alive(out)), [], "nothing goes before the settings");
    assert_eq!(played.sends(|agent, out| agent.audio(&[1; 4], out)), []);
    played.hears(json!({"type": "Welcome", "request_id": "r"}));
    assert_eq!(played.sends(|agent, out| agent.audio(&[1; 4], out)), [], "nor before they are applied");
    played.hears(is("SettingsApplied"));
    assert_eq!(played.sends(|agent, out| agent.audio(&[1; 4], out)), [Frame::Binary(vec![1; 4])]);
    assert_eq!(played.sends(|agent, out| agent.audio(&[], out)), [], "that would end the stream");
    assert_eq!(played.sends(|agent, out| agent.keep_alive(out)), [Frame::Text(r#"{"type":"KeepAlive"}"#.into())]);
    played.hears_all([
        is("UserStartedSpeaking"),
        json!({"type": "LatencyReport", "stt_latency": 0.1}),
        json!({"type": "ConversationText", "role": "user", "content": "Hi there.", "languages": ["en"]}),
        json!({"type": "AgentThinking", "content": "A greeting."}),
        json!({"type": "AgentStartedSpeaking", "total_latency": 1.0, "tts_latency": 0.2, "ttt_latency": 0.4}),
        json!({"type": "History", "role": "user", "content": "Hi there."}),
        text("assistant", "Hello."),
    ]);
    played.sound(480);
    played.hears_all([text("assistant", " How are you? "), json!({"type": "FrustrationDetected", "level": [1]})]);
    played.sound(960);
    played.hears_all([is("AgentAudioDone"), is("UserStartedSpeaking"), text("user", "Well.")]);
    played.hears_all([text("assistant", "Good."), is("AgentAudioDone"), is("AgentAudioDone")]);
    insta::assert_snapshot!("turns", played.story());
}

#[test]
fn a_user_who_breaks_in_ends_the_answer_at_once() {
    let mut played = Played::ready(&setup());
    played.hears_all([text("user", "Tell me a story."), text("assistant", "Once upon a time.")]);
    played.sound(4_800);
    played.hears(is("UserStartedSpeaking"));
    played.sound(480);
    played.hears(is("AgentAudioDone"));
    played.hears_all([text("user", "Stop."), text("assistant", "All right.")]);
    played.sound(480);
    // The end of that answer is never told.
    played.hears_all([is("UserStartedSpeaking"), text("user", "Thanks."), text("assistant", "Bye.")]);
    // A turn without a beginning, in mid-answer.
    played.hears(text("user", "Wait."));
    played.sound(480);
    played.hears(is("AgentAudioDone"));
    insta::assert_snapshot!("barge_in", played.story());
}

#[test]
fn functions_are_called_and_answered() {
    let mut played = Played::ready(&with(|setup| setup.tools = vec![weather()]));
    played.hears_all([text("user", "The weather in Oslo and Rome?"), calls(&["a", "b"])]);
    played.order(output("b", "rain"));
    played.order(output("a", r#"{"sky":"clear"}"#));
    played.order(Order::Respond { instructions: None });
    played.hears_all([
        json!({"type": "FunctionCallResponse", "name": "get_weather", "content": "rain"}),
        text("assistant", "Clear."),
        is("AgentAudioDone"),
    ]);
    // One that the vendor calls itself, one without arguments, and one that is taken back.
    played.hears(json!({"type": "FunctionCallRequest", "functions": [
        {"id": "s", "name": "theirs", "arguments": "{}", "client_side": false},
    ]}));
    played.hears(json!({"type": "FunctionCallRequest", "functions": [
        {"id": "c", "name": "get_weather", "arguments": "", "thought_signature": "x"},
    ]}));
    played.hears_all([
        is("UserStartedSpeaking"),
        json!({"type": "FunctionCallCancelled", "functions": [{"id": "c", "name": "get_weather"}]}),
    ]);
    insta::assert_snapshot!("functions", played.story());
}

#[test]
fn an_answer_that_speaks_and_calls_ends_with_its_speech() {
    let mut played = Played::ready(&with(|setup| setup.tools = vec![weather()]));
    played.hears_all([text("user", "The weather?"), text("assistant", "One moment.")]);
    played.sound(480);
    played.hears(calls(&["a"]));
    played.at(300);
    played.sound(480);
    assert_eq!(played.agent.next_tick(), Some(800), "audio that still comes belongs to it");
    played.at(799);
    played.at(800);
    played.order(output("a", "rain"));
    played.hears(is("AgentAudioDone"));
    played.order(Order::Respond { instructions: None });
    played.hears(text("assistant", "Rain."));
    played.sound(480);
    played.hears(is("AgentAudioDone"));
    // An output that is quicker than the end of the speech.
    played.hears_all([text("user", "And now?"), text("assistant", "Again.")]);
    played.sound(480);
    played.hears(calls(&["b"]));
    played.order(output("b", "sun"));
    played.hears_all([text("assistant", "Sun."), is("AgentAudioDone")]);
    assert_eq!(played.agent.next_tick(), None);
    insta::assert_snapshot!("speech_and_function", played.story());
}

#[test]
fn faults_are_told_by_whose_they_are() {
    let mut played = Played::ready(&setup());
    for code in [
        "INTERNAL_SERVER_ERROR",
        "CLIENT_MESSAGE_TIMEOUT",
        "UNPARSABLE_CLIENT_MESSAGE",
        "NON_SETTINGS_MESSAGE_BEFORE_SETTINGS",
        "SETTINGS_ALREADY_APPLIED",
        "INVALID_SETTINGS",
        "FAILED_TO_START_LISTENING",
        "ASR_CONNECTION_CLOSED",
        "ASR_DRIVER_TIMEOUT",
        "USER_AUDIO_FORMAT",
        "FAILED_TO_SPEAK",
        "FAILED_TO_THINK",
        "SERVER_GOING_AWAY",
        "NON_EXISTENT_FUNCTION_CALLED",
        "AGENT_ID_NOT_SUPPORTED",
        "INVALID_AGENT_ID",
        "SOMETHING_NEW",
    ] {
        played.hears(json!({"type": "Error", "code": code, "description": "It broke."}));
    }
    played.hears(json!({"type": "Error"}));
    for code in [
        "INJECT_AGENT_MESSAGE_DURING_USER_SPEECH",
        "PROMPT_TOO_LONG",
        "THINK_REQUEST_FAILED",
        "SPEAK_REQUEST_FAILED",
        "FUNCTION_CALL_FAILED",
        "SLOW_THINK_REQUEST",
        "SLOW_SPEAK_REQUEST",
        "GPT_4O_STREAM_END_ERROR",
        "VOICE_PROMPT_ADDED",
        "FORCE_END_TURN_UNSUPPORTED",
        "SOMETHING_NEW",
    ] {
        played.hears(json!({"type": "Warning", "code": code, "description": "Mind this."}));
    }
    for (code, reason) in [(1000, ""), (1005, ""), (1006, ""), (1008, "DATA-0000"), (1011, "NET-0001")] {
        let closed = played.agent.closed(code, reason);
        played.lines.push(format!("closed {code}: {:?}", closed.map(|fault| fault.message)));
    }
    insta::assert_snapshot!("faults", played.story());
}

#[test]
fn credentials_that_a_message_quotes_are_not_passed_on() {
    let mut played = Played::ready(&setup());
    let words = "the key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789 was refused";
    played.hears(json!({"type": "Error", "code": "FAILED_TO_THINK", "description": words}));
    let said = played.lines.last().unwrap();
    assert!(said.contains("FAILED_TO_THINK") && !said.contains("abcdefghijklmnop"), "{said}");
}
