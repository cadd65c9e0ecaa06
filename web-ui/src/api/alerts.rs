//! `/api/v1/alerts`: alerts, the rules that raise them, the channels that tell them, and what was sent.

use admin_types::alerts::{
    Alert, AlertChannel, AlertChannelTest, AlertDelivery, AlertRule, CreateAlertChannel, CreateAlertRule,
    ListAlertChannels, ListAlertDeliveries, ListAlertRules, ListAlerts, MuteAlertRule, UpdateAlertChannel,
    UpdateAlertRule,
};
use admin_types::page::Page;
use uuid::Uuid;

use super::{Client, Failure, Versioned};

const PATH: &str = "/api/v1/alerts";
const RULES: &str = "/api/v1/alerts/rules";
const CHANNELS: &str = "/api/v1/alerts/channels";

pub(crate) async fn list_alerts(client: &Client, query: &ListAlerts) -> Result<Page<Alert>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_alert(client: &Client, id: Uuid) -> Result<Alert, Failure> {
    client.get(&format!("{PATH}/{id}")).await
}

pub(crate) async fn acknowledge_alert(client: &Client, id: Uuid) -> Result<Alert, Failure> {
    client.press(&format!("{PATH}/{id}/acknowledge")).await
}

pub(crate) async fn list_deliveries(
    client: &Client,
    query: &ListAlertDeliveries,
) -> Result<Page<AlertDelivery>, Failure> {
    client.list(&format!("{PATH}/deliveries"), query).await
}

pub(crate) async fn list_rules(client: &Client, query: &ListAlertRules) -> Result<Page<AlertRule>, Failure> {
    client.list(RULES, query).await
}

pub(crate) async fn get_rule(client: &Client, id: Uuid) -> Result<Versioned<AlertRule>, Failure> {
    client.get_versioned(&format!("{RULES}/{id}")).await
}

pub(crate) async fn create_rule(client: &Client, create: &CreateAlertRule) -> Result<AlertRule, Failure> {
    client.create(RULES, create).await
}

pub(crate) async fn update_rule(
    client: &Client,
    id: Uuid,
    change: &UpdateAlertRule,
    version: Option<&str>,
) -> Result<Versioned<AlertRule>, Failure> {
    client.patch(&format!("{RULES}/{id}"), change, version).await
}

pub(crate) async fn delete_rule(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{RULES}/{id}"), version).await
}

/// It is looked at, and nobody is told.
pub(crate) async fn mute_rule(client: &Client, id: Uuid, mute: &MuteAlertRule) -> Result<AlertRule, Failure> {
    client.post(&format!("{RULES}/{id}/mute"), mute).await
}

pub(crate) async fn unmute_rule(client: &Client, id: Uuid) -> Result<AlertRule, Failure> {
    client.press(&format!("{RULES}/{id}/unmute")).await
}

pub(crate) async fn list_channels(client: &Client, query: &ListAlertChannels) -> Result<Page<AlertChannel>, Failure> {
    client.list(CHANNELS, query).await
}

pub(crate) async fn get_channel(client: &Client, id: Uuid) -> Result<Versioned<AlertChannel>, Failure> {
    client.get_versioned(&format!("{CHANNELS}/{id}")).await
}

pub(crate) async fn create_channel(client: &Client, create: &CreateAlertChannel) -> Result<AlertChannel, Failure> {
    client.create(CHANNELS, create).await
}

pub(crate) async fn update_channel(
    client: &Client,
    id: Uuid,
    change: &UpdateAlertChannel,
    version: Option<&str>,
) -> Result<Versioned<AlertChannel>, Failure> {
    client.patch(&format!("{CHANNELS}/{id}"), change, version).await
}

pub(crate) async fn delete_channel(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{CHANNELS}/{id}"), version).await
}

/// Sends a message through it now.
pub(crate) async fn test_channel(client: &Client, id: Uuid) -> Result<AlertChannelTest, Failure> {
    client.press(&format!("{CHANNELS}/{id}/test")).await
}
