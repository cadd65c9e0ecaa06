//! A button with a list of things to do.

use leptos::ev::{Event, KeyboardEvent};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::field::unique_id;
use super::{Icon, IconName};

/// Opens a list of `MenuItem`s. The browser closes it with Esc and with a press elsewhere.
#[component]
pub(crate) fn Menu(
    #[prop(into)] label: String,
    /// Three dots unless told.
    #[prop(default = IconName::More)]
    icon: IconName,
    /// The label is seen, too.
    #[prop(optional)]
    labelled: bool,
    children: Children,
) -> impl IntoView {
    let id = unique_id("menu");
    let button = NodeRef::<html::Button>::new();
    let list = NodeRef::<html::Div>::new();
    let open = RwSignal::new(false);
    let toggled = move |_: Event| {
        let Some(list) = list.get_untracked() else { return };
        open.set(list.matches(":popover-open").unwrap_or(false));
        if let Some(button) = button.get_untracked().filter(|_| open.get_untracked()) {
            place(&list, &button);
            focus_by(&list, 0);
        }
    };
    let keys = move |event: KeyboardEvent| {
        let by = match event.key().as_str() {
            "ArrowDown" => 1,
            "ArrowUp" => -1,
            _ => return,
        };
        event.prevent_default();
        if let Some(list) = list.get_untracked() {
            focus_by(&list, by);
        }
    };
    view! {
        <button
            node_ref=button
            type="button"
            class=if labelled { "button" } else { "icon-button" }
            aria-label=(!labelled).then(|| label.clone())
            title=(!labelled).then(|| label.clone())
            aria-haspopup="menu"
            aria-expanded=move || open.get().to_string()
            popovertarget=id.clone()
        >
            <Icon name=icon />
            {labelled.then(|| view! { <span>{label.clone()}</span> })}
        </button>
        <div
            node_ref=list
            id=id
            class="menu"
            role="menu"
            aria-label=label.clone()
            popover="auto"
            on:toggle=toggled
            on:keydown=keys
            on:click=move |_| close(list)
        >
            {children()}
        </div>
    }
}

/// One thing to do.
#[component]
pub(crate) fn MenuItem(
    #[prop(optional, into)] icon: Option<IconName>,
    #[prop(into)] on_press: Callback<()>,
    #[prop(optional)] danger: bool,
    #[prop(optional, into)] disabled: Signal<bool>,
    children: Children,
) -> impl IntoView {
    view! {
        <button
            type="button"
            role="menuitem"
            class="menu-item"
            class:danger=danger
            disabled=move || disabled.get()
            on:click=move |_| on_press.run(())
        >
            {icon.map(|name| view! { <Icon name /> })}
            <span>{children()}</span>
        </button>
    }
}

fn close(list: NodeRef<html::Div>) {
    if let Some(list) = list.get_untracked() {
        list.hide_popover().ok();
    }
}

/// Under the button, or over it where there is no room; never beyond the window.
fn place(list: &web_sys::HtmlElement, button: &web_sys::HtmlElement) {
    let (by, own) = (button.get_bounding_client_rect(), list.get_bounding_client_rect());
    let size = |side: Result<wasm_bindgen::JsValue, _>| side.ok().and_then(|side| side.as_f64()).unwrap_or(f64::MAX);
    let (width, height) = (size(window().inner_width()), size(window().inner_height()));
    let below = by.bottom() + 4.0;
    let top = if below + own.height() > height { (by.top() - own.height() - 4.0).max(4.0) } else { below };
    let left = (by.right() - own.width()).clamp(4.0, (width - own.width()).max(4.0));
    let style = web_sys::HtmlElement::style(list);
    style.set_property("top", &format!("{top}px")).ok();
    style.set_property("left", &format!("{left}px")).ok();
}

/// Moves the focus among the things to do; by 0 it goes to the first.
fn focus_by(list: &web_sys::HtmlElement, by: i32) {
    let Ok(items) = list.query_selector_all("[role^=menuitem]:not(:disabled)") else { return };
    let count = i32::try_from(items.length()).unwrap_or(0);
    let active = document().active_element();
    let place = (0..count).find(|place| {
        let item = items.item(place.unsigned_abs());
        active.as_ref().is_some_and(|active| item.is_some_and(|item| active.is_same_node(Some(&item))))
    });
    let next = place.map_or(0, |place| (place + by).rem_euclid(count.max(1)));
    let item = items.item(next.unsigned_abs());
    if let Some(item) = item.as_ref().and_then(|item| item.dyn_ref::<web_sys::HtmlElement>()) {
        item.focus().ok();
    }
}
