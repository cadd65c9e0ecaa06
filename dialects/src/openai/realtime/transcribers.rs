//! Which model transcribes what is said. The model decides the price, so the provider is believed, and
//! a client only for as long as the provider has named none.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;

/// Utterances whose models are remembered; beyond that the oldest is forgotten.
const MAX_ITEMS: usize = 256;
/// Bytes of an item's id; a longer one is not remembered.
const MAX_ID_BYTES: usize = 256;
/// Stands for a model that nobody has named. It has no price.
const UNNAMED: &str = "unknown";

/// The transcription of one session's input.
#[derive(Debug)]
pub(super) struct Transcribers {
    /// The session does nothing else.
    always: bool,
    /// The provider has said that it transcribes, and has not taken it back.
    on: bool,
    /// The provider has named the model itself.
    confirmed: bool,
    /// The provider's name of the model that was last confirmed, or while none was, last asked for.
    model: Option<Arc<str>>,
    /// Utterances whose transcripts are awaited, oldest first, and the models in force at their ends.
    items: VecDeque<(Box<str>, Arc<str>)>,
}

#[derive(Deserialize)]
struct Committed {
    item_id: Option<Box<str>>,
}

impl Transcribers {
    /// In a transcription session `model` transcribes until something else is known.
    pub(super) fn new(model: Option<&str>) -> Self {
        let always = model.is_some();
        Self { always, on: always, confirmed: false, model: model.map(Arc::from), items: VecDeque::new() }
    }

    /// The client has asked for a model.
    pub(super) fn asked(&mut self, model: &str) {
        if !self.confirmed {
            self.model = Some(model.into());
        }
    }

    /// The provider transcribes, with this model where it says so.
    pub(super) fn confirmed(&mut self, model: Option<&str>) {
        self.on = true;
        if let Some(model) = model {
            self.confirmed = true;
            self.model = Some(model.into());
        }
    }

    /// The provider does not transcribe from now on. What it has heard before may still be transcribed.
    pub(super) fn off(&mut self) {
        self.on = self.always;
    }

    /// Whether an utterance that ends now will be transcribed.
    pub(super) fn on(&self) -> bool {
        self.on
    }

    /// The model that is in force, where one is known.
    pub(super) fn in_force(&self) -> Option<&str> {
        self.model.as_deref().filter(|_| self.on)
    }

    /// An utterance has ended: what transcribes now will transcribe it, whatever is configured later.
    pub(super) fn committed(&mut self, frame: &str) {
        if !self.on {
            return;
        }
        let id = serde_json::from_str::<Committed>(frame).ok().and_then(|event| event.item_id);
        let Some(id) = id.filter(|id| id.len() <= MAX_ID_BYTES) else { return };
        if self.items.len() >= MAX_ITEMS {
            self.items.pop_front();
        }
        self.items.push_back((id, self.last_known()));
    }

    /// The transcript of an item has come, or will not: the model behind it.
    pub(super) fn take(&mut self, item: Option<&str>) -> String {
        let at = item.and_then(|item| self.items.iter().position(|(id, _)| **id == *item));
        let model = at.and_then(|at| self.items.remove(at)).map(|(_, model)| model);
        model.unwrap_or_else(|| self.last_known()).as_ref().to_owned()
    }

    /// As [`Transcribers::take`], of the utterance that has waited longest.
    pub(super) fn take_oldest(&mut self) -> String {
        let model = self.items.pop_front().map(|(_, model)| model);
        model.unwrap_or_else(|| self.last_known()).as_ref().to_owned()
    }

    fn last_known(&self) -> Arc<str> {
        self.model.clone().unwrap_or_else(|| UNNAMED.into())
    }
}
