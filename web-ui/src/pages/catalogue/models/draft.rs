//! A model while it is edited: every field of it as the text that stands in its form.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use admin_types::models::{Model, ModelHedge, ModelTarget, ReplaceModel};
use domain::routing::{Strategies, Strategy, hedge};
use leptos::prelude::*;

use crate::api::Failure;
use crate::components::{fraction, required_number};
use crate::route::given_untracked;

/// A target while it is edited.
#[derive(Debug, Clone, Copy)]
pub(super) struct TargetDraft {
    /// Tells it from the others, wherever it stands.
    pub(super) id: u32,
    pub(super) provider: RwSignal<String>,
    pub(super) model: RwSignal<String>,
    pub(super) weight: RwSignal<String>,
    pub(super) priority: RwSignal<String>,
    pub(super) quality: RwSignal<String>,
    pub(super) region: RwSignal<String>,
    /// One `name=value` a line.
    pub(super) options: RwSignal<String>,
    /// Its place when it was last sent, for what the server says of it.
    pub(super) sent_at: RwSignal<usize>,
}

impl TargetDraft {
    fn new(target: Option<&ModelTarget>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let text = |told: Option<String>| RwSignal::new(told.unwrap_or_default());
        let options = target.map(|target| options_text(&target.options));
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            provider: text(target.map(|target| target.provider.clone())),
            model: text(target.map(|target| target.model.clone())),
            weight: text(Some(target.map_or(1, |target| target.weight).to_string())),
            priority: text(Some(target.map_or(0, |target| target.priority).to_string())),
            quality: text(target.and_then(|target| target.quality).map(|quality| quality.to_string())),
            region: text(target.and_then(|target| target.region.clone())),
            options: text(options),
            sent_at: RwSignal::new(usize::MAX),
        }
    }

    /// As it is sent at this place in the list.
    fn target(self, place: usize) -> Result<ModelTarget, Failure> {
        self.sent_at.set(place);
        let path = |field: &str| format!("targets[{place}].{field}");
        Ok(ModelTarget {
            provider: self.provider.get_untracked().trim().to_owned(),
            model: self.model.get_untracked().trim().to_owned(),
            weight: required_number(self.weight, &path("weight"))?,
            priority: required_number(self.priority, &path("priority"))?,
            quality: fraction(self.quality, &path("quality"))?,
            region: given_untracked(self.region),
            options: options_of(&self.options.get_untracked()),
        })
    }

    /// Provider and model. Reactive.
    fn names(self) -> (String, String) {
        (self.provider.get(), self.model.get())
    }
}

/// A model while it is edited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    pub(super) name: RwSignal<String>,
    pub(super) strategies: RwSignal<Vec<Strategy>>,
    pub(super) targets: RwSignal<Vec<TargetDraft>>,
    pub(super) hedged: RwSignal<bool>,
    pub(super) unmeasured_ms: RwSignal<String>,
}

impl Draft {
    /// Of a model, or of a new one.
    pub(super) fn new(model: Option<&Model>) -> Self {
        let hedge = model.and_then(|model| model.hedge);
        let strategies = model.map_or_else(Strategies::default, |model| model.strategy);
        let targets = model.map(|model| model.targets.iter().map(|target| TargetDraft::new(Some(target))).collect());
        Self {
            name: RwSignal::new(model.map(|model| model.name.clone()).unwrap_or_default()),
            strategies: RwSignal::new(strategies.as_slice().to_vec()),
            targets: RwSignal::new(targets.unwrap_or_else(|| vec![TargetDraft::new(None)])),
            hedged: RwSignal::new(hedge.is_some()),
            unmeasured_ms: RwSignal::new(hedge.map_or(hedge::UNMEASURED_MS, |hedge| hedge.unmeasured_ms).to_string()),
        }
    }

    /// Another target behind the others.
    pub(super) fn add_target(self) {
        self.targets.update(|targets| targets.push(TargetDraft::new(None)));
    }

    pub(super) fn remove_target(self, id: u32) {
        self.targets.update(|targets| targets.retain(|target| target.id != id));
    }

    /// What a target is called, unlike the others: by its place where nothing else tells it from them. Reactive.
    pub(super) fn name_of(self, target: TargetDraft) -> String {
        self.targets.with(|all| {
            let place = all.iter().position(|one| one.id == target.id).map_or(0, |place| place + 1);
            let names = target.names();
            let is_one_of_many = all.iter().any(|one| one.id != target.id && one.names() == names);
            match names {
                (provider, model) if provider.is_empty() && model.is_empty() => format!("target {place}"),
                (provider, model) if is_one_of_many => format!("{provider}/{model}, target {place}"),
                (provider, model) => format!("{provider}/{model}"),
            }
        })
    }

    /// Whether a strategy is among those that are chosen. Reactive.
    pub(super) fn goes_by(self, strategy: Strategy) -> bool {
        self.strategies.with(|all| all.contains(&strategy))
    }

    /// The first in the list gets the lowest priority, and so on.
    pub(super) fn number_priorities(self) {
        self.targets.with_untracked(|targets| {
            for (place, target) in targets.iter().enumerate() {
                target.priority.set((place + 1).to_string());
            }
        });
    }

    /// The model that it says, with these strategies.
    ///
    /// # Errors
    /// A field has no number where one must be.
    pub(super) fn model(self, strategy: Strategies) -> Result<ReplaceModel, Failure> {
        let targets = self.targets.get_untracked();
        let targets = targets.iter().enumerate().map(|(place, target)| target.target(place));
        let hedge = || Ok(ModelHedge { unmeasured_ms: required_number(self.unmeasured_ms, "hedge.unmeasured_ms")? });
        Ok(ReplaceModel {
            name: self.name.get_untracked().trim().to_owned(),
            strategy,
            targets: targets.collect::<Result<_, Failure>>()?,
            hedge: self.hedged.get_untracked().then(hedge).transpose()?,
        })
    }
}

/// Options as a form has them.
pub(super) fn options_text(options: &BTreeMap<String, String>) -> String {
    options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
}

fn options_of(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| line.split_once('=').unwrap_or((line, "")));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_target_is_called_as_another() {
        leptos::reactive::owner::Owner::new().set();
        let draft = Draft::new(None);
        draft.add_target();
        let called = || draft.targets.get_untracked().into_iter().map(|one| draft.name_of(one)).collect::<Vec<_>>();
        assert_eq!(called(), ["target 1", "target 2"]);
        for target in draft.targets.get_untracked() {
            target.provider.set("openai".to_owned());
            target.model.set("tts-1".to_owned());
        }
        assert_eq!(called(), ["openai/tts-1, target 1", "openai/tts-1, target 2"]);
        draft.targets.with_untracked(|targets| targets[0].model.set("tts-1-hd".to_owned()));
        assert_eq!(called(), ["openai/tts-1-hd", "openai/tts-1"]);
    }

    #[test]
    fn options_are_lines() {
        let options = options_of("deployment = ours\n\n query=a=b");
        assert_eq!(options_text(&options), "deployment=ours\nquery=a=b");
    }
}
