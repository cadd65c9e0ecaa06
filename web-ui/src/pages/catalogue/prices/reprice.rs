//! Costs for what was used without a price: first what they would be, then for good.

use std::collections::BTreeMap;

use admin_types::prices::{LeftReason, LeftUnpriced, Reprice, Repriced};
use leptos::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::Editing;
use crate::api::{Client, Failure, prices, submit_form, use_client};
use crate::components::{
    Button, ButtonKind, Dialog, FormActions, FormError, Grid, Loading, Notice, Stat, Tone, use_toasts,
};
use crate::format;
use crate::session::use_session;

/// What all pages of an answer come to.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sum {
    examined: u64,
    repriced: u64,
    cost: Decimal,
    left: BTreeMap<(String, LeftReason), u64>,
}

impl Sum {
    fn add(&mut self, page: &Repriced) {
        self.examined += page.examined;
        self.repriced += page.repriced;
        self.cost += page.cost_usd.parse::<Decimal>().unwrap_or_default();
        for LeftUnpriced { provider, model, operation, reason, records, .. } in &page.left {
            *self.left.entry((format!("{provider}/{model} ({operation})"), *reason)).or_default() += records;
        }
    }
}

async fn reprice(client: &Client, tenant_id: Option<Uuid>, dry_run: bool) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    let mut cursor = None;
    loop {
        let asked = Reprice { dry_run, tenant_id, cursor, ..Reprice::default() };
        let page = prices::reprice(client, &asked).await?;
        sum.add(&page);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(sum);
        }
    }
}

#[component]
pub(super) fn RepriceDialog(open: RwSignal<bool>, editing: Editing) -> impl IntoView {
    view! {
        <Dialog open title="Price it again">
            <Ask open editing />
        </Dialog>
    }
}

#[component]
fn Ask(open: RwSignal<bool>, editing: Editing) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let tenant = session.tenant_untracked();
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let would = RwSignal::new(None::<Sum>);
    submit_form(busy, failure, async move { reprice(&client, tenant, true).await }, move |sum| {
        would.try_set(Some(sum));
    });
    let write = move || {
        submit_form(busy, failure, async move { reprice(&client, tenant, false).await }, move |sum| {
            toasts.done(format!("{} records priced", format::count(sum.repriced)));
            open.try_set(false);
            editing.changed();
        });
    };
    let nothing = Signal::derive(move || would.with(|sum| sum.as_ref().is_none_or(|sum| sum.repriced == 0)));
    let waits = move || would.with(Option::is_none) && failure.with(Option::is_none);
    view! {
        <FormError failure />
        <Show when=waits>
            <Loading />
        </Show>
        {move || would.get().map(|sum| view! { <Would sum /> })}
        <FormActions>
            <Button on_press=move || open.set(false)>"Cancel"</Button>
            <Button kind=ButtonKind::Primary busy disabled=nothing on_press=write>
                "Write these costs"
            </Button>
        </FormActions>
    }
}

#[component]
fn Would(sum: Sum) -> impl IntoView {
    let left = sum.left.into_iter().map(|((what, reason), records)| {
        view! { <li>{format!("{what}: {} of {}", reason_words(reason), records_words(records))}</li> }
    });
    let left: Vec<_> = left.collect();
    let some_left = !left.is_empty();
    view! {
        <Grid small=true>
            <Stat label="Records without a cost" value=Signal::stored(format::count(sum.examined)) />
            <Stat label="Would get one" value=Signal::stored(format::count(sum.repriced)) />
            <Stat label="Together" value=Signal::stored(format::money(sum.cost)) />
        </Grid>
        {some_left
            .then(|| {
                view! {
                    <Notice tone=Tone::Warn title="These stay without a cost">
                        <ul>{left}</ul>
                    </Notice>
                }
            })}
    }
}

fn records_words(records: u64) -> String {
    if records == 1 { "1 record".to_owned() } else { format!("{} records", format::count(records)) }
}

const fn reason_words(reason: LeftReason) -> &'static str {
    match reason {
        LeftReason::UnknownProvider => "the provider is not configured any more,",
        LeftReason::NoPrice => "no price was in force at the time",
        LeftReason::QuantityWithoutPrice => "a quantity has no price, or was not counted,",
        LeftReason::QuantitiesNotKept => "the record does not tell enough",
    }
}
