//! The rows in sight, and the space of those that are not.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use leptos::prelude::*;

use super::Column;
use super::window::{ROW_HEIGHT, Seen};

/// Rows in the order in which they are shown.
#[derive(Clone)]
pub(super) struct Listed<T> {
    pub(super) rows: Vec<(String, T)>,
    places: HashMap<String, usize>,
}

/// Puts rows in order; without an order they stay as they come.
pub(super) fn listed<T: Clone + 'static>(
    rows: &[T],
    columns: &[Column<T>],
    key: &impl Fn(&T) -> String,
    order: Option<&String>,
) -> Arc<Listed<T>> {
    let mut sorted: Vec<usize> = (0..rows.len()).collect();
    let comparison = order.and_then(|order| columns.iter().find_map(|column| column.comparison(order)));
    if let Some((compare, falling)) = comparison {
        let turned = |ordering: Ordering| if falling { ordering.reverse() } else { ordering };
        sort(&mut sorted, &|a, b| rows.get(a).zip(rows.get(b)).map_or(Ordering::Equal, |(a, b)| turned(compare(a, b))));
    }
    let in_order = sorted.into_iter().filter_map(|place| rows.get(place));
    let rows: Vec<(String, T)> = in_order.map(|row| (key(row), row.clone())).collect();
    let places = rows.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    Arc::new(Listed { rows, places })
}

/// Sorts places of rows, whatever the rows are: a sort is large, and would be in the program for each kind of them.
fn sort(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

/// The rows in sight. Each follows its own content by its key.
#[component]
pub(super) fn Rows<T>(columns: Arc<Vec<Column<T>>>, listed: Memo<Arc<Listed<T>>>, seen: Memo<Seen>) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let in_sight = move || {
        let Seen { first, last } = seen.get();
        listed.with(|listed| listed.rows.get(first..last.min(listed.rows.len())).unwrap_or_default().to_vec())
    };
    let row = move |(key, row): (String, T)| {
        let own = key.clone();
        let content = Memo::new(move |before: Option<&T>| {
            let now = listed.with(|listed| listed.places.get(&own).and_then(|place| listed.rows.get(*place)).cloned());
            now.map_or_else(|| before.unwrap_or(&row).clone(), |(_, now)| now)
        });
        let place = move || listed.with(|listed| listed.places.get(&key).map(|place| (place + 2).to_string()));
        let cells = columns.iter().map(|column| column.cell_view(content)).collect_view();
        view! { <tr aria-rowindex=place>{cells}</tr> }
    };
    view! { <For each=in_sight key=|(key, _)| key.clone() children=row /> }
}

/// As high as so many rows.
#[component]
pub(super) fn Space<F>(rows: F, width: usize) -> impl IntoView
where
    F: Fn() -> usize + Copy + Send + Sync + 'static,
{
    let height = move || format!("{}px", rows() * ROW_HEIGHT);
    view! {
        <tr class="table-space" aria-hidden="true" hidden=move || rows() == 0>
            <td colspan=width.to_string() style:height=height></td>
        </tr>
    }
}
