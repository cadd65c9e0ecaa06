//! The database as the ledger's sink.

use sea_orm::DatabaseConnection;

use super::{Sink, UsageRecord};
use crate::repositories::usage;

impl Sink for DatabaseConnection {
    async fn insert(&self, records: &[UsageRecord]) -> Result<(), String> {
        usage::insert_batch(self, records).await.map(drop).map_err(|error| error.to_string())
    }
}
