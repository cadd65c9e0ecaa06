//! The audit log: who changed what, each entry bound to the one before it by a hash.
//!
//! There is one chain for each tenant and one for the platform. An entry is written in the transaction
//! of the change it tells of, so neither is there without the other. Secrets never reach it: views do not
//! hold them, and what is called like one is masked.

pub(crate) mod export;
pub mod standing;
pub mod verify;

use std::collections::BTreeMap;

use domain::ids::TenantId;
use entities::{Id, audit_entry, audit_head};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, DbErr, EntityTrait};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::error::AdminError;
use crate::repositories::resource::locked;

/// What stands before the first entry of a chain.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The chain of what is the platform's.
pub const PLATFORM: &str = "platform";
/// Rows of one statement, far below what either database takes.
const CHUNK: usize = 500;
/// Names of fields whose values are not shown.
const SECRET_NAMES: [&str; 7] = ["secret", "password", "api_key", "credential", "token", "hash", "authorization"];

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// `user`, `token`, `command_line` or `system`.
    pub kind: &'static str,
    /// Which one.
    pub id: Option<String>,
    /// What people call it.
    pub name: String,
    /// Where the request came from.
    pub address: Option<String>,
    /// As `x-request-id` says.
    pub request_id: Option<String>,
}

impl By {
    /// Somebody with a shell on the server.
    #[must_use]
    pub fn command_line() -> Self {
        Self { kind: "command_line", id: None, name: "command line".to_owned(), address: None, request_id: None }
    }

    /// The server itself.
    #[must_use]
    pub fn system(name: &str) -> Self {
        Self { kind: "system", id: None, name: name.to_owned(), address: None, request_id: None }
    }
}

/// What changed.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Such as `create`, `update`, `delete`, `revoke`.
    pub action: &'static str,
    /// Such as `tenant` or `key`.
    pub kind: &'static str,
    /// Which one.
    pub id: Option<String>,
    /// Whose it is; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// What was.
    pub before: Option<Value>,
    /// What is.
    pub after: Option<Value>,
    /// Why what was or is cannot be written down. Such a change does not stand.
    pub fault: Option<String>,
}

impl Change {
    /// A change of one object.
    #[must_use]
    pub fn of(action: &'static str, kind: &'static str, id: impl ToString, tenant: Option<TenantId>) -> Self {
        Self { action, kind, id: Some(id.to_string()), tenant, ..Self::default() }
    }

    /// With what was.
    #[must_use]
    pub fn before(mut self, view: &impl Serialize) -> Self {
        self.before = self.written(view);
        self
    }

    /// With what is.
    #[must_use]
    pub fn after(mut self, view: &impl Serialize) -> Self {
        self.after = self.written(view);
        self
    }

    fn written(&mut self, view: &impl Serialize) -> Option<Value> {
        serde_json::to_value(view).map_err(|error| self.fault = Some(error.to_string())).ok()
    }
}

/// Appends an entry to its chain.
///
/// # Errors
/// The database's; the change must not stand then either.
pub async fn append(transaction: &DatabaseTransaction, by: &By, change: Change) -> Result<(), AdminError> {
    append_all(transaction, by, vec![change]).await
}

/// Appends an entry for each change, in their order.
///
/// # Errors
/// As [`append`]'s.
pub async fn append_all(transaction: &DatabaseTransaction, by: &By, changes: Vec<Change>) -> Result<(), AdminError> {
    // In one order, so that two transactions that need the same chains wait for each other only once.
    let mut chains: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for change in changes {
        if let Some(fault) = &change.fault {
            return Err(AdminError::internal(fault));
        }
        let chain = change.tenant.map_or_else(|| PLATFORM.to_owned(), |tenant| tenant.to_string());
        chains.entry(chain).or_default().push(change);
    }
    for (chain, changes) in chains {
        extend(transaction, by, chain, changes).await?;
    }
    Ok(())
}

async fn extend(
    transaction: &DatabaseTransaction,
    by: &By,
    chain: String,
    changes: Vec<Change>,
) -> Result<(), AdminError> {
    let mut head = lock_head(transaction, &chain).await?;
    let at = OffsetDateTime::now_utc().format(&Rfc3339).map_err(|error| AdminError::internal(&error))?;
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        let row = entry(by, &head, at.clone(), change);
        head = audit_head::Model { chain: head.chain, sequence: row.sequence, hash: row.hash.clone() };
        rows.push(audit_entry::ActiveModel::from(row));
    }
    for rows in rows.chunks(CHUNK) {
        audit_entry::Entity::insert_many(rows.iter().cloned()).exec_without_returning(transaction).await?;
    }
    let next = audit_head::ActiveModel { chain: Set(chain), sequence: Set(head.sequence), hash: Set(head.hash) };
    audit_head::Entity::update(next).exec(transaction).await?;
    Ok(())
}

/// The entry behind `head`.
fn entry(by: &By, head: &audit_head::Model, at: String, change: Change) -> audit_entry::Model {
    let mut row = audit_entry::Model {
        id: Id(Uuid::now_v7()),
        chain: head.chain.clone(),
        sequence: head.sequence + 1,
        at,
        tenant_id: change.tenant.map(|tenant| Id(tenant.0)),
        actor_kind: by.kind.to_owned(),
        actor_id: by.id.clone(),
        actor_name: by.name.clone(),
        address: by.address.clone(),
        request_id: by.request_id.clone(),
        action: change.action.to_owned(),
        object_kind: change.kind.to_owned(),
        object_id: change.id,
        before: change.before.map(|value| masked(value).to_string()),
        after: change.after.map(|value| masked(value).to_string()),
        previous_hash: head.hash.clone(),
        hash: String::new(),
    };
    row.hash = hash(&row);
    row
}

/// The end of a chain, which nobody else moves until this transaction ends.
async fn lock_head(transaction: &DatabaseTransaction, chain: &str) -> Result<audit_head::Model, DbErr> {
    let first =
        audit_head::ActiveModel { chain: Set(chain.to_owned()), sequence: Set(0), hash: Set(GENESIS.to_owned()) };
    let nothing = OnConflict::new().do_nothing().to_owned();
    match audit_head::Entity::insert(first).on_conflict(nothing).exec_without_returning(transaction).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(error) => return Err(error),
    }
    let find = locked(transaction, audit_head::Entity::find_by_id(chain));
    find.one(transaction).await?.ok_or_else(|| DbErr::RecordNotFound(format!("audit chain {chain}")))
}

/// The hash of an entry: SHA-256 over its fields, the hash of the one before among them, as a JSON list.
#[must_use]
pub fn hash(row: &audit_entry::Model) -> String {
    let fields = json!([
        row.previous_hash,
        row.chain,
        row.sequence,
        row.id.to_string(),
        row.at,
        row.tenant_id.map(|id| id.to_string()),
        row.actor_kind,
        row.actor_id,
        row.actor_name,
        row.address,
        row.request_id,
        row.action,
        row.object_kind,
        row.object_id,
        row.before,
        row.after,
    ]);
    Sha256::digest(fields.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// With the values of fields that are called like a secret replaced.
fn masked(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let is_secret = SECRET_NAMES.contains(&name.as_str()) && !value.is_null();
                    let value = if is_secret { Value::from("…") } else { masked(value) };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(masked).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_that_cannot_be_written_down_is_refused() {
        // JSON has no keys but texts.
        let unfit = BTreeMap::from([((1, 2), 3)]);
        let change = Change::of("update", "tenant", 1, None).before(&unfit).after(&"fit");
        let database = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
        let transaction = database::begin_writing(&database).await.unwrap();
        let refused = append(&transaction, &By::command_line(), change).await;
        assert!(matches!(refused, Err(AdminError::Internal)), "{refused:?}");
    }

    #[test]
    fn what_is_called_like_a_secret_is_masked_wherever_it_stands() {
        let shown = masked(json!({ "name": "a", "secret": "s", "list": [{ "password": "p", "api_key": null }] }));
        assert_eq!(shown, json!({ "name": "a", "secret": "…", "list": [{ "password": "…", "api_key": null }] }));
    }
}
