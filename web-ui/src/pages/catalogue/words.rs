//! The words of providers, models and prices for people.

use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use domain::routing::Strategy;
use leptos::prelude::*;
use uuid::Uuid;

use crate::components::{Badge, Choice, Tone};
use crate::pages::tenants::{TenantNames, use_tenant_names};

/// A kind of provider, for forms.
pub(super) struct Kind {
    pub(super) kind: ProviderKind,
    pub(super) name: &'static str,
    /// Where it is unless told; the operator must tell it where there is none.
    pub(super) address: Option<&'static str>,
    /// What its credential is.
    pub(super) credential: &'static str,
}

/// Those that people can add.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        kind: ProviderKind::Openai,
        name: "OpenAI",
        address: Some("https://api.openai.com/v1"),
        credential: "An API key, such as sk-proj-…",
    },
    Kind { kind: ProviderKind::Azure, name: "Azure OpenAI", address: None, credential: "A key of the resource." },
    Kind {
        kind: ProviderKind::Groq,
        name: "Groq",
        address: Some("https://api.groq.com/openai/v1"),
        credential: "An API key, such as gsk_…",
    },
    Kind {
        kind: ProviderKind::Elevenlabs,
        name: "ElevenLabs",
        address: Some("https://api.elevenlabs.io"),
        credential: "An API key.",
    },
    Kind {
        kind: ProviderKind::Deepgram,
        name: "Deepgram",
        address: Some("https://api.deepgram.com"),
        credential: "An API key.",
    },
    Kind {
        kind: ProviderKind::Google,
        name: "Google",
        address: Some("https://generativelanguage.googleapis.com"),
        credential: "An API key, or the whole JSON of a service account.",
    },
    Kind {
        kind: ProviderKind::Ultravox,
        name: "Ultravox",
        address: Some("https://api.ultravox.ai/api"),
        credential: "An API key.",
    },
    Kind {
        kind: ProviderKind::OpenaiCompatible,
        name: "OpenAI-compatible server",
        address: None,
        credential: "What the server takes as a bearer token; leave it empty where it takes none.",
    },
];

/// A kind by its name on the wire.
pub(super) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.kind.as_str() == name)
}

/// A kind for people.
pub(super) fn kind_name(name: &str) -> String {
    match name {
        "local" => "Local".to_owned(),
        name => kind(name).map_or_else(|| name.to_owned(), |kind| kind.name.to_owned()),
    }
}

/// Every kind that can be added.
pub(super) fn kind_choices() -> Vec<Choice> {
    KINDS.iter().map(|kind| Choice::new(kind.kind.as_str(), kind.name)).collect()
}

/// Every kind there is.
pub(super) fn all_kind_choices() -> Vec<Choice> {
    ProviderKind::ALL.iter().map(|kind| Choice::new(kind.as_str(), kind_name(kind.as_str()))).collect()
}

/// An operation for people.
pub(super) fn operation_name(operation: &str) -> String {
    let mut letters = operation.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The operations that a model can be asked for.
pub(super) fn operation_choices() -> Vec<Choice> {
    let all = Operation::ALL.iter().filter(|operation| **operation != Operation::Passthrough);
    all.map(|operation| Choice::new(operation.as_str(), operation_name(operation.as_str()))).collect()
}

/// How targets may be ordered.
pub(super) fn strategy_choices() -> Vec<Choice> {
    Strategy::ALL.iter().map(|one| Choice::new(one.as_str(), strategy_words(*one).0)).collect()
}

/// A unit for people: what one price is for.
pub(super) fn unit_name(unit: &str) -> String {
    let known = match unit.parse() {
        Ok(Unit::AudioHour) => "hour of audio",
        Ok(Unit::AudioMinute) => "minute of audio",
        Ok(Unit::AudioSecond) => "second of audio",
        Ok(Unit::MillionCharacters) => "million characters",
        Ok(Unit::TextIn) => "million text tokens in",
        Ok(Unit::CachedTextIn) => "million cached text tokens in",
        Ok(Unit::TextOut) => "million text tokens out",
        Ok(Unit::AudioIn) => "million audio tokens in",
        Ok(Unit::CachedAudioIn) => "million cached audio tokens in",
        Ok(Unit::AudioOut) => "million audio tokens out",
        Ok(Unit::ImageIn) => "million image tokens in",
        Ok(Unit::CachedImageIn) => "million cached image tokens in",
        Ok(Unit::Request) => "request",
        Err(_) => unit,
    };
    known.to_owned()
}

/// Every unit.
pub(super) fn unit_choices() -> Vec<Choice> {
    Unit::ALL.iter().map(|unit| Choice::new(unit.as_str(), format!("Per {}", unit_name(unit.as_str())))).collect()
}

/// A strategy for people, and what it does.
pub(super) const fn strategy_words(strategy: Strategy) -> (&'static str, &'static str) {
    match strategy {
        Strategy::Latency => ("Latency", "The one that begins to answer soonest goes first."),
        Strategy::Cost => ("Cost", "The one that this call costs least at goes first."),
        Strategy::Quality => ("Quality", "The one with the highest score goes first."),
        Strategy::Geographic => ("Geographic", "The one nearest to the caller's region goes first."),
        Strategy::Weighted => ("Weighted", "A draw by weight decides; nothing can stand behind it."),
        Strategy::Priority => ("Priority", "The lowest number goes first; equal ones go as listed."),
    }
}

/// Several strategies in a line.
pub(super) fn strategies_text(strategies: &[Strategy]) -> String {
    strategies.iter().map(|strategy| strategy_words(*strategy).0).collect::<Vec<_>>().join(", then ")
}

/// Whether the configuration declares it, so that it is changed there alone.
pub(super) fn is_declared(managed_by: &str) -> bool {
    matches!(managed_by, "file" | "environment")
}

/// Where it was made, for filters.
pub(super) fn origin_choices() -> Vec<Choice> {
    Choice::list(&[("file", "Configuration file"), ("api", "Dashboard or API"), ("cli", "Command line")])
}

/// Where it was made, where that matters.
#[component]
pub(super) fn Origin(#[prop(into)] managed_by: String) -> impl IntoView {
    let name = match managed_by.as_str() {
        "file" => "Configuration file",
        "environment" => "Environment",
        "cli" => "Command line",
        "seed" => "Built in",
        _ => return None,
    };
    Some(view! { <Badge tone=Tone::Neutral>{name}</Badge> })
}

/// Whose things are, for those who see more than one tenant's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owners(TenantNames);

impl Owners {
    /// Asks for them.
    pub(super) fn new() -> Self {
        Self(use_tenant_names())
    }

    /// Whose something is. Reactive.
    pub(super) fn name(self, owner: Option<Uuid>) -> String {
        match owner {
            None => "Platform".to_owned(),
            Some(id) => self.0.find(id).unwrap_or_else(|| "Your tenant".to_owned()),
        }
    }

    /// The platform and every tenant, to choose from.
    pub(super) fn choices(self) -> Signal<Vec<Choice>> {
        let tenants = self.0.choices();
        Signal::derive(move || [vec![Choice::new("", "The platform, for every tenant")], tenants.get()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_name() {
        for kind in ProviderKind::ALL {
            assert_ne!(kind_name(kind.as_str()), kind.as_str());
        }
        for unit in Unit::ALL {
            assert!(!unit_name(unit.as_str()).contains('_'));
        }
        assert_eq!(operation_name("speech"), "Speech");
        assert_eq!(strategies_text(&[Strategy::Geographic, Strategy::Cost]), "Geographic, then Cost");
    }
}
