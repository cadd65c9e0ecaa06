//! Conversations from their frames.

use dialects::conversation::agent::{Order, Said};
use dialects::conversation::setup::{Medium, Role, Setup, ToolChoice};
use dialects::live::Frame;
use serde_json::json;

use super::{Story, message, options, setup, used, with_weather};

#[test]
fn the_model_may_speak_first_when_it_is_asked() {
    let mut story = Story::ready(&setup());
    story.respond();
    story.speaks();
    story.content(json!({"outputTranscription": {"text": "Welcome."}}));
    story.made();
    story.complete(70, 50);
    story.shows("greeting");
}

#[test]
fn spoken_turns() {
    let mut story = Story::ready(&setup());
    story.audio(900);
    story.content(json!({"inputTranscription": {"text": " What time"}}));
    story.content(json!({"modelTurn": {"parts": [{"text": "The user asks for the time.", "thought": true}]}}));
    story.content(json!({"inputTranscription": {"text": " is it?"}, "outputTranscription": {"text": "Noon."}}));
    story.speaks();
    story.made();
    story.content(json!({"outputTranscription": {"text": " Or so."}}));
    story.wait(1_500);
    story.content(json!({"outputTranscription": {"text": " It is too late for this."}}));
    story.complete(120, 40);
    // What nobody wrote down yet is a turn by its length.
    story.audio(600);
    story.speaks();
    story.hears(json!({"serverContent": {"generationComplete": true}, "usageMetadata": used(200, 30)}));
    story.content(json!({"turnComplete": true}));
    story.shows("turns");
}

#[test]
fn activity_that_gemini_tells_decides_the_turns() {
    let mut story = Story::ready(&Setup { transcription: None, ..setup() });
    story.audio(600);
    story.hears(json!({"voiceActivity": {"voiceActivityType": "ACTIVITY_START", "audioOffset": "0.1s"}}));
    story.hears(json!({"voiceActivity": {"voiceActivityType": "ACTIVITY_END"}}));
    story.content(json!({"inputTranscription": {"text": " Nobody asked for this."}}));
    story.speaks();
    story.shows("activity");
}

#[test]
fn the_user_breaks_in() {
    let mut story = Story::ready(&setup());
    story.audio(900);
    story.speaks();
    story.speaks();
    story.content(json!({"interrupted": true}));
    story.complete(100, 30);
    story.content(json!({"inputTranscription": {"text": " Stop."}}));
    story.speaks();
    story.made();
    story.wait(2_000);
    // While it is played by Gemini's clock.
    story.content(json!({"interrupted": true}));
    story.order(Order::Truncate { heard_ms: 400 });
    story.complete(140, 30);
    story.shows("barge_in");
}

#[test]
fn functions_are_called_at_once_and_answered_one_by_one() {
    let mut story = Story::ready(&with_weather());
    story.audio(900);
    story.calls(&[("fc-1", "Oslo"), ("fc-2", "Rome")]);
    // What still arrives of the turn that waits would be a response of its own.
    story.speaks();
    story.complete(80, 12);
    story.output("fc-2", "rain");
    story.output("fc-1", r#"{"sky": "clear"}"#);
    story.respond();
    story.speaks();
    story.respond();
    story.made();
    story.complete(120, 50);
    story.output("fc-1", "twice");
    story.shows("parallel_calls");
}

#[test]
fn the_end_of_a_turn_that_called_is_not_that_of_its_answer() {
    let mut story = Story::ready(&with_weather());
    story.calls(&[("fc-1", "Oslo")]);
    story.output("fc-1", "[1, 2]");
    story.content(json!({"turnComplete": true}));
    story.speaks();
    story.made();
    story.complete(90, 10);
    let ended = story.said.iter().filter(|said| **said == Said::ResponseEnded).count();
    assert_eq!(ended, 1, "{:?}", story.said);
    story.shows("late_end_of_a_call");
}

#[test]
fn functions_that_run_beside_the_conversation() {
    let options = options(&[("tool_behavior", "non_blocking"), ("tool_scheduling", "interrupt")]);
    let mut story = Story::ready(&Setup { options, ..with_weather() });
    story.audio(900);
    story.calls(&[("fc-1", "Oslo")]);
    story.content(json!({"outputTranscription": {"text": "One moment."}}));
    story.speaks();
    story.made();
    story.complete(90, 20);
    story.output("fc-1", "sun");
    story.speaks();
    story.made();
    story.complete(130, 20);
    story.shows("calls_beside");
}

#[test]
fn a_call_is_withdrawn_when_the_user_goes_on() {
    let mut story = Story::ready(&with_weather());
    story.audio(900);
    story.calls(&[("fc-1", "Oslo"), ("fc-2", "Rome")]);
    story.hears(json!({"toolCallCancellation": {"ids": ["fc-1", "fc-2", "fc-9"]}}));
    story.output("fc-1", "sun");
    story.audio(900);
    story.speaks();
    story.shows("withdrawn");
}

#[test]
fn turns_of_the_client() {
    let mut story = Story::ready(&Setup { turns: None, ..setup() });
    story.audio(300);
    story.order(Order::UserText("This is typed meanwhile."));
    story.audio(300);
    story.order(Order::EndTurn);
    story.respond();
    story.content(json!({"inputTranscription": {"text": " Hello."}}));
    story.speaks();
    story.wait(3_000);
    story.made();
    story.wait(2_000);
    // A microphone that is always on does not stop the answer, a client that truncates it does.
    story.order(Order::Truncate { heard_ms: 100 });
    story.content(json!({"interrupted": true}));
    story.content(json!({"turnComplete": true}));
    // And so does one that goes on while Gemini still plays.
    story.respond();
    story.speaks();
    story.made();
    story.wait(1_500);
    story.audio(300);
    story.shows("manual");
}

#[test]
fn texts_wait_until_gemini_has_answered() {
    let mut story = Story::ready(&setup());
    story.order(Order::SystemText("The user is called Ada."));
    story.order(Order::UserText("Good morning."));
    story.respond();
    story.order(Order::UserText("And another thing."));
    story.speaks();
    story.order(Order::AssistantText("I said this."));
    story.hears(json!({"serverContent": {"generationComplete": true, "turnComplete": true},
        "usageMetadata": used(60, 20)}));
    story.respond();
    story.shows("texts");
}

#[test]
fn what_was_said_before_is_history() {
    let history = vec![
        message(Role::System, "Her name is Ada."),
        message(Role::User, "Hello."),
        message(Role::Assistant, "Hello Ada."),
        message(Role::User, "How are you?"),
    ];
    let mut story = Story::ready(&Setup { history, ..setup() });
    story.respond();
    story.shows("history");
}

#[test]
fn an_answer_that_is_not_wanted_any_more() {
    let mut story = Story::ready(&setup());
    story.order(Order::UserText("Tell me a story."));
    story.respond();
    story.speaks();
    story.order(Order::Cancel);
    story.speaks();
    story.content(json!({"interrupted": true}));
    story.complete(60, 20);
    // Asked anew before Gemini has said so.
    story.respond();
    story.speaks();
    story.order(Order::Cancel);
    story.respond();
    story.content(json!({"interrupted": true}));
    story.complete(60, 20);
    story.speaks();
    story.content(json!({"interrupted": true}));
    story.shows("cancelled");
    let mut older = Story::ready(&Setup { model: "gemini-2.5-flash-native-audio-latest".to_owned(), ..setup() });
    older.respond();
    older.speaks();
    older.order(Order::Cancel);
    older.respond();
    older.shows("cancelled_at_an_older_model");
}

#[test]
fn instructions_of_one_response() {
    let mut story = Story::ready(&setup());
    story.order(Order::Respond { instructions: Some("Say it in rhymes.") });
    story.speaks();
    story.made();
    story.complete(60, 20);
    story.shows("response_instructions");
    let mut older = Story::ready(&Setup { model: "gemini-2.5-flash-native-audio-latest".to_owned(), ..setup() });
    older.order(Order::Respond { instructions: Some("Say it in rhymes.") });
    older.shows("response_instructions_at_an_older_model");
}

#[test]
fn instructions_and_functions_change_within_a_session() {
    let mut story = Story::ready(&setup());
    story.order(Order::Configure(&Setup { instructions: "Be wordy.".to_owned(), ..with_weather() }));
    story.wait(0);
    story.order(Order::Configure(&Setup { output: Medium::Text, ..with_weather() }));
    story.wait(0);
    story.speaks();
    story.content(json!({"outputTranscription": {"text": "Read, not heard."}}));
    story.shows("configured");
}

#[test]
fn other_settings_change_with_the_connection() {
    let mut story = Story::ready(&setup());
    let voiced = Setup { voice: Some("Puck".to_owned()), ..setup() };
    story.speaks();
    story.order(Order::Configure(&voiced));
    story.wait(100);
    story.made();
    story.wait(1_100);
    story.content(json!({"turnComplete": true}));
    story.wait(0);
    story.resume(&voiced);
    story.open();
    story.hears(json!({"setupComplete": {}}));
    story.wait(1_000);
    story.shows("renewed");
    let mut early = Story::with(&setup());
    early.hears(json!({"setupComplete": {}}));
    early.order(Order::Configure(&voiced));
    early.order(Order::Configure(&Setup { turns: None, ..setup() }));
    early.order(Order::Configure(&Setup { transcription: None, ..setup() }));
    early.order(Order::Configure(&Setup { tool_choice: ToolChoice::Required, ..setup() }));
    early.shows("renewed_too_early");
    let older = Setup { model: "gemini-2.5-flash-native-audio-latest".to_owned(), ..setup() };
    let mut late = Story::ready(&older);
    late.order(Order::Configure(&Setup { instructions: "Be wordy.".to_owned(), ..older }));
    late.wait(0);
    late.shows("renewed_at_an_older_model");
}

#[test]
fn another_socket_goes_on_with_the_conversation() {
    let history = vec![message(Role::User, "Hello.")];
    let setup = Setup { history, ..with_weather() };
    let mut story = Story::with(&setup);
    story.resume(&setup);
    story.hears(json!({"setupComplete": {}}));
    story.hears(json!({"sessionResumptionUpdate": {"newHandle": "h-1", "resumable": true}}));
    story.hears(json!({"sessionResumptionUpdate": {"newHandle": "", "resumable": false}}));
    story.calls(&[("fc-1", "Oslo"), ("fc-2", "Rome")]);
    story.hears(json!({"goAway": {"timeLeft": "50s"}}));
    story.resume(&setup);
    story.open();
    story.hears(json!({"setupComplete": {}}));
    story.output("fc-1", "sun");
    story.output("fc-2", "rain");
    story.speaks();
    story.shows("resumed");
}

#[test]
fn a_leave_is_told_when_a_turn_has_ended() {
    let mut story = Story::ready(&setup());
    story.audio(900);
    story.hears(json!({"goAway": {"timeLeft": "50s"}}));
    story.speaks();
    story.made();
    story.complete(80, 20);
    story.hears(json!({"sessionResumptionUpdate": {"newHandle": "h-2", "resumable": true}}));
    story.shows("leave");
    // Of a user who only listens nothing is known, and then there is no time left.
    let mut late = Story::ready(&setup());
    late.hears(json!({"goAway": {"timeLeft": "50s"}}));
    let told = |story: &Story| story.said.iter().filter(|said| matches!(said, Said::Leaving { .. })).count();
    assert_eq!(told(&late), 1, "nothing comes from the user");
    let mut flowing = Story::ready(&setup());
    flowing.audio(20);
    flowing.hears(json!({"goAway": {"timeLeft": "50s"}}));
    for _ in 0..43 {
        flowing.wait(1_000);
        flowing.audio(20);
    }
    assert_eq!(told(&flowing), 0);
    flowing.wait(1_000);
    assert_eq!(flowing.said.last(), Some(&Said::Leaving { within_ms: 6_000 }));
}

#[test]
fn answers_that_never_end_are_ended() {
    let mut story = Story::ready(&setup());
    story.respond();
    story.speaks();
    story.wait(30_000);
    story.order(Order::UserText("Hello?"));
    story.respond();
    story.wait(70_000);
    assert!(story.agent.next_tick().is_none(), "nothing is waited for any more");
    story.respond();
    story.content(json!({"turnComplete": true}));
    story.shows("stalls");
}

#[test]
fn a_pause_of_the_microphone_is_told() {
    let mut story = Story::ready(&setup());
    story.audio(500);
    story.wait(3_000);
    story.audio(500);
    story.order(Order::EndTurn);
    story.wait(3_000);
    story.shows("pause");
    let mut sent = Vec::new();
    story.agent.keep_alive(&mut sent);
    assert_eq!(sent, [Frame::Ping]);
}
