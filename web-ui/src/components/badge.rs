//! Small marks: states, kinds, and shares of a limit.

use leptos::prelude::*;

use super::{Icon, IconName};
use crate::format;

/// How good or bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Neutral,
    Good,
    Warn,
    Bad,
    Accent,
}

impl Tone {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Accent => "accent",
        }
    }
}

/// A state or kind in a word.
#[component]
pub(crate) fn Badge(
    #[prop(optional)] tone: Tone,
    /// A dot before it, for states.
    #[prop(optional)]
    dot: bool,
    children: Children,
) -> impl IntoView {
    view! {
        <span class=format!("badge {}", tone.class())>
            {dot.then(|| view! { <span class="dot" aria-hidden="true"></span> })} {children()}
        </span>
    }
}

/// A dot and a word without a frame, for cells of tables.
#[component]
pub(crate) fn Status(#[prop(optional)] tone: Tone, children: Children) -> impl IntoView {
    view! {
        <span class=format!("status {}", tone.class())>
            <span class="dot" aria-hidden="true"></span>
            {children()}
        </span>
    }
}

/// Something to know before going on, in the page.
#[component]
pub(crate) fn Notice(
    #[prop(optional)] tone: Tone,
    #[prop(optional, into)] title: String,
    children: Children,
) -> impl IntoView {
    let icon = match tone {
        Tone::Good => IconName::Check,
        Tone::Warn | Tone::Bad => IconName::Warning,
        Tone::Neutral | Tone::Accent => IconName::Info,
    };
    view! {
        <div class=format!("notice {}", tone.class())>
            <Icon name=icon />
            <div>
                {(!title.is_empty()).then(|| view! { <strong>{title}</strong> })}
                {children()}
            </div>
        </div>
    }
}

/// How much of a limit is used: calm below 80 %, a warning above, red when it is all.
#[component]
pub(crate) fn Meter(
    /// What is measured, for those who do not see it.
    #[prop(into)]
    label: String,
    #[prop(into)] used: Signal<f64>,
    #[prop(into)] limit: Signal<f64>,
    /// Such as `$3.20 of $10.00`; shown beside the bar.
    #[prop(optional, into)]
    text: Signal<String>,
) -> impl IntoView {
    let share = move || if limit.get() > 0.0 { used.get() / limit.get() } else { 0.0 };
    let tone = move || match share() {
        share if share >= 1.0 => "meter bad",
        share if share >= 0.8 => "meter warn",
        _ => "meter",
    };
    view! {
        <div
            class=tone
            role="meter"
            aria-label=label
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || (share().clamp(0.0, 1.0) * 100.0).round().to_string()
            aria-valuetext=move || format!("{} {}", format::percent(share()), text.get())
        >
            <div class="meter-track">
                <div class="meter-fill" style:width=move || format!("{:.1}%", share().clamp(0.0, 1.0) * 100.0)></div>
            </div>
            <span class="meter-text">
                {move || if text.with(String::is_empty) { format::percent(share()) } else { text.get() }}
            </span>
        </div>
    }
}

/// How far something has come; without a share it only shows that it moves.
#[component]
pub(crate) fn Progress(#[prop(into)] label: String, #[prop(into)] share: Signal<Option<f64>>) -> impl IntoView {
    let percent = move || share.get().map(|share| share.clamp(0.0, 1.0) * 100.0);
    view! {
        <div class="progress-field">
            <span>{label.clone()}</span>
            <span class="progress-value">{move || share.get().map(format::percent)}</span>
            <div
                class="progress"
                class:endless=move || share.get().is_none()
                role="progressbar"
                aria-label=label
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=move || percent().map(|percent| percent.round().to_string())
            >
                <div style:width=move || percent().map_or_else(|| "30%".to_owned(), |percent| format!("{percent:.1}%"))></div>
            </div>
        </div>
    }
}
