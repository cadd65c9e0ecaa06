//! `/api/v1/audit`

use admin_types::audit::{AuditEntry, AuditVerification, ExportAudit, ListAudit};
use admin_types::page::Page;

use super::stream::{Progress, download};
use super::wire::with_query;
use super::{Client, Failure};
use crate::api::request::{Call, LONG_PATIENCE_MS};

const PATH: &str = "/api/v1/audit";

pub(crate) async fn list_audit(client: &Client, query: &ListAudit) -> Result<Page<AuditEntry>, Failure> {
    client.list(PATH, query).await
}

/// Walks the chains.
pub(crate) async fn verify_audit(client: &Client) -> Result<AuditVerification, Failure> {
    client.json(Call::get(format!("{PATH}/verify")).patience_ms(LONG_PATIENCE_MS)).await
}

/// Downloads the entries.
pub(crate) async fn export_audit(client: &Client, query: &ExportAudit, progress: Progress) -> Result<(), Failure> {
    download(client, &with_query(&format!("{PATH}/export"), query), "audit", progress).await
}
