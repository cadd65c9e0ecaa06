//! A list that comes in pages: the first with its filters, the others as they are asked for.

use std::future::Future;

use admin_types::page::Page;
use leptos::prelude::*;

use crate::api::{Failure, submit};
use crate::components::use_toasts;

/// The rows that have come so far.
pub(super) struct Paged<T: Send + Sync + 'static> {
    /// The first page, for `LoadedLive`.
    pub(super) first: LocalResource<Result<Vec<T>, Failure>>,
    others: RwSignal<Vec<T>>,
    next: RwSignal<Option<String>>,
    /// Another page is on its way.
    pub(super) busy: RwSignal<bool>,
    load: Callback<()>,
}

impl<T: Send + Sync + 'static> Clone for Paged<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Paged<T> {}

impl<T: Clone + Send + Sync + 'static> Paged<T> {
    /// `ask` gives the page at a cursor; the signals that it reads are the filters of the list.
    pub(super) fn new<F, A>(ask: F) -> Self
    where
        F: Fn(Option<String>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Page<T>, Failure>> + 'static,
    {
        let toasts = use_toasts();
        let others = RwSignal::new(Vec::new());
        let next = RwSignal::new(None);
        let busy = RwSignal::new(false);
        // A page of other filters than those of the first one is thrown away.
        let asked = StoredValue::new(0_u32);
        let ask = StoredValue::new(ask);
        let first = LocalResource::new(move || {
            let coming = ask.with_value(|ask| ask(None));
            asked.update_value(|asked| *asked = asked.wrapping_add(1));
            async move {
                let page = coming.await?;
                others.try_set(Vec::new());
                next.try_set(page.next_cursor);
                Ok(page.data)
            }
        });
        let load = move || {
            let of = asked.get_value();
            let coming = untrack(|| ask.with_value(|ask| ask(next.get())));
            submit(busy, coming, move |page| match page {
                _ if asked.try_get_value() != Some(of) => {}
                Ok(page) => {
                    others.update(|others| others.extend(page.data));
                    next.set(page.next_cursor);
                }
                Err(failure) => toasts.failed(&failure),
            });
        };
        Self { first, others, next, busy, load: Callback::new(move |()| load()) }
    }

    /// Everything that has come, behind the first page that `LoadedLive` gives.
    pub(super) fn rows(self, first: Signal<Vec<T>>) -> Signal<Vec<T>> {
        Signal::derive(move || {
            let mut rows = first.get();
            rows.extend(self.others.get());
            rows
        })
    }

    /// Whether there is another page.
    pub(super) fn more(self) -> Signal<bool> {
        Signal::derive(move || self.next.with(Option::is_some))
    }

    /// Asks for the next page.
    pub(super) fn load(self) -> Callback<()> {
        self.load
    }

    /// Asks for everything anew.
    pub(super) fn refetch(self) {
        self.first.refetch();
    }
}
