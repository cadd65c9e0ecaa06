//! Tables of things: sorted by their heads, opened by their first cell, and quick with ten thousand rows.
//!
//! Only the rows in sight are in the page: all rows are equally high, and empty space stands for the others. A row keeps
//! its place in the page while its content changes, so that neither focus nor selection is lost.

mod column;
mod rows;
mod window;

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;

pub(crate) use self::column::Column;
use self::rows::{Listed, Rows, Space, listed};
use self::window::Seen;
use super::{Icon, IconName, More, MoreButton};

/// More rows than these are shown in part.
const ALL_AT_ONCE: usize = 120;

/// A table. `children` is shown where there are no rows.
#[component]
pub(crate) fn DataTable<T, K>(
    /// What the rows are, for those who do not see it.
    #[prop(into)]
    label: String,
    columns: Vec<Column<T>>,
    #[prop(into)] rows: Signal<Vec<T>>,
    /// Tells rows apart, such as by their id.
    key: K,
    /// The order at first, by the key of a column: `name`, or `-name` for the other way.
    #[prop(optional, into)]
    order: String,
    /// The order when the server sorts: a press on a head changes it, and the rows are shown as they come.
    #[prop(optional_no_strip, into)]
    server_order: Option<RwSignal<String>>,
    /// The rows so far are not all.
    #[prop(optional)]
    more: Option<More>,
    #[prop(optional)] children: Option<ChildrenFn>,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    K: Fn(&T) -> String + Send + Sync + 'static,
{
    let by_server = server_order.is_some();
    let order = server_order.unwrap_or_else(|| RwSignal::new(order));
    let columns = Arc::new(columns);
    let key = Arc::new(key);
    let listed = {
        let columns = Arc::clone(&columns);
        // Sorted once for every change, however many look at it.
        Memo::new_with_compare(
            move |_| order.with(|order| rows.with(|rows| listed(rows, &columns, &*key, (!by_server).then_some(order)))),
            |_, _| true,
        )
    };
    let empty = Memo::new(move |_| listed.with(|listed| listed.rows.is_empty()));
    view! {
        <div class="table-frame">
            <Scrolled label columns order listed by_server />
            {move || {
                let children = children.clone().filter(|_| empty.get());
                children.map(|children| view! { <div class="table-empty">{children()}</div> })
            }}
            <Foot listed more />
        </div>
    }
}

#[component]
fn Scrolled<T>(
    label: String,
    columns: Arc<Vec<Column<T>>>,
    order: RwSignal<String>,
    listed: Memo<Arc<Listed<T>>>,
    by_server: bool,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let node = NodeRef::<html::Div>::new();
    let count = Memo::new(move |_| listed.with(|listed| listed.rows.len()));
    let scrolled = RwSignal::new((0_i32, 0_i32));
    let seen = Memo::new(move |_| {
        let (top, height) = scrolled.get();
        if count.get() > ALL_AT_ONCE {
            Seen::of(top, height, count.get())
        } else {
            Seen { first: 0, last: count.get() }
        }
    });
    let look = move || {
        if let Some(node) = node.get_untracked() {
            scrolled.set((node.scroll_top(), node.client_height()));
        }
    };
    Effect::new(move |_| {
        count.track();
        look();
    });
    let width = columns.len();
    let least_width = columns.iter().map(Column::least_width).sum::<u32>();
    // Where the widths are fixed, a column without one of its own would have nothing left in a narrow window.
    let least_width = move || (count.get() > ALL_AT_ONCE).then(|| format!("{least_width}px"));
    let heads = columns.iter().map(|column| column.head(order, by_server)).collect_view();
    let widths = columns.iter().map(Column::width_view).collect_view();
    let region = label.clone();
    view! {
        <div class="table-scroll" node_ref=node tabindex="0" role="region" aria-label=region on:scroll=move |_| look()>
            <table
                class="table"
                class:virtual=move || { count.get() > ALL_AT_ONCE }
                style:min-width=least_width
                aria-rowcount=move || (count.get() + 1).to_string()>
                <caption class="visually-hidden">{label}</caption>
                <colgroup>{widths}</colgroup>
                <thead>
                    <tr aria-rowindex="1">{heads}</tr>
                </thead>
                <tbody>
                    <Space rows=move || seen.get().first width />
                    <Rows columns listed seen />
                    <Space rows=move || count.get().saturating_sub(seen.get().last) width />
                </tbody>
            </table>
        </div>
    }
}

#[component]
fn Foot<T>(listed: Memo<Arc<Listed<T>>>, more: Option<More>) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let count = move || listed.with(|listed| listed.rows.len());
    let is_more = move || more.is_some_and(|more| more.is_there.get());
    let text = move || match (count(), is_more()) {
        (1, false) => "1 row".to_owned(),
        (count, true) => format!("{} rows so far", crate::format::count(count as i128)),
        (count, false) => format!("{} rows", crate::format::count(count as i128)),
    };
    view! {
        <div class="table-foot" hidden=move || count() == 0>
            <span>{text}</span>
            {more.map(|more| view! { <MoreButton more /> })}
        </div>
    }
}

/// Where an order goes by this column: up, down, or not at all.
fn direction(order: &str, key: &str) -> Option<bool> {
    match order.strip_prefix('-') {
        Some(falling) => (falling == key).then_some(true),
        None => (order == key).then_some(false),
    }
}

/// The arrows of a head.
#[component]
fn Arrow(falling: Option<bool>) -> impl IntoView {
    let name = match falling {
        None => IconName::ChevronUpDown,
        Some(false) => IconName::Up,
        Some(true) => IconName::Down,
    };
    view! { <Icon name /> }
}
