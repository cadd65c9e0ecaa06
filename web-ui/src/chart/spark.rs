//! A course without axes, beside its number.

use leptos::prelude::*;

const WIDTH: f64 = 100.0;
const HEIGHT: f64 = 28.0;

/// Drawn as wide as there is room; only for those who see it, since the number beside it says what matters.
#[component]
pub(crate) fn Sparkline(#[prop(into)] values: Signal<Vec<f64>>) -> impl IntoView {
    let line = Memo::new(move |_| values.with(|values| path(values)));
    let area = move || {
        line.with(|line| if line.is_empty() { String::new() } else { format!("{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z") })
    };
    view! {
        <svg class="sparkline" viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true" focusable="false">
            <path class="sparkline-area" d=area></path>
            <path class="sparkline-line" d=move || line.get() vector-effect="non-scaling-stroke"></path>
        </svg>
    }
}

fn path(values: &[f64]) -> String {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let steps = values.len().saturating_sub(1).max(1) as f64;
    let point = |(place, value): (usize, &f64)| {
        let y = if highest > 0.0 { value / highest } else { 0.0 };
        let mark = if place == 0 { 'M' } else { 'L' };
        format!("{mark}{:.1} {:.1}", place as f64 / steps * WIDTH, HEIGHT - 1.5 - y * (HEIGHT - 3.0))
    };
    values.iter().enumerate().map(point).collect()
}
