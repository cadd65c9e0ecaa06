//! Rules: made, changed, muted and removed.

use admin_types::alerts::{AlertRule, AlertSort, ListAlertRules, MuteAlertRule};
use leptos::prelude::*;
use uuid::Uuid;

use super::rule_form::{CreateRule, EditRule};
use super::{ChannelList, channel_name, words};
use crate::api::{alerts, if_unchanged, submit, use_client};
use crate::clock;
use crate::components::{
    Badge, Button, ButtonKind, Choice, Column, Dialog, Empty, FilterSelect, IconName, Menu, MenuItem, SearchBox,
    Status, Tone, Toolbar, use_toasts,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::paged::{Paged, PagedTable};
use crate::route::{given, meant, query_flag, query_text};
use crate::session::{Permission, Session, use_session};

/// What is done with a rule.
#[derive(Clone, Copy)]
struct Actions {
    session: Session,
    edit: Callback<Uuid>,
    remove: Callback<AlertRule>,
    mute: Callback<(Uuid, Option<u32>)>,
}

#[component]
pub(super) fn Rules(channels: ChannelList) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let (q, kind, sort) = (query_text("q"), query_text("kind"), query_text("sort"));
    let list = Paged::new(move |cursor| {
        let query = ListAlertRules {
            q: given(q),
            kind: kind.with(|text| meant(text)),
            tenant_id: session.tenant(),
            sort: sort.with(|text| meant::<AlertSort>(text)),
            cursor,
            ..ListAlertRules::default()
        };
        async move { alerts::list_rules(&client, &query).await }
    });
    let changed = Callback::new(move |()| list.refetch());
    let creating = query_flag("new");
    let editing = RwSignal::new(None::<Uuid>);
    let is_editing = RwSignal::new(false);
    let removing = RwSignal::new(None::<AlertRule>);
    let is_removing = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let actions = Actions {
        session,
        edit: Callback::new(move |id| {
            editing.set(Some(id));
            is_editing.set(true);
        }),
        remove: Callback::new(move |rule| {
            removing.set(Some(rule));
            is_removing.set(true);
        }),
        mute: Callback::new(move |(id, minutes): (Uuid, Option<u32>)| {
            let call = async move {
                match minutes {
                    Some(_) => alerts::mute_rule(&client, id, &MuteAlertRule { minutes, until: None }).await,
                    None => alerts::unmute_rule(&client, id).await,
                }
            };
            submit(busy, call, move |done| match done {
                Ok(_) => {
                    toasts.done(if minutes.is_some() { "Rule muted" } else { "Rule tells again" });
                    changed.try_run(());
                }
                Err(failure) => toasts.failed(&failure),
            });
        }),
    };
    let remove = move || {
        let rule = removing.get_untracked()?;
        let found = async move { alerts::get_rule(&client, rule.id).await };
        let delete = async move |version: Option<&str>| alerts::delete_rule(&client, rule.id, version).await;
        Some(async move { if_unchanged(&rule, found, delete).await })
    };
    let sorts = Choice::list(&[("-created_at", "Newest first"), ("name", "By name")]);
    let may = move || session.can(Permission::ManageAlerts);
    view! {
        <Toolbar>
            <SearchBox label="Search rules" value=q />
            <FilterSelect label="Watches" value=kind options=words::kinds() />
            <FilterSelect label="Order" all="Oldest first" value=sort options=sorts />
            <Show when=may>
                <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>
                    "Create rule"
                </Button>
            </Show>
        </Toolbar>
        <PagedTable
            list
            label="Rules"
            columns=move || columns(channels, actions)
            key=|row: &AlertRule| row.id.to_string()
        >
            <Empty
                title="No rules"
                text="A rule watches a budget, spend, errors, latency or missing prices, and raises an alert."
                icon=IconName::Alert
            >
                <Show when=may>
                    <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>
                        "Create rule"
                    </Button>
                </Show>
            </Empty>
        </PagedTable>
        <Dialog open=creating title="Create rule">
            <CreateRule open=creating channels on_done=changed />
        </Dialog>
        <Dialog open=is_editing title="Edit rule">
            {move || editing.get().map(|id| view! { <EditRule id open=is_editing channels on_done=changed /> })}
        </Dialog>
        <AskFirst
            open=is_removing
            title="Delete this rule?"
            text=Signal::derive(move || {
                let name = removing.with(|rule| rule.as_ref().map(|rule| rule.name.clone())).unwrap_or_default();
                format!("“{name}” raises no more alerts. Those that it has raised stay in the list.")
            })
            action="Delete rule"
            danger=true
            call=remove
            done="Rule deleted"
            on_done=changed
            on_stale=changed
        />
    }
}

fn columns(channels: ChannelList, actions: Actions) -> Vec<Column<AlertRule>> {
    let session = actions.session;
    let name = Column::new("Name", |row: &AlertRule| row.name.clone());
    let name = if session.can_untracked(Permission::ManageAlerts) {
        name.press(move |row: &AlertRule| {
            if untrack(|| session.can_change(Permission::ManageAlerts, row.tenant_id)) {
                actions.edit.run(row.id);
            }
        })
    } else {
        name
    };
    vec![
        name,
        Column::new("Fires when", |row: &AlertRule| {
            let text = words::condition(&row.condition);
            view! { <span title=text.clone()>{text.clone()}</span> }
        }),
        Column::new("Severity", |row: &AlertRule| {
            let (text, tone) = words::severity(row.severity);
            view! { <Badge tone>{text}</Badge> }
        })
        .spare(),
        Column::new("Tells", move |row: &AlertRule| {
            let names: Vec<String> = row.channel_ids.iter().map(|id| channel_name(channels, *id)).collect();
            if names.is_empty() { "Nobody".to_owned() } else { names.join(", ") }
        })
        .spare(),
        Column::new("State", |row: &AlertRule| {
            let (text, tone) = state(row);
            view! { <Status tone>{text}</Status> }
        }),
        Column::actions(move |row: &AlertRule| {
            let may = session.can_change(Permission::ManageAlerts, row.tenant_id);
            may.then(|| view! { <RowMenu rule=row.clone() actions /> })
        }),
    ]
}

fn state(rule: &AlertRule) -> (String, Tone) {
    match (rule.enabled, rule.muted_until) {
        (false, _) => ("Off".to_owned(), Tone::Neutral),
        (true, Some(until)) if until > clock::now() => {
            (format!("Muted until {}", format::date_time(until)), Tone::Warn)
        }
        (true, _) => ("On".to_owned(), Tone::Good),
    }
}

#[component]
fn RowMenu(rule: AlertRule, actions: Actions) -> impl IntoView {
    let id = rule.id;
    let is_muted = rule.muted_until.is_some_and(|until| until > clock::now());
    let mute = move |text: &'static str, minutes: u32| {
        view! { <MenuItem on_press=move || actions.mute.run((id, Some(minutes)))>{text}</MenuItem> }
    };
    let mutes = (!is_muted).then(|| {
        view! { {mute("Mute for an hour", 60)} {mute("Mute for a day", 1_440)} {mute("Mute for a week", 10_080)} }
    });
    let unmute =
        is_muted.then(|| view! { <MenuItem on_press=move || actions.mute.run((id, None))>"Unmute"</MenuItem> });
    let label = format!("Actions for {}", rule.name);
    view! {
        <Menu label=label>
            <MenuItem icon=IconName::Edit on_press=move || actions.edit.run(id)>
                "Edit"
            </MenuItem>
            {mutes}
            {unmute}
            <MenuItem icon=IconName::Trash danger=true on_press=move || actions.remove.run(rule.clone())>
                "Delete"
            </MenuItem>
        </Menu>
    }
}
