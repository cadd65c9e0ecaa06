//! Alerts: what was raised, the rules that raise it, the channels that tell it, and what was sent.

mod channel_form;
mod channels;
mod condition;
mod deliveries;
mod fired;
mod rule_form;
mod rules;
mod words;

use admin_types::alerts::{AlertChannel, AlertSort, ListAlertChannels};
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{Failure, alerts, use_client};
use crate::components::{Choice, PageHead, Stack, TabPanel, Tabs};
use crate::route::query_text_or;
use crate::session::use_session;

/// Channels to choose from.
const MOST_CHANNELS: u16 = 500;

/// The page.
#[component]
pub(super) fn Alerts() -> impl IntoView {
    let view = query_text_or("view", "alerts");
    let tabs = Choice::list(&[
        ("alerts", "Alerts"),
        ("rules", "Rules"),
        ("channels", "Channels"),
        ("deliveries", "Deliveries"),
    ]);
    let channels = use_channels();
    view! {
        <PageHead title="Alerts" text="Rules watch budgets, spend, errors and latency; channels tell people." />
        <Stack>
            <Tabs label="Alerts" group="alerts" selected=view tabs />
            <TabPanel group="alerts" name="alerts" selected=view>
                <fired::Fired view />
            </TabPanel>
            <TabPanel group="alerts" name="rules" selected=view>
                <rules::Rules channels />
            </TabPanel>
            <TabPanel group="alerts" name="channels" selected=view>
                <channels::Channels channels />
            </TabPanel>
            <TabPanel group="alerts" name="deliveries" selected=view>
                <deliveries::Deliveries channels />
            </TabPanel>
        </Stack>
    }
}

/// All channels: rules and deliveries name them, too.
type ChannelList = LocalResource<Result<Vec<AlertChannel>, Failure>>;

fn use_channels() -> ChannelList {
    let (client, session) = (use_client(), use_session());
    LocalResource::new(move || {
        let query = ListAlertChannels {
            tenant_id: session.tenant(),
            sort: Some(AlertSort::Name),
            limit: Some(MOST_CHANNELS),
            ..ListAlertChannels::default()
        };
        async move { alerts::list_channels(&client, &query).await.map(|page| page.data) }
    })
}

/// What people call a channel. Reactive.
fn channel_name(channels: ChannelList, id: Uuid) -> String {
    channels.with(|channels| {
        let known = channels.as_ref().and_then(|found| found.as_ref().ok());
        let name =
            known.and_then(|all| all.iter().find(|channel| channel.id == id).map(|channel| channel.name.clone()));
        name.unwrap_or_else(|| "a removed channel".to_owned())
    })
}
