//! One key: its limits, what is left of its budget, its usage over time, and its last calls.

use admin_types::keys::{KeyState, KeyUsage, VirtualKey};
use admin_types::usage::{ListUsage, UsageRecord};
use leptos::prelude::*;
use uuid::Uuid;

use super::change::{Edit, Revoke, Rotate};
use super::numbers::budget_meter;
use super::words::{operation_name, state_view, window_words};
use crate::api::{Versioned, keys, usage, use_client};
use crate::clock;
use crate::components::{
    Button, Card, Column, CopyField, DataTable, Detail, Details, Dialog, Empty, IconName, LinkButton, LoadedLive, Menu,
    MenuItem, Notice, PageHead, Split, Stack, Status, Tone,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::found::put;
use crate::pages::over_time::{OverTime, Whose};
use crate::pages::pair::pair;
use crate::pages::tenants::use_tenant_names;
use crate::pages::way::Way;
use crate::route::Page;
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(in crate::pages) fn Key(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { keys::get_key(&client, id).await });
    let name = Signal::derive(move || match found.get() {
        Some(Ok(key)) => key.name.clone(),
        _ => "Key".to_owned(),
    });
    let spent = LocalResource::new(move || async move { keys::get_key_usage(&client, id).await });
    let on_changed = Callback::new(move |now| {
        put(found, now);
        spent.refetch();
    });
    let on_stale = Callback::new(move |()| {
        found.refetch();
        spent.refetch();
    });
    let key_now = Memo::new(move |_| found.get().and_then(Result::ok));
    view! {
        <PageHead title=name back=("/keys".to_owned(), "Keys".to_owned())>
            <Actions key=key_now on_changed on_stale />
        </PageHead>
        <LoadedLive
            resource=found
            rows=8
            children=move |key| view! {
                <Stack>
                    <Split>
                        <Stack>
                            <Budget key spent />
                            <OverTime whose=Whose::Key(id) />
                        </Stack>
                        <Limits key />
                    </Split>
                    <Recent id />
                </Stack>
            }
        />
    }
}

/// What may be done with it; nothing where one may do nothing.
#[component]
fn Actions(
    key: Memo<Option<Versioned<VirtualKey>>>,
    on_changed: Callback<Versioned<VirtualKey>>,
    on_stale: Callback<()>,
) -> impl IntoView {
    let session = use_session();
    let [editing, rotating, revoking, removing] = [(); 4].map(|()| RwSignal::new(false));
    // The buttons are not made anew by what else changes: somebody may have the menu open.
    let may = Memo::new(move |_| {
        key.with(|key| {
            let key = key.as_ref()?;
            let theirs = session.can_change(Permission::ManageKeys, Some(key.tenant_id)) && key.managed_by != "file";
            theirs.then_some(key.state)
        })
    });
    let buttons = move || {
        let state = may.get()?;
        let lives = state != KeyState::Revoked;
        Some(view! {
            {lives.then(|| view! {
                <Button icon=IconName::Edit on_press=move || editing.set(true)>"Edit"</Button>
                <Button icon=IconName::Refresh on_press=move || rotating.set(true)>"Rotate"</Button>
            })}
            <Menu label="More actions">
                {lives.then(|| view! {
                    <MenuItem icon=IconName::Stop danger=true on_press=move || revoking.set(true)>"Revoke"</MenuItem>
                })}
                <MenuItem icon=IconName::Trash danger=true on_press=move || removing.set(true)>"Remove"</MenuItem>
            </Menu>
        })
    };
    let edit = move || key.get_untracked().map(|key| view! { <Edit key open=editing on_changed /> });
    view! {
        {buttons}
        <Dialog open=editing title="Edit key" wide=true>{edit}</Dialog>
        <Dialog open=rotating title="Rotate secret" wide=true><Rotate key open=rotating on_changed on_stale /></Dialog>
        <Dialog open=revoking title="Revoke key"><Revoke key open=revoking on_changed on_stale /></Dialog>
        <Remove key open=removing on_stale />
    }
}

#[component]
fn Remove(key: Memo<Option<Versioned<VirtualKey>>>, open: RwSignal<bool>, on_stale: Callback<()>) -> impl IntoView {
    let (client, way) = (use_client(), Way::new());
    let remove = move || {
        let key = key.get_untracked()?;
        Some(async move { keys::delete_key(&client, key.id, key.version.as_deref()).await })
    };
    view! {
        <AskFirst
            open
            title="Remove this key?"
            text="It is revoked for good and no longer listed. What it has used stays in the records."
            action="Remove key"
            danger=true
            call=remove
            done="Key removed"
            on_done=move || way.to(&Page::Keys)
            on_stale
        />
    }
}

#[component]
fn Budget(
    key: Signal<Versioned<VirtualKey>>,
    spent: LocalResource<Result<KeyUsage, crate::api::Failure>>,
) -> impl IntoView {
    let notices = move || {
        let key = key.get();
        let declared = (key.managed_by == "file").then(|| {
            view! { <Notice title="Declared in the configuration file">"It is changed there alone."</Notice> }
        });
        let revoked = key.revoked_reason.clone().filter(|_| key.state == KeyState::Revoked).map(|reason| {
            view! { <Notice tone=Tone::Bad title="Revoked">{reason}</Notice> }
        });
        let previous = key.previous.clone().map(|previous| {
            let until = format::until(previous.expires_at, clock::now());
            view! {
                <Notice title="The secret before still works">{format!("{} ends {until}.", previous.redacted)}</Notice>
            }
        });
        view! { {declared} {revoked} {previous} }
    };
    view! {
        {notices}
        <Card title="Budget">
            <LoadedLive resource=spent rows=2 children=move |usage| move || view! { <Spent usage=usage.get() /> } />
        </Card>
    }
}

#[component]
fn Spent(usage: KeyUsage) -> impl IntoView {
    let now = clock::now();
    let left = usage.remaining_usd.as_deref().map(|left| pair("Left", format::usd_text(left)));
    let begins = usage
        .window_end
        .map(|end| pair("Begins anew", format!("{} ({})", format::until(end, now), format::date_time(end))));
    let unpriced = (usage.unpriced_records > 0)
        .then(|| pair("Without a price", format!("{} calls, not in the sum", format::count(usage.unpriced_records))));
    let limit = usage.budget.as_ref().map_or_else(
        || "No limit".to_owned(),
        |budget| format!("{} {}", format::usd_text(&budget.usd), window_words(budget.window)),
    );
    view! {
        {budget_meter(&usage)}
        <Details>
            {pair("Budget", limit)}
            {pair("Spent", format::usd_text(&usage.spent_usd))}
            {left}
            {begins}
            {pair("Calls", format::count(usage.records))}
            {unpriced}
        </Details>
    }
}

#[component]
fn Limits(key: Signal<Versioned<VirtualKey>>) -> impl IntoView {
    let session = use_session();
    let names = use_tenant_names();
    let content = move || {
        let key = key.get();
        let or_none = |limit: Option<u32>| limit.map_or_else(|| "No limit".to_owned(), format::count);
        let operations =
            key.operations.iter().map(|operation| operation_name(*operation)).collect::<Vec<_>>().join(", ");
        let models = key.models.iter().map(|model| view! { <code>{model.clone()}</code> " " }).collect_view();
        let (id, tenant_id) = (key.id.to_string(), key.tenant_id);
        let tenant = session.sees_all_tenants().then(|| {
            view! { <Detail label="Tenant"><a href=Page::Tenant(tenant_id).path()>{move || names.of(tenant_id)}</a></Detail> }
        });
        let rotated = key.rotated_at.map(|at| pair("Rotated", format::date_time(at)));
        view! {
            <Details>
                {pair("State", state_view(key.state))}
                {pair("Key", view! { <code>{key.redacted.clone()}</code> })}
                {tenant}
                {pair("Operations", if operations.is_empty() { "All".to_owned() } else { operations })}
                {pair("Models", if key.models.is_empty() { "All".into_any() } else { models.into_any() })}
                {pair("Requests a minute", or_none(key.requests_per_minute))}
                {pair("Sessions at once", or_none(key.max_concurrent_sessions))}
                {pair("Largest upload", key.max_upload_bytes.map_or_else(|| "The gateway's limit".to_owned(), format::bytes))}
                {pair("Without a price", if key.refuse_unpriced { "Refused" } else { "Served" })}
                {pair("Strategy", if key.allow_strategy { "As calls say" } else { "As models say" })}
                {pair("Unknown paths", if key.passthrough { "Forwarded" } else { "Refused" })}
                {pair("Expires", key.expires_at.map_or_else(|| "Never".to_owned(), format::date_time))}
                {rotated}
                {pair("Created", format::date_time(key.created_at))}
            </Details>
            <CopyField label="Id" value=id />
        }
    };
    view! { <Card title="Limits">{content}</Card> }
}

#[component]
fn Recent(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move {
        let query = ListUsage { key_id: Some(id), limit: Some(10), ..ListUsage::default() };
        usage::list_usage(&client, &query).await.map(|page| page.data)
    });
    let all = move || view! { <LinkButton href=format!("/usage?view=records&key={id}")>"All records"</LinkButton> };
    view! {
        <Card title="Recent calls" actions=all flush=true>
            <LoadedLive resource=found children=move |rows| view! { <Records rows /> } />
        </Card>
    }
}

#[component]
fn Records(rows: Signal<Vec<UsageRecord>>) -> impl IntoView {
    let now = clock::now();
    let when = Column::new("When", move |row: &UsageRecord| {
        view! { <span title=format::date_time_exact(row.started_at)>{format::ago(row.started_at, now)}</span> }
    });
    let columns = vec![
        when.link(|row| Page::UsageRecord(row.id).path().into_owned()),
        Column::new("Operation", |row: &UsageRecord| row.operation.clone()),
        Column::new("Model", |row: &UsageRecord| row.model_asked.clone()),
        Column::new("Served by", |row: &UsageRecord| format!("{} · {}", row.provider, row.model_served)).spare(),
        Column::new("Status", |row: &UsageRecord| {
            let tone = if row.status == "ok" { Tone::Good } else { Tone::Warn };
            let words = row.status.replace('_', " ");
            view! { <Status tone>{words}</Status> }
        }),
        Column::new("Took", |row: &UsageRecord| format::duration_ms(row.latency_ms)).end().spare(),
        Column::new("Cost", |row: &UsageRecord| format::cost(row.cost_nano_usd)).end(),
    ];
    view! {
        <DataTable label="Recent calls" columns rows key=|row: &UsageRecord| row.id.to_string()>
            <Empty title="Not used yet" text="Calls with this key are listed here a moment after they end." icon=IconName::Usage />
        </DataTable>
    }
}
