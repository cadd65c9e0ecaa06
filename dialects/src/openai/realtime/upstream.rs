//! What a provider sends: names go back to the client's, usage is read, errors lose credentials.

use domain::usage::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::Passthrough;
use crate::contract::{Action, Flow, TurnUsage};
use crate::openai::{mask, scan, usage};

#[derive(Deserialize)]
struct ResponseDone {
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    status: Option<String>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Transcribed {
    item_id: Option<Box<str>>,
    usage: Option<Value>,
}

impl Passthrough {
    /// The provider is trusted to name an event once, so the first `type` decides.
    pub(super) fn upstream_frame(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let Some(kind) = scan::event_type(frame) else { return Flow::Forward };
        match &*kind {
            // Nearly every frame is one.
            delta if delta.ends_with(".delta") => Flow::Forward,
            "response.done" => {
                self.response_done(frame, actions);
                errors_masked(frame, actions)
            }
            "input_audio_buffer.committed" if !self.config.own_transcripts => {
                self.transcribers.committed(frame);
                Flow::Forward
            }
            "conversation.item.input_audio_transcription.completed" if !self.config.own_transcripts => {
                self.transcribed(frame, actions)
            }
            "conversation.item.input_audio_transcription.failed" => {
                drop(self.transcript(frame));
                errors_masked(frame, actions)
            }
            "session.created"
            | "session.updated"
            | "transcription_session.created"
            | "transcription_session.updated" => self.session(frame, actions),
            _ => errors_masked(frame, actions),
        }
    }

    fn response_done(&self, frame: &str, actions: &mut Vec<Action>) {
        let response = serde_json::from_str::<ResponseDone>(frame).ok().and_then(|event| event.response);
        let completed = response.as_ref().is_some_and(|response| response.status.as_deref() == Some("completed"));
        let told = response.and_then(|response| response.usage);
        // A translator marks what it has derived itself.
        let source = told.as_ref().and_then(|usage| usage.pointer("/antiphon/source")?.as_str());
        let estimated = self.config.own_transcripts && source == Some("estimated");
        actions.push(used(told.as_ref().and_then(usage::realtime), None, completed, estimated));
    }

    fn transcribed(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let (model, reported) = self.transcript(frame);
        let usage = reported.as_ref().and_then(usage::transcript);
        actions.push(used(usage, Some(model), true, false));
        Flow::Forward
    }

    /// The model behind a transcript, and what the provider says of its usage.
    fn transcript(&mut self, frame: &str) -> (String, Option<Value>) {
        let event = serde_json::from_str::<Transcribed>(frame).ok();
        let (item, usage) = event.map_or((None, None), |event| (event.item_id, event.usage));
        (self.transcribers.take(item.as_deref()), usage)
    }

    fn session(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let Ok(mut event) = serde_json::from_str::<Value>(frame) else { return Flow::Forward };
        let Some(session) = event.get_mut("session") else { return Flow::Forward };
        let mut changed = self.session_name(session);
        let places: &[&str] = if self.config.own_transcripts {
            &[]
        } else {
            &["/audio/input/transcription", "/input_audio_transcription"]
        };
        for place in places {
            match session.pointer_mut(place) {
                Some(Value::Null) => self.transcribers.off(),
                Some(transcription) => changed |= self.transcriber_name(transcription),
                None => {}
            }
        }
        if !changed {
            return Flow::Forward;
        }
        actions.push(Action::ToClient(event.to_string()));
        Flow::Replace
    }

    /// A provider may answer with a dated name; a client sees the one it asked for all the same.
    fn session_name(&self, session: &mut Value) -> bool {
        let Some(model) = session.get_mut("model").filter(|model| model.is_string()) else { return false };
        if model.as_str() == Some(&self.config.asked_model) {
            return false;
        }
        *model = Value::String(self.config.asked_model.clone());
        true
    }

    fn transcriber_name(&mut self, transcription: &mut Value) -> bool {
        let model = transcription.get_mut("model").filter(|model| model.is_string());
        let Some(model) = model else {
            self.transcribers.confirmed(None);
            return false;
        };
        let wire = model.as_str().unwrap_or_default().to_owned();
        let config = &self.config;
        let asked = if config.transcription && wire == config.wire_model {
            Some(&config.asked_model)
        } else {
            config.transcription_models.iter().find(|may| may.wire == wire).map(|may| &may.asked)
        };
        let changed = asked.is_some_and(|asked| *asked != wire);
        if let Some(asked) = asked {
            *model = Value::String(asked.clone());
        }
        self.transcribers.confirmed(Some(&wire));
        changed
    }
}

fn used(usage: Option<Usage>, model: Option<String>, completed: bool, estimated: bool) -> Action {
    let reported = usage.is_some();
    Action::Used(TurnUsage { usage: usage.unwrap_or_default(), model, completed, reported, estimated })
}

/// What a provider says went wrong passes without its credentials, wherever in an event it stands.
fn errors_masked(frame: &str, actions: &mut Vec<Action>) -> Flow {
    if memchr::memmem::find(frame.as_bytes(), b"\"error\"").is_none() {
        return Flow::Forward;
    }
    let Ok(mut event) = serde_json::from_str::<Value>(frame) else { return Flow::Forward };
    if !mask_errors(&mut event, false) {
        return Flow::Forward;
    }
    actions.push(Action::ToClient(event.to_string()));
    Flow::Replace
}

/// Masks each `error` that is a text and each `message` inside of one; says whether anything changed.
/// Ids and codes inside stay as they are, since a client compares them.
fn mask_errors(value: &mut Value, inside: bool) -> bool {
    let mut changed = false;
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_error = name == "error";
                changed |= match value {
                    Value::String(text) if is_error || (inside && name == "message") => mask_text(text),
                    other => mask_errors(other, inside || is_error),
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                changed |= mask_errors(item, inside);
            }
        }
        _ => {}
    }
    changed
}

fn mask_text(text: &mut String) -> bool {
    let masked = mask::mask(text);
    let changed = masked != *text;
    *text = masked;
    changed
}
