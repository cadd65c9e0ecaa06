//! Alerts that were raised: those that still are, and those that are over.

use admin_types::alerts::{Alert, AlertState, ListAlerts};
use leptos::prelude::*;
use uuid::Uuid;

use super::words;
use crate::api::{Failure, alerts, submit, use_client};
use crate::clock;
use crate::components::{
    Badge, Button, ButtonKind, Column, Detail, Details, Empty, FilterSelect, IconName, Loaded, Panel, Status, Tone,
    Toolbar, use_toasts,
};
use crate::format;
use crate::pages::paged::{Paged, PagedTable};
use crate::route::{meant, query_text};
use crate::session::{Permission, use_session};

#[component]
pub(super) fn Fired(view: RwSignal<String>) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let (state, severity, kind) = (query_text("state"), query_text("severity"), query_text("kind"));
    let acknowledged = query_text("acknowledged");
    let chosen = query_text("alert");
    let list = Paged::new(move |cursor| {
        let query = ListAlerts {
            state: state.with(|text| meant(text)),
            severity: severity.with(|text| meant(text)),
            kind: kind.with(|text| meant(text)),
            acknowledged: acknowledged.with(|text| text.parse().ok()),
            tenant_id: session.tenant(),
            cursor,
            ..ListAlerts::default()
        };
        async move { alerts::list_alerts(&client, &query).await }
    });
    let acknowledge = use_acknowledge(Callback::new(move |()| list.refetch()));
    let states = crate::components::Choice::list(&[("firing", "Open"), ("resolved", "Over")]);
    let taken = crate::components::Choice::list(&[("false", "Not yet"), ("true", "Acknowledged")]);
    let open = RwSignal::new(chosen.with_untracked(|id| !id.is_empty()));
    // The panel is open while an alert stands in the address.
    Effect::new(move |_| {
        let is_chosen = chosen.with(|id| !id.is_empty());
        if open.get_untracked() != is_chosen {
            open.set(is_chosen);
        }
    });
    Effect::new(move |before: Option<()>| {
        let is_open = open.get();
        if before.is_some() && !is_open && chosen.with_untracked(|id| !id.is_empty()) {
            chosen.set(String::new());
        }
    });
    view! {
        <Toolbar>
            <FilterSelect label="State" value=state options=states />
            <FilterSelect label="Severity" value=severity options=words::severities() />
            <FilterSelect label="Watches" value=kind options=words::kinds() />
            <FilterSelect label="Taken note" value=acknowledged options=taken />
        </Toolbar>
        <PagedTable
            list
            label="Alerts"
            columns=move || columns(chosen, acknowledge)
            key=|row: &Alert| row.id.to_string()
        >
            <Empty
                title="No alerts"
                text="Nothing that a rule watches for has happened. Rules decide what that is."
                icon=IconName::Alert
            >
                <Button on_press=move || view.set("rules".to_owned())>"Look at rules"</Button>
            </Empty>
        </PagedTable>
        <Panel open title="Alert">
            {move || chosen.with(|id| id.parse::<Uuid>().ok()).map(|id| view! { <AlertDetail id acknowledge /> })}
        </Panel>
    }
}

/// Takes note of an alert, then says so.
#[derive(Clone, Copy)]
struct Acknowledge {
    busy: RwSignal<bool>,
    run: Callback<Uuid>,
}

fn use_acknowledge(then: Callback<()>) -> Acknowledge {
    let (client, toasts) = (use_client(), use_toasts());
    let busy = RwSignal::new(false);
    let run = Callback::new(move |id: Uuid| {
        submit(busy, async move { alerts::acknowledge_alert(&client, id).await }, move |done| match done {
            Ok(_) => {
                toasts.done("Alert acknowledged");
                then.try_run(());
            }
            Err(failure) => toasts.failed(&failure),
        });
    });
    Acknowledge { busy, run }
}

fn columns(chosen: RwSignal<String>, acknowledge: Acknowledge) -> Vec<Column<Alert>> {
    let session = use_session();
    let now = clock::now();
    vec![
        Column::new("State", |row: &Alert| {
            let (text, tone) = state(row);
            view! { <Status tone>{text}</Status> }
        }),
        Column::new("Alert", |row: &Alert| row.rule_name.clone())
            .press(move |row: &Alert| chosen.set(row.id.to_string())),
        Column::new("About", |row: &Alert| row.subject_name.clone()),
        Column::new("Found", |row: &Alert| words::value(row.value, row.unit)).end(),
        Column::new("Severity", |row: &Alert| {
            let (text, tone) = words::severity(row.severity);
            view! { <Badge tone>{text}</Badge> }
        })
        .spare(),
        Column::new("Since", move |row: &Alert| format::ago(row.started_at, now)).spare(),
        Column::new("Acknowledged", |row: &Alert| row.acknowledged_by.clone().unwrap_or_else(|| "–".to_owned()))
            .spare(),
        Column::actions(move |row: &Alert| {
            let (id, open) = (row.id, row.acknowledged_at.is_none());
            let may = open && session.can_change(Permission::ManageAlerts, row.tenant_id);
            may.then(|| {
                view! {
                    <Button kind=ButtonKind::Ghost busy=acknowledge.busy on_press=move || acknowledge.run.run(id)>
                        "Acknowledge"
                    </Button>
                }
            })
        }),
    ]
}

const fn state(alert: &Alert) -> (&'static str, Tone) {
    match alert.state {
        AlertState::Firing => ("Open", Tone::Bad),
        AlertState::Resolved => ("Over", Tone::Good),
    }
}

#[component]
fn AlertDetail(id: Uuid, acknowledge: Acknowledge) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let found: LocalResource<Result<Alert, Failure>> = LocalResource::new(move || {
        // It is looked at again once somebody has taken note.
        acknowledge.busy.track();
        async move { alerts::get_alert(&client, id).await }
    });
    let shown = move |alert: Alert| {
        let may = alert.acknowledged_at.is_none() && session.can_change(Permission::ManageAlerts, alert.tenant_id);
        let (state, tone) = state(&alert);
        let moment = |at: Option<time::OffsetDateTime>| at.map_or_else(|| "–".to_owned(), format::date_time);
        let by = match (&alert.acknowledged_by, alert.acknowledged_at) {
            (Some(who), Some(at)) => format!("{who}, {}", format::date_time(at)),
            _ => "Nobody yet".to_owned(),
        };
        view! {
            <p>{alert.summary}</p>
            <Details>
                <Detail label="State">
                    <Status tone>{state}</Status>
                </Detail>
                <Detail label="Severity">{words::severity(alert.severity).0}</Detail>
                <Detail label="Watches">{words::kind(alert.kind)}</Detail>
                <Detail label="About">{alert.subject_name}</Detail>
                <Detail label="Found">{words::value(alert.value, alert.unit)}</Detail>
                <Detail label="Threshold">{words::value(alert.threshold, alert.unit)}</Detail>
                <Detail label="Since">{format::date_time(alert.started_at)}</Detail>
                <Detail label="Over">{moment(alert.resolved_at)}</Detail>
                <Detail label="Channels told">{moment(alert.notified_at)}</Detail>
                <Detail label="Acknowledged">{by}</Detail>
            </Details>
            {may
                .then(|| {
                    view! {
                        <div class="form-actions">
                            <Button kind=ButtonKind::Primary busy=acknowledge.busy on_press=move || acknowledge.run.run(id)>
                                "Acknowledge"
                            </Button>
                        </div>
                    }
                })}
        }
    };
    view! { <Loaded resource=found rows=6 children=shown /> }
}
