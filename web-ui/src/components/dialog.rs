//! What lies over the page: dialogs, a panel at the side, and the question before what cannot be undone.
//!
//! All are native `<dialog>`s: the browser keeps the focus inside, closes them with Esc, and gives the focus back.

use leptos::ev::MouseEvent;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::field::unique_id;
use super::{Button, ButtonKind, IconButton, IconName};

/// Where the focus goes when a dialog opens: what asks for it, else the first field, else the first button.
const WANT_FOCUS: [&str; 3] = [
    "[data-autofocus]",
    ".dialog-body input:not([type=hidden]), .dialog-body select, .dialog-body textarea",
    ".dialog-body button, .dialog-body a[href]",
];

/// A dialog in the middle. What is in it exists only while it is open.
#[component]
pub(crate) fn Dialog(
    open: RwSignal<bool>,
    #[prop(into)] title: String,
    /// For tables and code.
    #[prop(optional)]
    wide: bool,
    children: ChildrenFn,
) -> impl IntoView {
    let class = if wide { "dialog wide" } else { "dialog" };
    view! { <Modal open title class children /> }
}

/// A panel at the side, for the details of what was chosen in the page.
#[component]
pub(crate) fn Panel(open: RwSignal<bool>, #[prop(into)] title: String, children: ChildrenFn) -> impl IntoView {
    view! { <Modal open title class="panel" light=true children /> }
}

/// The question before something is done.
#[component]
pub(crate) fn Confirm(
    open: RwSignal<bool>,
    #[prop(into)] title: String,
    #[prop(into)] text: Signal<String>,
    #[prop(into)] action: String,
    #[prop(optional)] danger: bool,
    #[prop(into)] on_confirm: Callback<()>,
    #[prop(optional, into)] busy: Signal<bool>,
) -> impl IntoView {
    let kind = if danger { ButtonKind::Danger } else { ButtonKind::Primary };
    let action = StoredValue::new(action);
    view! {
        <Dialog open title>
            <p class="dialog-text">{move || text.get()}</p>
            <div class="form-actions">
                <Button on_press=move || open.set(false)>"Cancel"</Button>
                <Button kind busy on_press=on_confirm>
                    {action.get_value()}
                </Button>
            </div>
        </Dialog>
    }
}

#[component]
fn Modal(
    open: RwSignal<bool>,
    title: String,
    class: &'static str,
    /// A press beside it closes it.
    #[prop(optional)]
    light: bool,
    children: ChildrenFn,
) -> impl IntoView {
    let node = NodeRef::<html::Dialog>::new();
    let title_id = unique_id("dialog");
    let labelled_by = title_id.clone();
    follow(node, open);
    let press = move |event: MouseEvent| {
        let beside = event.target().is_some_and(|target| target.dyn_ref::<web_sys::HtmlDialogElement>().is_some());
        if light && beside {
            open.set(false);
        }
    };
    view! {
        <dialog node_ref=node class=class aria-labelledby=labelled_by on:close=move |_| open.set(false) on:click=press>
            <div class="dialog-frame">
                <header class="dialog-head">
                    <h2 id=title_id>{title}</h2>
                    <IconButton name=IconName::Close label="Close" on_press=move || open.set(false) />
                </header>
                <div class="dialog-body">{move || open.get().then(|| children())}</div>
            </div>
        </dialog>
    }
}

/// The element follows the signal; its own closing, by Esc, goes the other way.
fn follow(node: NodeRef<html::Dialog>, open: RwSignal<bool>) {
    Effect::new(move |_| {
        let (Some(dialog), open) = (node.get(), open.get()) else { return };
        if open && !dialog.open() {
            // It fails only for one that is open or gone from the page.
            dialog.show_modal().ok();
            request_animation_frame(move || focus_first(&dialog));
        } else if !open && dialog.open() {
            dialog.close();
        }
    });
}

fn focus_first(dialog: &web_sys::HtmlDialogElement) {
    let wanted = WANT_FOCUS.iter().find_map(|selector| dialog.query_selector(selector).ok().flatten());
    if let Some(wanted) = wanted.as_ref().and_then(|element| element.dyn_ref::<web_sys::HtmlElement>()) {
        wanted.focus().ok();
    }
}
