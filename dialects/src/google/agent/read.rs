//! What Gemini says, in the words of every agent.
//!
//! Source: the Gemini Live API reference and what public issue threads quote, read 2026-11-21.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::turn::End;
use super::wire::{Content, Message, Part, ToolCalls};
use super::{Gemini, Renewal, setup, usage};
use crate::conversation::agent::{Cut, Incoming, Said};
use crate::conversation::setup::{Medium, Role};
use crate::google::wire::milliseconds;
use crate::live::{Frame, LiveFault};

/// The most calls whose outputs are waited for; more at once is no conversation.
const MOST_CALLS: usize = 128;

impl Gemini {
    pub(super) fn understand(&mut self, frame: Incoming<'_>, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        let Some(message) = Message::read(frame) else { return };
        self.turn.heard_from(self.now);
        if message.setup_complete.is_some() {
            self.ready(said, out);
        }
        let update = message.session_resumption_update.filter(|update| update.resumable);
        let new_handle = update.map(|update| update.new_handle).filter(|handle| !handle.is_empty());
        let renewed = new_handle.is_some();
        self.handle = new_handle.or_else(|| self.handle.take());
        if let Some(used) = &message.usage_metadata {
            self.turn.meter.report(&usage::usage(used));
        }
        if let Some(activity) = message.voice_activity {
            self.activity_told(&activity.voice_activity_type, said);
        }
        if let Some(content) = &message.server_content {
            self.content_told(content, said);
        }
        if let Some(calls) = message.tool_call {
            self.calls_told(calls, said);
        }
        for id in message.tool_call_cancellation.into_iter().flat_map(|cancelled| cancelled.ids) {
            self.withdrawn(id, said);
        }
        if let Some(content) = &message.server_content {
            self.ends_told(content, said);
        }
        self.turn.tell_late(said);
        if let Some(leaving) = message.go_away {
            let within_ms = leaving.time_left.as_deref().and_then(milliseconds).unwrap_or(0);
            self.leaves_at = Some(self.now.saturating_add(within_ms));
        }
        self.take_leave(renewed, said);
    }

    /// The setup is complete: what was said before is told, once.
    fn ready(&mut self, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        said.push(Said::Ready { input: None, output: None });
        if std::mem::take(&mut self.renewal) != Renewal::None {
            said.push(Said::Configured);
        }
        let history = std::mem::take(&mut self.setup.history);
        if self.resumes || history.is_empty() {
            return;
        }
        self.turn.meter.read(history.iter().map(|message| message.text.len()).sum());
        self.unanswered = history.last().is_some_and(|last| last.role != Role::Assistant);
        let turns: Vec<Value> = history.iter().map(|message| setup::turn(message.role, &message.text)).collect();
        // Gemini answers nothing of what is announced as history, and waits for its end.
        let told = json!({"clientContent": {"turns": turns, "turnComplete": true}});
        out.push(Frame::Text(told.to_string()));
    }

    fn activity_told(&mut self, kind: &str, said: &mut Vec<Said>) {
        match kind {
            "ACTIVITY_START" => said.push(Said::SpeechStarted),
            "ACTIVITY_END" => said.push(Said::SpeechStopped),
            _ => return,
        }
        self.tells_activity = true;
    }

    /// Transcripts first, then speech: they come in no certain order, and a message may hold both.
    fn content_told(&mut self, content: &Content<'_>, said: &mut Vec<Said>) {
        if let Some(heard) = content.input_transcription.as_ref().filter(|heard| !heard.text.is_empty()) {
            self.heard = true;
            // Words are told with the space before them, also the first.
            let goes_on = std::mem::replace(&mut self.writes_down, true);
            let text = if goes_on { heard.text.as_str() } else { heard.text.trim_start() };
            // Some models write down what nobody asked them to.
            if self.setup.transcription.is_some() && !text.is_empty() {
                said.push(Said::Heard(text.to_owned()));
            }
        }
        if let Some(spoken) = content.output_transcription.as_ref().filter(|spoken| !spoken.text.is_empty())
            && !self.turn.silenced()
            && !self.turn.late()
        {
            self.turn_goes_on(said);
            said.push(Said::Text(spoken.text.clone()));
        }
        let parts = content.model_turn.as_ref().and_then(|turn| turn.parts.as_ref());
        for part in parts.into_iter().flatten() {
            if !self.turn.silenced() {
                self.part_told(part, said);
            }
        }
    }

    fn part_told(&mut self, part: &Part<'_>, said: &mut Vec<Said>) {
        self.turn_begins(said);
        if part.thought() {
            return;
        }
        if !part.text.is_empty() {
            said.push(Said::Text(part.text.clone().into_owned()));
        }
        let Some(blob) = part.inline_data.as_ref().filter(|blob| blob.mime_type.starts_with("audio/pcm")) else {
            return;
        };
        // Speech that nobody hears is paid for all the same.
        self.turn.meter.speak(blob.data.len() / 4 * 3);
        if self.setup.output == Medium::Text {
            return;
        }
        match STANDARD.decode(blob.data.as_bytes()) {
            Ok(audio) if !audio.is_empty() => said.push(Said::Audio(audio)),
            _ => {}
        }
    }

    /// A transcript belongs to the turn that there is, where there is one.
    fn turn_goes_on(&mut self, said: &mut Vec<Said>) {
        if !self.turn.made_and_open() {
            self.turn_begins(said);
        }
    }

    fn turn_begins(&mut self, said: &mut Vec<Said>) {
        self.user_is_done(said);
        self.turn.make(said);
    }

    /// Where Gemini does not tell when the user has spoken, its answer does: only speech is answered unasked.
    fn user_is_done(&mut self, said: &mut Vec<Said>) {
        let unasked = self.turn.would_be_new();
        let spoken = self.heard || self.could_have_spoken();
        if unasked && spoken && !self.tells_activity && !self.manual() {
            said.push(Said::SpeechStopped);
        }
        if unasked || self.turn.asked() {
            self.heard = false;
            self.stream.bytes = 0;
        }
    }

    fn calls_told(&mut self, calls: ToolCalls, said: &mut Vec<Said>) {
        if calls.function_calls.is_empty() || self.calls.len() + calls.function_calls.len() > MOST_CALLS {
            return;
        }
        self.user_is_done(said);
        self.turn.call(said);
        for call in calls.function_calls {
            let call_id = if call.id.is_empty() { call.name.clone() } else { call.id };
            let arguments = if call.args.is_object() { call.args.to_string() } else { "{}".to_owned() };
            self.calls.push(call_id.clone());
            said.push(Said::ToolCall { call_id, name: call.name, arguments });
        }
        self.turn.called(!setup::async_tools(&self.setup), said);
    }

    fn withdrawn(&mut self, call_id: String, said: &mut Vec<Said>) {
        let Some(at) = self.calls.iter().position(|id| *id == call_id) else { return };
        self.calls.remove(at);
        if self.calls.is_empty() {
            self.turn.released();
        }
        said.push(Said::ToolCallWithdrawn { call_id });
    }

    fn ends_told(&mut self, content: &Content<'_>, said: &mut Vec<Said>) {
        // Pieces of what the user said may come all through the answer, but not behind it.
        self.writes_down &= !content.interrupted() && !content.turn_complete();
        if content.interrupted() {
            self.turn.interrupted(said);
        }
        if content.generation_complete() {
            self.turn.made(self.now, said);
        }
        if content.turn_complete() {
            self.turn.complete(end(content.turn_complete_reason.as_deref()), said);
        }
    }
}

/// What the reason of a turn's end means: most name a filter.
fn end(reason: Option<&str>) -> End {
    let failed = |message: &str| End::Cut(Cut::Failed(LiveFault::upstream(message)));
    match reason.unwrap_or_default() {
        "" | "TURN_COMPLETE_REASON_UNSPECIFIED" | "NEED_MORE_INPUT" => End::Whole,
        "MALFORMED_FUNCTION_CALL" => failed("Gemini made a function call that is not valid."),
        "MAX_TOKENS" => End::Cut(Cut::MaxOutputTokens),
        "MAX_REGENERATION_REACHED" => failed("Gemini gave up after several attempts at an answer."),
        "RESPONSE_REJECTED" => End::Cut(Cut::ContentFilter),
        filtered if FILTERS.iter().any(|word| filtered.contains(word)) => End::Cut(Cut::ContentFilter),
        other => failed(&format!("Gemini ended its answer: {other}")),
    }
}

/// How the reasons that name a filter begin or what they hold.
const FILTERS: [&str; 6] = ["SAFETY", "PROHIBITED", "BLOCKLIST", "INPUT_", "GENERATED_", "UNSAFE"];
