//! Somebody else was faster: what to do about it.

use leptos::prelude::*;

use crate::api::Failure;
use crate::components::{Button, IconName};

/// Offers to load anew what a form changes, where it has failed because somebody else changed it meanwhile.
#[component]
pub(super) fn Stale(
    failure: RwSignal<Option<Failure>>,
    #[prop(into)] on_reload: Callback<()>,
    #[prop(into)] busy: Signal<bool>,
) -> impl IntoView {
    let is_stale = move || failure.with(|failure| failure.as_ref().is_some_and(Failure::is_stale));
    view! {
        <Show when=is_stale>
            <div>
                <Button icon=IconName::Refresh busy on_press=on_reload>
                    "Load it again"
                </Button>
            </div>
        </Show>
    }
}
