//! Who has how much of the spend, with links to what is behind it.

use admin_types::usage::{AggregateUsage, UsageBucket, UsageSum};
use leptos::prelude::*;

use super::question;
use crate::api::wire::escaped;
use crate::api::{usage, use_client};
use crate::chart::{Bar, BarList};
use crate::components::{Card, Choice, Grid, LoadedLive, Range, Segments};
use crate::pages::usage::measure::{Measure, group_name};
use crate::route::Page;
use crate::session::use_session;

/// Groups that are shown of each kind.
const MOST: u16 = 6;

#[component]
pub(super) fn Groups(time: Memo<Range>, range: RwSignal<String>) -> impl IntoView {
    let measure = RwSignal::new("spend".to_owned());
    let options = Choice::list(&[("spend", "Spend"), ("requests", "Requests")]);
    view! {
        <div class="overview-groups">
            <div class="overview-groups-head">
                <h2>"Who and what"</h2>
                <Segments label="Compared by" quiet=true value=measure options />
            </div>
            <Grid>
                <Group by="provider" title="By provider" time range measure />
                <Group by="model" title="By model" time range measure />
                <Group by="operation" title="By operation" time range measure />
                <Group by="key" title="By key" time range measure />
            </Grid>
        </div>
    }
}

#[component]
fn Group(
    by: &'static str,
    title: &'static str,
    time: Memo<Range>,
    range: RwSignal<String>,
    measure: RwSignal<String>,
) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let found = LocalResource::new(move || {
        let query = AggregateUsage {
            bucket: Some(UsageBucket::None),
            limit: Some(MOST),
            ..question(session, time.get(), Some(by))
        };
        async move { usage::aggregate_usage(&client, &query).await }
    });
    view! {
        <Card title>
            <div class="overview-group">
                <LoadedLive
                    resource=found
                    rows=6
                    children=move |sums| {
                        view! {
                            {move || {
                                let measure = Measure::named(&measure.get());
                                let bars = Signal::derive(move || {
                                    let sums = sums.get();
                                    let range = range.get();
                                    let bar = |sum: &UsageSum| bar(sum, by, &range, measure);
                                    let mut bars: Vec<Bar> = sums.data.iter().map(bar).collect();
                                    bars.sort_by(|a, b| b.value.total_cmp(&a.value));
                                    bars.extend(sums.other.iter().map(|sum| Bar::new("Others", measure.value(sum).unwrap_or(0.0))));
                                    bars
                                });
                                view! { <BarList label=title group=by measure=measure.title() bars unit=measure.unit() /> }
                            }}
                        }
                    }
                />
            </div>
        </Card>
    }
}

/// One group, and where its usage is looked at.
fn bar(sum: &UsageSum, by: &str, range: &str, measure: Measure) -> Bar {
    let bar = Bar::new(group_name(sum), measure.value(sum).unwrap_or(0.0));
    match sum.group.first().map(|group| group.value.as_str()) {
        None | Some("") => bar,
        Some(value) => bar.link(format!("{}?range={}&{by}={}", Page::Usage.path(), escaped(range), escaped(value))),
    }
}
