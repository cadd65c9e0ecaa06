//! A sign-in that ended in mid-work: asks to sign in again over the page, which stays as it is.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::api::submit;
use crate::components::{Button, use_toasts};
use crate::pages::SignInForm;
use crate::route::{Page, use_go_instead};
use crate::session::{Ended, use_session};

#[component]
pub(super) fn SignInAgain() -> impl IntoView {
    let session = use_session();
    let dialog = NodeRef::<html::Dialog>::new();
    let follow = move || {
        let Some(dialog) = dialog.get_untracked() else { return };
        match session.ended() {
            // It fails only for one that is gone from the page.
            Some(_) if !dialog.open() => drop(dialog.show_modal()),
            None if dialog.open() => dialog.close(),
            _ => {}
        }
    };
    Effect::new(move |_| {
        dialog.track();
        follow();
    });
    // The form is there a moment after the dialog.
    Effect::new(move |_| {
        if session.ended().is_some() {
            request_animation_frame(move || {
                let wanted =
                    dialog.get_untracked().and_then(|dialog| dialog.query_selector("[data-autofocus]").ok().flatten());
                if let Some(field) = wanted.and_then(|wanted| wanted.dyn_into::<web_sys::HtmlElement>().ok()) {
                    field.focus().ok();
                }
            });
        }
    });
    let why = move || match session.ended() {
        Some(Ended::InAnotherTab) => "You signed out in another tab. Sign in again to go on here.",
        _ => "Your sign-in has ended. Sign in again and go on: nothing you typed is lost.",
    };
    view! {
        <dialog
            node_ref=dialog
            class="dialog"
            aria-labelledby="again-title"
            on:cancel=|event: leptos::ev::Event| event.prevent_default()
            // Some browsers close it at a second Esc all the same.
            on:close=move |_| untrack(follow)
        >
            <div class="dialog-frame">
                <header class="dialog-head">
                    <h2 id="again-title">"Sign in again"</h2>
                </header>
                <div class="dialog-body">
                    {move || session.ended().map(|_| view! { <p class="dialog-text">{why}</p> <Again /> })}
                </div>
            </div>
        </dialog>
    }
}

#[component]
fn Again() -> impl IntoView {
    let session = use_session();
    let toasts = use_toasts();
    let go = use_go_instead();
    let busy = RwSignal::new(false);
    let email = untrack(|| session.me()).map(|me| me.user.email).unwrap_or_default();
    let sign_out = move || {
        let go = go.clone();
        submit(busy, async move { session.sign_out().await }, move |done| match done {
            Ok(()) => go(&Page::SignIn.path()),
            Err(failure) => toasts.failed(&failure),
        });
    };
    view! {
        <SignInForm email again=true />
        <p class="sign-in-else">
            "Not you? " <Button busy on_press=sign_out>
                "Sign out and leave this page"
            </Button>
        </p>
    }
}
