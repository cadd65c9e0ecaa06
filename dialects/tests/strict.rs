//! A strict client: it knows in which order the events of a conversation may come, and what each must hold.
//! It fails the test at the first event that is impossible.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What every event of a type must hold beside its type and its id.
const FIELDS: &[(&str, &[&str])] = &[
    ("error", &["error"]),
    ("session.created", &["session"]),
    ("session.updated", &["session"]),
    ("conversation.item.added", &["previous_item_id", "item"]),
    ("conversation.item.done", &["previous_item_id", "item"]),
    ("conversation.item.retrieved", &["item"]),
    ("conversation.item.deleted", &["item_id"]),
    ("conversation.item.truncated", &["item_id", "content_index", "audio_end_ms"]),
    ("conversation.item.input_audio_transcription.delta", &["item_id", "content_index", "delta"]),
    ("conversation.item.input_audio_transcription.completed", &["item_id", "content_index", "transcript", "usage"]),
    ("input_audio_buffer.committed", &["previous_item_id", "item_id"]),
    ("input_audio_buffer.cleared", &[]),
    ("input_audio_buffer.speech_started", &["audio_start_ms", "item_id"]),
    ("input_audio_buffer.speech_stopped", &["audio_end_ms", "item_id"]),
    ("response.created", &["response"]),
    ("response.done", &["response"]),
    ("response.output_item.added", &["response_id", "output_index", "item"]),
    ("response.output_item.done", &["response_id", "output_index", "item"]),
    ("response.content_part.added", &["response_id", "item_id", "output_index", "content_index", "part"]),
    ("response.content_part.done", &["response_id", "item_id", "output_index", "content_index", "part"]),
    ("response.output_text.delta", &["response_id", "item_id", "output_index", "content_index", "delta"]),
    ("response.output_text.done", &["response_id", "item_id", "output_index", "content_index", "text"]),
    ("response.output_audio.delta", &["response_id", "item_id", "output_index", "content_index", "delta"]),
    ("response.output_audio.done", &["response_id", "item_id", "output_index", "content_index"]),
    ("response.output_audio_transcript.delta", &["response_id", "item_id", "output_index", "content_index", "delta"]),
    (
        "response.output_audio_transcript.done",
        &["response_id", "item_id", "output_index", "content_index", "transcript"],
    ),
    ("response.function_call_arguments.delta", &["response_id", "item_id", "output_index", "call_id", "delta"]),
    (
        "response.function_call_arguments.done",
        &["response_id", "item_id", "output_index", "call_id", "arguments", "name"],
    ),
];

/// The item of a response that is being made.
#[derive(Debug, Default)]
struct Making {
    id: String,
    /// It was added to the conversation.
    added: bool,
    is_call: bool,
    /// The part: `None` before it was added.
    part: Option<Part>,
    text: String,
    arguments_done: bool,
    /// What `response.output_item.done` told, until the conversation has it.
    done: Option<Value>,
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum Part {
    Open,
    AudioDone,
    TextDone,
    Done,
}

/// The response that is being made.
#[derive(Debug)]
struct Responding {
    id: String,
    making: Option<Making>,
    done: Vec<Value>,
}

/// A strict client of one session.
#[derive(Debug, Default)]
pub(crate) struct Strict {
    events: BTreeSet<String>,
    began: bool,
    ids: BTreeSet<String>,
    responding: Option<Responding>,
    /// What the responses that are done told.
    pub(crate) responses: Vec<Value>,
    /// The user's turn that is open: its item and when it began.
    turn: Option<(String, u64)>,
    stopped: Option<String>,
    /// An item that was committed and is to be added.
    committed: Option<(String, Value)>,
    /// Items, and whether they are done.
    items: BTreeMap<String, bool>,
    deleted: BTreeSet<String>,
    /// Items of audio: what was told of their words, and whether all was.
    heard: BTreeMap<String, (String, bool)>,
    formats: (bool, bool),
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

impl Strict {
    /// Reads the next event.
    pub(crate) fn read(&mut self, event: &Value) {
        let kind = text(event, "/type");
        let (_, fields) =
            FIELDS.iter().find(|(known, _)| *known == kind).unwrap_or_else(|| panic!("unknown event {event}"));
        for field in *fields {
            assert!(event.get(field).is_some(), "{kind} has no {field}: {event}");
        }
        assert!(self.events.insert(text(event, "/event_id").to_owned()), "an event's id came twice: {event}");
        assert_eq!(!self.began, kind == "session.created", "session.created comes first and once: {event}");
        self.began = true;
        if let Some((id, _)) = &self.committed {
            assert_eq!(kind, "conversation.item.added", "a committed item is added next");
            assert_eq!(text(event, "/item/id"), id);
        }
        assert!(self.stopped.is_none() || kind == "input_audio_buffer.committed", "a turn that ended is committed");
        match kind {
            "error" => {
                for field in ["type", "code", "message"] {
                    text(event, &format!("/error/{field}"));
                }
            }
            "session.created" | "session.updated" => self.session(event),
            _ if kind.starts_with("response.") => self.response(kind, event),
            _ if kind.starts_with("input_audio_buffer.") => self.input(kind, event),
            _ => self.conversation(kind, event),
        }
    }

    /// The session is over.
    pub(crate) fn end(&self) {
        assert!(self.responding.is_none(), "a response is left open: {:?}", self.responding);
        assert!(self.committed.is_none() && self.stopped.is_none());
        let open: Vec<_> = self.items.iter().filter(|(_, done)| !**done).collect();
        assert!(open.is_empty(), "items are left open: {open:?}");
    }

    /// Whether a response is being made.
    pub(crate) fn responding(&self) -> bool {
        self.responding.is_some()
    }

    fn session(&mut self, event: &Value) {
        let session = &event["session"];
        for field in [
            "id",
            "object",
            "type",
            "model",
            "output_modalities",
            "instructions",
            "tools",
            "tool_choice",
            "max_output_tokens",
            "tracing",
            "truncation",
            "prompt",
            "include",
            "expires_at",
            "audio",
        ] {
            assert!(session.get(field).is_some(), "the session has no {field}: {event}");
        }
        for pointer in ["/audio/input/turn_detection", "/audio/input/transcription", "/audio/input/noise_reduction"] {
            assert!(session.pointer(pointer).is_some(), "the session has no {pointer}");
        }
        let pcm = |side: &str| text(session, &format!("/audio/{side}/format/type")) == "audio/pcm";
        self.formats = (pcm("input"), pcm("output"));
    }

    fn new_id(&mut self, id: &str) {
        assert!(self.ids.insert(id.to_owned()), "the id {id} came twice");
    }

    fn input(&mut self, kind: &str, event: &Value) {
        match kind {
            "input_audio_buffer.speech_started" => {
                assert!(self.turn.is_none(), "a turn is open: {event}");
                let id = text(event, "/item_id").to_owned();
                self.new_id(&id);
                self.turn = Some((id, number(event, "/audio_start_ms")));
            }
            "input_audio_buffer.speech_stopped" => {
                let (id, start) = self.turn.take().unwrap_or_else(|| panic!("no turn is open: {event}"));
                assert_eq!(text(event, "/item_id"), id);
                assert!(number(event, "/audio_end_ms") >= start);
                self.stopped = Some(id);
            }
            "input_audio_buffer.committed" => {
                let id = text(event, "/item_id").to_owned();
                match self.stopped.take() {
                    Some(stopped) => assert_eq!(id, stopped),
                    None => self.new_id(&id),
                }
                self.committed = Some((id, event["previous_item_id"].clone()));
            }
            _ => {}
        }
    }

    fn known(&self, event: &Value) -> String {
        let id = text(event, "/item_id").to_owned();
        assert!(self.items.contains_key(&id) && !self.deleted.contains(&id), "an unknown item: {event}");
        id
    }

    fn conversation(&mut self, kind: &str, event: &Value) {
        match kind {
            "conversation.item.added" => self.added(event),
            "conversation.item.done" => self.item_done(event),
            "conversation.item.retrieved" => {
                assert!(self.items.contains_key(text(event, "/item/id")));
            }
            "conversation.item.deleted" => {
                let id = self.known(event);
                self.deleted.insert(id);
            }
            "conversation.item.truncated" => drop(self.known(event)),
            "conversation.item.input_audio_transcription.delta" => {
                let heard = self.heard.get_mut(text(event, "/item_id")).unwrap_or_else(|| panic!("{event}"));
                assert!(!heard.1, "a piece behind the whole: {event}");
                heard.0.push_str(text(event, "/delta"));
            }
            _ => {
                let (told, whole) = self.heard.get_mut(text(event, "/item_id")).unwrap_or_else(|| panic!("{event}"));
                assert!(!*whole, "an item is completed once: {event}");
                *whole = true;
                let transcript = text(event, "/transcript");
                assert!(!transcript.starts_with(told.as_str()) || transcript == told, "the rest was not told: {event}");
                assert_eq!(text(event, "/usage/type"), "duration");
                assert!(event.pointer("/usage/seconds").and_then(Value::as_f64).is_some_and(|s| s >= 0.0));
            }
        }
    }

    fn added(&mut self, event: &Value) {
        let (item, id) = (&event["item"], text(event, "/item/id").to_owned());
        if let Some(previous) = event["previous_item_id"].as_str() {
            assert!(self.items.contains_key(previous), "the item before is unknown: {event}");
        }
        let making = self.responding.as_mut().and_then(|open| open.making.as_mut()).filter(|making| making.id == id);
        if let Some(making) = making {
            assert!(!std::mem::replace(&mut making.added, true), "an item is added once: {event}");
        } else if let Some((_, previous)) = self.committed.take() {
            assert_eq!(previous, event["previous_item_id"]);
            self.heard.insert(id.clone(), (String::new(), false));
        } else {
            // The client's own: only its ids are not ours.
            assert!(item["status"] == "completed", "{event}");
            self.ids.insert(id.clone());
        }
        assert_eq!(item["object"], "realtime.item");
        // What was deleted may be written anew.
        if self.deleted.remove(&id) {
            self.items.remove(&id);
        }
        assert!(self.items.insert(id, false).is_none(), "an item was there before: {event}");
    }

    fn item_done(&mut self, event: &Value) {
        let id = text(event, "/item/id").to_owned();
        let done = self.items.get_mut(&id).unwrap_or_else(|| panic!("it was not added: {event}"));
        assert!(!std::mem::replace(done, true), "an item is done once: {event}");
        let Some(open) = &mut self.responding else { return };
        if let Some(making) = open.making.take_if(|making| making.id == id) {
            assert_eq!(making.done.as_ref(), Some(&event["item"]), "the conversation has what the response has");
            open.done.push(event["item"].clone());
        }
    }

    fn response(&mut self, kind: &str, event: &Value) {
        if kind == "response.created" {
            assert!(self.responding.is_none(), "a response is open: {event}");
            let id = text(event, "/response/id").to_owned();
            self.new_id(&id);
            assert_eq!(
                (&event["response"]["status"], &event["response"]["output"]),
                (&json!("in_progress"), &json!([]))
            );
            self.responding = Some(Responding { id, making: None, done: Vec::new() });
            return;
        }
        let mut open = self.responding.take().unwrap_or_else(|| panic!("no response is open: {event}"));
        if kind == "response.done" {
            return self.response_done(open, event);
        }
        assert_eq!(text(event, "/response_id"), open.id, "{event}");
        assert_eq!(number(event, "/output_index"), open.done.len() as u64, "{event}");
        if kind == "response.output_item.added" {
            assert!(open.making.is_none(), "an item is open: {event}");
            let id = text(event, "/item/id").to_owned();
            self.new_id(&id);
            assert_eq!(event["item"]["status"], "in_progress");
            let is_call = event["item"]["type"] == "function_call";
            open.making = Some(Making { id, is_call, ..Making::default() });
        } else {
            let making = open.making.as_mut().unwrap_or_else(|| panic!("no item is open: {event}"));
            let id = event.get("item_id").unwrap_or(&event["item"]["id"]);
            assert_eq!(*id, making.id, "{event}");
            assert!(making.added && making.done.is_none(), "{event}");
            assert!(event.get("content_index").is_none_or(|index| *index == 0));
            making.go_on(kind, event, self.formats.1);
        }
        self.responding = Some(open);
    }

    fn response_done(&mut self, open: Responding, event: &Value) {
        let response = &event["response"];
        assert_eq!(text(response, "/id"), open.id);
        assert!(open.making.is_none(), "an item is left open: {event}");
        assert_eq!(response["output"], json!(open.done), "the output is all items that were done");
        let status = text(response, "/status");
        assert_eq!(response["status_details"].is_null(), status == "completed", "{event}");
        if status != "completed" {
            assert_eq!(text(response, "/status_details/type"), status);
        }
        let usage = |pointer: &str| number(response, &format!("/usage/{pointer}"));
        assert_eq!(usage("total_tokens"), usage("input_tokens") + usage("output_tokens"));
        let details = usage("output_token_details/text_tokens") + usage("output_token_details/audio_tokens");
        assert_eq!(usage("output_tokens"), details);
        self.responses.push(response.clone());
    }
}

impl Making {
    fn go_on(&mut self, kind: &str, event: &Value, pcm: bool) {
        match kind {
            "response.content_part.added" => {
                assert_eq!((self.part, self.is_call), (None, false), "{event}");
                self.part = Some(Part::Open);
            }
            "response.output_audio.delta" => {
                assert_eq!(self.part, Some(Part::Open), "{event}");
                let audio = STANDARD.decode(text(event, "/delta")).unwrap();
                assert!(!audio.is_empty(), "{event}");
                assert!(!pcm || audio.len().is_multiple_of(2), "half a sample: {event}");
            }
            "response.output_text.delta" | "response.output_audio_transcript.delta" => {
                assert_eq!(self.part, Some(Part::Open), "{event}");
                self.text.push_str(text(event, "/delta"));
            }
            "response.output_audio.done" => {
                assert_eq!(self.part.replace(Part::AudioDone), Some(Part::Open), "{event}");
            }
            "response.output_audio_transcript.done" => {
                assert_eq!(self.part.replace(Part::TextDone), Some(Part::AudioDone), "{event}");
                assert_eq!(text(event, "/transcript"), self.text);
            }
            "response.output_text.done" => {
                assert_eq!(self.part.replace(Part::TextDone), Some(Part::Open), "{event}");
                assert_eq!(text(event, "/text"), self.text);
            }
            "response.content_part.done" => {
                assert_eq!(self.part.replace(Part::Done), Some(Part::TextDone), "{event}");
                let part = &event["part"];
                assert_eq!(part.get("transcript").unwrap_or(&part["text"]), &self.text);
            }
            "response.function_call_arguments.delta" => {
                assert!(self.is_call && !self.arguments_done, "{event}");
                self.text.push_str(text(event, "/delta"));
            }
            "response.function_call_arguments.done" => {
                assert!(self.is_call && !std::mem::replace(&mut self.arguments_done, true), "{event}");
                assert_eq!(text(event, "/arguments"), self.text);
            }
            "response.output_item.done" => {
                let item = &event["item"];
                if self.is_call {
                    assert!(self.arguments_done);
                    assert_eq!(text(item, "/arguments"), self.text);
                } else {
                    assert_eq!(self.part, Some(Part::Done), "{event}");
                    let part = &item["content"][0];
                    assert_eq!(part.get("transcript").unwrap_or(&part["text"]), &self.text);
                }
                assert!(item["status"] == "completed" || item["status"] == "incomplete", "{event}");
                self.done = Some(item.clone());
            }
            _ => panic!("{event}"),
        }
    }
}
