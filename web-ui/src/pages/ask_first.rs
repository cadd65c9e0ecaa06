//! What cannot be undone, or ends something: asked before, done, and told.

use std::future::Future;

use leptos::prelude::*;

use crate::api::{Failure, submit};
use crate::components::{Confirm, use_toasts};

/// Asks before something is done, does it, and says what came of it.
#[component]
pub(super) fn AskFirst<F, A, T>(
    open: RwSignal<bool>,
    title: &'static str,
    #[prop(into)] text: Signal<String>,
    action: &'static str,
    #[prop(optional)] danger: bool,
    /// What is done; `None` where there is nothing to do it to.
    call: F,
    /// What is said then.
    done: &'static str,
    #[prop(optional, into)] on_done: Option<Callback<()>>,
    /// What is shown is not what there is: somebody else was faster.
    #[prop(optional, into)]
    on_stale: Option<Callback<()>>,
) -> impl IntoView
where
    F: Fn() -> Option<A> + Send + Sync + 'static,
    A: Future<Output = Result<T, Failure>> + 'static,
    T: 'static,
{
    let toasts = use_toasts();
    let busy = RwSignal::new(false);
    let confirmed = move || {
        let Some(call) = call() else { return };
        submit(busy, call, move |result| {
            open.try_set(false);
            match result {
                Ok(_) => {
                    toasts.done(done);
                    if let Some(on_done) = on_done {
                        on_done.try_run(());
                    }
                }
                Err(failure) => {
                    toasts.failed(&failure);
                    if let Some(on_stale) = on_stale.filter(|_| failure.is_stale() || failure.is_not_found()) {
                        on_stale.try_run(());
                    }
                }
            }
        });
    };
    view! { <Confirm open title text action danger on_confirm=confirmed busy /> }
}
