//! The audit log: who changed what, from what to what, and whether all of it is still there.

mod diff;
mod entry;
mod verify;
mod words;

use admin_types::audit::{AuditEntry, AuditFormat, ExportAudit, ListAudit};
use leptos::prelude::*;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use self::words::{action_choices, action_name, action_tone, kind_choices, kind_name};
use super::paged::{Paged, PagedTable};
use super::tenants::{TenantNames, use_tenant_names};
use crate::api::stream::Progress;
use crate::api::{Failure, audit, submit, use_client};
use crate::clock;
use crate::components::{
    Badge, Button, Card, Column, Empty, FilterSelect, IconName, Menu, MenuItem, PageHead, Panel, Range, RangePicker,
    SearchBox, Stack, Toolbar, use_toasts,
};
use crate::format;
use crate::route::{given, meaning, query_text, query_text_or};
use crate::session::{Permission, use_session};

/// What narrows the log.
#[derive(Debug, Clone, Copy)]
struct Filters {
    q: RwSignal<String>,
    actor: RwSignal<String>,
    action: RwSignal<String>,
    kind: RwSignal<String>,
    object: RwSignal<String>,
    tenant: RwSignal<String>,
    range: RwSignal<String>,
}

/// The page; for administrators alone.
#[component]
pub(super) fn Audit() -> impl IntoView {
    let session = use_session();
    move || {
        if session.can(Permission::SeeAudit) {
            view! { <Log /> }.into_any()
        } else {
            view! {
                <PageHead title="Audit log" />
                <Card>
                    <Empty title="Administrators see the audit log" text="Ask one of your tenant." icon=IconName::Lock />
                </Card>
            }
            .into_any()
        }
    }
}

#[component]
fn Log() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let names = use_tenant_names();
    let [q, actor, action, kind, object, tenant] = ["q", "actor", "action", "kind", "object", "tenant"].map(query_text);
    let filters = Filters { q, actor, action, kind, object, tenant, range: query_text_or("range", "30d") };
    let meant_tenant = meaning::<Uuid>(tenant);
    let list = Paged::new(move |cursor| {
        let (from, to) = bounds(&filters.range.get());
        let query = ListAudit {
            tenant_id: session.tenant().or(meant_tenant.get()),
            actor: given(actor),
            action: given(action),
            object_kind: given(kind),
            object_id: given(object),
            from: Some(from),
            to,
            q: given(q),
            sort: None,
            limit: None,
            cursor,
        };
        async move { audit::list_audit(&client, &query).await }
    });
    let chosen = RwSignal::new(None::<AuditEntry>);
    let open = RwSignal::new(false);
    let choose = Callback::new(move |entry: AuditEntry| {
        chosen.set(Some(entry));
        open.set(true);
    });
    let panel = move || chosen.get().map(|entry| view! { <entry::Entry entry names /> });
    view! {
        <PageHead title="Audit log" text="Who changed what. Entries are never changed; each is bound to the one before.">
            <Export filters />
        </PageHead>
        <Stack>
            <verify::Verify />
            <div>
                <Toolbar>
                    <SearchBox value=q label="Search in entries" />
                    <SearchBox value=actor label="Actor: address or id" />
                    <FilterSelect label="Action" value=action options=action_choices() />
                    <FilterSelect label="Resource" value=kind options=kind_choices() />
                    {move || (session.sees_all_tenants() && session.tenant().is_none()).then(|| view! {
                        <FilterSelect label="Tenant" value=tenant options=names.choices() />
                    })}
                    <RangePicker value=filters.range />
                    {move || (!object.with(String::is_empty)).then(|| view! {
                        <Button icon=IconName::Close on_press=move || object.set(String::new())>"One object only"</Button>
                    })}
                </Toolbar>
                <Card flush=true>
                    <Table list names choose />
                </Card>
            </div>
        </Stack>
        <Panel open title="Entry">{panel}</Panel>
    }
}

#[component]
fn Table(list: Paged<AuditEntry>, names: TenantNames, choose: Callback<AuditEntry>) -> impl IntoView {
    let session = use_session();
    let now = clock::now();
    let columns = move || {
        let mut columns = vec![
            Column::new("When", move |row: &AuditEntry| {
                let at = moment(&row.at);
                let exact = at.map_or_else(|| row.at.clone(), format::date_time_exact);
                view! { <span title=exact>{at.map_or_else(|| row.at.clone(), |at| format::ago(at, now))}</span> }
            })
            .press(move |row: &AuditEntry| choose.run(row.clone()))
            .width(140),
            Column::new("Actor", |row: &AuditEntry| row.actor_name.clone()),
            Column::new("Action", |row: &AuditEntry| {
                let name = action_name(&row.action);
                view! { <Badge tone=action_tone(&row.action)>{name}</Badge> }
            }),
            Column::new("Resource", |row: &AuditEntry| {
                let name = object_name(row);
                view! { {kind_name(&row.object_kind)} " " {name.map(|name| view! { <strong>{name}</strong> })} }
            }),
        ];
        if session.sees_all_tenants() {
            columns.push(
                Column::new("Tenant", move |row: &AuditEntry| {
                    let id = row.tenant_id;
                    move || id.map_or_else(|| "Platform".to_owned(), |id| names.of(id))
                })
                .spare(),
            );
        }
        columns.push(
            Column::new("From", |row: &AuditEntry| row.address.clone().unwrap_or_else(|| "–".to_owned())).spare(),
        );
        columns
    };
    view! {
        <PagedTable
            list
            label="Audit log"
            rows=8
            columns
            key=|row: &AuditEntry| row.id.to_string()
        >
            <Empty title="No entry fits" text="A longer time or fewer filters may show some." icon=IconName::Audit />
        </PagedTable>
    }
}

/// The entries that the filters show, as a file.
#[component]
fn Export(filters: Filters) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let progress = Progress::new();
    let busy = RwSignal::new(false);
    let export = move |format: AuditFormat| {
        let told = |text: RwSignal<String>| untrack(|| given(text));
        let (from, to) = bounds(&filters.range.get_untracked());
        let query = ExportAudit {
            format: Some(format),
            tenant_id: session.tenant_untracked().or_else(|| filters.tenant.get_untracked().parse().ok()),
            actor: told(filters.actor),
            action: told(filters.action),
            object_kind: told(filters.kind),
            object_id: told(filters.object),
            from: Some(from),
            to,
            q: told(filters.q),
        };
        submit(busy, async move { audit::export_audit(&client, &query, progress).await }, move |done| match done {
            Ok(()) => toasts.done("Audit log downloaded"),
            Err(Failure::Cancelled) => toasts.info("Download stopped"),
            Err(failure) => toasts.failed(&failure),
        });
    };
    let stop = move || {
        progress.bytes().map(|bytes| {
            view! { <Button icon=IconName::Stop on_press=move || progress.stop()>{format!("Stop at {}", format::bytes(bytes))}</Button> }
        })
    };
    view! {
        {stop}
        <Menu label="Export" icon=IconName::Download labelled=true>
            <MenuItem disabled=busy on_press=move || export(AuditFormat::Csv)>"CSV, for spreadsheets"</MenuItem>
            <MenuItem disabled=busy on_press=move || export(AuditFormat::Json)>"JSON"</MenuItem>
        </Menu>
    }
}

/// What somebody called the object.
fn object_name(entry: &AuditEntry) -> Option<String> {
    let named = |value: &serde_json::Value| {
        let name = value.get("name").or_else(|| value.get("email")).or_else(|| value.get("label"))?;
        name.as_str().map(str::to_owned)
    };
    entry.after.as_ref().and_then(named).or_else(|| entry.before.as_ref().and_then(named))
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// From when to when. What goes up to now has no end, so that what happens meanwhile is there as well.
fn bounds(range: &str) -> (OffsetDateTime, Option<OffsetDateTime>) {
    let range = Range::parse(range);
    let (from, to) = range.bounds(clock::now());
    (from, matches!(range, Range::Custom(..)).then_some(to))
}
