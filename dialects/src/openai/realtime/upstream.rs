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
    usage: Option<Value>,
}

impl Passthrough {
    /// The provider is trusted to name an event once, so the first `type` decides.
    pub(super) fn upstream_frame(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let Some(kind) = scan::event_type(frame) else { return Flow::Forward };
        match &*kind {
            "response.done" => response_done(frame, actions),
            "conversation.item.input_audio_transcription.completed" => self.transcribed(frame, actions),
            "session.created"
            | "session.updated"
            | "transcription_session.created"
            | "transcription_session.updated" => self.session(frame, actions),
            "error" | "conversation.item.input_audio_transcription.failed" => error(frame, actions),
            _ => Flow::Forward,
        }
    }

    fn transcribed(&self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let reported = serde_json::from_str::<Transcribed>(frame).ok().and_then(|event| event.usage);
        let usage = reported.as_ref().and_then(usage::transcript);
        actions.push(used(usage, self.transcriber.clone(), true));
        Flow::Forward
    }

    fn session(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let Ok(mut event) = serde_json::from_str::<Value>(frame) else { return Flow::Forward };
        let Some(session) = event.get_mut("session") else { return Flow::Forward };
        let mut changed = self.session_name(session);
        for place in ["/audio/input/transcription", "/input_audio_transcription"] {
            match session.pointer_mut(place) {
                Some(Value::Null) if !self.config.transcription => self.transcriber = None,
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
        let Some(model) = transcription.get_mut("model") else { return false };
        let Some(wire) = model.as_str().map(str::to_owned) else { return false };
        let config = &self.config;
        let asked = if config.transcription && wire == config.wire_model {
            Some(&config.asked_model)
        } else {
            config.transcription_models.iter().find(|(_, name)| *name == wire).map(|(asked, _)| asked)
        };
        let changed = asked.is_some_and(|asked| *asked != wire);
        if let Some(asked) = asked {
            *model = Value::String(asked.clone());
        }
        self.transcriber = Some(wire);
        changed
    }
}

fn response_done(frame: &str, actions: &mut Vec<Action>) -> Flow {
    let response = serde_json::from_str::<ResponseDone>(frame).ok().and_then(|event| event.response);
    let completed = response.as_ref().is_some_and(|response| response.status.as_deref() == Some("completed"));
    let usage = response.and_then(|response| usage::realtime(&response.usage?));
    actions.push(used(usage, None, completed));
    Flow::Forward
}

fn used(usage: Option<Usage>, model: Option<String>, completed: bool) -> Action {
    let reported = usage.is_some();
    Action::Used(TurnUsage { usage: usage.unwrap_or_default(), model, completed, reported })
}

fn error(frame: &str, actions: &mut Vec<Action>) -> Flow {
    let Ok(mut event) = serde_json::from_str::<Value>(frame) else { return Flow::Forward };
    let Some(Value::String(message)) = event.pointer_mut("/error/message") else { return Flow::Forward };
    let masked = mask::mask(message);
    if masked == *message {
        return Flow::Forward;
    }
    *message = masked;
    actions.push(Action::ToClient(event.to_string()));
    Flow::Replace
}
