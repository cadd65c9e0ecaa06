//! Lists that come in pages: the first at once, each other when somebody asks for more.

use std::future::Future;

use admin_types::page::Page;
use leptos::prelude::*;

use crate::api::{Failure, submit};
use crate::components::{Column, DataTable, LoadedLive, More, use_toasts};

/// What has come of a list so far.
pub(super) struct Paged<T: 'static> {
    /// Whether its first page is there, for `LoadedLive`.
    pub(super) first: LocalResource<Result<(), Failure>>,
    /// All that has come.
    pub(super) rows: ReadSignal<Vec<T>>,
    /// The way to the rest.
    pub(super) more: More,
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

impl<T: Send + Sync + 'static> Paged<T> {
    /// `fetch` asks for the page at a cursor. The signals that it reads before it waits make the list anew.
    pub(super) fn new<F, A>(fetch: F) -> Self
    where
        F: Fn(Option<String>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Page<T>, Failure>> + 'static,
    {
        let toasts = use_toasts();
        let (rows, set_rows) = signal(Vec::new());
        let cursor = RwSignal::new(None::<String>);
        let busy = RwSignal::new(false);
        let first = {
            let fetch = fetch.clone();
            LocalResource::new(move || {
                let asked = fetch(None);
                async move {
                    let page = asked.await?;
                    set_rows.try_set(page.data);
                    cursor.try_set(page.next_cursor);
                    Ok(())
                }
            })
        };
        let further = move |()| {
            let Some(at) = cursor.get_untracked().filter(|_| !busy.get_untracked()) else { return };
            let asked = untrack(|| fetch(Some(at.clone())));
            submit(busy, asked, move |page| {
                // What was asked before the list became another one is not of it.
                if cursor.try_get_untracked().flatten().as_ref() != Some(&at) {
                    return;
                }
                match page {
                    Ok(page) => {
                        set_rows.try_update(|rows| rows.extend(page.data));
                        cursor.try_set(page.next_cursor);
                    }
                    Err(failure) => toasts.failed(&failure),
                }
            });
        };
        let is_there = Signal::derive(move || cursor.with(Option::is_some));
        Self { first, rows, more: More { is_there, busy: busy.into(), on_more: Callback::new(further) } }
    }

    /// Asks for the list anew, from its begin.
    pub(super) fn refetch(self) {
        self.first.refetch();
    }
}

/// The table of a list, once its first page is there. `children` is shown where there are no rows.
#[component]
pub(super) fn PagedTable<T, C, K>(
    list: Paged<T>,
    /// What the rows are, for those who do not see it.
    label: &'static str,
    /// Lines of what stands there until then.
    #[prop(default = 6)]
    rows: usize,
    columns: C,
    /// Tells rows apart.
    key: K,
    /// The order at first, where they are sorted here.
    #[prop(optional)]
    order: &'static str,
    /// The order, where the server sorts.
    #[prop(optional)]
    server_order: Option<RwSignal<String>>,
    children: ChildrenFn,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    C: Fn() -> Vec<Column<T>> + Clone + Send + Sync + 'static,
    K: Fn(&T) -> String + Clone + Send + Sync + 'static,
{
    let table = move |_| {
        let children = children.clone();
        view! {
            <DataTable label columns=columns() rows=list.rows key=key.clone() order server_order more=list.more>
                {children()}
            </DataTable>
        }
    };
    view! { <LoadedLive resource=list.first rows children=table /> }
}
