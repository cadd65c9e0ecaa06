//! Virtual keys: hashes and policies.

use domain::ids::{TenantId, VirtualKeyId};
use domain::key::KeyHash;
use domain::money::NanoUsd;
use domain::provider::Operation;
use entities::{Id, tenant, virtual_key};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Iterable, QueryFilter,
    QueryOrder, QuerySelect, Select, UpdateMany,
};
use time::OffsetDateTime;

use super::{ManagedBy, corrupt, from_json, stored, to_count, to_i64, to_json};
use crate::snapshot::{Budget, BudgetWindow, Key};

/// A key as it is kept.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Id, tenant, name and policy.
    pub key: Key,
    /// The only form in which the secret is kept.
    pub hash: KeyHash,
    /// Version of the pepper that made the hash.
    pub pepper_version: u32,
    /// What a person may see: `sk-ap-…last4`.
    pub redacted: String,
    /// Who made it.
    pub managed_by: ManagedBy,
    /// Since then it is refused.
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// Adds a key.
///
/// # Errors
/// The database's; a hash that exists is a unique violation.
pub async fn insert_key(db: &impl ConnectionTrait, key: &StoredKey) -> Result<(), DbErr> {
    virtual_key::Entity::insert(to_row(key)?).exec_without_returning(db).await?;
    Ok(())
}

/// Adds a key, or gives the key of the same hash this name and policy. A key that a person revoked or
/// removed stays revoked; one revoked because the file no longer declared it is valid again. Gives the id
/// of the row, which is the older one's where there was one.
///
/// # Errors
/// The database's; the secret belongs to another tenant.
pub async fn upsert_key(db: &impl ConnectionTrait, key: &StoredKey) -> Result<VirtualKeyId, DbErr> {
    let row = to_row(key)?;
    let nothing = OnConflict::column(virtual_key::Column::Hash).do_nothing().to_owned();
    match virtual_key::Entity::insert(row.clone()).on_conflict(nothing).exec_without_returning(db).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(error) => return Err(error),
    }
    let found = virtual_key::Entity::find()
        .filter(virtual_key::Column::Hash.eq(key.hash.0.to_vec()))
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound(format!("key {}", key.key.name)))?;
    if found.tenant_id != Id(key.key.tenant.0) {
        return Err(DbErr::Custom(format!("the key {} is another tenant's already", key.key.name)));
    }
    let mut changed = row;
    changed.id = Set(found.id);
    changed.created_at = Set(found.created_at);
    let by_a_person = found.revoked_by.as_deref().is_some_and(|by| by != ManagedBy::File.as_str());
    if by_a_person || found.deleted_at.is_some() {
        changed.revoked_at = Set(found.revoked_at);
        changed.revoked_by = Set(found.revoked_by.clone());
    }
    let (id, version) = (found.id, found.version);
    let found: virtual_key::ActiveModel = found.into();
    let is_other = |column: virtual_key::Column| {
        changed.get(column).into_value().is_some_and(|value| Some(value) != found.get(column).into_value())
    };
    if virtual_key::Column::iter().any(is_other) {
        changed.version = Set(version + 1);
        changed.updated_at = Set(Some(stored(key.created_at)));
        virtual_key::Entity::update(changed).exec(db).await?;
    }
    Ok(VirtualKeyId(id.0))
}

/// One key of a tenant.
///
/// # Errors
/// The database's.
pub async fn find_key(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: VirtualKeyId,
) -> Result<Option<StoredKey>, DbErr> {
    let row = virtual_key::Entity::find_by_id(Id(id.0))
        .filter(virtual_key::Column::TenantId.eq(Id(tenant.0)))
        .one(db)
        .await?;
    row.map(from_row).transpose()
}

/// Every key of a tenant, revoked ones too, in the order they were made.
///
/// # Errors
/// The database's.
pub async fn list_keys(db: &impl ConnectionTrait, tenant: TenantId) -> Result<Vec<StoredKey>, DbErr> {
    let rows = virtual_key::Entity::find()
        .filter(virtual_key::Column::TenantId.eq(Id(tenant.0)))
        .order_by_asc(virtual_key::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Revokes a key: of this tenant, or of any where the operator asks (`None`). `false` when there is
/// no such key or it was revoked before.
///
/// # Errors
/// The database's.
pub async fn revoke_key(
    db: &impl ConnectionTrait,
    tenant: Option<TenantId>,
    id: VirtualKeyId,
    by: ManagedBy,
    now: OffsetDateTime,
) -> Result<bool, DbErr> {
    let mut update = revocation(by, now).filter(virtual_key::Column::Id.eq(Id(id.0)));
    if let Some(tenant) = tenant {
        update = update.filter(virtual_key::Column::TenantId.eq(Id(tenant.0)));
    }
    Ok(update.exec(db).await?.rows_affected > 0)
}

/// Revokes the keys that the configuration file once declared and does not any more, and gives them back to the
/// API; gives how many were revoked.
///
/// # Errors
/// The database's.
pub async fn revoke_undeclared_keys(
    db: &impl ConnectionTrait,
    declared: &[KeyHash],
    now: OffsetDateTime,
) -> Result<u64, DbErr> {
    let declared = declared.iter().map(|hash| hash.0.to_vec());
    let gone =
        virtual_key::Column::ManagedBy.eq(ManagedBy::File.as_str()).and(virtual_key::Column::Hash.is_not_in(declared));
    let revoked = revocation(ManagedBy::File, now).filter(gone.clone()).exec(db).await?.rows_affected;
    changed(now)
        .col_expr(virtual_key::Column::ManagedBy, Expr::value(ManagedBy::Api.as_str()))
        .filter(gone)
        .exec(db)
        .await?;
    Ok(revoked)
}

/// Every key that is not revoked and whose tenant is not suspended, expired ones included: expiry is checked
/// when a key is used. A key refuses what has no price where its tenant does. One whose secret was replaced
/// comes a second time, before, with its previous secret and until that expires.
///
/// # Errors
/// The database's.
pub async fn all_active_keys(db: &impl ConnectionTrait) -> Result<Vec<(KeyHash, Key)>, DbErr> {
    active_keys(db, virtual_key::Entity::find()).await
}

/// One key, as it comes in [`all_active_keys`], where it is there.
///
/// # Errors
/// The database's.
pub async fn find_active_key(db: &impl ConnectionTrait, id: VirtualKeyId) -> Result<Vec<(KeyHash, Key)>, DbErr> {
    active_keys(db, virtual_key::Entity::find_by_id(Id(id.0))).await
}

async fn active_keys(
    db: &impl ConnectionTrait,
    select: Select<virtual_key::Entity>,
) -> Result<Vec<(KeyHash, Key)>, DbErr> {
    let tenants = |rule| tenant::Entity::find().select_only().column(tenant::Column::Id).filter(rule).into_tuple();
    let strict: Vec<Id> = tenants(tenant::Column::RefuseUnpriced.eq(true)).all(db).await?;
    let suspended: Vec<Id> = tenants(tenant::Column::SuspendedAt.is_not_null()).all(db).await?;
    let rows = select.filter(virtual_key::Column::RevokedAt.is_null()).all(db).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for mut row in rows {
        if suspended.contains(&row.tenant_id) {
            continue;
        }
        let previous = row.previous_hash.take().zip(row.previous_expires_at.take());
        let stored = from_row(row)?;
        let mut key = stored.key;
        key.refuse_unpriced |= strict.contains(&Id(key.tenant.0));
        if let Some((hash, until)) = previous {
            let until = key.expires_at.filter(|at| *at < until).unwrap_or(until);
            keys.push((hash_of(hash)?, Key { expires_at: Some(until), ..key.clone() }));
        }
        keys.push((stored.hash, key));
    }
    Ok(keys)
}

/// A change: whoever has read the row before must read it again.
fn changed(now: OffsetDateTime) -> UpdateMany<virtual_key::Entity> {
    virtual_key::Entity::update_many()
        .col_expr(virtual_key::Column::Version, Expr::col(virtual_key::Column::Version).add(1))
        .col_expr(virtual_key::Column::UpdatedAt, Expr::value(stored(now)))
}

fn revocation(by: ManagedBy, now: OffsetDateTime) -> UpdateMany<virtual_key::Entity> {
    changed(now)
        .col_expr(virtual_key::Column::RevokedAt, Expr::value(stored(now)))
        .col_expr(virtual_key::Column::RevokedBy, Expr::value(by.as_str()))
        .filter(virtual_key::Column::RevokedAt.is_null())
}

fn to_row(stored_key: &StoredKey) -> Result<virtual_key::ActiveModel, DbErr> {
    let key = &stored_key.key;
    Ok(virtual_key::ActiveModel {
        id: Set(Id(key.id.0)),
        tenant_id: Set(Id(key.tenant.0)),
        name: Set(key.name.clone()),
        hash: Set(stored_key.hash.0.to_vec()),
        pepper_version: Set(i32::try_from(stored_key.pepper_version).unwrap_or(i32::MAX)),
        redacted: Set(stored_key.redacted.clone()),
        operations: Set(to_json(&key.operations)?),
        models: Set(to_json(&key.models)?),
        rpm: Set(key.requests_per_minute.map(to_i64)),
        max_sessions: Set(key.max_concurrent_sessions.map(to_i64)),
        budget_nano_usd: Set(key.budget.map(|budget| budget.amount.0)),
        budget_window: Set(key.budget.map(|budget| window_name(budget.window).to_owned())),
        max_upload_bytes: Set(key.max_upload_bytes.map(to_i64)),
        refuse_unpriced: Set(key.refuse_unpriced),
        passthrough: Set(key.passthrough),
        allow_strategy: Set(key.allow_strategy),
        expires_at: Set(key.expires_at.map(stored)),
        revoked_at: Set(stored_key.revoked_at.map(stored)),
        revoked_by: Set(stored_key.revoked_at.map(|_| stored_key.managed_by.as_str().to_owned())),
        managed_by: Set(stored_key.managed_by.as_str().to_owned()),
        created_at: Set(stored(stored_key.created_at)),
        ..Default::default()
    })
}

fn hash_of(bytes: Vec<u8>) -> Result<KeyHash, DbErr> {
    <[u8; 32]>::try_from(bytes).map(KeyHash).map_err(|_| corrupt("hash", "another length than 32 bytes"))
}

fn from_row(row: virtual_key::Model) -> Result<StoredKey, DbErr> {
    let hash = hash_of(row.hash)?;
    let budget = match (row.budget_nano_usd, row.budget_window) {
        (Some(amount), Some(window)) => Some(Budget { amount: NanoUsd(amount), window: window_of(&window)? }),
        _ => None,
    };
    let key = Key {
        id: VirtualKeyId(row.id.0),
        tenant: TenantId(row.tenant_id.0),
        name: row.name,
        operations: from_json::<Vec<Operation>>("operations", &row.operations)?,
        models: from_json("models", &row.models)?,
        requests_per_minute: row.rpm.map(|count| to_count("rpm", count)).transpose()?,
        max_concurrent_sessions: row.max_sessions.map(|count| to_count("max_sessions", count)).transpose()?,
        budget,
        max_upload_bytes: row.max_upload_bytes.map(|count| to_count("max_upload_bytes", count)).transpose()?,
        expires_at: row.expires_at,
        refuse_unpriced: row.refuse_unpriced,
        passthrough: row.passthrough,
        allow_strategy: row.allow_strategy,
    };
    Ok(StoredKey {
        key,
        hash,
        pepper_version: to_count("pepper_version", row.pepper_version.into())?,
        redacted: row.redacted,
        managed_by: ManagedBy::parse(&row.managed_by)?,
        revoked_at: row.revoked_at,
        created_at: row.created_at,
    })
}

const fn window_name(window: BudgetWindow) -> &'static str {
    match window {
        BudgetWindow::Total => "total",
        BudgetWindow::Daily => "daily",
        BudgetWindow::Monthly => "monthly",
    }
}

fn window_of(name: &str) -> Result<BudgetWindow, DbErr> {
    [BudgetWindow::Total, BudgetWindow::Daily, BudgetWindow::Monthly]
        .into_iter()
        .find(|window| window_name(*window) == name)
        .ok_or_else(|| corrupt("budget_window", name))
}
