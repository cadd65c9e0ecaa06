//! `/api/v1/usage`: records, their sums, exports, and how they compare with an invoice.

use admin_types::page::Page;
use admin_types::usage::{
    AggregateUsage, CompareUsage, ExportUsage, InvoiceComparison, ListUsage, UsageAggregates, UsageRecord,
};
use time::OffsetDateTime;
use uuid::Uuid;
use wasm_bindgen::JsValue;

use super::stream::{Progress, download};
use super::wire::with_query;
use super::{Client, Failure};
use crate::api::request::{Call, LONG_PATIENCE_MS};

const PATH: &str = "/api/v1/usage";

pub(crate) async fn list_usage(client: &Client, query: &ListUsage) -> Result<Page<UsageRecord>, Failure> {
    client.list(&format!("{PATH}/records"), query).await
}

pub(crate) async fn get_usage_record(client: &Client, id: Uuid) -> Result<UsageRecord, Failure> {
    client.get(&format!("{PATH}/records/{id}")).await
}

pub(crate) async fn aggregate_usage(client: &Client, query: &AggregateUsage) -> Result<UsageAggregates, Failure> {
    client.list(&format!("{PATH}/aggregates"), query).await
}

/// The question for one sum of everything in a time, to be narrowed.
pub(crate) const fn everything(from: OffsetDateTime, to: OffsetDateTime) -> AggregateUsage {
    AggregateUsage {
        from,
        to,
        group_by: None,
        bucket: None,
        tenant_id: None,
        key_id: None,
        user: None,
        tag: None,
        provider: None,
        model: None,
        model_asked: None,
        operation: None,
        limit: None,
        percentiles: Some(false),
    }
}

/// Downloads the records.
pub(crate) async fn export_usage(client: &Client, query: &ExportUsage, progress: Progress) -> Result<(), Failure> {
    download(client, &with_query(&format!("{PATH}/export"), query), "usage", progress).await
}

/// Holds a provider's invoice, a CSV text or `File`, against what was recorded.
pub(crate) async fn compare_usage(
    client: &Client,
    query: &CompareUsage,
    csv: impl Into<JsValue>,
) -> Result<InvoiceComparison, Failure> {
    let call = Call::post(with_query(&format!("{PATH}/compare"), query)).raw(Some("text/csv"), csv);
    client.json(call.patience_ms(LONG_PATIENCE_MS)).await
}
