//! Each turn of a session has a span, from the moment that somebody waits for it to the provider's last word of it,
//! and so has each tool that the client runs for the model.

use std::time::Instant;

use opentelemetry::trace::{SpanKind, SpanRef, TraceContextExt};
use opentelemetry::{Array, Context, KeyValue, Value};
use serde::Deserialize;

use super::{Open, Spans, Trace};

/// Longest name that is kept of what a provider names.
pub(super) const MAX_NAME_BYTES: usize = 128;
/// Turns and tools of a session that may be open at a time; more of them have no spans.
const MAX_OPEN: usize = 32;

/// A turn that has begun.
#[derive(Debug)]
pub(super) struct Turn {
    /// As the provider names its response.
    id: Option<String>,
    span: Context,
    delivers: bool,
    over: Option<Instant>,
}

impl Turn {
    /// The provider has said its last word of it.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn span(&self) -> SpanRef<'_> {
        self.span.span()
    }
}

/// A tool that the client runs.
#[derive(Debug)]
pub(super) struct Tool {
    call_id: String,
    span: Context,
}

#[derive(Deserialize)]
struct Event {
    response: Option<Response>,
    item: Option<Item>,
}

#[derive(Deserialize)]
struct Response {
    id: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
}

impl Trace {
    /// An event of this type goes to the provider.
    pub fn session_asks(&self, kind: &str, event: &str) {
        let Some(spans) = self.0.as_deref() else { return };
        match kind {
            "response.create" => {
                let mut open = spans.open();
                open.awaited = open.awaited.or_else(|| Some(Instant::now()));
            }
            "conversation.item.create" => spans.tool_answered(event),
            _ => {}
        }
    }

    /// An event of this type came from the provider.
    pub fn session_hears(&self, kind: &str, event: &str) {
        let Some(spans) = self.0.as_deref() else { return };
        match kind {
            // From here on the user waits for an answer.
            "input_audio_buffer.speech_stopped" => spans.open().awaited = Some(Instant::now()),
            "response.created" => spans.turn_begins(event),
            "response.output_item.done" => spans.tool_asked(event),
            "response.done" => spans.turn_ends(event),
            // What the user says is written down meanwhile, in deltas too.
            delta if delta.starts_with("response.") && delta.ends_with(".delta") => spans.turn_delivers(),
            // Perhaps there will be no response.
            "error" => spans.open().awaited = None,
            _ => {}
        }
    }

    /// Whatever the last event used is accounted for: turns that are over end.
    pub fn session_accounted(&self) {
        let Some(spans) = self.0.as_deref() else { return };
        spans.open().turns.retain(|turn| match turn.over {
            Some(over) => {
                turn.span().end_with_timestamp(spans.time(over));
                false
            }
            None => true,
        });
    }
}

impl Spans {
    fn turn_begins(&self, event: &str) {
        let id = read(event).and_then(|event| event.response).and_then(|response| response.id).map(short);
        let mut open = self.open();
        let from = open.awaited.take().unwrap_or_else(Instant::now);
        if open.turns.len() >= MAX_OPEN {
            return;
        }
        let mut about = vec![KeyValue::new("gen_ai.operation.name", "realtime")];
        about.extend(id.clone().map(|id| KeyValue::new("gen_ai.response.id", id)));
        let span = self.begun("turn", SpanKind::Internal, from, about);
        open.turns.push(Turn { id, span, delivers: false, over: None });
    }

    fn turn_delivers(&self) {
        let mut open = self.open();
        if let Some(turn) = open.turns.last_mut().filter(|turn| !turn.delivers && !turn.is_over()) {
            turn.delivers = true;
            turn.span().add_event_with_timestamp("first_output", self.time(Instant::now()), Vec::new());
        }
    }

    fn turn_ends(&self, event: &str) {
        let Some(response) = read(event).and_then(|event| event.response) else { return };
        let mut open = self.open();
        let Some(turn) = open.turn(response.id.map(short).as_deref()) else { return };
        turn.over = Some(Instant::now());
        if let Some(status) = response.status {
            let reasons = Value::Array(Array::String(vec![short(status).into()]));
            turn.span().set_attribute(KeyValue::new("gen_ai.response.finish_reasons", reasons));
        }
    }

    fn tool_asked(&self, event: &str) {
        let Some(item) = read(event).and_then(|event| event.item) else { return };
        let (Some("function_call"), Some(call_id), Some(name)) = (item.kind.as_deref(), item.call_id, item.name) else {
            return;
        };
        let (call_id, name) = (short(call_id), short(name));
        let mut open = self.open();
        if open.tools.len() >= MAX_OPEN {
            return;
        }
        let about = vec![
            KeyValue::new("gen_ai.operation.name", "execute_tool"),
            KeyValue::new("gen_ai.tool.name", name.clone()),
            KeyValue::new("gen_ai.tool.call.id", call_id.clone()),
            KeyValue::new("gen_ai.tool.type", "function"),
        ];
        let span = self.begun(format!("execute_tool {name}"), SpanKind::Internal, Instant::now(), about);
        open.tools.push(Tool { call_id, span });
    }

    fn tool_answered(&self, event: &str) {
        let mut open = self.open();
        if open.tools.is_empty() {
            return;
        }
        let Some(item) = read(event).and_then(|event| event.item) else { return };
        let (Some("function_call_output"), Some(call_id)) = (item.kind.as_deref(), item.call_id) else { return };
        let call_id = short(call_id);
        if let Some(at) = open.tools.iter().position(|tool| tool.call_id == call_id) {
            let tool = open.tools.remove(at);
            tool.span.span().end_with_timestamp(self.time(Instant::now()));
        }
    }
}

impl Open {
    /// The turn of this response; where the provider names none, the oldest.
    fn turn(&mut self, id: Option<&str>) -> Option<&mut Turn> {
        let at = self.turns.iter().position(|turn| turn.id.as_deref() == id);
        let at = at.or_else(|| self.turns.iter().position(|turn| !turn.is_over()));
        self.turns.get_mut(at?)
    }
}

fn short(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    name
}

/// What cannot be read is not in the trace; the session's own loop judges it.
fn read(event: &str) -> Option<Event> {
    serde_json::from_str(event).ok()
}
