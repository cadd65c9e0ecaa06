//! The numbers at the top.

use admin_types::usage::{UsageAggregates, UsageSum};
use leptos::prelude::*;

use super::Found;
use crate::components::{Change, Failed, Grid, Stat};
use crate::format;
use crate::pages::usage::measure::Measure;

#[component]
pub(super) fn Tiles(now: Found, before: Found) -> impl IntoView {
    let sums = latest(now);
    let past = latest(before);
    let failure = move || now.with(|found| found.as_ref().and_then(|found| found.as_ref().err().cloned()));
    let unpriced = Signal::derive(move || match total(sums, |total| total.unpriced).unwrap_or(0) {
        0 => String::new(),
        count => format!("and {} without a price", format::count(count)),
    });
    let sessions = Signal::derive(move || match total(sums, |total| total.sessions).unwrap_or(0) {
        0 => String::new(),
        1 => "in 1 session and single calls".to_owned(),
        count => format!("in {} sessions and single calls", format::count(count)),
    });
    let both_ways = Signal::derive(move || {
        let told = |total: &UsageSum| {
            format!("{} in, {} out", format::audio_ms(total.audio_in_ms), format::audio_ms(total.audio_out_ms))
        };
        total(sums, told).unwrap_or_default()
    });
    let share = Signal::derive(move || {
        let share =
            total(sums, |total| (total.requests > 0).then(|| total.errors as f64 / total.requests as f64)).flatten();
        share.map(|share| format!("{} of requests", format::percent(share))).unwrap_or_default()
    });
    let whole = Signal::derive(move || {
        total(sums, |total| format!("whole call {}", Measure::Latency.text(total))).unwrap_or_default()
    });
    view! {
        {move || failure().map(|failure| view! { <Failed failure on_retry=move || now.refetch() /> })}
        <Grid small=true>
            <Tile measure=Measure::Spend sums past note=unpriced />
            <Tile measure=Measure::Requests sums past note=sessions />
            <Tile measure=Measure::Audio sums past note=both_ways />
            <Tile measure=Measure::Errors sums past note=share />
            <Tile measure=Measure::Ttfb sums past note=whole />
        </Grid>
    }
}

type Latest = Memo<Option<UsageAggregates>>;

/// What came last: it stays while the next is on its way.
pub(super) fn latest(found: Found) -> Latest {
    Memo::new(move |before: Option<&Option<UsageAggregates>>| {
        let now = found.with(|found| found.as_ref().and_then(|found| found.as_ref().ok().cloned()));
        now.or_else(|| before.cloned().flatten())
    })
}

fn total<T>(sums: Latest, of: impl FnOnce(&UsageSum) -> T) -> Option<T> {
    sums.with(|sums| sums.as_ref().map(|sums| of(&sums.total)))
}

#[component]
fn Tile(measure: Measure, sums: Latest, past: Latest, note: Signal<String>) -> impl IntoView {
    let value = Signal::derive(move || total(sums, |total| measure.text(total)).unwrap_or_else(|| "…".to_owned()));
    let change = Signal::derive(move || {
        let now = total(sums, |total| measure.value(total)).flatten()?;
        let before = total(past, |total| measure.value(total)).flatten()?;
        match measure {
            Measure::Errors | Measure::Ttfb => Change::less_is_good(now, before),
            _ => Change::of(now, before),
        }
    });
    let course = Signal::derive(move || {
        let sums = sums.get();
        let rows = sums.map(|sums| crate::pages::usage::measure::course(&sums, step(&sums), measure));
        let series = rows.and_then(|course| course.series.into_iter().next());
        series.map(|series| series.values.into_iter().map(Option::unwrap_or_default).collect()).unwrap_or_default()
    });
    view! { <Stat label=measure.title() value change note course /> }
}

/// In which steps these sums are.
pub(super) fn step(sums: &UsageAggregates) -> admin_types::usage::UsageBucket {
    use admin_types::usage::UsageBucket;
    use time::Duration;
    match sums.to - sums.from {
        length if length <= Duration::hours(74) => UsageBucket::Hour,
        length if length <= Duration::days(201) => UsageBucket::Day,
        _ => UsageBucket::Month,
    }
}
