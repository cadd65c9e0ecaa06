//! What holds of a call whatever comes.

use dialects::conversation::agent::{Incoming, Order, Said};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{RESPOND, opener, setup};

#[derive(Debug, Clone)]
enum Step {
    Text(String),
    Binary(Vec<u8>),
    Order(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        "[a-z é]{0,8}".prop_map(Value::from),
        (0..6_u64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!(-1.5e300)),
        Just(json!({"a": ["b"]})),
    ];
    let of = |names: &'static [&'static str]| prop::sample::select(names).prop_map(Value::from);
    let kind = of(&[
        "call_started",
        "state",
        "transcript",
        "transcript",
        "transcript",
        "playback_clear_buffer",
        "client_tool_invocation",
        "user_started_speaking",
        "user_stopped_speaking",
        "pong",
        "call_event",
    ]);
    let message = (
        (prop_oneof![8 => kind, 1 => word.clone()], of(&["user", "agent"]), of(&["voice", "text"])),
        (of(&["idle", "listening", "thinking", "speaking", "dreaming"]), 0..5_u64, any::<bool>()),
        (word.clone(), word.clone(), word.clone(), word),
    );
    let message = message.prop_map(|((kind, role, medium), (state, ordinal, last), (text, delta, id, odd))| {
        let message = json!({"type": kind, "role": role, "medium": medium, "state": state, "ordinal": ordinal,
            "final": last, "text": text, "toolName": "f", "invocationId": id, "parameters": odd, "unheard_of": odd,
            (if last { "delta" } else { "other" }): delta});
        Step::Text(message.to_string())
    });
    prop_oneof![
        10 => message,
        1 => any::<String>().prop_map(Step::Text),
        1 => crate::property::json().prop_map(|value| Step::Text(value.to_string())),
        3 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Step::Binary),
        2 => (0..8_u8).prop_map(Step::Order),
        3 => (0..3_000_u64).prop_map(Step::Wait),
    ]
}

fn order(which: u8) -> Order<'static> {
    match which {
        0 => Order::UserText("text"),
        1 => Order::SystemText("text"),
        2 => Order::ToolOutput { call_id: "i", name: "f", output: "" },
        3 => Order::EndTurn,
        4 => RESPOND,
        5 => Order::Respond { instructions: Some("x") },
        6 => Order::Truncate { heard_ms: 1 },
        _ => Order::Cancel,
    }
}

/// What must hold of everything that an agent says: a response that is told of ends once, and only then.
#[derive(Default)]
struct Told {
    open: bool,
    calls: usize,
    ready: usize,
}

impl Told {
    fn hear(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Ready { .. } => self.ready += 1,
                Said::ResponseStarted => {
                    assert!(!std::mem::replace(&mut self.open, true), "one response at a time");
                }
                Said::Text(text) | Said::TextAll(text) => {
                    assert!(self.open && !text.is_empty());
                }
                Said::Audio(bytes) => {
                    assert!(self.open && !bytes.is_empty());
                }
                Said::ToolCall { arguments, .. } => {
                    assert!(serde_json::from_str::<Value>(&arguments).unwrap().is_object());
                    assert!(self.open);
                    self.calls += 1;
                }
                Said::ToolCallsEnded => {
                    assert!(std::mem::take(&mut self.calls) > 0, "a round has calls");
                    self.open = false;
                }
                Said::ResponseEnded | Said::Interrupted => {
                    assert!(std::mem::take(&mut self.open), "only a response that has begun ends");
                    assert_eq!(self.calls, 0, "calls end as a round");
                }
                _ => {}
            }
        }
        assert!(self.ready <= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn whatever_comes_responses_begin_and_end_and_nothing_waits_for_ever(steps in prop::collection::vec(step(), 1..60)) {
        let mut agent = opener().agent(&setup());
        let (mut told, mut now) = (Told::default(), 1_000);
        for step in steps.into_iter().chain([Step::Text(r#"{"type":"state","state":"idle"}"#.to_owned()), Step::Wait(20_000)]) {
            let (mut said, mut out) = (Vec::new(), Vec::new());
            match step {
                Step::Text(text) => agent.read(Incoming::Text(&text), now, &mut said, &mut out),
                Step::Binary(bytes) => agent.read(Incoming::Binary(&bytes), now, &mut said, &mut out),
                Step::Order(which) => {
                    // The session drops what is left of a response that it cancels.
                    told.open &= which < 7;
                    agent.order(order(which), now, &mut out).unwrap();
                }
                Step::Wait(ms) => {
                    let until = now + ms;
                    for _ in 0..100 {
                        let Some(due) = agent.next_tick().filter(|due| *due <= until) else { break };
                        now = now.max(due);
                        agent.tick(now, &mut said, &mut out);
                    }
                    now = until;
                    prop_assert!(agent.next_tick().is_none_or(|due| due > now), "a tick that is due is done with");
                }
            }
            told.hear(said);
        }
        prop_assert!(!told.open, "a response that the agent has left has ended");
    }
}
