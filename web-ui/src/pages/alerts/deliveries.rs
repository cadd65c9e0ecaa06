//! What was sent to channels, and how it fared.

use admin_types::alerts::{AlertDelivery, ListAlertDeliveries};
use leptos::prelude::*;

use super::{ChannelList, channel_name, words};
use crate::api::{alerts, use_client};
use crate::components::{Choice, Code, Column, Detail, Details, Empty, FilterSelect, IconName, Panel, Status, Toolbar};
use crate::format;
use crate::pages::paged::{Paged, PagedTable};
use crate::route::{meant, query_text};
use crate::session::use_session;

#[component]
pub(super) fn Deliveries(channels: ChannelList) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let (status, channel) = (query_text("status"), query_text("channel"));
    let list = Paged::new(move |cursor| {
        let query = ListAlertDeliveries {
            status: status.with(|text| meant(text)),
            channel_id: channel.with(|text| meant(text)),
            tenant_id: session.tenant(),
            cursor,
            ..ListAlertDeliveries::default()
        };
        async move { alerts::list_deliveries(&client, &query).await }
    });
    let statuses = Choice::list(&[("pending", "Waiting"), ("delivered", "Delivered"), ("failed", "Given up")]);
    let names = Signal::derive(move || {
        let all = channels.get().and_then(Result::ok).unwrap_or_default();
        all.into_iter().map(|channel| Choice::new(channel.id.to_string(), channel.name)).collect::<Vec<_>>()
    });
    let chosen = RwSignal::new(None::<AlertDelivery>);
    let open = RwSignal::new(false);
    let look = move |row: &AlertDelivery| {
        chosen.set(Some(row.clone()));
        open.set(true);
    };
    let columns = move || {
        vec![
            Column::new("Written", |row: &AlertDelivery| format::date_time(row.created_at)).press(look),
            Column::new("Tells", |row: &AlertDelivery| words::event(row.event)),
            Column::new("Channel", move |row: &AlertDelivery| channel_name(channels, row.channel_id)),
            Column::new("Status", |row: &AlertDelivery| {
                let (text, tone) = words::delivery(row.status);
                view! { <Status tone>{text}</Status> }
            }),
            Column::new("Attempts", |row: &AlertDelivery| format::count(row.attempts)).end().spare(),
            Column::new("Answer", |row: &AlertDelivery| answer(row)).spare(),
        ]
    };
    view! {
        <Toolbar>
            <FilterSelect label="Status" value=status options=statuses />
            <FilterSelect label="Channel" value=channel options=names />
        </Toolbar>
        <PagedTable
            list
            label="Deliveries"
            columns
            key=|row: &AlertDelivery| row.id.to_string()
        >
            <Empty
                title="Nothing was sent"
                text="Alerts and tests of channels are listed here, with what became of each message."
                icon=IconName::Webhook
            />
        </PagedTable>
        <Panel open title="Delivery">
            {move || chosen.get().map(|delivery| view! { <DeliveryDetail delivery channels /> })}
        </Panel>
    }
}

fn answer(delivery: &AlertDelivery) -> String {
    let status = delivery.http_status.map(|status| status.to_string());
    delivery.error.clone().or(status).unwrap_or_else(|| "–".to_owned())
}

#[component]
fn DeliveryDetail(delivery: AlertDelivery, channels: ChannelList) -> impl IntoView {
    let (status, tone) = words::delivery(delivery.status);
    let channel_id = delivery.channel_id;
    let moment = |at: Option<time::OffsetDateTime>| at.map_or_else(|| "–".to_owned(), format::date_time);
    let alert = delivery.alert_id.map(|id| {
        view! {
            <Detail label="Alert">
                <a href=format!("/alerts?alert={id}")>"Look at the alert"</a>
            </Detail>
        }
    });
    view! {
        <Details>
            <Detail label="Status">
                <Status tone>{status}</Status>
            </Detail>
            <Detail label="Tells">{words::event(delivery.event)}</Detail>
            {alert}
            <Detail label="Channel">{move || channel_name(channels, channel_id)}</Detail>
            <Detail label="Attempts">{format::count(delivery.attempts)}</Detail>
            <Detail label="Answered with">
                {delivery.http_status.map_or_else(|| "–".to_owned(), |status| status.to_string())}
            </Detail>
            {delivery.error.map(|error| view! { <Detail label="Why it failed">{error}</Detail> })}
            <Detail label="Written">{format::date_time(delivery.created_at)}</Detail>
            <Detail label="Delivered">{moment(delivery.delivered_at)}</Detail>
            <Detail label="Next attempt">{moment(delivery.next_attempt_at)}</Detail>
        </Details>
        {delivery
            .answer
            .filter(|answer| !answer.is_empty())
            .map(|answer| view! { <Code language="Answer" text=answer /> })}
    }
}
