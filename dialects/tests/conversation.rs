//! Conversations in `OpenAI`'s words: stories of both sides from beginning to end, and what they turn on.

use dialects::conversation::agent::{AgentOpener, Incoming};
use dialects::translation::Translation;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golden::fixture;
use crate::scripted::{ABLE, RESUMING, STEADY, STUBBORN, Scripted, target};
use crate::talk::Talk;

/// One line of a story.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    t_ms: u64,
    /// An event of the client.
    client: Option<Value>,
    /// The client appends so much audio.
    append_ms: Option<u64>,
    /// The agent says this.
    agent: Option<Value>,
    close: Option<u16>,
}

fn play(talk: &mut Talk, line: &Line) {
    let now = line.t_ms;
    talk.pass_time(now);
    if let Some(event) = &line.client {
        talk.lines.push(format!("{now} client -> {event}"));
        talk.client(now, event);
    } else if let Some(ms) = line.append_ms {
        talk.lines.push(format!("{now} client appends {ms} ms"));
        talk.append(now, ms);
    } else if let Some(said) = &line.agent {
        talk.lines.push(format!("{now} vendor -> {said}"));
        talk.vendor(now, Incoming::Text(&said.to_string()));
    } else if let Some(code) = line.close {
        talk.lines.push(format!("{now} vendor closes {code}"));
        talk.close(now, code, "");
    }
}

fn story(opener: &'static Scripted, name: &str) -> Talk {
    let mut talk = begin(opener);
    let script = fixture(&format!("conversation/{name}.jsonl"));
    let mut now = 0;
    for line in String::from_utf8(script).unwrap().lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        now = line.t_ms;
        play(&mut talk, &line);
    }
    talk.lines.push(format!("billed {} ms", talk.session.progress(now).billed_ms));
    talk
}

pub(crate) fn begin(opener: &'static Scripted) -> Talk {
    let mut talk = Talk::new(opener as &'static dyn AgentOpener, target());
    talk.invitation = b"wss://elsewhere/talk".to_vec();
    talk
}

macro_rules! stories {
    ($($name:ident: $opener:ident;)*) => {$(
        #[test]
        fn $name() {
            let talk = story(&$opener, stringify!($name));
            insta::assert_snapshot!(talk.story());
        }
    )*};
}

stories! {
    greeting: ABLE;
    three_turns: ABLE;
    barge_in: ABLE;
    parallel_tools: RESUMING;
    truncated: ABLE;
    manual_turns: ABLE;
    manual_turns_by_silence: STEADY;
    text_only: ABLE;
    changes: STUBBORN;
    provider_error: ABLE;
    disconnect: ABLE;
    resumed: RESUMING;
    leaving: RESUMING;
}

/// A conversation that runs.
pub(crate) fn live(opener: &'static Scripted, session: Value) -> Talk {
    let mut talk = begin(opener);
    let mut session = session;
    session["type"] = json!("realtime");
    talk.client(0, &json!({"type": "session.update", "session": session}));
    agent(&mut talk, 0, json!(["Ready"]));
    talk
}

pub(crate) fn agent(talk: &mut Talk, now: u64, said: Value) {
    talk.vendor(now, Incoming::Text(&said.to_string()));
}

fn user(talk: &mut Talk, now: u64, text: &str) {
    let content = json!([{"type": "input_text", "text": text}]);
    talk.client(
        now,
        &json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}}),
    );
}

#[test]
fn every_field_is_refused_by_its_name_and_nothing_of_the_update_is_kept() {
    for (field, session) in [
        ("session.max_output_tokens", json!({"max_output_tokens": 99})),
        ("session.audio.output.voice", json!({"audio": {"output": {"voice": 7}}})),
        ("session.audio.input.turn_detection", json!({"audio": {"input": {"turn_detection": null}}})),
        (
            "session.audio.input.turn_detection.create_response",
            json!({"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": false}}}}),
        ),
        ("session.output_modalities", json!({"output_modalities": ["text"]})),
        ("session.tool_choice", json!({"tool_choice": "required"})),
        ("session.tools", json!({"tools": [{"type": "mcp", "server_label": "x"}]})),
        ("session.reasoning", json!({"reasoning": {"effort": "low"}})),
        ("session.prompt", json!({"prompt": {"id": "p"}})),
        ("session.include", json!({"include": ["item.input_audio_transcription.logprobs"]})),
        ("session.audio.input", json!({"audio": {"input": {"unheard_of": 1}}})),
        ("session", json!({"unheard_of": 1})),
    ] {
        let mut talk = begin(&STUBBORN);
        let mut session = session;
        session["type"] = json!("realtime");
        session["instructions"] = json!("kept?");
        talk.client(0, &json!({"type": "session.update", "event_id": "mine", "session": session}));
        let error = &talk.last("error")["error"];
        assert_eq!((&error["param"], &error["event_id"]), (&json!(field), &json!("mine")), "{error}");
        assert!(!talk.open, "nothing was opened for it");
        talk.client(1, &json!({"type": "session.update", "session": {"type": "realtime"}}));
        agent(&mut talk, 1, json!(["Ready"]));
        assert_eq!(talk.last("session.updated")["session"]["instructions"], "");
    }
}

#[test]
fn what_advises_only_is_taken_and_what_changes_nothing_is_never_refused() {
    let advice = json!({
        "model": "my-alias", "tracing": "auto", "truncation": "disabled", "parallel_tool_calls": true,
        "audio": {
            "input": {
                "noise_reduction": {"type": "near_field"}, "turn_detection": {"type": "semantic_vad"},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
            },
            "output": {"voice": "marin", "speed": 1.2},
        },
    });
    let mut talk = live(&STUBBORN, advice.clone());
    let shown = talk.last("session.updated")["session"].clone();
    assert_eq!(shown["model"], "my-alias");
    assert_eq!((&shown["tracing"], &shown["truncation"]), (&Value::Null, &json!("auto")));
    assert_eq!(shown["audio"]["input"]["turn_detection"]["type"], "server_vad");
    assert_eq!(shown["audio"]["input"]["transcription"]["model"], "gpt-4o-mini-transcribe");
    assert_eq!(
        shown["audio"]["output"],
        json!({"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0})
    );
    // The same again, and the session as it was shown.
    for session in [advice, shown.clone()] {
        let mut session = session;
        session["type"] = json!("realtime");
        talk.client(1, &json!({"type": "session.update", "session": session}));
        assert_eq!(talk.last("session.updated")["session"], shown);
    }
    assert!(!talk.kinds().contains(&"error"), "{:?}", talk.lines);
}

#[test]
fn an_item_keeps_its_id_and_its_place_and_is_read_back() {
    let mut talk = live(&ABLE, json!({}));
    for (id, previous, text) in [("a", None, "one"), ("c", None, "three"), ("b", Some("a"), "two")] {
        let item =
            json!({"id": id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
        talk.client(1, &json!({"type": "conversation.item.create", "item": item, "previous_item_id": previous}));
        assert_eq!(talk.last("conversation.item.added")["item"]["id"], id);
    }
    assert_eq!(talk.last("conversation.item.added")["previous_item_id"], "a");
    talk.client(2, &json!({"type": "conversation.item.retrieve", "item_id": "b"}));
    assert_eq!(talk.last("conversation.item.retrieved")["item"]["content"][0]["text"], "two");
    talk.client(3, &json!({"type": "conversation.item.delete", "item_id": "c"}));
    talk.client(4, &json!({"type": "response.create"}));
    let said: Vec<_> = talk.lines.iter().filter(|line| line.contains("UserText")).collect();
    assert_eq!(said.len(), 2, "what was deleted is not said: {said:?}");
    for (event, code) in [
        (json!({"type": "conversation.item.retrieve", "item_id": "c"}), "item_retrieve_invalid_item_id"),
        (json!({"type": "conversation.item.delete", "item_id": "c"}), "item_delete_invalid_item_id"),
        (
            json!({"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 5}),
            "unsupported_content_type",
        ),
        (
            json!({"type": "conversation.item.create", "item": {"id": "a", "type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "again"}]}}),
            "item_create_duplicate_id",
        ),
        (
            json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "x",
                "output": "1"}}),
            "invalid_value",
        ),
        (json!({"type": "output_audio_buffer.clear"}), "invalid_value"),
        (json!({"type": "made.up"}), "invalid_value"),
        (json!({"type": "response.create"}), "conversation_already_has_active_response"),
        (json!({"type": "response.cancel", "response_id": "resp_x"}), "response_cancel_not_active"),
        (json!({"type": "input_audio_buffer.commit"}), "input_audio_buffer_commit_empty"),
    ] {
        talk.client(5, &event);
        assert_eq!(talk.last("error")["error"]["code"], code, "{event}");
    }
}

#[test]
fn what_was_said_before_the_agent_came_is_its_history_but_for_what_is_still_to_be_answered() {
    let mut talk = begin(&ABLE);
    for (role, kind, text) in [
        ("system", "input_text", "be kind"),
        ("user", "input_text", "hello"),
        ("assistant", "output_text", "hi"),
        ("user", "input_text", "how are you?"),
    ] {
        let item = json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
        talk.client(0, &json!({"type": "conversation.item.create", "item": item}));
    }
    talk.client(1, &json!({"type": "response.create"}));
    agent(&mut talk, 2, json!(["Ready"]));
    let told = talk.lines.iter().find(|line| line.contains("history")).unwrap();
    assert!(told.contains(r#"["System: be kind", "User: hello", "Assistant: hi"]"#), "{told}");
    let orders: Vec<_> = talk.lines.iter().filter(|line| line.contains("Text(") || line.contains("Respond")).collect();
    assert_eq!(orders, ["2 vendor <- UserText(\"how are you?\")", "2 vendor <- Respond { instructions: None }"]);
}

#[test]
fn the_question_behind_a_functions_output_is_never_lost_and_never_too_much() {
    let output = |call: &str| {
        json!({"type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": call, "output": "{}"}})
    };
    let create = json!({"type": "response.create"});
    // Asked before the agent goes on: its next response is the answer, and nothing is asked of it.
    let mut talk = live(&ABLE, json!({}));
    agent(&mut talk, 1, json!([{"ToolCall": {"id": "c1"}}, "ToolCallsEnded"]));
    talk.client(2, &output("c1"));
    talk.client(3, &create);
    agent(&mut talk, 4, json!([{"Text": "18 degrees"}, "ResponseEnded"]));
    assert_eq!(talk.strict.responses.len(), 2);
    assert!(!talk.lines.iter().any(|line| line.contains("Respond {")));
    // Asked while the agent goes on already.
    agent(&mut talk, 10, json!([{"ToolCall": {"id": "c2"}}, "ToolCallsEnded"]));
    talk.client(11, &output("c2"));
    agent(&mut talk, 12, json!([{"Text": "so it is"}]));
    talk.client(13, &create);
    agent(&mut talk, 14, json!(["ResponseEnded"]));
    assert_eq!(talk.strict.responses.len(), 4);
    // The end of what the agent said before its calls may come late: it is none of the answer.
    agent(&mut talk, 15, json!([{"ToolCall": {"id": "c4"}}, "ToolCallsEnded"]));
    talk.client(16, &output("c4"));
    talk.client(16, &create);
    agent(&mut talk, 17, json!(["ResponseEnded", {"Text": "here"}, "ResponseEnded"]));
    assert_eq!(talk.strict.responses.len(), 6);
    // Asked when it has ended: that is a question of its own.
    agent(&mut talk, 20, json!([{"ToolCall": {"id": "c3"}}, "ToolCallsEnded"]));
    talk.client(21, &output("c3"));
    agent(&mut talk, 22, json!([{"Text": "done"}, "ResponseEnded"]));
    talk.client(23, &create);
    assert!(talk.strict.responding() && talk.lines.iter().any(|line| line.contains("Respond {")));
    assert!(!talk.kinds().contains(&"error"), "{}", talk.story());
    // Where the agent cannot be asked, the answer that it gave already was all.
    let mut talk = live(&STUBBORN, json!({}));
    agent(&mut talk, 1, json!([{"ToolCall": {"id": "c1"}}, "ToolCallsEnded"]));
    talk.client(2, &output("c1"));
    agent(&mut talk, 3, json!([{"Text": "done"}, "ResponseEnded"]));
    talk.client(4, &create);
    assert_eq!(talk.strict.responses.last().unwrap()["output"], json!([]));
    assert!(!talk.kinds().contains(&"error"), "{}", talk.story());
}

#[test]
fn what_still_comes_of_a_cancelled_response_is_not_told() {
    let mut talk = live(&ABLE, json!({}));
    user(&mut talk, 1, "count");
    talk.client(2, &json!({"type": "response.create", "response": {"metadata": {"n": "1"}}}));
    agent(&mut talk, 3, json!([{"Text": "one "}, {"Audio": 100}]));
    talk.client(4, &json!({"type": "response.cancel"}));
    let done = &talk.last("response.done")["response"];
    assert_eq!((&done["status_details"]["reason"], &done["metadata"]["n"]), (&json!("client_cancelled"), &json!("1")));
    user(&mut talk, 5, "stop");
    talk.client(5, &json!({"type": "response.create", "response": {"metadata": {"n": "2"}}}));
    agent(&mut talk, 300, json!([{"Audio": 100}, {"Text": "two"}, {"ToolCall": {"id": "x"}}, "ResponseEnded"]));
    assert!(talk.strict.responding(), "the second response waits");
    agent(&mut talk, 900, json!([{"Text": "fine"}, "ResponseEnded"]));
    let done = &talk.last("response.done")["response"];
    assert_eq!((&done["output"][0]["content"][0]["transcript"], &done["metadata"]["n"]), (&json!("fine"), &json!("2")));
    // An agent that says nothing of an end is believed after a pause.
    agent(&mut talk, 1000, json!([{"Text": "more"}]));
    talk.client(1001, &json!({"type": "response.cancel"}));
    agent(&mut talk, 1200, json!([{"Text": "and more"}]));
    user(&mut talk, 1201, "well?");
    talk.client(1202, &json!({"type": "response.create"}));
    agent(&mut talk, 3000, json!([{"Text": "yes"}, "ResponseEnded"]));
    let done = &talk.last("response.done")["response"];
    assert_eq!(done["output"][0]["content"][0]["transcript"], "yes");
}

#[test]
fn an_answer_that_never_comes_is_a_response_that_failed() {
    let mut talk = live(&ABLE, json!({}));
    user(&mut talk, 0, "hello?");
    talk.client(0, &json!({"type": "response.create"}));
    talk.pass_time(59_000);
    assert!(talk.strict.responding());
    talk.pass_time(61_000);
    assert_eq!(talk.last("response.done")["response"]["status"], "failed");
    agent(&mut talk, 61_500, json!(["ResponseStarted", {"Text": "I "}]));
    talk.pass_time(121_000);
    assert!(talk.strict.responding());
    talk.pass_time(122_000);
    assert_eq!(talk.last("response.done")["response"]["status"], "failed", "it never went on");
    user(&mut talk, 122_000, "impossible");
    talk.client(122_000, &json!({"type": "response.create", "event_id": "e"}));
    assert_eq!(talk.last("response.done")["response"]["status"], "failed");
    assert_eq!(talk.last("error")["error"]["message"], "This cannot be said.");
    assert!(!talk.strict.responding() && !talk.ended);
}

#[test]
fn a_socket_that_cannot_be_opened_is_tried_once_more() {
    for (refusals, ends) in [(1, false), (2, true)] {
        let mut talk = begin(&RESUMING);
        talk.refusals = refusals;
        talk.append(0, 100);
        talk.pass_time(300);
        assert_eq!((talk.ended, talk.kinds().contains(&"error")), (ends, ends), "{}", talk.story());
    }
    let mut talk = begin(&RESUMING);
    talk.invitation = Vec::new();
    talk.client(0, &json!({"type": "session.update", "session": {"type": "realtime"}}));
    assert!(talk.ended && talk.lines.last().unwrap().contains("end 1011 There is no address."));
    let mut talk = begin(&ABLE);
    talk.client(0, &json!({"type": "session.update", "session": {"type": "realtime", "instructions": "unplanned"}}));
    assert_eq!(talk.last("error")["error"]["param"], "session.instructions");
    talk.append(0, 100);
    talk.pass_time(300);
    assert!(talk.open && !talk.ended);
    talk.pass_time(6_000);
    assert!(talk.ended, "it was never ready");
}

#[test]
fn audio_keeps_its_length_through_formats_halves_and_pace() {
    let mut talk = live(&STEADY, json!({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}));
    talk.append(0, 1_000);
    assert_eq!(talk.binary, 220 * 32, "no more than is ahead of its playing, and the frame over it");
    talk.pass_time(2_000);
    let silence = talk.binary - 32_000;
    assert!((900 * 32..=960 * 32).contains(&silence), "silence stands in for the second that is missing: {silence}");
    let mut talk = live(&ABLE, json!({}));
    for _ in 0..4 {
        talk.client(1, &json!({"type": "input_audio_buffer.append", "audio": "AAAA"}));
    }
    assert_eq!(talk.binary, 8, "12 bytes at 24 kHz");
    talk.append(2, 60_000);
    assert_eq!(talk.binary, 8 + 60_000 * 32);
    // Half samples of the agent's are joined.
    agent(&mut talk, 3, json!([{"Bytes": 1}, {"Bytes": 3}, {"Bytes": 5}, {"Text": "x"}, "ResponseEnded"]));
    let deltas = talk.kinds().iter().filter(|kind| **kind == "response.output_audio.delta").count();
    assert!(deltas > 0);
}

#[test]
fn a_response_that_was_cancelled_before_it_began_is_not_told_when_it_begins_all_the_same() {
    let mut talk = live(&STUBBORN, json!({}));
    user(&mut talk, 1, "hello");
    talk.client(2, &json!({"type": "response.create"}));
    talk.client(3, &json!({"type": "response.cancel"}));
    agent(&mut talk, 2_000, json!(["ResponseStarted", {"Text": "hi"}, "ResponseEnded"]));
    assert_eq!(talk.strict.responses.len(), 1, "{}", talk.story());
    agent(&mut talk, 9_000, json!(["ResponseStarted", {"Text": "still there?"}, "ResponseEnded"]));
    assert_eq!(talk.strict.responses.len(), 2, "what the agent says later is its own");
}

#[test]
fn what_was_used_is_told_once_however_late_it_is_known() {
    let mut talk = live(&ABLE, json!({}));
    let used = |text_in: u64| json!({"Usage": {"text_in": text_in, "text_out": 1}});
    agent(&mut talk, 1, json!(["ResponseStarted", {"Text": "one"}, used(3), used(4), "ResponseEnded", used(5)]));
    agent(&mut talk, 2, json!(["ResponseStarted", {"Text": "two"}, "ResponseEnded"]));
    let input: Vec<_> = talk.strict.responses.iter().map(|response| &response["usage"]["input_tokens"]).collect();
    assert_eq!(input, [7, 5]);
}

#[test]
fn words_that_nobody_announced_belong_to_one_turn() {
    let mut talk = live(&ABLE, json!({"audio": {"input": {"transcription": {"model": "any"}}}}));
    talk.append(1, 900);
    agent(&mut talk, 2, json!([{"Heard": "what "}]));
    agent(&mut talk, 3, json!([{"Heard": "time"}]));
    agent(&mut talk, 4, json!([{"Text": "Noon."}]));
    agent(&mut talk, 5, json!([{"Heard": " is it"}, "ResponseEnded"]));
    let committed = talk.kinds().iter().filter(|kind| **kind == "input_audio_buffer.committed").count();
    let completed = talk.last("conversation.item.input_audio_transcription.completed");
    assert_eq!((committed, &completed["transcript"]), (1, &json!("what time is it")));
}

#[test]
fn a_change_is_told_when_the_agent_has_it_and_a_refused_one_changes_nothing() {
    let mut talk = live(&ABLE, json!({}));
    let updated = |talk: &Talk| talk.events.iter().filter(|event| event["type"] == "session.updated").count();
    talk.client(1, &json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Two."}}));
    assert_eq!(updated(&talk), 1);
    agent(&mut talk, 2, json!(["Configured"]));
    assert_eq!((updated(&talk), &talk.last("session.updated")["session"]["instructions"]), (2, &json!("Two.")));
    // Before the agent is there, the last word is what it begins with.
    let mut talk = begin(&ABLE);
    for instructions in ["One.", "Two."] {
        let session = json!({"type": "realtime", "instructions": instructions});
        talk.client(0, &json!({"type": "session.update", "session": session}));
    }
    agent(&mut talk, 1, json!(["Ready"]));
    assert_eq!(updated(&talk), 0, "the agent is told what has changed since it was called");
    agent(&mut talk, 2, json!(["Configured"]));
    assert_eq!(updated(&talk), 2);
}

#[test]
fn an_agent_that_is_never_content_with_the_time_does_not_stop_the_clock() {
    let mut talk = live(&ABLE, json!({"instructions": "restless"}));
    talk.pass_time(1_000);
    assert!(talk.session.next_tick().is_some_and(|due| due > 1_000));
}

#[test]
fn what_no_agent_has_does_not_open_it_before_it_is_configured() {
    let mut talk = begin(&STUBBORN);
    talk.client(0, &json!({"type": "session.update", "session": {"type": "realtime", "tracing": "auto"}}));
    assert_eq!(talk.last("session.updated")["session"]["tracing"], Value::Null);
    assert!(!talk.open, "it would be fixed to what the client has not said yet");
    let session = json!({"type": "realtime", "instructions": "Be brief."});
    talk.client(5, &json!({"type": "session.update", "session": session}));
    assert!(talk.open);
}

#[test]
fn a_call_that_is_answered_before_its_response_is_over_does_not_mix_with_the_answer() {
    let mut talk = begin(&ABLE);
    let say = |talk: &mut Talk, now: u64, said: Value| talk.vendor(now, Incoming::Text(&said.to_string()));
    talk.client(0, &json!({"type": "session.update", "session": {"type": "realtime"}}));
    say(&mut talk, 1, json!(["Ready"]));
    talk.client(2, &json!({"type": "response.create"}));
    say(&mut talk, 10, json!(["ResponseStarted", {"ToolCall": {"id": "call_1"}}]));
    // A framework runs the function as soon as it has the arguments.
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "sun"});
    talk.client(20, &json!({"type": "conversation.item.create", "item": output}));
    let given = |talk: &Talk| talk.lines.iter().any(|line| line.contains("vendor <-") && line.contains("sun"));
    assert!(!given(&talk), "the agent would go on within the response that called");
    say(&mut talk, 30, json!(["ToolCallsEnded"]));
    assert_eq!(talk.last("response.done")["response"]["status"], "completed");
    assert!(given(&talk));
    say(&mut talk, 40, json!(["ResponseStarted", {"Text": "Sun."}, "ResponseEnded"]));
    talk.client(50, &json!({"type": "response.create"}));
    let responses = talk.kinds().iter().filter(|kind| **kind == "response.done").count();
    assert!(responses >= 2, "the answer is a response of its own: {}", talk.story());
}
