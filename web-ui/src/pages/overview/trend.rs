//! Spend and requests over the time, by provider. Where nothing was ever called, what to do first.

use leptos::prelude::*;

use super::first_steps::FirstSteps;
use super::tiles::{latest, step};
use super::{Found, question};
use crate::api::{usage, use_client};
use crate::chart::{ChartKind, TimeChart};
use crate::components::{Card, Choice, Failed, Loading, Range, Segments};
use crate::pages::usage::measure::{Measure, course};
use crate::route::query_text_or;
use crate::session::use_session;

#[component]
pub(super) fn Trend(now: Found, time: Memo<Range>) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let measure = query_text_or("measure", "spend");
    let by_provider = LocalResource::new(move || {
        let query = question(session, time.get(), Some("provider"));
        async move { usage::aggregate_usage(&client, &query).await }
    });
    let sums = latest(now);
    let split = latest(by_provider);
    let is_quiet = Memo::new(move |_| sums.with(|sums| sums.as_ref().map(|sums| sums.total.requests == 0)));
    let failure = move || by_provider.with(|found| found.as_ref().and_then(|found| found.as_ref().err().cloned()));
    let options =
        Choice::list(&[("spend", "Spend"), ("requests", "Requests"), ("audio", "Audio"), ("errors", "Errors")]);
    let chart = move || {
        if let Some(failure) = failure() {
            return view! { <Failed failure on_retry=move || by_provider.refetch() /> }.into_any();
        }
        if split.with(Option::is_none) || is_quiet.get().is_none() {
            return view! { <Loading rows=8 /> }.into_any();
        }
        let measure = Measure::named(&measure.get());
        let shown =
            Signal::derive(move || split.get().map(|sums| course(&sums, step(&sums), measure)).unwrap_or_default());
        view! {
            <TimeChart
                label=format!("{} by provider", measure.title())
                course=shown
                kind=ChartKind::Bars
                unit=measure.unit()
                height=260.0
            />
        }
        .into_any()
    };
    let options = StoredValue::new(options);
    view! {
        <div class="overview-trend">
            <FirstSteps is_quiet>
                <Card
                    title="Over the time, by provider"
                    actions=move || {
                        view! { <Segments label="Measure" quiet=true value=measure options=options.get_value() /> }
                    }
                >
                    <div class="overview-chart">{chart}</div>
                </Card>
            </FirstSteps>
        </div>
    }
}
