//! Whether the log is whole: each chain is walked from its first entry to its end.

use admin_types::audit::{AuditFault, AuditVerification};
use leptos::prelude::*;

use crate::api::{Failure, audit, submit_form, use_client};
use crate::components::{Button, Card, Column, DataTable, FormError, IconName, Notice, Tone};
use crate::format;

#[component]
pub(super) fn Verify() -> impl IntoView {
    let client = use_client();
    let busy = RwSignal::new(false);
    let found = RwSignal::new(None::<AuditVerification>);
    let failure = RwSignal::new(None::<Failure>);
    let verify = move || {
        failure.set(None);
        submit_form(busy, failure, async move { audit::verify_audit(&client).await }, move |told| {
            found.try_set(Some(told));
        });
    };
    let actions = move || view! { <Button icon=IconName::Shield busy on_press=verify>"Verify the log"</Button> };
    view! {
        <Card
            title="Integrity"
            text="Walks every chain that you may see, and tells whether an entry was altered, taken out or cut off."
            actions
        >
            <FormError failure />
            <div role="status">{move || found.get().map(|found| view! { <Found found /> })}</div>
        </Card>
    }
}

#[component]
fn Found(found: AuditVerification) -> impl IntoView {
    let entries =
        if found.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", format::count(found.entries)) };
    let chains =
        if found.chains == 1 { "1 chain".to_owned() } else { format!("{} chains", format::count(found.chains)) };
    if found.valid {
        return view! {
            <Notice tone=Tone::Good title="The log is whole">{format!("{entries} in {chains}, all as they were written.")}</Notice>
        }
        .into_any();
    }
    let columns = vec![
        Column::new("Chain", |row: &AuditFault| row.chain.clone()),
        Column::new("Place", |row: &AuditFault| format::count(row.sequence)).end(),
        Column::new("What is wrong", |row: &AuditFault| row.fault.as_sentence()),
    ];
    let faults = Signal::stored(found.faults);
    view! {
        <Notice tone=Tone::Bad title="The log was tampered with">{format!("{entries} in {chains} were walked.")}</Notice>
        <DataTable label="Bad entries" columns rows=faults key=|row: &AuditFault| format!("{}-{}", row.chain, row.sequence) />
    }
    .into_any()
}
