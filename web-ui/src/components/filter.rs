//! What narrows a list. Bind the values to the address of the page, so that a link keeps them.

use std::time::Duration;

use leptos::prelude::*;

use super::choice::{Choice, Options};
use super::field::unique_id;
use super::{Icon, IconName};

/// How long after the last letter a search begins.
const PAUSE: Duration = Duration::from_millis(250);

/// Searches while one writes.
#[component]
pub(crate) fn SearchBox(
    value: RwSignal<String>,
    #[prop(default = "Search".to_owned(), into)] label: String,
) -> impl IntoView {
    let text = RwSignal::new(value.get_untracked());
    Effect::new(move |_| text.set(value.get()));
    let mut search = leptos::prelude::debounce(PAUSE, move |text: String| {
        value.try_set(text);
    });
    let written = move |written: String| {
        text.set(written.clone());
        search(written);
    };
    let mut written = written;
    view! {
        <div class="search-box">
            <Icon name=IconName::Search />
            <input
                type="search"
                class="input"
                aria-label=label.clone()
                placeholder=label
                autocomplete="off"
                spellcheck="false"
                prop:value=move || text.get()
                on:input:target=move |event| written(event.target().value())
            />
        </div>
    }
}

/// Only those with one value; without one, all.
#[component]
pub(crate) fn FilterSelect(
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(into)] options: Signal<Vec<Choice>>,
    /// What stands for all; `All` unless told.
    #[prop(default = "All".to_owned(), into)]
    all: String,
) -> impl IntoView {
    let id = unique_id("filter");
    view! {
        <div class="filter" class:on=move || value.with(|value| !value.is_empty())>
            <label for=id.clone()>{label}</label>
            <select id=id class="select" on:change:target=move |event| value.set(event.target().value())>
                <option value="" prop:selected=move || value.with(String::is_empty)>
                    {all}
                </option>
                <Options value options />
            </select>
        </div>
    }
}
