//! Channels: where alerts are told, and whether that works.

use admin_types::alerts::{AlertChannel, AlertChannelTest};
use leptos::prelude::*;
use uuid::Uuid;

use super::channel_form::{CreateChannel, EditChannel};
use super::{ChannelList, words};
use crate::api::{Failure, if_unchanged};
use crate::api::{alerts, submit, use_client};
use crate::components::{
    Button, ButtonKind, Code, Column, DataTable, Detail, Details, Dialog, Empty, FilterSelect, IconName, LoadedLive,
    Loading, Menu, MenuItem, Notice, SearchBox, Status, Tone, Toolbar,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::route::{query_flag, query_text};
use crate::session::{Permission, Session, use_session};

/// What is done with a channel.
#[derive(Clone, Copy)]
struct Actions {
    session: Session,
    test: Callback<Uuid>,
    edit: Callback<Uuid>,
    remove: Callback<AlertChannel>,
}

#[component]
pub(super) fn Channels(channels: ChannelList) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let (q, kind) = (query_text("q"), query_text("channel_kind"));
    let changed = Callback::new(move |()| channels.refetch());
    let creating = query_flag("new_channel");
    let chosen = RwSignal::new(None::<Uuid>);
    let (is_editing, is_testing) = (RwSignal::new(false), RwSignal::new(false));
    let removing = RwSignal::new(None::<AlertChannel>);
    let is_removing = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let outcome = RwSignal::new(None::<Result<AlertChannelTest, Failure>>);
    let test = move |id: Uuid| {
        outcome.set(None);
        is_testing.set(true);
        submit(busy, async move { alerts::test_channel(&client, id).await }, move |done| {
            outcome.try_set(Some(done));
        });
    };
    let actions = Actions {
        session,
        test: Callback::new(test),
        edit: Callback::new(move |id| {
            chosen.set(Some(id));
            is_editing.set(true);
        }),
        remove: Callback::new(move |channel| {
            removing.set(Some(channel));
            is_removing.set(true);
        }),
    };
    let remove = move || {
        let channel = removing.get_untracked()?;
        let found = async move { alerts::get_channel(&client, channel.id).await };
        let delete = async move |version: Option<&str>| alerts::delete_channel(&client, channel.id, version).await;
        Some(async move { if_unchanged(&channel, found, delete).await })
    };
    let kinds = crate::components::Choice::list(&[("webhook", "Webhook"), ("slack", "Slack"), ("email", "E-mail")]);
    let may = move || session.can(Permission::ManageAlerts);
    let fits = move |channel: &AlertChannel| {
        let words = q.with(|q| q.to_lowercase());
        let of_kind = kind.with(|kind| kind.is_empty() || kind == channel.kind.as_str());
        of_kind && channel.name.to_lowercase().contains(words.trim())
    };
    view! {
        <Toolbar>
            <SearchBox label="Search channels" value=q />
            <FilterSelect label="Kind" value=kind options=kinds />
            <Show when=may>
                <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>
                    "Create channel"
                </Button>
            </Show>
        </Toolbar>
        <LoadedLive
            resource=channels
            rows=5
            children=move |all| {
                let rows = Signal::derive(move || {
                    let mut rows: Vec<AlertChannel> = all.get();
                    rows.retain(fits);
                    rows
                });
                view! {
                    <DataTable label="Channels" columns=columns(actions) rows key=|row: &AlertChannel| row.id.to_string() order="name">
                        <Empty
                            title="No channels"
                            text="A channel is a webhook, a Slack webhook or e-mail. Rules tell their alerts through it."
                            icon=IconName::Webhook
                        >
                            <Show when=may>
                                <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>
                                    "Create channel"
                                </Button>
                            </Show>
                        </Empty>
                    </DataTable>
                }
            }
        />
        <Dialog open=creating title="Create channel">
            <CreateChannel open=creating on_done=changed />
        </Dialog>
        <Dialog open=is_editing title="Edit channel">
            {move || chosen.get().map(|id| view! { <EditChannel id open=is_editing on_done=changed /> })}
        </Dialog>
        <Dialog open=is_testing title="Test message">
            {move || match outcome.get() {
                None => view! { <Loading rows=3 /> }.into_any(),
                Some(outcome) => view! { <Outcome outcome /> }.into_any(),
            }}
        </Dialog>
        <AskFirst
            open=is_removing
            title="Delete this channel?"
            text=Signal::derive(move || {
                let name = removing.with(|channel| channel.as_ref().map(|channel| channel.name.clone())).unwrap_or_default();
                format!("Nothing is told through “{name}” any more, and rules that name it forget it.")
            })
            action="Delete channel"
            danger=true
            call=remove
            done="Channel deleted"
            on_done=changed
            on_stale=changed
        />
    }
}

fn columns(actions: Actions) -> Vec<Column<AlertChannel>> {
    let session = actions.session;
    vec![
        Column::new("Name", |row: &AlertChannel| row.name.clone())
            .sorted("name", |row: &AlertChannel| row.name.to_lowercase()),
        Column::new("Kind", |row: &AlertChannel| words::channel_kind(row.kind))
            .sorted("kind", |row: &AlertChannel| row.kind.as_str()),
        Column::new("Leads to", |row: &AlertChannel| row.url.clone().unwrap_or_else(|| row.to.join(", "))).spare(),
        Column::new("State", |row: &AlertChannel| {
            let (text, tone) = if row.enabled { ("On", Tone::Good) } else { ("Off", Tone::Neutral) };
            view! { <Status tone>{text}</Status> }
        }),
        Column::new("Changed", |row: &AlertChannel| format::date(row.updated_at))
            .sorted("changed", |row: &AlertChannel| row.updated_at)
            .spare(),
        Column::actions(move |row: &AlertChannel| {
            let may = session.can_change(Permission::ManageAlerts, row.tenant_id);
            let (id, channel) = (row.id, row.clone());
            may.then(|| {
                let label = format!("Actions for {}", channel.name);
                view! {
                    <Button kind=ButtonKind::Ghost on_press=move || actions.test.run(id)>"Test"</Button>
                    <Menu label=label>
                        <MenuItem icon=IconName::Edit on_press=move || actions.edit.run(id)>
                            "Edit"
                        </MenuItem>
                        <MenuItem icon=IconName::Trash danger=true on_press=move || actions.remove.run(channel.clone())>
                            "Delete"
                        </MenuItem>
                    </Menu>
                }
            })
        }),
    ]
}

/// How a test message fared.
#[component]
fn Outcome(outcome: Result<AlertChannelTest, Failure>) -> impl IntoView {
    let test = match outcome {
        Ok(test) => test,
        Err(failure) => {
            return view! { <Notice tone=Tone::Bad title=failure.title()>{failure.detail()}</Notice> }.into_any();
        }
    };
    let (tone, title) =
        if test.delivered { (Tone::Good, "The message was taken") } else { (Tone::Bad, "The message was not taken") };
    let text = test.error.unwrap_or_else(|| "Alerts will be told this way.".to_owned());
    view! {
        <Notice tone title>{text}</Notice>
        <Details>
            {test.http_status.map(|status| view! { <Detail label="Answered with">{status.to_string()}</Detail> })}
            <Detail label="Took">{format::duration_ms(test.latency_ms)}</Detail>
        </Details>
        {test
            .answer
            .filter(|answer| !answer.is_empty())
            .map(|answer| view! { <Code language="Answer" text=answer /> })}
    }
    .into_any()
}
