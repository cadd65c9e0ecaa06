//! What a client sends: everything passes, except models that it may not use.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Passthrough;
use crate::contract::{Action, Flow};
use crate::openai::scan::only_event_type;

/// What became of an update.
#[derive(Default)]
struct Rewritten {
    changed: bool,
    /// The provider's name of the model that the client wants its words transcribed by.
    transcriber: Option<String>,
}

/// A model that the client may not name, or a frame that is no event.
struct Refusal {
    code: &'static str,
    message: String,
    param: Option<&'static str>,
}

const SESSION_MODEL: &str = "session.model";
const TRANSCRIBER: &str = "session.audio.input.transcription.model";
const BETA_TRANSCRIBER: &str = "session.input_audio_transcription.model";
const RESPONSE_MODEL: &str = "response.model";

impl Passthrough {
    pub(super) fn client_frame(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let Some(kind) = only_event_type(frame) else {
            let message = "the frame is not a JSON object with one `type`".to_owned();
            let refusal = Refusal { code: "invalid_event", message, param: None };
            return self.refuse(&refusal, &Value::Null, actions);
        };
        match kind {
            Cow::Borrowed("input_audio_buffer.append") => Flow::Forward,
            kind if matches!(&*kind, "session.update" | "transcription_session.update") => self.update(frame, actions),
            kind if kind == "response.create" && names_model(frame) => self.create_response(frame, actions),
            _ => Flow::Forward,
        }
    }

    /// What is forwarded is written anew from what was checked wherever two readers could understand
    /// the frame differently: a name given twice, or in escapes.
    fn update(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let mut event: Value = match serde_json::from_str(frame) {
            Ok(event) => event,
            Err(error) => return self.refuse(&not_json(&error), &Value::Null, actions),
        };
        let rewritten = match self.rewrite_session(&mut event) {
            Ok(rewritten) => rewritten,
            Err(refusal) => return self.refuse(&refusal, &event, actions),
        };
        if let Some(model) = rewritten.transcriber {
            self.transcribers.asked(&model);
            self.transcriber_named = true;
        }
        if !rewritten.changed && !names_model(frame) {
            return Flow::Forward;
        }
        actions.push(Action::ToUpstream(event.to_string()));
        Flow::Replace
    }

    fn create_response(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        let mut event: Value = match serde_json::from_str(frame) {
            Ok(event) => event,
            Err(error) => return self.refuse(&not_json(&error), &Value::Null, actions),
        };
        let Some(model) = event.pointer_mut("/response/model") else {
            actions.push(Action::ToUpstream(event.to_string()));
            return Flow::Replace;
        };
        match self.session_model(model, RESPONSE_MODEL) {
            Ok(()) => {
                actions.push(Action::ToUpstream(event.to_string()));
                Flow::Replace
            }
            Err(refusal) => self.refuse(&refusal, &event, actions),
        }
    }

    /// Puts the provider's names in.
    fn rewrite_session(&self, event: &mut Value) -> Result<Rewritten, Refusal> {
        let mut rewritten = Rewritten::default();
        let Some(session) = event.get_mut("session") else { return Ok(rewritten) };
        let unnamed = self.config.transcription && !self.transcriber_named;
        rewritten.changed = unnamed && self.name_transcriber(session);
        if let Some(model) = session.get_mut("model") {
            self.session_model(model, SESSION_MODEL)?;
            rewritten.changed = true;
        }
        if self.config.own_transcripts {
            return Ok(rewritten);
        }
        let places = [("/audio/input/transcription", TRANSCRIBER), ("/input_audio_transcription", BETA_TRANSCRIBER)];
        for (place, param) in places {
            let Some(transcription) = session.pointer_mut(place).filter(|found| !found.is_null()) else { continue };
            let Some(transcription) = transcription.as_object_mut() else { return Err(model_missing(param)) };
            let wire = match transcription.get("model").filter(|model| !model.is_null()) {
                Some(model) => self.transcription_model(model, param)?,
                None => self.transcriber_in_force(param)?,
            };
            transcription.insert("model".to_owned(), Value::String(wire.clone()));
            rewritten = Rewritten { changed: true, transcriber: Some(wire) };
        }
        Ok(rewritten)
    }

    /// A provider takes a model of its own choice where none is named: the one that it has is named to
    /// it again, so that the choice is never left to it.
    fn transcriber_in_force(&self, param: &'static str) -> Result<String, Refusal> {
        let wire = self.transcribers.in_force().ok_or_else(|| model_missing(param))?;
        let permitted = (self.config.transcription && wire == self.config.wire_model)
            || self.config.transcription_models.iter().any(|may| may.wire == wire && !may.refused_unpriced);
        if permitted { Ok(wire.to_owned()) } else { Err(model_missing(param)) }
    }

    /// A transcription session's model stood in the URL, where the provider does not take it: it goes
    /// into the first configuration that leaves it out.
    fn name_transcriber(&self, session: &mut Value) -> bool {
        let beta = session.get("input_audio_transcription").is_some_and(|beta| !beta.is_null());
        let mut place = session;
        let path: &[&str] = if beta { &["input_audio_transcription"] } else { &["audio", "input", "transcription"] };
        for name in path {
            let Some(object) = place.as_object_mut() else { return false };
            place = object.entry(*name).or_insert_with(|| json!({}));
        }
        let Some(transcription) = place.as_object_mut() else { return false };
        if transcription.contains_key("model") {
            return false;
        }
        transcription.insert("model".to_owned(), json!(self.config.asked_model));
        true
    }

    fn session_model(&self, model: &mut Value, param: &'static str) -> Result<(), Refusal> {
        if model.as_str() != Some(&self.config.asked_model) {
            let asked = &self.config.asked_model;
            return Err(not_allowed(model, param, &format!("this session was opened with `{asked}`")));
        }
        *model = Value::String(self.config.wire_model.clone());
        Ok(())
    }

    fn transcription_model(&self, model: &Value, param: &'static str) -> Result<String, Refusal> {
        let name = model.as_str().unwrap_or_default();
        if self.config.transcription && name == self.config.asked_model {
            return Ok(self.config.wire_model.clone());
        }
        let permitted = self.config.transcription_models.iter().find(|may| may.asked == name);
        match permitted {
            Some(may) if may.refused_unpriced => Err(unpriced(name, param)),
            Some(may) => Ok(may.wire.clone()),
            None => Err(not_allowed(model, param, "the key may not use it for input transcription at this provider")),
        }
    }

    fn refuse(&mut self, refusal: &Refusal, event: &Value, actions: &mut Vec<Action>) -> Flow {
        self.errors_sent += 1;
        let error = json!({
            "type": "error",
            "event_id": format!("event_gateway_{}", self.errors_sent),
            "error": {
                "type": "invalid_request_error",
                "code": refusal.code,
                "message": refusal.message,
                "param": refusal.param,
                "event_id": event.get("event_id").filter(|id| id.is_string()),
            },
        });
        actions.push(Action::ToClient(error.to_string()));
        Flow::Replace
    }
}

/// Whether a frame can choose a model at all: by its name, by asking for transcription without one, or
/// in letters that only a parser reads.
fn names_model(frame: &str) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(frame.as_bytes(), word).is_some();
    has(b"model") || has(b"transcription\"") || memchr::memchr(b'\\', frame.as_bytes()).is_some()
}

fn model_missing(param: &'static str) -> Refusal {
    let message = "name the model that transcribes: the choice is not left to the provider".to_owned();
    Refusal { code: "invalid_request", message, param: Some(param) }
}

fn unpriced(name: &str, param: &'static str) -> Refusal {
    let message = format!("no price is known for the model `{name}`, and this key refuses such models");
    Refusal { code: "model_unpriced", message, param: Some(param) }
}

fn not_allowed(model: &Value, param: &'static str, why: &str) -> Refusal {
    let name: String = model.as_str().unwrap_or("(not a string)").chars().take(100).collect();
    Refusal {
        code: "model_not_allowed",
        message: format!("model `{name}` is not allowed here: {why}"),
        param: Some(param),
    }
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal { code: "invalid_event", message: format!("the frame is not JSON: {error}"), param: None }
}
