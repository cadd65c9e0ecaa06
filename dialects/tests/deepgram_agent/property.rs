//! What holds whatever comes, in whatever order.

use dialects::conversation::agent::{Incoming, Order, Said};
use dialects::live::Frame;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{opener, output, setup, with};

fn messages() -> impl Strategy<Value = Value> {
    let kinds = [
        "Welcome",
        "SettingsApplied",
        "ThinkUpdated",
        "SpeakUpdated",
        "ListenUpdated",
        "PromptUpdated",
        "UserStartedSpeaking",
        "ConversationText",
        "AgentAudioDone",
        "FunctionCallRequest",
        "FunctionCallCancelled",
        "InjectionRefused",
        "Warning",
        "Error",
        "SomethingNew",
    ];
    let functions = prop::collection::vec(
        prop_oneof![
            Just(json!({"id": "a", "name": "f", "arguments": "{}", "client_side": true})),
            Just(json!({"id": "b", "name": "f", "arguments": "", "client_side": false})),
            Just(json!({"new": 1})),
            Just(json!(null)),
        ],
        0..3,
    );
    let role = prop_oneof![Just(json!("user")), Just(json!("assistant")), Just(json!("tool")), Just(json!(3))];
    (prop::sample::select(kinds.to_vec()), role, "[ a-z]{0,6}", functions).prop_map(|(kind, role, content, functions)| {
        json!({"type": kind, "role": role, "content": content, "functions": functions, "code": "X", "new": [1]})
    })
}

#[derive(Debug, Clone)]
enum Step {
    Message(Value),
    Raw(String),
    Sound(Vec<u8>),
    User(String),
    Output,
    Respond(bool),
    EndTurn,
    Configure(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => messages().prop_map(Step::Message),
        1 => "\\PC{0,40}".prop_map(Step::Raw),
        3 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Step::Sound),
        1 => "[ a-z]{0,6}".prop_map(Step::User),
        1 => Just(Step::Output),
        1 => any::<bool>().prop_map(Step::Respond),
        1 => Just(Step::EndTurn),
        1 => any::<u8>().prop_map(Step::Configure),
        1 => (0_u64..2_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_comes_the_agent_keeps_to_the_order_of_things(steps in steps()) {
        let mut agent = opener().agent(&setup());
        let (mut now, mut ready, mut open, mut sent) = (0, false, false, 0);
        let (mut configured, mut confirmed) = (0, 0);
        for step in steps {
            let (mut said, mut out) = (Vec::new(), Vec::new());
            match step {
                Step::Message(message) => agent.read(Incoming::Text(&message.to_string()), now, &mut said, &mut out),
                Step::Raw(text) => agent.read(Incoming::Text(&text), now, &mut said, &mut out),
                Step::Sound(bytes) => {
                    agent.read(Incoming::Binary(&bytes), now, &mut said, &mut out);
                    agent.audio(&bytes, &mut out);
                }
                Step::User(text) => prop_assert!(agent.order(Order::UserText(&text), now, &mut out).is_ok()),
                Step::Output if ready => prop_assert!(agent.order(output("a", "x"), now, &mut out).is_ok()),
                Step::Respond(instructed) => {
                    let instructions = instructed.then_some("Do it.");
                    drop(agent.order(Order::Respond { instructions }, now, &mut out));
                }
                Step::EndTurn => prop_assert!(agent.order(Order::EndTurn, now, &mut out).is_ok()),
                Step::Configure(n) => {
                    let next = with(|setup| setup.instructions = format!("{}", n % 4));
                    configured += usize::from(agent.order(Order::Configure(&next), now, &mut out).is_ok());
                }
                Step::Wait(ms) => {
                    now += ms;
                    agent.tick(now, &mut said, &mut out);
                }
                Step::Output => {}
            }
            for said in said {
                match said {
                    Said::Ready { .. } => {
                        prop_assert!(!ready, "ready twice");
                        ready = true;
                    }
                    Said::Audio(bytes) => {
                        prop_assert!(!bytes.is_empty());
                        open = true;
                    }
                    Said::Text(text) => {
                        prop_assert!(open || !text.starts_with(' '), "an answer begins with a space");
                        open = true;
                    }
                    Said::ToolCall { .. } => open = true,
                    Said::ResponseEnded | Said::Interrupted => {
                        prop_assert!(open, "what did not begin ends");
                        open = false;
                    }
                    Said::Configured => confirmed += 1,
                    _ => {}
                }
            }
            for frame in out {
                match frame {
                    Frame::Binary(bytes) => prop_assert!(ready && !bytes.is_empty()),
                    Frame::Text(text) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        prop_assert_eq!(message["type"] == "Settings", sent == 0, "the settings first and once");
                        prop_assert!(ready || sent == 0, "too early: {}", message);
                        if message["type"] == "InjectUserMessage" {
                            prop_assert!(!message["content"].as_str().unwrap().is_empty());
                        }
                        sent += 1;
                    }
                    Frame::Ping => prop_assert!(false, "nothing is pinged"),
                }
            }
            prop_assert!(confirmed <= configured, "what was not asked is not confirmed");
        }
    }
}
