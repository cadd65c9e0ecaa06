//! Lists that come in pages: the first at once, each other when somebody asks for more.

use std::future::Future;

use admin_types::page::Page;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::Failure;
use crate::components::use_toasts;

/// What has come of a list so far.
pub(super) struct Paged<T: 'static> {
    first: LocalResource<Result<Vec<T>, Failure>>,
    /// The entries of later pages.
    rest: RwSignal<Vec<T>>,
    cursor: RwSignal<Option<String>>,
    loading_more: RwSignal<bool>,
    on_more: Callback<()>,
}

impl<T> Clone for Paged<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Paged<T> {}

impl<T> std::fmt::Debug for Paged<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paged").finish_non_exhaustive()
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Paged<T> {
    /// `fetch` asks for the page at a cursor. The signals that it reads before it waits make the list anew.
    pub(super) fn new<F, A>(fetch: F) -> Self
    where
        F: Fn(Option<String>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Page<T>, Failure>> + 'static,
    {
        let toasts = use_toasts();
        let rest = RwSignal::new(Vec::new());
        let cursor = RwSignal::new(None::<String>);
        let loading_more = RwSignal::new(false);
        let first = {
            let fetch = fetch.clone();
            LocalResource::new(move || {
                let asked = fetch(None);
                async move {
                    let page = asked.await?;
                    // At once with the first page, so that no entry is there twice.
                    rest.try_set(Vec::new());
                    cursor.try_set(page.next_cursor);
                    Ok(page.data)
                }
            })
        };
        let more = move || {
            let Some(at) = cursor.get_untracked().filter(|_| !loading_more.get_untracked()) else { return };
            loading_more.set(true);
            let asked = untrack(|| fetch(Some(at.clone())));
            spawn_local(async move {
                let page = asked.await;
                loading_more.try_set(false);
                // What was asked before the list became another one is not of it.
                if cursor.try_get_untracked().flatten().as_ref() != Some(&at) {
                    return;
                }
                match page {
                    Ok(page) => {
                        rest.try_update(|rest| rest.extend(page.data));
                        cursor.try_set(page.next_cursor);
                    }
                    Err(failure) => toasts.failed(&failure),
                }
            });
        };
        Self { first, rest, cursor, loading_more, on_more: Callback::new(move |()| more()) }
    }

    /// For `LoadedLive`.
    pub(super) fn resource(self) -> LocalResource<Result<Vec<T>, Failure>> {
        self.first
    }

    /// All that has come, where `first` is what `LoadedLive` gives.
    pub(super) fn rows(self, first: Signal<Vec<T>>) -> Signal<Vec<T>> {
        Signal::derive(move || {
            let mut rows = first.get();
            self.rest.with(|rest| rows.extend_from_slice(rest));
            rows
        })
    }

    /// Whether there is another page.
    pub(super) fn more(self) -> Signal<bool> {
        Signal::derive(move || self.cursor.with(Option::is_some))
    }

    /// Whether it is on its way.
    pub(super) fn loading_more(self) -> Signal<bool> {
        self.loading_more.into()
    }

    /// Asks for it.
    pub(super) fn on_more(self) -> Callback<()> {
        self.on_more
    }

    /// Asks for the list anew, from its begin.
    pub(super) fn refetch(self) {
        self.first.refetch();
    }
}

/// A word of a search, as lists take it: `None` where it is empty.
pub(super) fn searched(text: RwSignal<String>) -> Option<String> {
    let text = text.get();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
