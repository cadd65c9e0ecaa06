//! What holds of a conversation whatever the client and the agent do.

use dialects::translation::Translation;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversation::{agent, begin, live};
use crate::scripted::{ABLE, RESUMING, STEADY, STUBBORN, Scripted};
use crate::talk::Talk;

const VENDORS: [&Scripted; 4] = [&ABLE, &RESUMING, &STEADY, &STUBBORN];

/// One thing that happens in a random session.
#[derive(Debug, Clone)]
enum Step {
    Client(Value),
    Raw(String),
    Append(u64),
    Agent(Value),
    /// What a client does that knows the last item of this kind.
    Truncate(u64),
    Delete,
    Close(u16),
    Wait(u64),
}

fn said() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[a-c ]{0,8}".prop_map(|text| json!({"Text": text})),
        4 => (0..300_u64).prop_map(|ms| json!({"Audio": ms})),
        1 => (0..9_u64).prop_map(|bytes| json!({"Bytes": bytes})),
        1 => "[a-c ]{0,12}".prop_map(|text| json!({"TextAll": text})),
        1 => Just(json!({"TextCorrected": "a"})),
        2 => Just(json!("SpeechStarted")),
        2 => Just(json!("SpeechStopped")),
        2 => "[a-c ]{0,8}".prop_map(|text| json!({"Heard": text})),
        2 => "[a-c ]{0,12}".prop_map(|text| json!({"HeardAll": text})),
        2 => Just(json!("ResponseStarted")),
        3 => Just(json!("ResponseEnded")),
        1 => prop_oneof![Just("tokens"), Just("filter"), Just("x")].prop_map(|cut| json!({"ResponseCut": cut})),
        2 => Just(json!("Interrupted")),
        2 => (0..4_u32).prop_map(|call| json!({"ToolCall": {"id": format!("call_{call}")}})),
        2 => Just(json!("ToolCallsEnded")),
        1 => (0..4_u32).prop_map(|call| json!({"ToolCallWithdrawn": format!("call_{call}")})),
        1 => (0..90_u64).prop_map(|n| json!({"Usage": {"text_in": n, "audio_out": n}})),
        1 => Just(json!("Configured")),
        1 => Just(json!("Ready")),
        1 => Just(json!({"Complaint": "no"})),
        1 => (0..9_000_u64).prop_map(|ms| json!({"Leaving": ms})),
    ]
}

pub(crate) fn event() -> impl Strategy<Value = Value> {
    let input = prop_oneof![
        Just(json!({"turn_detection": null})),
        Just(json!({"turn_detection": {"type": "server_vad", "interrupt_response": false}})),
        Just(json!({"turn_detection": {"type": "semantic_vad"}})),
        Just(json!({"format": {"type": "audio/pcmu"}})),
        Just(json!({"format": {"type": "audio/pcm", "rate": 24000}})),
        Just(json!({"transcription": {"model": "whisper-1"}})),
        Just(json!({"transcription": null})),
    ];
    let session = prop_oneof![
        input.prop_map(|input| json!({"type": "realtime", "audio": {"input": input}})),
        Just(json!({"type": "realtime", "output_modalities": ["text"]})),
        Just(json!({"type": "realtime", "output_modalities": ["audio"], "instructions": "x"})),
        Just(json!({"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcma"}, "voice": "v"}}})),
    ];
    let message = ("[a-c]{0,4}", 0..3_usize, prop_oneof![Just(Value::Null), Just(json!("root")), Just(json!("i1"))])
        .prop_map(|(text, role, previous)| {
            let (role, kind) = [("user", "input_text"), ("system", "input_text"), ("assistant", "output_text")][role];
            let item = json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
            json!({"type": "conversation.item.create", "item": item, "previous_item_id": previous})
        });
    prop_oneof![
        2 => session.prop_map(|session| json!({"type": "session.update", "session": session})),
        4 => message,
        1 => Just(json!({"type": "conversation.item.create", "item": {"id": "i1", "type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "hi"}]}})),
        3 => (0..4_u32).prop_map(|call| json!({"type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": format!("call_{call}"), "output": "1"}})),
        4 => Just(json!({"type": "response.create"})),
        1 => Just(json!({"type": "response.create", "response": {"instructions": "be brief", "metadata": {"a": "b"}}})),
        2 => Just(json!({"type": "response.cancel"})),
        3 => Just(json!({"type": "input_audio_buffer.commit"})),
        1 => Just(json!({"type": "input_audio_buffer.clear"})),
        1 => Just(json!({"type": "input_audio_buffer.append", "audio": "AAAA"})),
        1 => Just(json!({"type": "conversation.item.retrieve", "item_id": "i1"})),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => event().prop_map(Step::Client),
        12 => prop::collection::vec(said(), 1..4).prop_map(|said| Step::Agent(json!(said))),
        4 => (1..1_500_u64).prop_map(Step::Append),
        4 => (1..4_000_u64).prop_map(Step::Wait),
        1 => (0..500_u64).prop_map(Step::Truncate),
        1 => Just(Step::Delete),
        1 => "\\PC{0,40}".prop_map(Step::Raw),
        1 => prop_oneof![Just(json!(["Ended"])), Just(json!([{"Failed": "gone"}]))].prop_map(Step::Agent),
        1 => prop_oneof![Just(1000), Just(1006)].prop_map(Step::Close),
    ]
}

fn last_item(talk: &Talk) -> Option<String> {
    let added = talk.events.iter().rev().find(|event| event["type"] == "conversation.item.added")?;
    added["item"]["id"].as_str().map(ToOwned::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The strict client never sees an impossible event, every response that was created is done, and nobody
    /// is told anything after the end.
    #[test]
    fn whatever_happens_the_order_is_legal(
        vendor in 0..VENDORS.len(),
        ready in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut talk = begin(VENDORS[vendor]);
        if ready {
            talk = live(VENDORS[vendor], json!({}));
        }
        let (mut now, mut billed) = (0, 0);
        for step in steps {
            if talk.ended {
                break;
            }
            match step {
                Step::Client(event) => talk.client(now, &event),
                Step::Raw(text) => talk.raw(now, &text),
                Step::Append(ms) => talk.append(now, ms),
                Step::Agent(said) => agent(&mut talk, now, said),
                Step::Truncate(ms) => {
                    if let Some(item) = last_item(&talk) {
                        talk.client(now, &json!({"type": "conversation.item.truncate", "item_id": item,
                            "content_index": 0, "audio_end_ms": ms}));
                    }
                }
                Step::Delete => {
                    if let Some(item) = last_item(&talk) {
                        talk.client(now, &json!({"type": "conversation.item.delete", "item_id": item}));
                    }
                }
                Step::Close(code) => talk.close(now, code, ""),
                Step::Wait(ms) => {
                    now += ms;
                    talk.pass_time(now);
                }
            }
            let progress = talk.session.progress(now).billed_ms;
            prop_assert!(progress >= billed, "what is billed only grows");
            billed = progress;
        }
        if !talk.ended {
            agent(&mut talk, now, json!([{"Failed": "the end"}]));
        }
        let told = talk.events.len();
        if talk.ended {
            talk.client(now, &json!({"type": "response.create"}));
        }
        talk.act(now, |session, _, effects| session.finish(effects));
        prop_assert_eq!(talk.events.len(), told, "nobody is told anything after the end");
    }
}
