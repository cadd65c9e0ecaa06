//! What holds whatever comes.

use dialects::conversation::agent::{Cut, Incoming, Order, Said};
use dialects::conversation::setup::Setup;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::agent_setup::BY_SILENCE;

use super::{Story, setup, used, with_weather};

/// A member of a message, of its own shape more often than not.
fn member() -> impl Strategy<Value = (String, Value)> {
    let text = prop_oneof![Just(json!("a")), Just(json!("")), Just(json!(7)), Just(Value::Null)];
    let flag = prop_oneof![3 => Just(json!(true)), 1 => Just(json!("yes"))];
    let part = prop_oneof![
        Just(json!({"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}})),
        Just(json!({"inlineData": {"mimeType": "audio/pcm", "data": "?"}})),
        Just(json!({"text": "t"})),
        Just(json!({"text": "t", "thought": true})),
    ];
    let content = prop_oneof![
        flag.clone().prop_map(|flag| json!({"interrupted": flag})),
        flag.clone().prop_map(|flag| json!({"generationComplete": flag})),
        flag.prop_map(|flag| json!({"turnComplete": flag})),
        text.clone().prop_map(|text| json!({"outputTranscription": {"text": text}})),
        text.prop_map(|text| json!({"inputTranscription": {"text": text}, "turnComplete": true})),
        part.prop_map(|part| json!({"modelTurn": {"parts": [part]}})),
    ];
    let calls = (0..3_u8).prop_map(|n| json!({"functionCalls": [{"id": format!("c{n}"), "name": "f", "args": n}]}));
    prop_oneof![
        6 => content.prop_map(|content| ("serverContent".to_owned(), content)),
        1 => calls.prop_map(|calls| ("toolCall".to_owned(), calls)),
        1 => (0..3_u8).prop_map(|n| ("toolCallCancellation".to_owned(), json!({"ids": [format!("c{n}")]}))),
        1 => (20..500_u64).prop_map(|n| ("usageMetadata".to_owned(), used(n, n))),
        1 => Just(("setupComplete".to_owned(), json!({}))),
        1 => Just(("sessionResumptionUpdate".to_owned(), json!({"newHandle": "h", "resumable": true}))),
        1 => Just(("goAway".to_owned(), json!({}))),
        1 => ("[a-zA-Z]{1,12}", crate::property::json()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Hears(Vec<(String, Value)>),
    Garbage(Vec<u8>),
    Order(u8),
    Audio,
    Wait(u64),
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(member(), 1..4).prop_map(Step::Hears),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
        4 => (0..9_u8).prop_map(Step::Order),
        1 => Just(Step::Audio),
        2 => (0..30_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Resume),
    ]
}

/// What holds of all that an agent says: a response is begun, then told, then ended.
#[derive(Default)]
struct Responses {
    open: bool,
    used: u64,
}

impl Responses {
    fn check(&mut self, said: &[Said]) {
        for said in said {
            match said {
                Said::ResponseStarted => {
                    assert!(!self.open, "one response at a time");
                    self.open = true;
                }
                Said::Text(_) | Said::Audio(_) | Said::ToolCall { .. } => assert!(self.open, "{said:?}"),
                Said::ResponseEnded | Said::ResponseCut(Cut::Failed(_)) | Said::ToolCallsEnded => {
                    assert!(std::mem::take(&mut self.open), "{said:?}");
                }
                Said::Interrupted => self.open = false,
                Said::Usage(used) => self.used += used.text_tokens_in + used.audio_tokens_in,
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_responses_are_whole_and_every_token_is_told(
        manual in any::<bool>(), steps in prop::collection::vec(step(), 1..60)
    ) {
        let setup = Setup { turns: (!manual).then_some(BY_SILENCE), ..with_weather() };
        let mut story = Story::ready(&setup);
        let (mut responses, mut billed) = (Responses::default(), 0);
        responses.check(&story.said);
        for step in steps {
            let before = story.said.len();
            match step {
                Step::Hears(members) => {
                    let message: serde_json::Map<String, Value> = members.into_iter().collect();
                    let count = message.get("usageMetadata").and_then(|used| used["promptTokenCount"].as_u64());
                    billed += count.unwrap_or(0);
                    story.hears(Value::Object(message));
                }
                Step::Garbage(bytes) => {
                    story.act(String::new(), |agent, now, said, out| {
                        agent.read(Incoming::Binary(&bytes), now, said, out);
                    });
                }
                Step::Order(0) => story.respond(),
                Step::Order(1) => story.order(Order::UserText("t")),
                Step::Order(2) => story.order(Order::Cancel),
                Step::Order(3) => story.order(Order::EndTurn),
                Step::Order(4) => story.order(Order::Configure(&Setup { voice: Some("Puck".to_owned()), ..setup.clone() })),
                Step::Order(5) => story.order(Order::Respond { instructions: Some("i") }),
                Step::Order(6) => story.order(Order::Truncate { heard_ms: 5 }),
                Step::Order(n) => story.output(&format!("c{}", n - 7), "o"),
                Step::Audio => story.audio(100),
                Step::Wait(ms) => story.wait(ms),
                Step::Resume => {
                    // The session ends what the lost connection had begun.
                    story.wait(2_000);
                    responses.check(&story.said[before..]);
                    story.said.clear();
                    story.resume(&setup);
                    story.open();
                    responses.open = false;
                    continue;
                }
            }
            responses.check(&story.said[before.min(story.said.len())..]);
        }
        // All that is open ends by itself, with what it used.
        story.said.clear();
        story.wait(200_000);
        story.hears(json!({}));
        responses.check(&story.said);
        prop_assert!(!responses.open);
        prop_assert!(responses.used >= billed, "{} of {billed}", responses.used);
    }

    #[test]
    fn any_message_is_read(value in crate::property::json()) {
        let mut story = Story::ready(&setup());
        for message in [value.clone(), json!({"serverContent": value}), json!({"serverContent": {"modelTurn": value}}),
            json!({"toolCall": value, "usageMetadata": value, "setupComplete": value, "goAway": value})] {
            story.hears(message);
        }
    }
}
