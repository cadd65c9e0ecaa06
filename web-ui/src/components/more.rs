//! The rest of a list that comes in pages.

use leptos::prelude::*;

use super::Button;

/// Whether there is more of a list, and the way to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct More {
    pub(crate) is_there: Signal<bool>,
    /// It is on its way.
    pub(crate) busy: Signal<bool>,
    pub(crate) on_more: Callback<()>,
}

/// Loads more, as long as there is any.
#[component]
pub(crate) fn MoreButton(more: More) -> impl IntoView {
    view! {
        <Show when=move || more.is_there.get()>
            <Button busy=more.busy on_press=more.on_more>
                "Load more"
            </Button>
        </Show>
    }
}
