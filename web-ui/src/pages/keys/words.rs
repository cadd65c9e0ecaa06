//! What the words of keys are called for people.

use admin_types::keys::{BudgetWindow, KeyState};
use domain::provider::Operation;
use leptos::prelude::*;

use crate::components::{Choice, Status, Tone};

/// A state, as lists and details show it.
pub(super) fn state_view(state: KeyState) -> impl IntoView {
    let (tone, name) = match state {
        KeyState::Active => (Tone::Good, "Active"),
        KeyState::Revoked => (Tone::Bad, "Revoked"),
        KeyState::Expired => (Tone::Warn, "Expired"),
    };
    view! { <Status tone>{name}</Status> }
}

/// An operation.
pub(super) const fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Transcription => "Transcription",
        Operation::Translation => "Translation to English",
        Operation::Speech => "Speech",
        Operation::Realtime => "Realtime sessions",
        Operation::Chat => "Chat",
        Operation::Embeddings => "Embeddings",
        Operation::Passthrough => "Passthrough",
    }
}

/// Operations that a key may be held to.
pub(super) fn operation_choices() -> Vec<Choice> {
    Operation::ALL.iter().map(|operation| Choice::new(operation.as_str(), operation_name(*operation))).collect()
}

/// Over which time a budget is.
pub(super) const fn window_words(window: BudgetWindow) -> &'static str {
    match window {
        BudgetWindow::Total => "in all",
        BudgetWindow::Daily => "a day",
        BudgetWindow::Monthly => "a month",
    }
}

/// Windows to choose from.
pub(super) fn window_choices() -> Vec<Choice> {
    Choice::list(&[
        ("monthly", "A month (starts on the 1st, UTC)"),
        ("daily", "A day (starts at midnight, UTC)"),
        ("total", "The key's whole life"),
    ])
}
