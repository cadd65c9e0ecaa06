//! Sums over the time: a chart, and a table of the groups behind it.

use admin_types::usage::{UsageBucket, UsageSum};
use leptos::prelude::*;

use super::filters::Filters;
use super::measure::{Measure, as_date, bucket_of, course, group_name};
use crate::api::{usage, use_client};
use crate::chart::{ChartKind, TimeChart};
use crate::clock;
use crate::components::{
    Button, Card, Choice, Column, DataTable, Empty, FilterSelect, Grid, IconName, LoadedLive, Notice, SearchBox,
    Segments, Stat, Toolbar,
};
use crate::format;
use crate::route::{query_text, query_text_or};

/// What sums are told apart by.
const GROUPS: [(&str, &str); 8] = [
    ("provider", "Provider"),
    ("model", "Model served"),
    ("model_asked", "Model asked for"),
    ("operation", "Operation"),
    ("key", "Key"),
    ("tenant", "Tenant"),
    ("user", "User"),
    ("tag", "Tag"),
];

/// How the sums are shown, by texts in the address.
#[derive(Debug, Clone, Copy)]
struct Shown {
    measure: RwSignal<String>,
    by: RwSignal<String>,
    then: RwSignal<String>,
    tag_name: RwSignal<String>,
    bucket: RwSignal<String>,
}

impl Shown {
    fn measure(self) -> Measure {
        Measure::named(&self.measure.get())
    }

    /// As the API names groups. Reactive.
    fn group_by(self) -> String {
        let tag = self.tag_name.get();
        let one = |name: String| match name.as_str() {
            "tag" if tag.is_empty() => String::new(),
            "tag" => format!("tag:{tag}"),
            _ => name,
        };
        let (by, then) = (one(self.by.get()), one(self.then.get()));
        match (by.is_empty(), then.is_empty() || then == by) {
            (true, _) => then,
            (false, true) => by,
            (false, false) => format!("{by},{then}"),
        }
    }

    fn has_tag(self) -> bool {
        [self.by, self.then].iter().any(|by| by.with(|by| by == "tag"))
    }
}

#[component]
pub(super) fn Summary(filters: Filters, view: RwSignal<String>) -> impl IntoView {
    let client = use_client();
    let shown = Shown {
        measure: query_text_or("measure", "spend"),
        by: query_text("by"),
        then: query_text("then"),
        tag_name: query_text("tag_name"),
        bucket: query_text("bucket"),
    };
    let bucket = Memo::new(move |_| match shown.bucket.get().as_str() {
        "hour" => UsageBucket::Hour,
        "day" => UsageBucket::Day,
        "month" => UsageBucket::Month,
        _ => bucket_of(filters.range(), clock::now()),
    });
    let by_time = LocalResource::new(move || {
        let query = filters.sums(&shown.group_by(), bucket.get(), true);
        async move { usage::aggregate_usage(&client, &query).await }
    });
    let by_group = LocalResource::new(move || {
        let query = filters.sums(&shown.group_by(), UsageBucket::None, true);
        async move { usage::aggregate_usage(&client, &query).await }
    });
    let kind = move || match (shown.measure().adds_up(), shown.group_by().is_empty()) {
        (true, false) => ChartKind::Bars,
        (true, true) => ChartKind::Area,
        (false, _) => ChartKind::Line,
    };
    view! {
        <Show when=move || filters.is_beyond_sums()>
            <Notice>
                "Sums do not know how calls ended or whether their cost is known: these filters narrow the records and exports alone."
            </Notice>
        </Show>
        <LoadedLive
            resource=by_group
            rows=3
            children=move |sums| {
                let total = Signal::derive(move || sums.get().total);
                view! { <Totals total /> }
            }
        />
        <Card>
            <div class="usage-chart">
                <Controls shown />
                <LoadedLive
                    resource=by_time
                    rows=8
                    children=move |sums| {
                        view! {
                            {move || {
                                let measure = shown.measure();
                                let course = Signal::derive(move || course(&sums.get(), bucket.get(), measure));
                                view! {
                                    <TimeChart label=measure.title() course kind=kind() unit=measure.unit() height=280.0 />
                                }
                            }}
                        }
                    }
                />
            </div>
        </Card>
        {move || {
            if shown.group_by().is_empty() {
                let by_day = bucket.get() != UsageBucket::Hour;
                view! {
                    <LoadedLive
                        resource=by_time
                        children=move |sums| {
                            let rows = Signal::derive(move || sums.get().data.into_iter().rev().collect::<Vec<_>>());
                            view! { <Sums rows title="Time" by_day view /> }
                        }
                    />
                }
                    .into_any()
            } else {
                view! {
                    <LoadedLive
                        resource=by_group
                        children=move |sums| {
                            let rows = Signal::derive(move || {
                                let sums = sums.get();
                                sums.data.into_iter().chain(sums.other).collect::<Vec<_>>()
                            });
                            view! { <Sums rows title="Group" by_day=false view /> }
                        }
                    />
                }
                    .into_any()
            }
        }}
    }
}

#[component]
fn Controls(shown: Shown) -> impl IntoView {
    let buckets = Choice::list(&[("hour", "Hour"), ("day", "Day"), ("month", "Month")]);
    let then = Signal::derive(move || {
        let by = shown.by.get();
        Choice::list(&GROUPS).into_iter().filter(|choice| choice.value != by).collect::<Vec<_>>()
    });
    view! {
        <div class="usage-measure">
            <Segments label="Measure" quiet=true value=shown.measure options=Measure::choices() />
        </div>
        <Toolbar>
            <FilterSelect label="Group by" all="Nothing" value=shown.by options=Choice::list(&GROUPS) />
            <Show when=move || shown.by.with(|by| !by.is_empty())>
                <FilterSelect label="Then by" all="Nothing" value=shown.then options=then />
            </Show>
            <Show when=move || shown.has_tag()>
                <SearchBox label="Name of the tag" value=shown.tag_name />
            </Show>
            <FilterSelect label="By" all="Fitting step" value=shown.bucket options=buckets />
        </Toolbar>
    }
}

#[component]
fn Totals(total: Signal<UsageSum>) -> impl IntoView {
    let text = move |measure: Measure| Signal::derive(move || measure.text(&total.get()));
    let unpriced = move || match total.with(|total| total.unpriced) {
        0 => String::new(),
        count => format!("and {} without a price", format::count(count)),
    };
    let share = move || {
        let (errors, requests) = total.with(|total| (total.errors, total.requests));
        if requests == 0 {
            String::new()
        } else {
            format!("{} of all", format::percent(errors as f64 / requests as f64))
        }
    };
    let latency = Signal::derive(move || Measure::Latency.text(&total.get()));
    view! {
        <Grid small=true>
            <Stat label="Spend" value=text(Measure::Spend) note=Signal::derive(unpriced) />
            <Stat label="Requests" value=text(Measure::Requests) />
            <Stat label="Errors" value=text(Measure::Errors) note=Signal::derive(share) />
            <Stat label="Audio" value=text(Measure::Audio) />
            <Stat
                label="First byte, p95"
                value=text(Measure::Ttfb)
                note=Signal::derive(move || format!("whole call {}", latency.get()))
            />
        </Grid>
    }
}

#[component]
fn Sums(rows: Signal<Vec<UsageSum>>, title: &'static str, by_day: bool, view: RwSignal<String>) -> impl IntoView {
    let name = move |row: &UsageSum| match row.bucket_start {
        Some(at) if by_day => format::date(as_date(at)),
        Some(at) => format::date_time(at),
        None if row.group.is_empty() => "Others".to_owned(),
        None => group_name(row),
    };
    let number = |measure: Measure| {
        Column::new(measure.title(), move |row: &UsageSum| measure.text(row))
            .end()
            .sorted_by(measure.name(), move |a, b| {
                measure.value(a).unwrap_or(-1.0).total_cmp(&measure.value(b).unwrap_or(-1.0))
            })
    };
    let columns = vec![
        Column::new(title, name).sorted("name", move |row: &UsageSum| (row.bucket_start, name(row).to_lowercase())),
        number(Measure::Spend),
        number(Measure::Requests),
        number(Measure::Errors),
        number(Measure::Audio).spare(),
        number(Measure::Characters).spare(),
        number(Measure::Tokens).spare(),
        number(Measure::Ttfb).spare(),
        number(Measure::Latency).spare(),
    ];
    let key = |row: &UsageSum| {
        let groups: Vec<&str> = row.group.iter().map(|group| group.value.as_str()).collect();
        format!("{:?} {}", row.bucket_start, groups.join("\n"))
    };
    view! {
        <DataTable label="Sums" columns rows key>
            <Empty title="No usage in this time" text="Choose a longer time, or fewer filters." icon=IconName::Usage>
                <Button on_press=move || view.set("records".to_owned())>"Look at records"</Button>
            </Empty>
        </DataTable>
    }
}
