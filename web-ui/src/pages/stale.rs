//! Somebody else was faster: what to do about it.

use leptos::prelude::*;

use crate::api::Failure;
use crate::components::{Button, IconName, Notice, Tone};

/// Offers to load anew what a form changes, where it has failed because somebody else changed it meanwhile. Until then
/// the fields keep what was typed.
#[component]
pub(super) fn Stale(
    failure: RwSignal<Option<Failure>>,
    #[prop(into)] on_reload: Callback<()>,
    #[prop(optional, into)] busy: Signal<bool>,
) -> impl IntoView {
    let is_stale = move || failure.with(|failure| failure.as_ref().is_some_and(Failure::is_stale));
    view! {
        <Show when=is_stale>
            <Notice tone=Tone::Warn title="Load it as it is now?">
                <p>"What you changed here is lost then."</p>
                <Button icon=IconName::Refresh busy on_press=on_reload>
                    "Load it again"
                </Button>
            </Notice>
        </Show>
    }
}

/// Has the page behind a dialog look again where the dialog has failed because somebody else was faster. What was typed
/// stays; sent again, it goes to what is there by then.
pub(super) fn look_again(failure: RwSignal<Option<Failure>>, on_stale: Callback<()>) {
    Effect::new(move |_| {
        if failure.with(|failure| failure.as_ref().is_some_and(Failure::is_stale)) {
            on_stale.run(());
        }
    });
}
