//! What the client wants of Gemini, in Gemini's words.
//!
//! Source: the Gemini Live API reference, read 2026-11-21.

use serde_json::{Value, json};

use super::{Gemini, Renewal, setup};
use crate::conversation::agent::Order;
use crate::conversation::setup::{Role, Setup};
use crate::live::Frame;
use crate::live::events::Refusal;

/// The most text that waits for the end of an answer, in bytes.
const MOST_TEXT: usize = 256 * 1024;
/// What the user says where nothing was said: Gemini answers the user alone.
const NOTHING: &str = ".";

pub(super) fn send(message: &Value, out: &mut Vec<Frame>) {
    out.push(Frame::Text(message.to_string()));
}

/// Other instructions from now on.
pub(super) fn instructions(text: &str) -> Value {
    json!({"contextUpdate": {"systemInstruction": setup::instruction(text)}})
}

impl Gemini {
    pub(super) fn carry_out(&mut self, order: Order<'_>, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        match order {
            Order::Configure(next) => return self.configure(next, out),
            Order::UserText(text) => return self.write(Role::User, text, out),
            Order::SystemText(text) => return self.write(Role::System, text, out),
            Order::AssistantText(text) => return self.write(Role::Assistant, text, out),
            Order::Respond { instructions } => return self.respond(instructions, out),
            Order::ToolOutput { call_id, name, output } => self.tool_output(call_id, name, output, out),
            // The activity ends when an answer is wanted, since Gemini gives one at once.
            Order::EndTurn if self.manual() => {}
            Order::EndTurn => self.pause(out),
            // What the user says breaks off an answer by itself, but not where turns are the client's.
            Order::Truncate { .. } if !self.manual() => {}
            Order::Truncate { .. } => self.break_off(out),
            Order::Cancel => {
                self.break_off(out);
                self.turn.give_up();
            }
        }
        Ok(())
    }

    fn configure(&mut self, next: &Setup, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        setup::check(next)?;
        let update = setup::context_update(&self.setup, next);
        let updates = setup::updates(&self.setup.model);
        let fixed = setup::fixed_change(&self.setup, next);
        let fixed = fixed.or_else(|| (update.is_some() && !updates).then_some("session.instructions"));
        if let Some(param) = fixed
            && self.handle.is_none()
        {
            let message = "Gemini takes this change once it has told how the conversation can go on elsewhere, \
                           which it does after the first turn.";
            return Err(Refusal::value(param, message));
        }
        // What a new connection brings it is not told before.
        match (fixed, update) {
            (Some(_), _) => self.renewal = Renewal::Wanted { since: self.now },
            (None, Some(update)) => send(&update, out),
            (None, None) => {}
        }
        self.configured = fixed.is_none();
        self.lent &= self.setup.instructions == next.instructions;
        self.setup = Setup { history: Vec::new(), ..next.clone() };
        Ok(())
    }

    /// Adds to the conversation.
    fn write(&mut self, role: Role, text: &str, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        // Within an activity, all that the user does goes the same way.
        if self.activity && role != Role::Assistant {
            self.turn.meter.read(text.len());
            send(&json!({"realtimeInput": {"text": text}}), out);
            return Ok(());
        }
        let waiting: usize = self.texts.iter().map(|(_, text)| text.len()).sum();
        if waiting.saturating_add(text.len()) > MOST_TEXT {
            let message = "There is too much text that Gemini is told when its answer is over.";
            return Err(Refusal::value("item", message));
        }
        self.turn.meter.read(text.len());
        self.texts.push((role, text.to_owned()));
        if !self.busy() && !self.activity {
            self.tell(false, out);
        }
        Ok(())
    }

    /// Tells the texts that wait; `answer` asks for an answer to everything that was told.
    pub(super) fn tell(&mut self, answer: bool, out: &mut Vec<Frame>) {
        if let Some((role, _)) = self.texts.last() {
            self.unanswered = *role != Role::Assistant;
        }
        let turns: Vec<Value> = self.texts.drain(..).map(|(role, text)| setup::turn(role, &text)).collect();
        self.content(&turns, answer, out);
    }

    fn content(&mut self, turns: &[Value], answer: bool, out: &mut Vec<Frame>) {
        self.turn.break_off(self.now);
        if answer {
            self.turn.ask(self.now);
            self.unanswered = false;
        }
        let content = if turns.is_empty() {
            json!({"turnComplete": answer})
        } else {
            json!({"turns": turns, "turnComplete": answer})
        };
        send(&json!({"clientContent": content}), out);
    }

    fn respond(&mut self, wanted: Option<&str>, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        if let Some(wanted) = wanted {
            if !setup::updates(&self.setup.model) {
                let message = format!("Google's '{}' takes no instructions for one response.", self.setup.model);
                return Err(Refusal::value("response.instructions", message));
            }
            send(&instructions(wanted), out);
            self.lent = true;
        }
        if std::mem::take(&mut self.activity) {
            self.stream.bytes = 0;
            self.turn.ask(self.now);
            self.unanswered = false;
            out.push(Frame::Text(r#"{"realtimeInput":{"activityEnd":{}}}"#.to_owned()));
        } else if self.unanswered || !self.texts.is_empty() {
            self.tell(true, out);
        } else if self.calls.is_empty() && !self.turn.answers() {
            self.content(&[setup::turn(Role::User, NOTHING)], true, out);
        }
        // Otherwise Gemini goes on by itself with the outputs of its calls, or has begun to.
        Ok(())
    }

    fn tool_output(&mut self, call_id: &str, name: &str, output: &str, out: &mut Vec<Frame>) {
        self.turn.meter.read(output.len());
        if let Some(at) = self.lost_calls.iter().position(|id| id == call_id) {
            self.lost_calls.remove(at);
            let told = setup::turn(Role::User, &format!("{name}: {output}"));
            let last = self.lost_calls.is_empty() && self.calls.is_empty();
            return self.content(&[told], last, out);
        }
        // A call that was withdrawn has no place for its output any more.
        let Some(at) = self.calls.iter().position(|id| id == call_id) else { return };
        self.calls.remove(at);
        let mut response = json!({"id": call_id, "name": name, "response": object(output)});
        if let (Some(scheduling), Some(fields)) = (setup::scheduling(&self.setup), response.as_object_mut()) {
            fields.insert("scheduling".to_owned(), scheduling.into());
        }
        send(&json!({"toolResponse": {"functionResponses": [response]}}), out);
        if self.calls.is_empty() && setup::scheduling(&self.setup) != Some("SILENT") {
            self.turn.ask_on(self.now);
        }
    }

    /// Stops an answer. Models before 3.8 take no message for it.
    pub(super) fn break_off(&mut self, out: &mut Vec<Frame>) {
        if self.turn.playing() && !self.activity && setup::updates(&self.setup.model) {
            self.content(&[], false, out);
        }
    }
}

/// The output of a function as Gemini takes it: an object.
fn object(output: &str) -> Value {
    match serde_json::from_str(output) {
        Ok(object @ Value::Object(_)) => object,
        Ok(other) => json!({"output": other}),
        Err(_) => json!({"output": output}),
    }
}
