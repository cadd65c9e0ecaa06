//! `/api/v1/keys`

use admin_types::keys::{
    BulkKeys, BulkKeysOptions, CreateKey, KeyUsage, KeyWithSecret, ListKeys, RevokeKey, RotateKey, UpdateKey,
    VirtualKey,
};
use admin_types::page::Page;
use uuid::Uuid;

use super::wire::with_query;
use super::{Client, Failure, Versioned};
use crate::api::request::{Call, LONG_PATIENCE_MS};

const PATH: &str = "/api/v1/keys";

pub(crate) async fn list_keys(client: &Client, query: &ListKeys) -> Result<Page<VirtualKey>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_key(client: &Client, id: Uuid) -> Result<Versioned<VirtualKey>, Failure> {
    client.get_versioned(&format!("{PATH}/{id}")).await
}

/// Makes one; its secret is in this answer alone.
pub(crate) async fn create_key(client: &Client, create: &CreateKey) -> Result<KeyWithSecret, Failure> {
    client.create(PATH, create).await
}

pub(crate) async fn update_key(
    client: &Client,
    id: Uuid,
    change: &UpdateKey,
    version: Option<&str>,
) -> Result<Versioned<VirtualKey>, Failure> {
    client.patch(&format!("{PATH}/{id}"), change, version).await
}

pub(crate) async fn delete_key(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{id}"), version).await
}

/// Gives it another secret, which is in this answer alone.
pub(crate) async fn rotate_key(
    client: &Client,
    id: Uuid,
    rotate: &RotateKey,
    version: Option<&str>,
) -> Result<Versioned<KeyWithSecret>, Failure> {
    client.create_from(&format!("{PATH}/{id}/rotate"), rotate, version).await
}

/// Ends it for good.
pub(crate) async fn revoke_key(
    client: &Client,
    id: Uuid,
    why: &RevokeKey,
    version: Option<&str>,
) -> Result<Versioned<VirtualKey>, Failure> {
    client.post_versioned(&format!("{PATH}/{id}/revoke"), why, version).await
}

/// What it has spent of its budget.
pub(crate) async fn get_key_usage(client: &Client, id: Uuid) -> Result<KeyUsage, Failure> {
    client.get(&format!("{PATH}/{id}/usage")).await
}

/// Makes a key for each line of a CSV text, or says what is wrong with the lines.
pub(crate) async fn create_keys(client: &Client, options: &BulkKeysOptions, csv: &str) -> Result<BulkKeys, Failure> {
    let call = Call::post(with_query(&format!("{PATH}/bulk"), options));
    let made = client.create_by(call.raw(Some("text/csv"), csv).patience_ms(LONG_PATIENCE_MS), csv).await;
    made.map(|made| made.value)
}
