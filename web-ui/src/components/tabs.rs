//! Parts of a page of which one is seen.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::choice::Choice;

/// The names of the parts. Show what is chosen with `TabPanel`s that have the same group.
#[component]
pub(crate) fn Tabs(
    /// What the parts are of, for those who do not see it.
    #[prop(into)]
    label: String,
    /// Unlike that of any other tabs on the page.
    group: &'static str,
    selected: RwSignal<String>,
    #[prop(into)] tabs: Signal<Vec<Choice>>,
) -> impl IntoView {
    let step = move |event: KeyboardEvent| {
        let by = match event.key().as_str() {
            "ArrowRight" => 1,
            "ArrowLeft" => -1,
            _ => return,
        };
        event.prevent_default();
        let next = tabs.with(|tabs| neighbour(tabs, &selected.get_untracked(), by));
        if let Some(next) = next {
            focus(&tab_id(group, &next));
            selected.set(next);
        }
    };
    let tab = move |tab: Choice| {
        let value = StoredValue::new(tab.value.clone());
        let is_selected = move || selected.with(|selected| value.with_value(|value| selected == value));
        view! {
            <button
                type="button"
                role="tab"
                class="tab"
                id=tab_id(group, &tab.value)
                aria-controls=panel_id(group, &tab.value)
                aria-selected=move || is_selected().to_string()
                tabindex=move || if is_selected() { "0" } else { "-1" }
                on:click=move |_| selected.set(value.get_value())
            >
                {tab.label}
            </button>
        }
    };
    view! {
        <div class="tabs" role="tablist" aria-label=label on:keydown=step>
            {move || tabs.get().into_iter().map(tab).collect_view()}
        </div>
    }
}

/// One part; it exists only while it is chosen.
#[component]
pub(crate) fn TabPanel(
    group: &'static str,
    #[prop(into)] name: String,
    #[prop(into)] selected: Signal<String>,
    children: ChildrenFn,
) -> impl IntoView {
    let shown = {
        let name = name.clone();
        Memo::new(move |_| selected.with(|selected| *selected == name))
    };
    view! {
        <div
            role="tabpanel"
            class="tab-panel"
            id=panel_id(group, &name)
            aria-labelledby=tab_id(group, &name)
            hidden=move || !shown.get()
        >
            {move || shown.get().then(|| children())}
        </div>
    }
}

fn tab_id(group: &str, name: &str) -> String {
    format!("tab-{group}-{name}")
}

fn panel_id(group: &str, name: &str) -> String {
    format!("panel-{group}-{name}")
}

fn neighbour(tabs: &[Choice], selected: &str, by: isize) -> Option<String> {
    let place = tabs.iter().position(|tab| tab.value == selected)?;
    let count = isize::try_from(tabs.len()).ok()?;
    let next = (isize::try_from(place).ok()? + by).rem_euclid(count);
    tabs.get(usize::try_from(next).ok()?).map(|tab| tab.value.clone())
}

fn focus(id: &str) {
    let found = document().get_element_by_id(id);
    if let Some(tab) = found.as_ref().and_then(|tab| tab.dyn_ref::<web_sys::HtmlElement>()) {
        tab.focus().ok();
    }
}
