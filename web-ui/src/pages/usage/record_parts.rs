//! The parts of a record's page: what it cost and by which price, what it used, and who could have served it.

use admin_types::usage::{RoutedCandidate, UsageRecord};
use leptos::prelude::*;
use uuid::Uuid;

use super::words;
use crate::api::{prices, use_client};
use crate::components::{Badge, Card, Column, DataTable, Detail, Details, Loading, Notice, Tone};
use crate::format;
use crate::route::Page;

#[component]
pub(super) fn Cost(record: UsageRecord) -> impl IntoView {
    let cost = match record.cost_usd.as_deref().and_then(|usd| usd.parse().ok()) {
        Some(usd) => format::money_exact(usd),
        None => "Unknown".to_owned(),
    };
    let unknown = record.cost_usd.is_none().then(|| {
        view! {
            <Notice tone=Tone::Warn title="No price">
                <p>"What this call used has no price, so its cost is not known and counts in no sum."</p>
                <a href=Page::Prices.path()>"Look at prices"</a>
            </Notice>
        }
    });
    let surcharge = (record.surcharge_percent != 0).then(
        || view! { <Detail label="Surcharge">{format::percent(record.surcharge_percent as f64 / 100.0)}</Detail> },
    );
    view! {
        <Card title="Cost">
            <p class="record-cost">{cost}</p>
            {unknown}
            <Details>
                <Detail label="Quantities">{words::source(&record.usage_source)}</Detail>
                {surcharge}
            </Details>
            {record.price_id.map(|id| view! { <PriceRow id /> })}
        </Card>
    }
}

/// The price that decided most of the cost.
#[component]
fn PriceRow(id: Uuid) -> impl IntoView {
    let client = use_client();
    let price =
        LocalResource::new(move || async move { prices::get_price(&client, id).await.map(|price| price.value) });
    move || match price.get() {
        None => view! { <Loading rows=3 /> }.into_any(),
        Some(Err(failure)) if failure.is_not_found() => {
            view! { <p class="hint">"The price that was in force then has been removed since."</p> }.into_any()
        }
        Some(Err(failure)) => view! { <p class="hint">{failure.detail()}</p> }.into_any(),
        Some(Ok(price)) => {
            let usd = price.price_usd.parse().map_or_else(|_| price.price_usd.clone(), format::money_exact);
            view! {
                <Details>
                    <Detail label="Price">{format!("{usd} per {}", price.unit.replace('_', " "))}</Detail>
                    <Detail label="Of">{format!("{} {}", price.provider_kind, price.model)}</Detail>
                    <Detail label="Since">{format::date(price.effective_from)}</Detail>
                    <Detail label="Source">{price.source}</Detail>
                </Details>
            }
            .into_any()
        }
    }
}

#[component]
pub(super) fn Units(record: UsageRecord) -> impl IntoView {
    let count = |label: &'static str, value: i64| (value != 0).then(|| (label, format::count(value)));
    let audio = |label: &'static str, ms: i64| (ms != 0).then(|| (label, format::audio_ms(ms)));
    let units: Vec<(&'static str, String)> = [
        audio("Audio in", record.audio_in_ms),
        audio("Audio out", record.audio_out_ms),
        count("Characters", record.characters),
        count("Text tokens in", record.text_tokens_in),
        count("Text tokens out", record.text_tokens_out),
        count("Audio tokens in", record.audio_tokens_in),
        count("Audio tokens out", record.audio_tokens_out),
        count("Cached tokens", record.cached_tokens),
    ]
    .into_iter()
    .flatten()
    .collect();
    let none = units.is_empty().then(|| view! { <p class="hint">"Nothing that is billed."</p> });
    let rows = units.into_iter().map(|(label, value)| view! { <Detail label>{value}</Detail> }).collect_view();
    view! {
        <Card title="Used">
            {none}
            <Details>{rows}</Details>
        </Card>
    }
}

/// A candidate with what became of it.
#[derive(Debug, Clone, PartialEq)]
struct Fate {
    place: usize,
    candidate: RoutedCandidate,
    text: String,
    tone: Tone,
}

/// Who could have served it, in the order in which they were to be tried.
#[component]
pub(super) fn Decision(record: UsageRecord) -> impl IntoView {
    let strategy = record.routing.as_ref().map(|routing| routing.strategy.to_string());
    let text = match &strategy {
        Some(strategy) => format!("Ordered by {}", strategy.replace('_', " ").replace(',', ", then ")),
        None => "The model names one target, so there was nothing to choose.".to_owned(),
    };
    let rows = fates(&record);
    let columns = vec![
        Column::new("Order", |row: &Fate| row.place.to_string()).end().width(70),
        Column::new("Target", |row: &Fate| format!("{}/{}", row.candidate.provider, row.candidate.model)),
        Column::new("What became of it", |row: &Fate| {
            let (tone, text) = (row.tone, row.text.clone());
            view! { <Badge tone>{text}</Badge> }
        }),
        Column::new("First byte before", |row: &Fate| {
            row.candidate.ttfb_ms.map_or_else(|| "Not measured".to_owned(), format::duration_ms)
        })
        .end()
        .spare(),
        Column::new("Expected cost", |row: &Fate| {
            row.candidate.expected_cost_nano_usd.map_or_else(|| "–".to_owned(), format::nano)
        })
        .end()
        .spare(),
        Column::new("Remarks", |row: &Fate| remarks(&row.candidate)).spare(),
    ];
    view! {
        <Card title="Routing" text flush=true>
            <DataTable label="Candidates" columns rows key=|row: &Fate| row.place.to_string() />
        </Card>
    }
}

fn remarks(candidate: &RoutedCandidate) -> String {
    let words = [
        candidate.to_measure.then_some("went first to be measured"),
        candidate.ejected.then_some("kept though it had failed of late"),
    ];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    if words.is_empty() { "–".to_owned() } else { words.join(", ") }
}

/// Every target that was looked at. Where the route had no choice, those that were asked.
fn fates(record: &UsageRecord) -> Vec<Fate> {
    let plain = |provider: &str, model: &str| RoutedCandidate {
        provider: provider.to_owned(),
        model: model.to_owned(),
        dropped: None,
        ttfb_ms: None,
        expected_cost_nano_usd: None,
        to_measure: false,
        ejected: false,
    };
    let candidates = record.routing.as_ref().map(|routing| routing.candidates.clone()).unwrap_or_else(|| {
        let failed = record.failed_attempts.iter().map(|attempt| plain(&attempt.provider, &attempt.model));
        failed.chain([plain(&record.provider, &record.model_served)]).collect()
    });
    let is_served =
        |candidate: &RoutedCandidate| candidate.provider == record.provider && candidate.model == record.model_served;
    let served = candidates.iter().position(is_served).unwrap_or(0);
    let fate = |(place, candidate): (usize, RoutedCandidate)| {
        let (text, tone) = fate(record, &candidate, place < served);
        Fate { place: place + 1, candidate, text, tone }
    };
    candidates.into_iter().enumerate().map(fate).collect()
}

/// What became of one, and whether it stood before the one that served.
fn fate(record: &UsageRecord, candidate: &RoutedCandidate, before: bool) -> (String, Tone) {
    let is = |provider: &str, model: &str| candidate.provider == provider && candidate.model == model;
    if let Some(code) = &candidate.dropped {
        return (format!("Left out: {}", words::dropped(code)), Tone::Neutral);
    }
    if let Some(failed) = record.failed_attempts.iter().find(|attempt| is(&attempt.provider, &attempt.model)) {
        let text = match failed.error.as_str() {
            "hedge_lost" => "Slower than another asked beside it".to_owned(),
            error => format!("Failed: {}", error.replace('_', " ")),
        };
        return (text, Tone::Bad);
    }
    if is(&record.provider, &record.model_served) {
        return match record.status.as_str() {
            "ok" => ("Served".to_owned(), Tone::Good),
            status => (words::status(status).0, words::status(status).1),
        };
    }
    let text = if before { "Passed over" } else { "Not needed" };
    (text.to_owned(), Tone::Neutral)
}
