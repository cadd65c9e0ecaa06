//! What the configuration declares, before and after it was written: what differs is told by the audit log.

use std::collections::BTreeMap;

use domain::ids::TenantId;
use domain::key::KeyHash;
use entities::{model, provider, tenant, virtual_key, voice};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, Select};
use serde::Serialize;
use serde_json::Value;

use super::{By, Change, append_all};
use crate::error::AdminError;
use crate::repositories::resource::Resource;
use crate::repositories::{Scope, voices};

const FILE: &str = "file";

/// What a configuration declares.
#[derive(Debug)]
pub struct Declares<'a> {
    /// Names of tenants.
    pub tenants: Vec<&'a str>,
    /// The secrets of keys.
    pub keys: Vec<KeyHash>,
}

/// The rows that a configuration may write, as they stand.
#[derive(Debug, Default)]
pub struct Standing(BTreeMap<(&'static str, String), Row>);

#[derive(Debug)]
struct Row {
    owner: Option<TenantId>,
    shown: Value,
}

impl Standing {
    /// Reads what was declared before, and what bears the names and secrets that are declared now. A row that
    /// nobody can read is there as `null`.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(db: &impl ConnectionTrait, declares: &Declares<'_>) -> Result<Self, AdminError> {
        Self::read_beside(db, declares, &Self::default()).await
    }

    /// As [`Self::read`], and what was read before.
    async fn read_beside(
        db: &impl ConnectionTrait,
        declares: &Declares<'_>,
        before: &Self,
    ) -> Result<Self, AdminError> {
        let mut standing = Self::default();
        let known = |of: &'static str| before.0.keys().filter(move |(kind, _)| *kind == of).map(|(_, id)| id.as_str());
        let declared = Condition::any()
            .add(tenant::Column::ManagedBy.eq(FILE))
            .add(tenant::Column::Name.is_in(declares.tenants.iter().copied()))
            .add(tenant::Column::Id.is_in(known(tenant::Entity::KIND)));
        standing.add(db, tenant::Entity::find().filter(declared)).await?;
        let declared = Condition::any()
            .add(virtual_key::Column::ManagedBy.eq(FILE))
            .add(virtual_key::Column::Hash.is_in(declares.keys.iter().map(|hash| hash.0.to_vec())))
            .add(virtual_key::Column::Id.is_in(known(virtual_key::Entity::KIND)));
        standing.add(db, virtual_key::Entity::find().filter(declared)).await?;
        standing.add(db, provider::Entity::find().filter(provider::Column::TenantId.is_null())).await?;
        standing.add(db, model::Entity::find()).await?;
        for row in voice::Entity::find().all(db).await? {
            let name = row.name.clone();
            standing.insert("voice", name, None, voices::view(row))?;
        }
        Ok(standing)
    }

    async fn add<R: Resource>(&mut self, db: &impl ConnectionTrait, select: Select<R>) -> Result<(), AdminError> {
        for row in select.all(db).await? {
            let head = R::head(&row);
            self.insert(R::KIND, head.id.to_string(), head.owner, R::view(db, row, Scope::All).await)?;
        }
        Ok(())
    }

    fn insert(
        &mut self,
        kind: &'static str,
        id: String,
        owner: Option<TenantId>,
        view: Result<impl Serialize, AdminError>,
    ) -> Result<(), AdminError> {
        let shown = view.and_then(|view| serde_json::to_value(view).map_err(|error| AdminError::internal(&error)));
        let shown = match shown {
            // What was wrong has been told.
            Err(AdminError::Internal) => {
                tracing::warn!(kind, id, "a row is damaged: the audit log cannot show it");
                Value::Null
            }
            shown => shown?,
        };
        self.0.insert((kind, id), Row { owner, shown });
        Ok(())
    }

    /// Appends an entry for each row that is another one now, when what is declared was written.
    ///
    /// # Errors
    /// The database's.
    pub async fn tell(
        mut self,
        transaction: &DatabaseTransaction,
        by: &By,
        declares: &Declares<'_>,
    ) -> Result<(), AdminError> {
        let now = Self::read_beside(transaction, declares, &self).await?;
        let mut changes = Vec::new();
        for ((kind, id), row) in now.0 {
            match self.0.remove(&(kind, id.clone())) {
                None => changes.push(Change::of("create", kind, id, row.owner).after(&row.shown)),
                Some(before) if without_time(&before.shown) == without_time(&row.shown) => {}
                Some(before) => {
                    let is_over = |shown: &Value| shown.get("revoked_at").is_some_and(|at| !at.is_null());
                    let action = if is_over(&row.shown) && !is_over(&before.shown) { "revoke" } else { "update" };
                    changes.push(Change::of(action, kind, id, row.owner).before(&before.shown).after(&row.shown));
                }
            }
        }
        for ((kind, id), row) in self.0 {
            changes.push(Change::of("delete", kind, id, row.owner).before(&row.shown));
        }
        append_all(transaction, by, changes).await
    }
}

/// When a row was written is no change of what it says.
fn without_time(shown: &Value) -> Value {
    let mut shown = shown.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("updated_at");
    }
    shown
}
