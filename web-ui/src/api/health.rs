//! `/api/v1/health`

use admin_types::health::{AskHealth, Health};

use super::{Client, Failure};

/// How gateways, database and targets are.
pub(crate) async fn get_health(client: &Client, query: &AskHealth) -> Result<Health, Failure> {
    client.list("/api/v1/health", query).await
}
