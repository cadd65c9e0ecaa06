//! Calls from their beginning to their end, frame by frame.

use dialects::conversation::agent::Order;
use dialects::conversation::setup::{Medium, Role, Setup, ToolChoice};
use dialects::live::Frame;
use serde_json::{Value, json};

use super::{RESPOND, Story, made, opener, said_before, setup, tool};

#[test]
fn a_greeting_is_spoken_when_it_is_asked_for() {
    let mut story = Story::begun();
    story.order(RESPOND);
    story.user_said(0, "text", "<instruction>…</instruction>");
    story.state("thinking");
    story.state("speaking");
    story.agent(1, "voice", "Wel");
    story.agent(1, "voice", "come.");
    story.sound(4_800);
    story.after(500);
    story.sound(4_801);
    story.agent_said(1, "voice", "Welcome.");
    story.after(300);
    story.state("listening");
    story.after(5_000);
    story.shows("ultravox_greeting");
}

#[test]
fn turns_are_answered_and_what_the_user_said_may_come_late() {
    let mut story = Story::begun();
    story.hears(json!({"type": "user_started_speaking"}));
    story.after(700);
    story.hears(json!({"type": "user_stopped_speaking"}));
    story.state("thinking");
    story.state("speaking");
    story.agent(1, "voice", "Hello");
    story.user_said(0, "voice", "Hi there.");
    story.sound(960);
    story.state("listening");
    story.after(100);
    // The sound was over before the transcript was.
    story.agent_said(1, "voice", "Hello you.");
    story.after(100);
    story.sound(10);
    // Without a word about speech, the agent's thinking tells that the turn is over; the text is complete
    // before the sound begins.
    story.hears(json!({"type": "user_started_speaking"}));
    story.state("thinking");
    story.agent_said(3, "voice", "Short.");
    story.after(900);
    story.state("speaking");
    story.sound(960);
    story.after(900);
    story.sound(960);
    story.after(4_000);
    // Nothing but a text: it is over when no sound has come.
    story.agent_said(5, "voice", "Silent.");
    story.after(2_000);
    // A response that the agent leaves without its last word.
    story.state("speaking");
    story.agent(7, "voice", "Well");
    story.state("idle");
    story.after(2_000);
    // One utterance right after another.
    story.agent(9, "voice", "One.");
    story.agent(11, "voice", "Two.");
    story.after(5_000);
    story.shows("ultravox_turns");
}

#[test]
fn the_user_breaks_in() {
    let mut story = Story::begun();
    story.state("speaking");
    story.agent(1, "voice", "One two three four.");
    story.sound(960);
    story.hears(json!({"type": "user_started_speaking"}));
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.sound(960);
    story.agent(1, "voice", " Five.");
    story.agent_said(1, "voice", "One two");
    story.state("listening");
    story.hears(json!({"type": "user_stopped_speaking"}));
    story.state("thinking");
    story.user_said(2, "voice", "Stop.");
    story.state("speaking");
    story.agent(3, "voice", "Yes?");
    story.sound(960);
    // The vendor says nothing of the user, and tells first what was really said.
    story.hears(json!({"type": "transcript", "role": "agent", "text": "Ye", "final": true, "ordinal": 3}));
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.state("thinking");
    // It is interrupted before its utterance had a number.
    story.state("speaking");
    story.sound(960);
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.agent(5, "voice", "Late words.");
    story.agent_said(5, "voice", "Late words.");
    story.agent(7, "voice", "Fresh words.");
    story.hears(json!({"type": "user_stopped_speaking"}));
    // A noise does not stop the agent, and is nothing.
    story.state("speaking");
    story.hears(json!({"type": "user_started_speaking"}));
    story.sound(960);
    story.hears(json!({"type": "user_stopped_speaking"}));
    // Without another word, an agent that listens in mid-sentence was interrupted.
    story.hears(json!({"type": "user_started_speaking"}));
    story.state("listening");
    story.state("thinking");
    // Somebody who speaks as the agent comes to its end is heard then.
    story.agent_said(9, "voice", "The end.");
    story.hears(json!({"type": "user_started_speaking"}));
    story.after(2_000);
    story.shows("ultravox_barge_in");
}

#[test]
fn functions_are_called_and_their_outputs_answered_at_once() {
    let mut story = Story::begun();
    story.state("thinking");
    story.calls("i1", json!({"city": "Oslo"}));
    story.after(200);
    story.order(Order::ToolOutput { call_id: "i1", name: "get_weather", output: r#"{"rain":true}"# });
    // The agent goes on by itself.
    story.order(RESPOND);
    story.state("speaking");
    story.agent_said(1, "voice", "It rains.");
    story.sound(960);
    story.state("listening");
    // What the agent says before it calls is part of the same response.
    story.state("speaking");
    story.agent(3, "voice", "Let me see.");
    story.calls("i2", json!({}));
    story.after(100);
    story.sound(960);
    story.after(150);
    story.sound(960);
    story.state("thinking");
    story.after(1_000);
    story.agent_said(3, "voice", "Let me see.");
    story.order(Order::ToolOutput { call_id: "i2", name: "get_weather", output: "sun" });
    story.order(Order::Respond { instructions: Some("Whisper.") });
    story.calls("", json!({}));
    story.shows("ultravox_functions");
}

#[test]
fn functions_that_are_called_at_once_are_one_round() {
    let mut story = Story::begun();
    story.state("thinking");
    story.calls("i1", json!({"city": "Oslo"}));
    story.after(20);
    story.calls("i2", json!("{\"city\":\"Rome\"}"));
    story.after(1_000);
    // A round that the user breaks into is told, since the agent waits for its outputs.
    story.calls("i3", Value::Null);
    story.hears(json!({"type": "playback_clear_buffer"}));
    // One that is cancelled is not.
    story.calls("i4", json!({}));
    story.order(Order::Cancel);
    story.after(1_000);
    story.shows("ultravox_parallel_functions");
}

#[test]
fn text_is_written_and_read() {
    let mut story = Story::with(&Setup { output: Medium::Text, ..setup() });
    story.open();
    story.state("idle");
    story.order(Order::UserText("I have a question."));
    story.order(Order::UserText("What is it?"));
    story.order(Order::SystemText("Answer in French."));
    story.order(Order::AssistantText("Bonjour."));
    story.order(RESPOND);
    story.state("thinking");
    story.agent(1, "text", "C'est");
    story.agent_said(1, "text", "C'est ça.");
    story.state("listening");
    story.after(5_000);
    // What was written is context where the user speaks before an answer is asked for.
    story.order(Order::UserText("By the way."));
    story.hears(json!({"type": "user_started_speaking"}));
    story.hears(json!({"type": "user_stopped_speaking"}));
    story.order(Order::Respond { instructions: Some("Be loud.") });
    story.state("thinking");
    // The agent has nothing to say to it: then it is asked in earnest.
    story.state("listening");
    story.order(Order::Respond { instructions: Some("Be loud.") });
    story.order(Order::UserText("Well?"));
    story.order(Order::Respond { instructions: Some("Be soft.") });
    story.state("thinking");
    story.agent_said(4, "text", "Well.");
    story.state("listening");
    story.shows("ultravox_text");
}

#[test]
fn what_was_written_before_the_call_is_answered_when_it_is_asked_for() {
    let history = vec![said_before(Role::User, "Who are you?")];
    let setup = Setup { history, ..setup() };
    assert_eq!(made(&setup).1.get("initialMessages"), None, "it would be answered unasked, or never");
    let mut story = Story::with(&setup);
    story.order(RESPOND);
    story.shows("ultravox_first_words");
}

#[test]
fn a_response_is_cancelled() {
    let mut story = Story::begun();
    story.state("speaking");
    story.agent(1, "voice", "A long story.");
    story.sound(960);
    story.order(Order::Cancel);
    story.sound(960);
    story.agent(1, "voice", " It goes on.");
    // The agent still speaks: it is not waited for.
    story.order(Order::UserText("Something else."));
    story.order(RESPOND);
    story.hears(json!({"type": "playback_clear_buffer"}));
    story.agent_said(1, "voice", "A long");
    story.state("thinking");
    story.state("speaking");
    story.agent(4, "voice", "Of course.");
    story.sound(960);
    story.agent_said(4, "voice", "Of course.");
    story.state("listening");
    // It is cancelled before it begins, and begins all the same.
    story.state("thinking");
    story.order(Order::Cancel);
    story.agent(6, "voice", "Unwanted.");
    story.state("speaking");
    story.sound(960);
    story.agent_said(6, "voice", "Unwanted.");
    story.state("listening");
    story.state("thinking");
    story.agent(8, "voice", "Wanted.");
    story.shows("ultravox_cancelled");
}

#[test]
fn a_configuration_changes_as_far_as_a_call_allows() {
    let mut story = Story::begun();
    let changed = Setup { output: Medium::Text, instructions: "Be brief.".to_owned(), ..setup() };
    story.order(Order::Configure(&changed));
    story.after(10);
    story.order(Order::Configure(&Setup { output: Medium::Audio, ..changed.clone() }));
    story.order(Order::Truncate { heard_ms: 300 });
    story.order(Order::EndTurn);
    for fixed in [
        Setup { tools: vec![tool("f", Value::Null)], ..changed.clone() },
        Setup { tool_choice: ToolChoice::Required, ..changed.clone() },
        Setup { voice: Some("Mark".to_owned()), ..changed.clone() },
        Setup { turns: None, ..changed.clone() },
        Setup { temperature: Some(0.1), ..changed.clone() },
    ] {
        story.order(Order::Configure(&fixed));
    }
    story.shows("ultravox_configured");
}

#[test]
fn a_close_tells_what_went_wrong() {
    let agent = opener().agent(&setup());
    let closes = [
        (1000, ""),
        (1001, "going away"),
        (1006, ""),
        (1008, "Call already joined"),
        (4598, "media timeout"),
        (4400, "bad"),
        (4401, "key uvx-secret"),
        (4402, "no minutes left"),
        (4404, "no such call"),
        (4429, "too many calls"),
        (4500, "model failed, sk-1234567890abcdefghijklmn"),
    ];
    let lines: Vec<String> =
        closes.iter().map(|(code, reason)| format!("{code}: {:?}", agent.closed(*code, reason))).collect();
    insta::assert_snapshot!("ultravox_closes", lines.join("\n"));
    let mut out = Vec::new();
    let mut agent = agent;
    agent.audio(&[1, 2], &mut out);
    agent.keep_alive(&mut out);
    agent.goodbye(&mut out);
    let sent = [json!({"type": "ping", "timestamp": 0}), json!({"type": "hang_up"})];
    let sent = sent.map(|message| Frame::Text(message.to_string()));
    assert_eq!(out, [[Frame::Binary(vec![1, 2])].as_slice(), &sent].concat());
}
