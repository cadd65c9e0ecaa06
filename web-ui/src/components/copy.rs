//! What is made to be copied: values and code.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;

use super::field::unique_id;
use super::{Icon, IconName};

/// Copies a text, and says so for a moment.
#[component]
pub(crate) fn CopyButton(
    #[prop(into)] text: Signal<String>,
    #[prop(default = "Copy".to_owned(), into)] label: String,
) -> impl IntoView {
    let said = RwSignal::new("");
    let copy = move |_| {
        spawn_local(async move {
            let copying = window().navigator().clipboard().write_text(&text.get_untracked());
            let ok = JsFuture::from(copying).await.is_ok();
            said.set(if ok { "Copied" } else { "The browser did not allow it: select the text and copy it" });
            set_timeout(
                move || {
                    said.try_set("");
                },
                Duration::from_secs(2),
            );
        });
    };
    let is_said = move || said.with(|said| !said.is_empty());
    view! {
        <button type="button" class="icon-button copy-button" aria-label=label.clone() title=label on:click=copy>
            {move || view! { <Icon name=if is_said() { IconName::Check } else { IconName::Copy } /> }}
        </button>
        <span class="visually-hidden" role="status">
            {move || said.get()}
        </span>
    }
}

/// A value that is copied and not changed: an address, an id, a secret that is shown once.
#[component]
pub(crate) fn CopyField(
    #[prop(into)] value: Signal<String>,
    /// Over it; without one it stands alone, such as in `Details`.
    #[prop(optional, into)]
    label: String,
    #[prop(optional, into)] hint: String,
) -> impl IntoView {
    let id = unique_id("copy");
    let name = if label.is_empty() { "Value".to_owned() } else { label.clone() };
    let labelled = (!label.is_empty()).then(|| view! { <label for=id.clone()>{label}</label> });
    view! {
        <div class="field">
            {labelled}
            <div class="copy-field">
                <input id=id class="input mono" type="text" readonly aria-label=name.clone() prop:value=move || value.get() />
                <CopyButton text=value label=format!("Copy {}", name.to_lowercase()) />
            </div>
            {(!hint.is_empty()).then(|| view! { <p class="hint">{hint}</p> })}
        </div>
    }
}

/// Code or a document, with a button that copies it.
#[component]
pub(crate) fn Code(
    /// Its name over it: `curl`, `Python`, `JSON`.
    #[prop(into)]
    language: String,
    #[prop(into)] text: Signal<String>,
) -> impl IntoView {
    view! {
        <figure class="code">
            <figcaption>
                <span>{language.clone()}</span>
                <CopyButton text label=format!("Copy {language}") />
            </figcaption>
            <pre tabindex="0" role="region" aria-label=language>
                <code>{move || text.get()}</code>
            </pre>
        </figure>
    }
}
