//! Usage over time of a key or a tenant: numbers, and a chart of one of them.

use admin_types::usage::{AggregateUsage, UsageAggregates, UsageBucket, UsageSum};
use leptos::prelude::*;
use rust_decimal::prelude::ToPrimitive;
use time::{Duration, OffsetDateTime, Time};
use uuid::Uuid;

use crate::api::{usage, use_client};
use crate::chart::{ChartKind, Course, Series, TimeChart, Unit};
use crate::clock;
use crate::components::{Card, Choice, Grid, LoadedLive, Range, RangePicker, Segments, Stack, Stat, Toolbar};
use crate::format;
use crate::route::query_text_or;

/// Whose usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Key(Uuid),
    Tenant(Uuid),
}

/// Numbers and a chart.
#[component]
pub(super) fn OverTime(whose: Whose) -> impl IntoView {
    let client = use_client();
    let range = query_text_or("range", "7d");
    let measure = query_text_or("measure", "cost");
    let found = LocalResource::new(move || {
        let query = asked(whose, Range::parse(&range.get()));
        async move { usage::aggregate_usage(&client, &query).await }
    });
    let measures =
        Choice::list(&[("cost", "Spend"), ("requests", "Requests"), ("errors", "Errors"), ("sessions", "Sessions")]);
    view! {
        <Card title="Usage over time">
            <Toolbar>
                <Segments label="Measure" quiet=true value=measure options=measures />
                <RangePicker value=range />
            </Toolbar>
            <LoadedLive resource=found rows=6 children=move |sums| view! { <Numbers sums measure /> } />
        </Card>
    }
}

#[component]
fn Numbers(sums: Signal<UsageAggregates>, measure: RwSignal<String>) -> impl IntoView {
    let total = move |read: fn(&UsageSum) -> String| Signal::derive(move || sums.with(|sums| read(&sums.total)));
    let unpriced = Signal::derive(move || {
        let count = sums.with(|sums| sums.total.unpriced);
        if count == 0 { String::new() } else { format!("and {} calls without a price", format::count(count)) }
    });
    let audio = Signal::derive(move || {
        sums.with(|sums| {
            let (heard, spoken) = (sums.total.audio_in_ms, sums.total.audio_out_ms);
            if heard + spoken == 0 {
                String::new()
            } else {
                format!("{} in, {} out", format::audio_ms(heard), format::audio_ms(spoken))
            }
        })
    });
    let course = Signal::derive(move || sums.with(|sums| measure.with(|measure| course(sums, measure))));
    let chart = move || {
        let (label, unit) = match measure.get().as_str() {
            "requests" => ("Requests", Unit::Count),
            "errors" => ("Errors", Unit::Count),
            "sessions" => ("Sessions", Unit::Count),
            _ => ("Spend", Unit::Usd),
        };
        view! { <TimeChart label course kind=ChartKind::Bars unit height=200.0 /> }
    };
    view! {
        <Stack>
            <Grid small=true>
                <Stat label="Spend" value=total(|sum| format::usd_text(&sum.cost_usd)) note=unpriced />
                <Stat label="Requests" value=total(|sum| format::count(sum.requests)) note=audio />
                <Stat label="Errors" value=total(|sum| format::count(sum.errors)) />
                <Stat label="Realtime sessions" value=total(|sum| format::count(sum.sessions)) />
            </Grid>
            {chart}
        </Stack>
    }
}

fn asked(whose: Whose, range: Range) -> AggregateUsage {
    let now = clock::now();
    let (from, to) = range.bounds(now);
    let (tenant_id, key_id) = match whose {
        Whose::Key(id) => (None, Some(id)),
        Whose::Tenant(id) => (Some(id), None),
    };
    AggregateUsage {
        bucket: Some(if range.by_hour(now) { UsageBucket::Hour } else { UsageBucket::Day }),
        tenant_id,
        key_id,
        ..usage::everything(from, to)
    }
}

/// One measure of each step; a step without usage is zero.
fn course(sums: &UsageAggregates, measure: &str) -> Course {
    let by_hour = sums.to - sums.from <= Duration::hours(73);
    let step = if by_hour { Duration::HOUR } else { Duration::DAY };
    let first = if by_hour {
        whole_hour(sums.from)
    } else {
        sums.from.to_offset(time::UtcOffset::UTC).replace_time(Time::MIDNIGHT)
    };
    let mut times = Vec::new();
    let mut at = first;
    while at < sums.to {
        times.push(at);
        at += step;
    }
    let value = |at: &OffsetDateTime| {
        let found = sums.data.iter().find(|sum| sum.bucket_start == Some(*at));
        Some(found.map_or(0.0, |sum| measured(sum, measure)))
    };
    let name = match measure {
        "requests" => "Requests",
        "errors" => "Errors",
        "sessions" => "Sessions",
        _ => "Spend",
    };
    let values = times.iter().map(value).collect();
    Course { times, series: vec![Series::new(name, values)] }
}

fn whole_hour(at: OffsetDateTime) -> OffsetDateTime {
    let seconds = at.unix_timestamp();
    OffsetDateTime::from_unix_timestamp(seconds - seconds.rem_euclid(3600)).unwrap_or(at)
}

fn measured(sum: &UsageSum, measure: &str) -> f64 {
    match measure {
        "requests" => sum.requests as f64,
        "errors" => sum.errors as f64,
        "sessions" => sum.sessions as f64,
        _ => sum.cost_usd.parse::<rust_decimal::Decimal>().ok().and_then(|usd| usd.to_f64()).unwrap_or_default(),
    }
}
