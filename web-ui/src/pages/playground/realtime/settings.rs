//! What is settled before a conversation begins.

use leptos::prelude::*;
use serde_json::{Map, Value, json};

use super::super::access::Access;
use super::super::model::ModelField;
use crate::components::{AreaField, CheckField, Choice, SelectField, TextField};

/// A session as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) instructions: String,
    pub(super) voice: String,
    pub(super) transcriber: String,
    pub(super) by_hand: bool,
    pub(super) microphone: bool,
}

impl Asked {
    /// As `session.update` has it: only what is not as usual. The model is named when a secret is asked for it.
    pub(super) fn session(&self, with_model: bool) -> Value {
        let (mut session, mut input) = (Map::new(), Map::new());
        session.insert("type".to_owned(), "realtime".into());
        if with_model {
            session.insert("model".to_owned(), self.model.as_str().into());
        }
        if !self.instructions.is_empty() {
            session.insert("instructions".to_owned(), self.instructions.as_str().into());
        }
        if !self.transcriber.is_empty() {
            input.insert("transcription".to_owned(), json!({"model": self.transcriber}));
        }
        if self.by_hand {
            input.insert("turn_detection".to_owned(), Value::Null);
        }
        let mut audio = Map::new();
        if !input.is_empty() {
            audio.insert("input".to_owned(), input.into());
        }
        if !self.voice.is_empty() {
            audio.insert("output".to_owned(), json!({"voice": self.voice}));
        }
        if !audio.is_empty() {
            session.insert("audio".to_owned(), audio.into());
        }
        session.into()
    }
}

/// What is filled in. It is the page's, and so outlives a tab that is left.
#[derive(Debug, Clone, Copy)]
pub(in crate::pages::playground) struct Draft {
    model: RwSignal<String>,
    instructions: RwSignal<String>,
    voice: RwSignal<String>,
    transcriber: RwSignal<String>,
    turns: RwSignal<String>,
    microphone: RwSignal<bool>,
}

impl Draft {
    pub(in crate::pages::playground) fn new() -> Self {
        Self {
            model: RwSignal::new(String::new()),
            instructions: RwSignal::new(String::new()),
            voice: RwSignal::new(String::new()),
            transcriber: RwSignal::new("gpt-4o-mini-transcribe".to_owned()),
            turns: RwSignal::new("auto".to_owned()),
            microphone: RwSignal::new(true),
        }
    }

    /// Another key may have other models.
    pub(in crate::pages::playground) fn forget_key(self) {
        self.model.set(String::new());
    }

    pub(super) fn asked(self) -> Asked {
        let trimmed = |text: RwSignal<String>| text.with_untracked(|text| text.trim().to_owned());
        Asked {
            model: trimmed(self.model),
            instructions: trimmed(self.instructions),
            voice: trimmed(self.voice),
            transcriber: trimmed(self.transcriber),
            by_hand: self.turns.with_untracked(|turns| turns == "hand"),
            microphone: self.microphone.get_untracked(),
        }
    }
}

/// The fields.
#[component]
pub(super) fn SettingsFields(access: Access, draft: Draft) -> impl IntoView {
    let turns = Choice::list(&[("auto", "When I stop speaking"), ("hand", "When I press Send")]);
    view! {
        <ModelField access operation="realtime" model=draft.model />
        <AreaField label="Instructions" value=draft.instructions rows=3 placeholder="You are a friendly receptionist." />
        <TextField label="Voice" value=draft.voice hint="The model's own unless told." mono=true />
        <TextField
            label="Transcribe what I say with"
            value=draft.transcriber
            hint="A model's name; empty for no transcript of your side."
            mono=true
        />
        <SelectField label="My turn ends" value=draft.turns options=turns required=true />
        <CheckField label="Use the microphone" value=draft.microphone hint="Without it you write." />
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_settled_is_asked_for() {
        let mut asked = Asked {
            model: "agent".to_owned(),
            instructions: String::new(),
            voice: String::new(),
            transcriber: String::new(),
            by_hand: false,
            microphone: true,
        };
        assert_eq!(asked.session(false), json!({"type": "realtime"}));
        asked.voice = "marin".to_owned();
        asked.transcriber = "whisper-1".to_owned();
        asked.by_hand = true;
        asked.instructions = "Sing.".to_owned();
        assert_eq!(
            asked.session(true),
            json!({"type": "realtime", "model": "agent", "instructions": "Sing.", "audio": {
                "input": {"transcription": {"model": "whisper-1"}, "turn_detection": null}, "output": {"voice": "marin"}}})
        );
    }
}
