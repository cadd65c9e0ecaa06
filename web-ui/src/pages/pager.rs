//! Lists that come in pages: the first by itself, the others when they are asked for.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use admin_types::page::Page;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::Failure;
use crate::components::use_toasts;

type Asked<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Failure>>>>;
type Ask<T> = Rc<dyn Fn(Option<String>) -> Asked<T>>;

/// What was loaded behind the first page.
#[derive(Debug, Clone, PartialEq)]
struct Further<T> {
    /// The cursor that it began with: of another first page it is not the rest.
    after: Option<String>,
    rows: Vec<T>,
    next: Option<String>,
}

/// A list of `T`, as far as it is loaded.
pub(crate) struct Paged<T: Send + Sync + 'static> {
    /// The first page, for `LoadedLive`.
    pub(crate) first: LocalResource<Result<Page<T>, Failure>>,
    /// All that is loaded.
    pub(crate) rows: Memo<Vec<T>>,
    /// Whether there is more.
    pub(crate) more: Signal<bool>,
    /// Whether more is on its way.
    pub(crate) loading: RwSignal<bool>,
    /// Loads the next page.
    pub(crate) on_more: Callback<()>,
}

impl<T: Send + Sync + 'static> Clone for Paged<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Paged<T> {}

impl<T: Send + Sync + 'static> std::fmt::Debug for Paged<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paged").finish_non_exhaustive()
    }
}

/// A list whose pages `ask` gives, by the cursor of the page before. Signals that `ask` reads before it waits begin the
/// list anew when they change.
pub(crate) fn use_pages<T, F>(ask: impl Fn(Option<String>) -> F + 'static) -> Paged<T>
where
    T: Clone + PartialEq + Send + Sync + 'static,
    F: Future<Output = Result<Page<T>, Failure>> + 'static,
{
    let toasts = use_toasts();
    let ask: Ask<T> = Rc::new(move |cursor| Box::pin(ask(cursor)));
    let first = {
        let ask = Rc::clone(&ask);
        LocalResource::new(move || ask(None))
    };
    let ask = StoredValue::new_local(ask);
    let further = RwSignal::new(None::<Further<T>>);
    let loading = RwSignal::new(false);
    let page = Memo::new(move |before: Option<&Option<Page<T>>>| {
        let found = first.with(|found| found.as_ref().and_then(|found| found.as_ref().ok().cloned()));
        found.or_else(|| before.cloned().flatten())
    });
    let rest = Memo::new(move |_| {
        let after = page.with(|page| page.as_ref().and_then(|page| page.next_cursor.clone()));
        further.get().filter(|further| further.after == after).unwrap_or(Further {
            next: after.clone(),
            after,
            rows: Vec::new(),
        })
    });
    let rows = Memo::new(move |_| {
        let mut rows = page.with(|page| page.as_ref().map(|page| page.data.clone())).unwrap_or_default();
        rest.with(|rest| rows.extend_from_slice(&rest.rows));
        rows
    });
    let more = Signal::derive(move || rest.with(|rest| rest.next.is_some()));
    let on_more = Callback::new(move |()| {
        let mut known = rest.get_untracked();
        let Some(cursor) = known.next.clone().filter(|_| !loading.get_untracked()) else { return };
        let next = untrack(|| ask.with_value(|ask| ask(Some(cursor))));
        loading.set(true);
        spawn_local(async move {
            let found = next.await;
            loading.try_set(false);
            match found {
                Ok(page) => {
                    known.rows.extend(page.data);
                    known.next = page.next_cursor;
                    further.try_set(Some(known));
                }
                Err(failure) => toasts.failed(&failure),
            }
        });
    });
    Paged { first, rows, more, loading, on_more }
}
