//! How providers are doing: what gateways know of them now, and how long their calls took of late.

use std::collections::BTreeMap;

use admin_types::health::{AskHealth, Breaker, TargetHealth};
use admin_types::providers::Provider;
use admin_types::usage::{AggregateUsage, UsageBucket, UsageSum};
use leptos::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::api::{health, usage, use_client};
use crate::clock;
use crate::components::{Badge, Card, Column, DataTable, Empty, Status, Tone};
use crate::format;
use crate::session::use_session;

/// What a provider did in the last 24 hours.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Day {
    pub(super) requests: i64,
    pub(super) errors: i64,
    /// Mean milliseconds to the first byte.
    pub(super) ttfb_ms: Option<i64>,
    /// The same by hour, for hours with calls.
    pub(super) course: Vec<f64>,
}

/// What is known of providers. What cannot be asked is not shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    targets: Memo<Vec<TargetHealth>>,
    days: Memo<BTreeMap<String, Day>>,
}

impl Watched {
    /// Of one provider, by its name, or of all.
    pub(super) fn new(provider: impl Fn() -> Option<String> + Copy + 'static) -> Self {
        let (client, session) = (use_client(), use_session());
        let targets = LocalResource::new(move || {
            let query = AskHealth { provider: provider(), breaker: None };
            async move { health::get_health(&client, &query).await.map(|health| health.targets).unwrap_or_default() }
        });
        let days = LocalResource::new(move || {
            let query = last_day(provider(), session.tenant());
            async move {
                let sums = usage::aggregate_usage(&client, &query).await;
                sums.map(|sums| days_of(&sums.data)).unwrap_or_default()
            }
        });
        Self {
            targets: Memo::new(move |_| targets.get().unwrap_or_default()),
            days: Memo::new(move |_| days.get().unwrap_or_default()),
        }
    }

    /// What gateways know of a provider's models. Reactive.
    pub(super) fn targets(self, provider: Uuid) -> Vec<TargetHealth> {
        self.targets.with(|all| all.iter().filter(|target| target.provider_id == provider).cloned().collect())
    }

    /// What a provider did. Reactive.
    pub(super) fn day(self, provider: &str) -> Option<Day> {
        self.days.with(|days| days.get(provider).cloned())
    }
}

fn last_day(provider: Option<String>, tenant_id: Option<Uuid>) -> AggregateUsage {
    // To the whole second: finer moments say nothing here.
    let now = clock::now().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    AggregateUsage {
        group_by: Some("provider".to_owned()),
        bucket: Some(UsageBucket::Hour),
        tenant_id,
        provider,
        limit: Some(100),
        percentiles: None,
        ..usage::everything(now - Duration::hours(24), now)
    }
}

fn days_of(sums: &[UsageSum]) -> BTreeMap<String, Day> {
    let mut days: BTreeMap<String, (Day, i64)> = BTreeMap::new();
    for sum in sums {
        let Some(provider) = sum.group.first() else { continue };
        let (day, whole) = days.entry(provider.value.clone()).or_default();
        day.requests += sum.requests;
        day.errors += sum.errors;
        if let Some(ttfb) = &sum.ttfb {
            day.course.push(ttfb.mean_ms as f64);
            *whole += ttfb.mean_ms * sum.requests;
            day.ttfb_ms = whole.checked_div(day.requests);
        }
    }
    days.into_iter().map(|(name, (day, _))| (name, day)).collect()
}

/// How a provider is, in a word.
pub(super) fn condition(provider: &Provider, targets: &[TargetHealth]) -> (Tone, String) {
    let count = |breaker| targets.iter().filter(|target| target.breaker == breaker).count();
    match (count(Breaker::Open), count(Breaker::HalfOpen)) {
        _ if !provider.enabled => (Tone::Neutral, "Disabled".to_owned()),
        _ if targets.is_empty() => (Tone::Neutral, "Not called lately".to_owned()),
        (0, 0) => (Tone::Good, "Healthy".to_owned()),
        (0, _) => (Tone::Warn, "Being tried again".to_owned()),
        (open, _) if open == targets.len() => (Tone::Bad, "Breaker open".to_owned()),
        (open, _) => (Tone::Warn, format!("Breaker open for {open} of {}", targets.len())),
    }
}

/// What each gateway knows of each of its models.
#[component]
pub(super) fn TargetsCard(provider: Uuid, watched: Watched) -> impl IntoView {
    let now = clock::now();
    let rows = Signal::derive(move || watched.targets(provider));
    let columns = vec![
        Column::new("Model", |row: &TargetHealth| row.model.clone())
            .sorted("model", |row: &TargetHealth| row.model.clone()),
        Column::new("Breaker", |row: &TargetHealth| {
            let (tone, word) = match row.breaker {
                Breaker::Closed => (Tone::Good, "Closed"),
                Breaker::HalfOpen => (Tone::Warn, "Half open"),
                Breaker::Open => (Tone::Bad, "Open"),
            };
            view! { <Status tone>{word}</Status> }
        }),
        Column::new("Failures in a row", |row: &TargetHealth| format::count(row.failures)).end(),
        Column::new("First byte", |row: &TargetHealth| {
            let times = row.ttfb_ms.iter().map(|(operation, ms)| format!("{operation} {}", format::duration_ms(*ms)));
            times.collect::<Vec<_>>().join(", ")
        }),
        Column::new("Gateway", |row: &TargetHealth| {
            let id = row.gateway_id.to_string();
            let short: String = id.chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect();
            view! { <code title=id>{short}</code> }
        })
        .spare(),
        Column::new("Seen", move |row: &TargetHealth| format::ago(row.updated_at, now)).spare(),
    ];
    let key = |row: &TargetHealth| format!("{}/{}", row.gateway_id, row.model);
    view! {
        <Card title="Health" text="What each gateway knows of each model of this provider." flush=true>
            <DataTable label="Health" columns rows key>
                <Empty title="Not called lately" text="A gateway tells how a model is doing once it has called it." />
            </DataTable>
        </Card>
    }
}

/// Enabled or not, for tables.
#[component]
pub(super) fn Enabled(enabled: bool) -> impl IntoView {
    let (tone, word) = if enabled { (Tone::Good, "Enabled") } else { (Tone::Neutral, "Disabled") };
    view! { <Badge tone dot=true>{word}</Badge> }
}
