//! What happened or is to happen, one after the other.

use leptos::prelude::*;

use super::badge::Tone;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) title: String,
    pub(crate) text: String,
    /// At the end of its line, such as a duration.
    pub(crate) note: String,
    pub(crate) tone: Tone,
}

impl Step {
    pub(crate) fn new(title: impl Into<String>, tone: Tone) -> Self {
        Self { title: title.into(), text: String::new(), note: String::new(), tone }
    }

    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// Steps along a line.
#[component]
pub(crate) fn StepList(#[prop(into)] steps: Signal<Vec<Step>>) -> impl IntoView {
    let step = |step: Step| {
        view! {
            <li class=format!("step {}", step.tone.class())>
                <div class="step-head">
                    <strong>{step.title}</strong>
                    <span class="step-note">{step.note}</span>
                </div>
                {(!step.text.is_empty()).then(|| view! { <p>{step.text}</p> })}
            </li>
        }
    };
    view! { <ol class="steps">{move || steps.get().into_iter().map(step).collect_view()}</ol> }
}
