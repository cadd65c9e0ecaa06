//! Writes entries of the audit log out, some hundred at a time, while somebody reads.

use actix_web::web::Bytes;
use admin_types::audit::{AuditEntry, AuditFormat, ListAudit};
use futures_util::stream::{self, Stream};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use crate::error::AdminError;
use crate::repositories::{Scope, audit};
use crate::sheet;

const COLUMNS: [&str; 17] = [
    "id",
    "chain",
    "sequence",
    "at",
    "tenant_id",
    "actor_kind",
    "actor_id",
    "actor_name",
    "address",
    "request_id",
    "action",
    "object_kind",
    "object_id",
    "before",
    "after",
    "previous_hash",
    "hash",
];

/// Where an export stands.
struct Export {
    db: DatabaseConnection,
    scope: Scope,
    list: ListAudit,
    format: AuditFormat,
    after: Option<Uuid>,
    is_first: bool,
    is_done: bool,
}

/// The entries that are asked for, newest first. An error breaks the answer off, so that it cannot be
/// taken for whole.
pub(crate) fn stream(
    db: DatabaseConnection,
    scope: Scope,
    list: ListAudit,
    format: AuditFormat,
) -> impl Stream<Item = Result<Bytes, AdminError>> {
    let export = Export { db, scope, list, format, after: None, is_first: true, is_done: false };
    stream::try_unfold(export, |mut export| async move {
        if export.is_done {
            return Ok(None);
        }
        let text = export.next().await?;
        Ok(Some((Bytes::from(text), export)))
    })
}

impl Export {
    async fn next(&mut self) -> Result<String, AdminError> {
        let mut out = String::new();
        let was_first = std::mem::take(&mut self.is_first);
        match self.format {
            AuditFormat::Csv if was_first => sheet::write(&mut out, COLUMNS),
            AuditFormat::Json if was_first => out.push('['),
            AuditFormat::Csv | AuditFormat::Json => {}
        }
        let entries = audit::following(&self.db, self.scope, &self.list, self.after).await?;
        self.is_done = entries.is_empty();
        if self.is_done && self.format == AuditFormat::Json {
            out.push_str("\n]\n");
        }
        for entry in &entries {
            match self.format {
                AuditFormat::Csv => write_line(&mut out, entry),
                AuditFormat::Json => {
                    out.push_str(if self.after.is_none() { "\n" } else { ",\n" });
                    out.push_str(&serde_json::to_string(entry).map_err(|error| AdminError::internal(&error))?);
                }
            }
            self.after = Some(entry.id);
        }
        Ok(out)
    }
}

fn write_line(out: &mut String, entry: &AuditEntry) {
    let (id, sequence) = (entry.id.to_string(), entry.sequence.to_string());
    let tenant = entry.tenant_id.map(|id| id.to_string()).unwrap_or_default();
    let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string).unwrap_or_default();
    let (before, after) = (json(&entry.before), json(&entry.after));
    let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
    let (actor_id, address) = (text(&entry.actor_id), text(&entry.address));
    let (request_id, object_id) = (text(&entry.request_id), text(&entry.object_id));
    let cells = [
        &id,
        &entry.chain,
        &sequence,
        &entry.at,
        &tenant,
        &entry.actor_kind,
        &actor_id,
        &entry.actor_name,
        &address,
        &request_id,
        &entry.action,
        &entry.object_kind,
        &object_id,
        &before,
        &after,
        &entry.previous_hash,
        &entry.hash,
    ];
    sheet::write(out, cells);
}
