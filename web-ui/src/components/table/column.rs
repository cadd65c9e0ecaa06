//! Columns: their heads, what stands in them, and how they are sorted.

use std::cmp::Ordering;
use std::sync::Arc;

use leptos::prelude::*;

use super::{Arrow, direction};

type Cell<T> = Arc<dyn Fn(&T) -> AnyView + Send + Sync>;
type Compare<T> = Arc<dyn Fn(&T, &T) -> Ordering + Send + Sync>;

/// Pixels in which most names can be read.
const LEAST_WIDTH: u32 = 180;

/// One column of a table of `T`.
pub(crate) struct Column<T> {
    title: &'static str,
    cell: Cell<T>,
    key: &'static str,
    compare: Option<Compare<T>>,
    end: bool,
    quiet_head: bool,
    spare: bool,
    width: Option<u32>,
}

impl<T: 'static> Column<T> {
    /// A column with what stands in the cell of a row.
    pub(crate) fn new<V: IntoView + 'static>(
        title: &'static str,
        cell: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Self {
        let cell: Cell<T> = Arc::new(move |row| cell(row).into_any());
        Self { title, cell, key: "", compare: None, end: false, quiet_head: false, spare: false, width: None }
    }

    /// The last column, with buttons or a menu. Its head is only read.
    pub(crate) fn actions<V: IntoView + 'static>(cell: impl Fn(&T) -> V + Send + Sync + 'static) -> Self {
        let cell = move |row: &T| view! { <div class="row-actions">{cell(row)}</div> };
        Self { quiet_head: true, end: true, ..Self::new("Actions", cell) }
    }

    /// Numbers stand at the end.
    pub(crate) fn end(self) -> Self {
        Self { end: true, ..self }
    }

    /// Left out where there is little room.
    pub(crate) fn spare(self) -> Self {
        Self { spare: true, ..self }
    }

    /// How wide, in pixels; the others share what is left.
    pub(crate) fn width(self, width: u32) -> Self {
        Self { width: Some(width), ..self }
    }

    /// Sorted here, by what this gives; `key` names the column in the order.
    pub(crate) fn sorted<K: Ord>(self, key: &'static str, by: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        self.sorted_by(key, move |a, b| by(a).cmp(&by(b)))
    }

    /// Sorted here, by a comparison.
    pub(crate) fn sorted_by(
        self,
        key: &'static str,
        compare: impl Fn(&T, &T) -> Ordering + Send + Sync + 'static,
    ) -> Self {
        Self { key, compare: Some(Arc::new(compare)), ..self }
    }

    /// Sorted by the server, which calls it so.
    pub(crate) fn server_sorted(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// The cell is a link; the whole row follows it.
    pub(crate) fn link(self, href: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        let cell = self.cell;
        let cell: Cell<T> = Arc::new(move |row| {
            view! {
                <a class="row-link" href=href(row)>
                    {cell(row)}
                </a>
            }
            .into_any()
        });
        Self { cell, ..self }
    }

    /// A press on the row does something, such as opening a panel.
    pub(crate) fn press(self, on_press: impl Fn(&T) + Clone + Send + Sync + 'static) -> Self
    where
        T: Clone + Send + Sync,
    {
        let cell = self.cell;
        let cell: Cell<T> = Arc::new(move |row| {
            let (on_press, own) = (on_press.clone(), row.clone());
            view! {
                <button type="button" class="row-link" on:click=move |_| on_press(&own)>
                    {cell(row)}
                </button>
            }
            .into_any()
        });
        Self { cell, ..self }
    }

    /// How two rows stand in this order, if it goes by this column.
    pub(super) fn comparison(&self, order: &str) -> Option<(Compare<T>, bool)> {
        let falling = direction(order, self.key)?;
        self.compare.clone().map(|compare| (compare, falling))
    }

    pub(super) fn head(&self, order: RwSignal<String>, by_server: bool) -> AnyView {
        let (title, key) = (self.title, self.key);
        let class = self.class();
        if self.quiet_head {
            return view! { <th scope="col" class=class><span class="visually-hidden">{title}</span></th> }.into_any();
        }
        if key.is_empty() || (!by_server && self.compare.is_none()) {
            return view! { <th scope="col" class=class>{title}</th> }.into_any();
        }
        let falling = Memo::new(move |_| order.with(|order| direction(order, key)));
        let sort = move || match falling.get() {
            None => None,
            Some(true) => Some("descending"),
            Some(false) => Some("ascending"),
        };
        let turn =
            move |_| order.set(if falling.get_untracked() == Some(false) { format!("-{key}") } else { key.to_owned() });
        view! {
            <th scope="col" class=class aria-sort=sort>
                <button type="button" class="sort" on:click=turn>
                    {title} {move || view! { <Arrow falling=falling.get() /> }}
                </button>
            </th>
        }
        .into_any()
    }

    /// The least that is left for it, in pixels.
    pub(super) fn least_width(&self) -> u32 {
        self.width.unwrap_or(LEAST_WIDTH)
    }

    pub(super) fn width_view(&self) -> impl IntoView + use<T> {
        let width = self.width.map(|width| format!("{width}px"));
        view! { <col class=self.class() style:width=width /> }
    }

    pub(super) fn cell_view<R>(&self, row: R) -> impl IntoView + use<T, R>
    where
        R: With<Value = T> + Copy + Send + Sync + 'static,
    {
        let cell = Arc::clone(&self.cell);
        view! { <td class=self.class()>{move || row.with(|row| cell(row))}</td> }
    }

    const fn class(&self) -> &'static str {
        match (self.end, self.spare) {
            (false, false) => "",
            (true, false) => "end",
            (false, true) => "spare",
            (true, true) => "end spare",
        }
    }
}

impl<T> std::fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Column").field("title", &self.title).field("key", &self.key).finish_non_exhaustive()
    }
}
