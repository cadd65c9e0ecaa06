//! Records, page by page.

use admin_types::usage::{UsageRecord, UsageSort};
use leptos::prelude::*;

use super::filters::Filters;
use super::words;
use crate::api::{usage, use_client};
use crate::components::{Choice, Column, Empty, FilterSelect, IconName, LinkButton, Notice, Status, Toolbar};
use crate::format;
use crate::pages::paged::{Paged, PagedTable};
use crate::route::{Page, meant, query_text};

#[component]
pub(super) fn Records(filters: Filters, keys: Signal<Vec<Choice>>) -> impl IntoView {
    let client = use_client();
    let sort = query_text("sort");
    let sorts = Signal::derive(move || {
        let mut sorts = Choice::list(&[("time", "Oldest first")]);
        if filters.is_short() {
            sorts.extend(Choice::list(&[("-cost", "Dearest first"), ("-latency", "Slowest first")]));
        }
        sorts
    });
    let records = Paged::new(move |cursor| {
        let wanted = sort.with(|sort| meant::<UsageSort>(sort));
        let by_size = matches!(wanted, Some(UsageSort::CostDescending | UsageSort::LatencyDescending));
        let query = admin_types::usage::ListUsage {
            sort: wanted.filter(|_| !by_size || filters.is_short()),
            cursor,
            ..filters.list()
        };
        async move { usage::list_usage(&client, &query).await }
    });
    let narrowing = move || {
        let session = filters.of_session.with(|id| (!id.is_empty()).then(|| format!("Only session {id}.")));
        let request = filters.request.with(|id| (!id.is_empty()).then(|| format!("Only request {id}.")));
        session.or(request)
    };
    view! {
        <Toolbar>
            <FilterSelect label="Order" all="Newest first" value=sort options=sorts />
        </Toolbar>
        {move || narrowing().map(|text| view! { <Notice>{text}</Notice> })}
        <PagedTable
            list=records
            label="Usage records"
            rows=8
            columns=move || columns(keys)
            key=|row: &UsageRecord| row.id.to_string()
        >
            <Empty
                title="No records"
                text="Nothing was called in this time, or nothing that fits the filters."
                icon=IconName::Usage
            >
                <LinkButton href=Page::Playground.path() icon=IconName::Playground>
                    "Make a call in the playground"
                </LinkButton>
            </Empty>
        </PagedTable>
    }
}

fn columns(keys: Signal<Vec<Choice>>) -> Vec<Column<UsageRecord>> {
    let key_name = move |row: &UsageRecord| {
        let id = row.key_id.to_string();
        keys.with(|keys| keys.iter().find(|key| key.value == id).map(|key| key.label.clone()))
            .unwrap_or_else(|| "–".to_owned())
    };
    vec![
        Column::new("Begun", |row: &UsageRecord| format::date_time(row.started_at))
            .link(|row: &UsageRecord| Page::UsageRecord(row.id).path().into_owned()),
        Column::new("Status", |row: &UsageRecord| {
            let (text, tone) = words::status(&row.status);
            view! { <Status tone>{text}</Status> }
        }),
        Column::new("Operation", |row: &UsageRecord| words::operation(&row.operation)),
        Column::new("Model", model),
        Column::new("Key", key_name).spare(),
        Column::new("Quantity", |row: &UsageRecord| quantity(row)).end().spare(),
        Column::new("Cost", |row: &UsageRecord| format::cost(row.cost_nano_usd)).end(),
        Column::new("Took", |row: &UsageRecord| format::duration_ms(row.latency_ms)).end().spare(),
    ]
}

/// What was asked for and who served it, in two lines where both do not fit into one.
fn model(row: &UsageRecord) -> impl IntoView + use<> {
    let served = format!("{}/{}", row.provider, row.model_served);
    let is_same = row.model_asked.is_empty() || row.model_asked == served;
    let asked = (!is_same).then(|| view! { <span>{row.model_asked.clone()} " → "</span> });
    view! { <div class="two-lines">{asked} <span>{served}</span></div> }
}

/// What was used, in the unit that says most.
fn quantity(row: &UsageRecord) -> String {
    let tokens = row.text_tokens_in + row.text_tokens_out + row.audio_tokens_in + row.audio_tokens_out;
    let audio = row.audio_in_ms + row.audio_out_ms;
    match (row.operation.as_str(), row.characters, audio, tokens) {
        ("speech", 1.., ..) => format!("{} characters", format::count(row.characters)),
        (_, _, 1.., _) => format::audio_ms(audio),
        (_, _, _, 1..) => format!("{} tokens", format::count(tokens)),
        (_, 1.., ..) => format!("{} characters", format::count(row.characters)),
        _ => "–".to_owned(),
    }
}
