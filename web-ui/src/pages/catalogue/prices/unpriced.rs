//! Models that were used without a price, and the way to price that use.

use admin_types::prices::{ListUnpriced, UnpricedUse};
use leptos::prelude::*;

use super::Editing;
use super::form::Task;
use super::reprice::RepriceDialog;
use crate::api::{prices, use_client};
use crate::clock;
use crate::components::{Button, Column, Empty, IconName, Notice, Stack, Toolbar};
use crate::format;
use crate::pages::catalogue::words::{Owners, operation_name};
use crate::pages::paged::{Paged, PagedTable};
use crate::session::{Permission, use_session};

#[component]
pub(super) fn Unpriced(editing: Editing, owners: Owners) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let list = Paged::new(move |cursor| {
        editing.changes.track();
        let query = ListUnpriced { tenant_id: session.tenant(), limit: Some(100), cursor, ..ListUnpriced::default() };
        async move { prices::list_unpriced(&client, &query).await }
    });
    let open = RwSignal::new(false);
    let may = move || session.can(Permission::ManagePrices);
    view! {
        <Stack>
            {move || {
                may()
                    .then(|| {
                        view! {
                            <Toolbar>
                                <Button icon=IconName::Refresh on_press=move || open.set(true)>"Price it again"</Button>
                                <span class="muted">"Once a price is there, what was used before gets its cost."</span>
                            </Toolbar>
                        }
                    })
            }} <Table list editing owners />
        </Stack>
        <RepriceDialog open editing />
    }
}

#[component]
fn Table(list: Paged<UnpricedUse>, editing: Editing, owners: Owners) -> impl IntoView {
    let session = use_session();
    let now = clock::now();
    let columns = move || {
        vec![
            Column::new(
                "Model",
                |row: &UnpricedUse| view! { <code>{format!("{}/{}", row.provider, row.model)}</code> },
            )
            .sorted("model", |row: &UnpricedUse| row.model.clone()),
            Column::new("Operation", |row: &UnpricedUse| operation_name(&row.operation)),
            Column::new("Records", |row: &UnpricedUse| format::count(row.records))
                .end()
                .sorted("records", |row: &UnpricedUse| row.records),
            Column::new("Used", |row: &UnpricedUse| used(row)),
            Column::new("Last used", move |row: &UnpricedUse| format::ago(row.last_used_at, now)).spare(),
            Column::new("Whose", move |row: &UnpricedUse| {
                let owner = Some(row.tenant_id);
                move || owners.name(owner)
            })
            .spare(),
            Column::actions(move |row: &UnpricedUse| {
                let row = StoredValue::new(row.clone());
                let may = move || session.can(Permission::ManagePrices);
                let add = move || {
                    if let Some(task) = row.with_value(task_of) {
                        editing.begin(task);
                    }
                };
                move || {
                    (may() && row.with_value(|row| row.provider_kind.is_some()))
                        .then(|| view! { <Button on_press=add>"Add price"</Button> })
                }
            }),
        ]
    };
    let key = |row: &UnpricedUse| format!("{}/{}/{}/{}", row.tenant_id, row.provider, row.model, row.operation);
    view! {
        <PagedTable
            list
            label="Use without a price"
            columns
            key
            order="-records"
        >
            <Empty title="Everything has a price" text="All that was used so far has its cost." icon=IconName::Check />
        </PagedTable>
        {move || {
            let gone = list.rows.with(|rows| rows.iter().any(|row| row.provider_kind.is_none()));
            gone.then(|| view! { <Notice>"Use of providers that are not configured any more cannot be priced."</Notice> })
        }}
    }
}

/// A price for it; none where its kind is not known any more.
fn task_of(row: &UnpricedUse) -> Option<Task> {
    let kind = row.provider_kind.clone()?;
    Some(Task::For { kind, model: row.model.clone(), operation: row.operation.clone(), since: row.first_used_at })
}

/// How much of what was used.
fn used(row: &UnpricedUse) -> String {
    let counts = [
        (row.characters, "characters"),
        (row.text_tokens_in, "text tokens in"),
        (row.text_tokens_out, "text tokens out"),
        (row.audio_tokens_in, "audio tokens in"),
        (row.audio_tokens_out, "audio tokens out"),
        (row.cached_tokens, "cached tokens"),
    ];
    let times = [(row.audio_in_ms, "of audio in"), (row.audio_out_ms, "of audio out")];
    let times = times.iter().filter(|(ms, _)| *ms > 0).map(|(ms, word)| format!("{} {word}", format::audio_ms(*ms)));
    let counts =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{} {word}", format::count(*count)));
    times.chain(counts).collect::<Vec<_>>().join(", ")
}
