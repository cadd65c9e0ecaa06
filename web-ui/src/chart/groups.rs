//! Groups beside each other: who has how much of the whole.

use leptos::prelude::*;

use super::Unit;
use crate::format;

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Where its name leads.
    pub(crate) href: Option<String>,
}

impl Bar {
    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, href: None }
    }

    pub(crate) fn link(self, href: impl Into<String>) -> Self {
        Self { href: Some(href.into()), ..self }
    }
}

/// Lying bars, as a table.
#[component]
pub(crate) fn BarList(
    #[prop(into)] label: String,
    /// Over the names: `Provider`.
    #[prop(into)]
    group: String,
    /// Over the values: `Spend`.
    #[prop(into)]
    measure: String,
    #[prop(into)] bars: Signal<Vec<Bar>>,
    #[prop(optional)] unit: Unit,
) -> impl IntoView {
    let rows = move || {
        let bars = bars.get();
        let highest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let total: f64 = bars.iter().map(|bar| bar.value).sum();
        bars.into_iter().map(|bar| view! { <BarRow bar highest total unit /> }).collect_view()
    };
    let none = move || bars.with(Vec::is_empty);
    view! {
        <table class="bar-list" hidden=none>
            <caption class="visually-hidden">{label}</caption>
            <colgroup>
                <col />
                <col class="bar-value" />
                <col class="bar-share" />
            </colgroup>
            <thead class="visually-hidden">
                <tr>
                    <th scope="col">{group}</th>
                    <th scope="col">{measure}</th>
                    <th scope="col">"Share"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
        <Show when=none>
            <p class="chart-none">"Nothing in this time"</p>
        </Show>
    }
}

#[component]
fn BarRow(bar: Bar, highest: f64, total: f64, unit: Unit) -> impl IntoView {
    let width = if highest > 0.0 { bar.value / highest * 100.0 } else { 0.0 };
    let share = if total > 0.0 { bar.value / total } else { 0.0 };
    let title = bar.name.clone();
    let name = match bar.href {
        Some(href) => view! { <a href=href>{bar.name}</a> }.into_any(),
        None => bar.name.into_any(),
    };
    view! {
        <tr>
            <th scope="row" title=title>
                {name}
                <span class="bar-track" aria-hidden="true">
                    <span class="bar-fill" style:width=format!("{width:.2}%")></span>
                </span>
            </th>
            <td class="bar-value">{unit.full(bar.value)}</td>
            <td class="bar-share">{format::percent(share)}</td>
        </tr>
    }
}
