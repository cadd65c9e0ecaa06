//! The values of a chart as a table, for whoever wants them so.

use leptos::prelude::*;

use super::{Course, Unit};

/// Folded until it is asked for; it is made only then.
#[component]
pub(super) fn ChartTable(label: String, course: Signal<Course>, unit: Unit, whole_days: Signal<bool>) -> impl IntoView {
    let open = RwSignal::new(false);
    view! {
        <details class="chart-table" on:toggle:target=move |event| open.set(event.target().open())>
            <summary>"Show as table"</summary>
            {move || {
                open.get().then(|| view! { <Values label=label.clone() course=course.get() unit whole_days=whole_days.get() /> })
            }}
        </details>
    }
}

#[component]
fn Values(label: String, course: Course, unit: Unit, whole_days: bool) -> impl IntoView {
    let heads = course.series.iter().map(|series| view! { <th scope="col" class="end">{series.name.clone()}</th> });
    let heads = heads.collect_view();
    let row = |(place, time): (usize, &time::OffsetDateTime)| {
        let cell = |value: Option<f64>| view! { <td class="end">{value.map_or_else(|| "–".to_owned(), |value| unit.full(value))}</td> };
        let cells = course.series.iter().map(|series| cell(series.at(place))).collect_view();
        view! {
            <tr>
                <th scope="row">{super::time_chart::moment(*time, whole_days)}</th>
                {cells}
            </tr>
        }
    };
    let rows = course.times.iter().enumerate().map(row).collect_view();
    let region = label.clone();
    view! {
        <div class="table-scroll" tabindex="0" role="region" aria-label=region>
            <table class="table">
                <caption class="visually-hidden">{label}</caption>
                <thead>
                    <tr>
                        <th scope="col">"Time"</th>
                        {heads}
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}
