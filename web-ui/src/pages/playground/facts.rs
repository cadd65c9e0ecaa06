//! What is known of a call beside its result: who served it, what it cost, how long it took.

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::access::Access;
use crate::api::data_plane::{CallFacts, CallUsage, Gateway};
use crate::components::{Detail, Details};
use crate::format;

/// The cost of a call, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cost {
    /// Its record is about to be written.
    Waiting,
    Known(Box<CallUsage>),
    /// There is no record, or it cannot be read.
    Unknown,
}

/// Asks for the cost of a call that is over.
pub(super) fn ask_cost(gateway: Gateway, request_id: Option<String>, access: Access) -> ArcRwSignal<Cost> {
    let cost = ArcRwSignal::new(Cost::Waiting);
    let told = cost.clone();
    spawn_local(async move {
        let found = match request_id {
            Some(id) => gateway
                .settled_usage(&id, move || access.is_there())
                .await
                .ok()
                .and_then(|records| records.into_iter().next_back()),
            None => None,
        };
        told.set(found.map_or(Cost::Unknown, |usage| Cost::Known(Box::new(usage))));
        access.called();
    });
    cost
}

/// The facts as pairs of label and value.
#[component]
pub(super) fn CallDetails(
    facts: CallFacts,
    cost: ArcRwSignal<Cost>,
    /// When the first sound was heard, in milliseconds after the press.
    #[prop(optional, into)]
    heard_ms: Option<f64>,
) -> impl IntoView {
    let provider = facts.provider.clone().unwrap_or_default();
    let header = facts.cost_usd.clone();
    let cost_text = {
        let cost = cost.clone();
        move || match cost.get() {
            Cost::Known(usage) => usage.cost_usd.as_deref().map_or_else(|| "unpriced".to_owned(), format::usd_text),
            Cost::Waiting => header.as_deref().map_or_else(|| "…".to_owned(), format::usd_text),
            Cost::Unknown => header.as_deref().map_or_else(|| "not known".to_owned(), format::usd_text),
        }
    };
    let served = move || match cost.get() {
        Cost::Known(usage) => format!("{} · {}", usage.provider, usage.model_served),
        Cost::Waiting | Cost::Unknown => provider.clone(),
    };
    let attempts = facts.attempts.filter(|attempts| *attempts > 1);
    view! {
        <Details>
            <Detail label="Served by">{served}</Detail>
            <Detail label="Cost">{cost_text}</Detail>
            {facts.first_byte_ms.map(|ms| view! { <Detail label="First byte">{ms_text(ms)}</Detail> })}
            {heard_ms.map(|ms| view! { <Detail label="First sound">{ms_text(ms)}</Detail> })}
            <Detail label="Total">{ms_text(facts.total_ms)}</Detail>
            {attempts.map(|attempts| view! { <Detail label="Attempts">{format::count(i128::from(attempts))}</Detail> })}
            {facts.request_id.map(|id| view! { <Detail label="Request"><code class="break">{id}</code></Detail> })}
        </Details>
    }
}

/// Milliseconds for people.
pub(super) fn ms_text(ms: f64) -> String {
    format::duration_ms(ms.round() as i64)
}
