//! What the client changes, writes and commits.

use dialects::conversation::agent::Order;
use dialects::conversation::setup::{Medium, Setup, ToolChoice};
use dialects::live::settings::Turns;
use serde_json::json;

use super::settings::settings;
use super::{Played, is, listens, option, setup, text, weather, with};

#[test]
fn changes_replace_a_part_and_are_told_when_they_are_in_force() {
    let first = with(|setup| setup.instructions = "Be brief.".to_owned());
    let mut played = Played::ready(&first);
    let second = Setup { instructions: "Be kind.".to_owned(), tools: vec![weather()], ..first };
    played.order(Order::Configure(&second));
    played.hears(is("ThinkUpdated"));
    played.order(Order::SystemText("The user is called Ann."));
    played.hears(is("PromptUpdated"));
    let third = Setup {
        instructions: "Be quick.".to_owned(),
        voice: Some("aura-2-zeus-en".to_owned()),
        turns: Some(Turns::Meaning("high")),
        transcription: listens(&[], &["Ann"]),
        ..second
    };
    played.order(Order::Configure(&third));
    played.hears_all([is("SpeakUpdated"), is("ThinkUpdated"), is("ListenUpdated")]);
    // The agent needs no word of this.
    let fourth = Setup { output: Medium::Text, tool_choice: ToolChoice::Auto, ..third };
    played.at(5);
    played.order(Order::Configure(&fourth));
    assert_eq!(played.agent.next_tick(), Some(5));
    played.at(6);
    played.order(Order::Configure(&Setup { transcription: listens(&["fr"], &[]), ..fourth.clone() }));
    played.order(Order::Configure(&Setup { tool_choice: ToolChoice::Function("f".to_owned()), ..fourth.clone() }));
    played.order(Order::Configure(&Setup { voice: Some("nobody".to_owned()), ..fourth.clone() }));
    played.order(Order::SystemText(&"é".repeat(25_000)));
    played.order(Order::AssistantText("I said so."));
    insta::assert_snapshot!("changes", played.story());
}

#[test]
fn changes_before_the_agent_is_ready_are_not_lost() {
    let mut played = Played::new(&setup());
    played.order(Order::Configure(&with(|setup| setup.instructions = "First.".to_owned())));
    played.hears(json!({"type": "Welcome", "request_id": "r"}));
    played.order(Order::Configure(&with(|setup| setup.instructions = "Second.".to_owned())));
    played.order(Order::SystemText("Third."));
    played.order(Order::Respond { instructions: None });
    played.hears_all([is("SettingsApplied"), is("ThinkUpdated")]);
    insta::assert_snapshot!("early_changes", played.story());
}

#[test]
fn where_it_listens_with_nova_the_agent_listens_as_it_began() {
    let nova = option("listen_model", "nova-3");
    let mut played = Played::ready(&nova);
    played.order(Order::Configure(&Setup { transcription: listens(&[], &["Ann"]), ..nova.clone() }));
    assert!(played.lines.last().unwrap().contains("refuses"), "{}", played.story());
    let other = Setup { turns: None, ..nova };
    played.order(Order::Configure(&other));
    assert!(!played.lines.last().unwrap().contains("refuses"), "silence ends its turns all the same");
}

#[test]
fn what_the_user_writes_waits_for_a_response() {
    let mut played = Played::ready(&setup());
    played.order(Order::Respond { instructions: None });
    played.hears_all([text("user", "Please go on."), text("assistant", "Welcome."), is("AgentAudioDone")]);
    played.order(Order::UserText("My name is Ann."));
    played.order(Order::UserText("What is it?"));
    played.order(Order::Respond { instructions: Some("Answer in French.") });
    // Whether the agent repeats it as something said is not known: both are right.
    played.hears_all([text("assistant", "Ann."), is("AgentAudioDone")]);
    played.order(Order::Respond { instructions: Some("Say goodbye.") });
    played.hears(json!({"type": "InjectionRefused", "message": "The agent is speaking."}));
    played.hears(json!({"type": "InjectionRefused"}));
    // An answer that the client has given up, without a word of its end.
    played.order(Order::UserText("Tell me a story."));
    played.order(Order::Respond { instructions: None });
    played.hears(text("assistant", "Once."));
    played.order(Order::Cancel);
    played.order(Order::Truncate { heard_ms: 200 });
    played.order(Order::UserText("Another one."));
    played.order(Order::Respond { instructions: None });
    assert_eq!(played.agent.next_tick(), Some(0), "it ends without the agent's word");
    played.at(0);
    played.sound(480);
    played.hears_all([text("user", "Another one."), text("assistant", "Twice.")]);
    played.sound(480);
    played.hears(is("AgentAudioDone"));
    insta::assert_snapshot!("written", played.story());
}

#[test]
fn text_that_nobody_asks_an_answer_to_is_bounded() {
    let mut played = Played::ready(&setup());
    let long = "x".repeat(100_000);
    let taken: Vec<bool> =
        (0..4).map(|_| played.agent.order(Order::UserText(&long), 0, &mut Vec::new()).is_ok()).collect();
    assert_eq!(taken, [true, true, false, false]);
}

#[test]
fn a_client_of_text_alone_gets_no_audio() {
    let mut played = Played::ready(&with(|setup| setup.output = Medium::Text));
    played.hears_all([text("user", "Hi."), text("assistant", "Hello.")]);
    played.sound(480);
    played.hears(is("AgentAudioDone"));
    let said: Vec<&str> = played.lines.iter().filter_map(|line| line.strip_prefix("     says ")).collect();
    assert_eq!(said, ["SpeechStopped", "HeardAll(\"Hi.\")", "Text(\"Hello.\")", "ResponseEnded"]);
}

#[test]
fn a_client_that_commits_ends_turns_by_silence_or_by_message() {
    let manual = with(|setup| setup.turns = None);
    let mut silent = Played::ready(&manual);
    assert!(silent.agent.habits().continuous, "the end of a turn is in the audio behind it");
    let silence_ms = silent.agent.habits().turn_end_silence_ms.unwrap();
    let timeout_ms = settings(&manual)["agent"]["listen"]["provider"]["eot_timeout_ms"].as_u64().unwrap();
    assert!(silence_ms > timeout_ms, "{silence_ms} {timeout_ms}");
    silent.order(Order::EndTurn);
    silent.order(Order::Respond { instructions: None });
    let forced = Setup { turns: None, ..option("force_end_turn", "true") };
    let mut played = Played::ready(&forced);
    assert_eq!(played.agent.habits().turn_end_silence_ms, None);
    played.order(Order::EndTurn);
    played.order(Order::Respond { instructions: Some("Whisper.") });
    played.lines.push("---".to_owned());
    insta::assert_snapshot!("commits", format!("{}\n{}", played.story(), silent.story()));
    let nova = Setup { turns: None, ..option("force_end_turn", "true") };
    let nova = with(|setup| {
        setup.options = nova.options.into_iter().chain([("listen_model".to_owned(), "nova-3".to_owned())]).collect();
        setup.turns = None;
    });
    assert!(Played::ready(&nova).agent.habits().turn_end_silence_ms.is_some(), "only Flux knows the message");
}
