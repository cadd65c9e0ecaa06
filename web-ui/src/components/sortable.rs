//! A list whose order matters: moved by dragging, or with the buttons of each row.

use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::field::unique_id;
use super::{Icon, IconButton, IconName};

/// A list of `T`. What can be edited in a row is a signal in `T`, so that rows stay when they move.
#[component]
pub(crate) fn SortableList<T, K, L, F, V>(
    #[prop(into)] label: String,
    items: RwSignal<Vec<T>>,
    /// Tells items apart.
    key: K,
    /// How an item is called, unlike the others. It may follow signals.
    name: L,
    #[prop(optional, into)] disabled: Signal<bool>,
    children: F,
) -> impl IntoView
where
    T: Clone + Send + Sync + 'static,
    K: Fn(&T) -> String + Clone + Send + Sync + 'static,
    L: Fn(&T) -> String + Clone + Send + Sync + 'static,
    F: Fn(T) -> V + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let said = RwSignal::new(String::new());
    let list = NodeRef::<html::Ol>::new();
    let dragged = RwSignal::new(None::<String>);
    let go = {
        let key = key.clone();
        move |event: PointerEvent| {
            let to = list.get_untracked().and_then(|list| row_at(&list, f64::from(event.client_y())));
            if let (Some(own), Some(to)) = (dragged.get_untracked(), to) {
                Order { items, own, key: key.clone() }.move_to(to);
            }
        }
    };
    let row = {
        let key = key.clone();
        move |item: T| {
            let order = Order { items, own: key(&item), key: key.clone() };
            let content = children(item.clone());
            let name = {
                let name = name.clone();
                Signal::derive(move || name(&item))
            };
            view! { <Row order name list dragged said disabled>{content}</Row> }
        }
    };
    view! {
        <ol
            class="sortable"
            node_ref=list
            aria-label=label
            on:pointermove=go
            on:pointerup=move |_| dragged.set(None)
            on:pointercancel=move |_| dragged.set(None)
        >
            <For each=move || items.get() key=move |item| key(item) children=row />
        </ol>
        <p class="visually-hidden" role="status">
            {move || said.get()}
        </p>
    }
}

/// The place of one item among the others.
#[derive(Clone)]
struct Order<T: Send + Sync + 'static, K> {
    items: RwSignal<Vec<T>>,
    own: String,
    key: K,
}

impl<T: Send + Sync + 'static, K: Fn(&T) -> String> Order<T, K> {
    fn place(&self) -> usize {
        self.items.with(|items| items.iter().position(|item| (self.key)(item) == self.own)).unwrap_or(0)
    }

    fn count(&self) -> usize {
        self.items.with(Vec::len)
    }

    fn move_to(&self, to: usize) {
        let from = untrack(|| self.place());
        if from != to && to < untrack(|| self.count()) {
            self.items.update(|items| {
                let item = items.remove(from);
                items.insert(to, item);
            });
        }
    }
}

#[component]
fn Row<T, K>(
    order: Order<T, K>,
    name: Signal<String>,
    list: NodeRef<html::Ol>,
    dragged: RwSignal<Option<String>>,
    said: RwSignal<String>,
    disabled: Signal<bool>,
    children: Children,
) -> impl IntoView
where
    T: Send + Sync + 'static,
    K: Fn(&T) -> String + Clone + Send + Sync + 'static,
{
    let order = StoredValue::new(order);
    let own = order.with_value(|order| order.own.clone());
    let id = unique_id("sortable");
    let place = Memo::new(move |_| order.with_value(Order::place));
    let last = Memo::new(move |_| order.with_value(Order::count).saturating_sub(1));
    let step = {
        let id = id.clone();
        move |to: usize, button: &'static str| {
            let name = name.get_untracked();
            order.with_value(|order| order.move_to(to));
            said.set(format!("{name} is now {} of {}", to + 1, last.get_untracked() + 1));
            let id = id.clone();
            // A row that moves in the page loses the focus.
            request_animation_frame(move || focus(&id, button));
        }
    };
    let (up, down) = (step.clone(), step);
    let is_dragged = {
        let own = own.clone();
        move || dragged.with(|dragged| dragged.as_ref() == Some(&own))
    };
    let begin = move |event: PointerEvent| {
        if disabled.get_untracked() || event.button() != 0 {
            return;
        }
        event.prevent_default();
        // The list gets what the pointer does from here on: the row itself moves about in the page.
        if let Some(list) = list.get_untracked() {
            list.set_pointer_capture(event.pointer_id()).ok();
        }
        dragged.set(Some(own.clone()));
    };
    view! {
        <li id=id class="sortable-row" class:dragged=is_dragged>
            <span class="sortable-handle" aria-hidden="true" hidden=move || disabled.get() on:pointerdown=begin>
                <Icon name=IconName::Drag />
            </span>
            <span class="sortable-place">{move || place.get() + 1}</span>
            <div class="sortable-content">{children()}</div>
            <div class="sortable-buttons" hidden=move || disabled.get()>
                <IconButton
                    name=IconName::Up
                    label=Signal::derive(move || format!("Move {} up", name.get()))
                    disabled=Signal::derive(move || place.get() == 0)
                    on_press=move || up(place.get_untracked().saturating_sub(1), "up")
                />
                <IconButton
                    name=IconName::Down
                    label=Signal::derive(move || format!("Move {} down", name.get()))
                    disabled=Signal::derive(move || place.get() >= last.get())
                    on_press=move || down(place.get_untracked() + 1, "down")
                />
            </div>
        </li>
    }
}

/// Which row lies at this height of the window.
fn row_at(list: &web_sys::Element, y: f64) -> Option<usize> {
    let rows = list.query_selector_all(":scope > li").ok()?;
    (0..rows.length()).find_map(|place| {
        let row = rows.item(place)?;
        let rect = row.dyn_ref::<web_sys::Element>()?.get_bounding_client_rect();
        (rect.top() <= y && y < rect.bottom()).then_some(place as usize)
    })
}

/// The button that was pressed, or the other one where that has come to its end.
fn focus(row: &str, button: &str) {
    let first = if button == "up" { 1 } else { 2 };
    let selectors =
        [first, 3 - first].map(|place| format!("#{row} .sortable-buttons button:nth-child({place}):not(:disabled)"));
    let found = selectors.iter().find_map(|selector| document().query_selector(selector).ok().flatten());
    if let Some(button) = found.as_ref().and_then(|button| button.dyn_ref::<web_sys::HtmlElement>()) {
        button.focus().ok();
    }
}
