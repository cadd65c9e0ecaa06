//! One number that matters, how it has changed, and its course.

use leptos::prelude::*;

use super::badge::Tone;
use crate::chart::Sparkline;

/// How it compares with the time before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Such as `+12%`.
    pub(crate) text: String,
    /// Whether that is good, bad or neither.
    pub(crate) tone: Tone,
}

impl Change {
    /// Of a number of which more is neither good nor bad.
    pub(crate) fn of(now: f64, before: f64) -> Option<Self> {
        crate::format::delta(now, before).map(|text| Self { text, tone: Tone::Neutral })
    }

    /// Of a number of which less is good, such as errors and latencies.
    pub(crate) fn less_is_good(now: f64, before: f64) -> Option<Self> {
        let tone = match (now - before) / before.abs() {
            share if share > 0.02 => Tone::Bad,
            share if share < -0.02 => Tone::Good,
            _ => Tone::Neutral,
        };
        Self::of(now, before).map(|change| Self { tone, ..change })
    }
}

/// A tile with a number.
#[component]
pub(crate) fn Stat(
    #[prop(into)] label: String,
    #[prop(into)] value: Signal<String>,
    #[prop(optional, into)] change: Signal<Option<Change>>,
    /// Below the number, such as `of $500.00 this month`.
    #[prop(optional, into)]
    note: Signal<String>,
    /// Its course over the time.
    #[prop(optional, into)]
    course: Signal<Vec<f64>>,
    #[prop(optional)] tone: Tone,
) -> impl IntoView {
    let change_view = move || {
        change.get().map(|change| {
            view! {
                <span class=format!("change {}", change.tone.class())>
                    {change.text} <span class="visually-hidden">" against the period before"</span>
                </span>
            }
        })
    };
    view! {
        <div class=format!("stat {}", tone.class())>
            <p class="stat-label">{label}</p>
            <p class="stat-value">{move || value.get()} {change_view}</p>
            <p class="stat-note">{move || note.get()}</p>
            {move || course.with(|course| course.len() > 1).then(|| view! { <Sparkline values=course /> })}
        </div>
    }
}
