//! What the other side says, and what the page makes of it.

use serde_json::Value;

use leptos::prelude::*;

use super::call::Call;
use super::lines::Who;
use crate::clock;

/// Told where an interruption and the end of what it interrupts cross each other: nothing is wrong then.
const CROSSED: [&str; 2] = ["response_cancel_not_active", "already shorter"];

/// An event came.
pub(super) fn hear(call: Call, text: &str) {
    let Ok(event) = serde_json::from_str::<Value>(text) else { return };
    let kind = field(&event, "type").to_owned();
    let item = field(&event, "item_id");
    match kind.as_str() {
        "input_audio_buffer.speech_started" => {
            call.speaking.try_set(true);
            // The other side stops its response by itself when it hears somebody.
            call.silence(present_items(call));
        }
        "input_audio_buffer.speech_stopped" => {
            call.speaking.try_set(false);
            let at = event.get("audio_end_ms").and_then(Value::as_f64);
            call.said_at.try_set_value(Some(at.map_or_else(clock::stopwatch_ms, |at| call.when_said(at))));
        }
        "input_audio_buffer.committed" => {
            call.lines.line(item, Who::Me);
        }
        "conversation.item.added" | "conversation.item.done" => item_added(call, &event),
        "conversation.item.input_audio_transcription.delta" => call.lines.add(item, Who::Me, field(&event, "delta")),
        "conversation.item.input_audio_transcription.completed" => understood(call, item, field(&event, "transcript")),
        "conversation.item.input_audio_transcription.failed" => call.lines.set(item, Who::Me, "(not transcribed)"),
        "response.created" => {
            call.answering.try_set(true);
            PRESENT.set(Vec::new());
        }
        "response.output_item.added" => output_added(call, &event),
        "response.output_audio.delta" => call.play(item, field(&event, "delta")),
        "response.output_audio_transcript.delta" | "response.output_text.delta" => {
            call.lines.add(item, Who::Model, field(&event, "delta"));
        }
        "response.output_audio_transcript.done" => call.lines.set(item, Who::Model, field(&event, "transcript")),
        "response.output_text.done" => call.lines.set(item, Who::Model, field(&event, "text")),
        "response.done" => response_done(call, &event),
        "error" => error(call, &event),
        _ => {}
    }
    call.log.add(false, &kind, event);
    // It is answered at once, and stands in the log before its answer.
    if kind == "session.created" {
        call.opened();
    }
}

thread_local! {
    /// Items of the response that is being made. There is one conversation in a page.
    static PRESENT: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Items of the response that is being made.
pub(super) fn present_items(call: Call) -> Vec<String> {
    if call.answering.try_get_untracked().unwrap_or(false) { PRESENT.with_borrow(Clone::clone) } else { Vec::new() }
}

fn field<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A message of the user that another has put there.
fn item_added(call: Call, event: &Value) {
    let Some(item) = event.get("item") else { return };
    if field(item, "type") == "message" && field(item, "role") == "user" {
        call.lines.line(field(item, "id"), Who::Me);
        if let Some(text) = item.pointer("/content/0/text").and_then(Value::as_str) {
            call.lines.set(field(item, "id"), Who::Me, text);
        }
    }
}

/// What the user said, written down.
fn understood(call: Call, item: &str, transcript: &str) {
    let words = transcript.trim();
    call.lines.set(item, Who::Me, if words.is_empty() { "(no words)" } else { words });
}

fn output_added(call: Call, event: &Value) {
    let Some(item) = event.get("item") else { return };
    let id = field(item, "id");
    PRESENT.with_borrow_mut(|present| present.push(id.to_owned()));
    if field(item, "type") == "message" {
        call.lines.line(id, Who::Model);
    }
}

fn response_done(call: Call, event: &Value) {
    call.answering.try_set(false);
    call.whole();
    let response = event.get("response").unwrap_or(&Value::Null);
    match field(response, "status") {
        "failed" => {
            let why = response.pointer("/status_details/error/message").and_then(Value::as_str);
            call.notice
                .try_set(Some(format!("The response failed. {}", why.unwrap_or("The provider does not say why."))));
        }
        "incomplete" => {
            call.notice.try_set(Some("The response is incomplete: a limit of its length is reached.".to_owned()));
        }
        "cancelled" => {
            for item in PRESENT.with_borrow(Clone::clone) {
                call.lines.cut(&item);
            }
        }
        _ => {}
    }
}

fn error(call: Call, event: &Value) {
    let error = event.get("error").unwrap_or(&Value::Null);
    let (code, message) = (field(error, "code"), field(error, "message"));
    if CROSSED.iter().any(|crossed| code == *crossed || message.contains(crossed)) {
        return;
    }
    let text = if message.is_empty() { code } else { message };
    call.notice.try_set(Some(text.to_owned()));
}
