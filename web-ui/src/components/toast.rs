//! Short messages about what was just done.

use std::time::Duration;

use leptos::prelude::*;

use super::badge::Tone;
use super::{Icon, IconButton, IconName};
use crate::api::Failure;

/// How long a message stays that needs no answer.
const STAY: Duration = Duration::from_secs(6);
/// More than these are not shown at once.
const MOST: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Toast {
    id: u32,
    tone: Tone,
    title: String,
    text: String,
}

/// Shows messages; in the context of every page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Toasts {
    list: RwSignal<Vec<Toast>>,
    next_id: RwSignal<u32>,
}

impl Toasts {
    fn new() -> Self {
        Self { list: RwSignal::new(Vec::new()), next_id: RwSignal::new(0) }
    }

    /// Something is done.
    pub(crate) fn done(self, title: impl Into<String>) {
        self.add(Tone::Good, title.into(), String::new());
    }

    /// Something to know.
    pub(crate) fn info(self, title: impl Into<String>) {
        self.add(Tone::Neutral, title.into(), String::new());
    }

    /// Something did not work; it stays until it is closed.
    pub(crate) fn failed(self, failure: &Failure) {
        self.add(Tone::Bad, failure.title(), failure.detail());
    }

    fn add(self, tone: Tone, title: String, text: String) {
        let id = self.next_id.get_untracked();
        self.next_id.set(id.wrapping_add(1));
        self.list.update(|list| {
            list.push(Toast { id, tone, title, text });
            let surplus = list.len().saturating_sub(MOST);
            list.drain(..surplus);
        });
        if tone != Tone::Bad {
            set_timeout(move || self.close(id), STAY);
        }
    }

    fn close(self, id: u32) {
        self.list.update(|list| list.retain(|toast| toast.id != id));
    }
}

/// For the shell, once, before any page.
pub(crate) fn provide_toasts() -> Toasts {
    let toasts = Toasts::new();
    provide_context(toasts);
    toasts
}

/// For everything in the shell.
pub(crate) fn use_toasts() -> Toasts {
    use_context().unwrap_or_else(provide_toasts)
}

/// Where the messages stand. What is bad is read at once, the rest in a pause.
#[component]
pub(crate) fn ToastList() -> impl IntoView {
    let toasts = use_toasts();
    view! {
        <div class="toasts">
            <div role="status">
                <ToastsOf toasts bad=false />
            </div>
            <div role="alert">
                <ToastsOf toasts bad=true />
            </div>
        </div>
    }
}

#[component]
fn ToastsOf(toasts: Toasts, bad: bool) -> impl IntoView {
    let mine = move || {
        let mut list = toasts.list.get();
        list.retain(|toast| (toast.tone == Tone::Bad) == bad);
        list
    };
    view! {
        <For each=mine key=|toast| toast.id let:toast>
            <div class=format!("toast {}", toast.tone.class())>
                <Icon name=match toast.tone {
                    Tone::Good => IconName::Check,
                    Tone::Bad => IconName::Warning,
                    _ => IconName::Info,
                } />
                <div class="toast-text">
                    <strong>{toast.title}</strong>
                    {(!toast.text.is_empty()).then(|| view! { <p>{toast.text}</p> })}
                </div>
                <IconButton name=IconName::Close label="Close message" on_press=move || toasts.close(toast.id) />
            </div>
        </For>
    }
}
