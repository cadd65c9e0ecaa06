//! Where the time of a record went, and where it stands in its session.

use admin_types::usage::{ListUsage, UsageRecord, UsageSort};
use leptos::prelude::*;
use time::OffsetDateTime;
use uuid::Uuid;

use super::words;
use crate::api::{usage, use_client};
use crate::chart::{Span, Waterfall};
use crate::components::{Card, Loaded, Tone};

/// Turns that are drawn.
const MOST_TURNS: u16 = 50;

#[component]
pub(super) fn Timings(record: UsageRecord) -> impl IntoView {
    let spans = spans(&record);
    view! {
        <Card title="Time">
            <Waterfall label="Where the time went" spans />
        </Card>
    }
}

/// The whole call, what came before its first byte, and what came after.
fn spans(record: &UsageRecord) -> Vec<Span> {
    let whole = record.latency_ms.max(0) as f64;
    let tone = if record.status == "ok" { Tone::Accent } else { words::status(&record.status).1 };
    let mut spans = vec![span("Whole call", 0.0, whole, tone, String::new())];
    let Some(first) = record.ttfb_ms.map(|ms| (ms.max(0) as f64).min(whole)) else { return spans };
    let failed = record.failed_attempts.iter();
    let failed: Vec<String> = failed
        .map(|attempt| format!("{}/{}: {}", attempt.provider, attempt.model, attempt.error.replace('_', " ")))
        .collect();
    let note = if failed.is_empty() { String::new() } else { format!("with failed attempts: {}", failed.join(", ")) };
    let before = if failed.is_empty() { Tone::Neutral } else { Tone::Warn };
    spans.push(span("Until the first byte", 0.0, first, before, note));
    spans.push(span("From the first byte to the end", first, whole - first, Tone::Good, String::new()));
    spans
}

fn span(name: impl Into<String>, begin_ms: f64, length_ms: f64, tone: Tone, note: String) -> Span {
    Span { name: name.into(), begin_ms, length_ms, tone, note }
}

/// The turns of the session that a record is of.
#[component]
pub(super) fn Turns(session: Uuid, own: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move {
        let query = ListUsage {
            session_id: Some(session),
            sort: Some(UsageSort::Time),
            limit: Some(MOST_TURNS),
            ..ListUsage::default()
        };
        usage::list_usage(&client, &query).await.map(|page| page.data)
    });
    let drawn = move |turns: Vec<UsageRecord>| {
        let begin = turns.iter().map(|turn| turn.started_at).min();
        let spans: Vec<Span> = turns.iter().map(|turn| turn_span(turn, begin, own)).collect();
        view! { <Waterfall label="Turns of the session" spans /> }
    };
    view! {
        <Card title="Turns of the session">
            <Loaded resource=found rows=3 children=drawn />
        </Card>
    }
}

fn turn_span(turn: &UsageRecord, begin: Option<OffsetDateTime>, own: Uuid) -> Span {
    let begin_ms = begin.map_or(0.0, |begin| (turn.started_at - begin).as_seconds_f64() * 1000.0);
    let tone = match turn.status.as_str() {
        "ok" if turn.id == own => Tone::Accent,
        "ok" => Tone::Neutral,
        status => words::status(status).1,
    };
    let note = if turn.id == own { "this record".to_owned() } else { String::new() };
    span(format!("Turn {}", turn.sequence), begin_ms, turn.latency_ms.max(0) as f64, tone, note)
}
