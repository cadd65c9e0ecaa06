//! Where the time of one call went.

use leptos::prelude::*;

use super::Unit;
use super::axis::value_marks;
use crate::components::Tone;
use crate::format;

/// One part of the time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// Milliseconds from the begin of the whole.
    pub(crate) begin_ms: f64,
    pub(crate) length_ms: f64,
    pub(crate) tone: Tone,
    /// Such as the error that it ended with.
    pub(crate) note: String,
}

/// Parts of a time, one below the other, as a table.
#[component]
pub(crate) fn Waterfall(#[prop(into)] label: String, #[prop(into)] spans: Signal<Vec<Span>>) -> impl IntoView {
    let whole = Memo::new(move |_| {
        let end = spans.with(|spans| spans.iter().map(|span| span.begin_ms + span.length_ms).fold(0.0, f64::max));
        value_marks(end.max(1.0), 4, Unit::Milliseconds)
    });
    let end = move || whole.with(|marks| marks.last().copied().unwrap_or(1.0));
    let marks = move || {
        let mark = |at: f64| {
            view! { <span style:left=format!("{:.2}%", at / end() * 100.0)>{Unit::Milliseconds.short(at)}</span> }
        };
        whole.get().into_iter().map(mark).collect_view()
    };
    let rows = move || spans.get().into_iter().map(|span| view! { <SpanRow span end=end() /> }).collect_view();
    view! {
        <table class="waterfall">
            <caption class="visually-hidden">{label}</caption>
            <thead>
                <tr>
                    <th scope="col">"Step"</th>
                    <th scope="col" class="waterfall-axis">
                        <span class="visually-hidden">"When"</span>
                        <div aria-hidden="true">{marks}</div>
                    </th>
                    <th scope="col" class="end">"Took"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

#[component]
fn SpanRow(span: Span, end: f64) -> impl IntoView {
    let begin = format!("{:.2}%", span.begin_ms / end * 100.0);
    let width = format!("{:.2}%", (span.length_ms / end * 100.0).max(0.4));
    let from = format!("from {}", format::duration_ms(span.begin_ms.round() as i64));
    view! {
        <tr>
            <th scope="row">
                {span.name} {(!span.note.is_empty()).then(|| view! { <span class="waterfall-note">{span.note}</span> })}
            </th>
            <td class="waterfall-lane">
                <span class="visually-hidden">{from}</span>
                <span class=format!("waterfall-bar {}", span.tone.class()) aria-hidden="true" style:left=begin style:width=width></span>
            </td>
            <td class="end">{format::duration_ms(span.length_ms.round() as i64)}</td>
        </tr>
    }
}
