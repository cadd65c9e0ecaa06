//! Tenants.

use admin_types::tenants::{ListTenants, Tenant, TenantSort};
use domain::ids::TenantId;
use entities::{Id, tenant};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Scope, contains, stored};
use crate::error::AdminError;
use crate::paging::{Key, Position};

/// A row as it is shown.
pub(crate) fn view(row: tenant::Model) -> Tenant {
    Tenant {
        id: row.id.0,
        name: row.name,
        refuse_unpriced: row.refuse_unpriced,
        suspended_at: row.suspended_at,
        suspended_reason: row.suspended_reason,
        managed_by: row.managed_by,
        created_at: row.created_at,
        updated_at: row.updated_at.unwrap_or(row.created_at),
    }
}

/// One page of the tenants that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListTenants,
) -> Result<admin_types::page::Page<Tenant>, AdminError> {
    let (sort, column, descending) = match list.sort.unwrap_or_default() {
        TenantSort::CreatedAt => ("created_at", None, false),
        TenantSort::CreatedAtDescending => ("-created_at", None, true),
        TenantSort::Name => ("name", Some(tenant::Column::Name), false),
        TenantSort::NameDescending => ("-name", Some(tenant::Column::Name), true),
    };
    let position = Position::new(list.limit, list.cursor.as_deref(), sort, descending)?;
    let mut select = tenant::Entity::find().filter(scope.own(tenant::Column::Id));
    if let Some(text) = &list.q {
        select = select.filter(contains(tenant::Column::Name, text));
    }
    select = match list.suspended {
        Some(true) => select.filter(tenant::Column::SuspendedAt.is_not_null()),
        Some(false) => select.filter(tenant::Column::SuspendedAt.is_null()),
        None => select,
    };
    let rows = position.apply(select, column, tenant::Column::Id).all(db).await?;
    let key = |row: &tenant::Model| match column {
        Some(_) => (Key::Text(row.name.clone()), row.id.0),
        None => (Key::Id, row.id.0),
    };
    Ok(position.page(rows, key, view))
}

/// One tenant that the caller may see. Locked until the transaction ends, where it is for a change.
///
/// # Errors
/// The database's, [`AdminError::NotFound`].
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
    for_change: bool,
) -> Result<tenant::Model, AdminError> {
    let mut find = tenant::Entity::find_by_id(Id(id)).filter(scope.own(tenant::Column::Id));
    if for_change && db.get_database_backend() == sea_orm::DbBackend::Postgres {
        find = find.lock_exclusive();
    }
    find.one(db).await?.ok_or(AdminError::NotFound)
}

/// The tenant of this name.
///
/// # Errors
/// The database's.
pub(crate) async fn find_by_name(db: &impl ConnectionTrait, name: &str) -> Result<Option<tenant::Model>, DbErr> {
    tenant::Entity::find().filter(tenant::Column::Name.eq(name)).one(db).await
}

/// Whether people of a tenant are served: it is there and not suspended.
///
/// # Errors
/// The database's.
pub(crate) async fn is_served(db: &impl ConnectionTrait, id: TenantId) -> Result<bool, DbErr> {
    let row = tenant::Entity::find_by_id(Id(id.0)).one(db).await?;
    Ok(row.is_some_and(|tenant| tenant.suspended_at.is_none()))
}

/// Makes a tenant.
///
/// # Errors
/// The database's; the name is taken.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    name: &str,
    refuse_unpriced: bool,
    now: OffsetDateTime,
) -> Result<tenant::Model, DbErr> {
    let now = stored(now);
    let row = tenant::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        name: Set(name.to_owned()),
        refuse_unpriced: Set(refuse_unpriced),
        suspended_at: Set(None),
        suspended_reason: Set(None),
        version: Set(1),
        updated_at: Set(Some(now)),
        managed_by: Set("api".to_owned()),
        created_at: Set(now),
    };
    row.insert(db).await
}

/// Writes what has changed of a row and raises its version.
///
/// # Errors
/// The database's; the name is taken.
pub(crate) async fn update(
    db: &impl ConnectionTrait,
    mut row: tenant::Model,
    now: OffsetDateTime,
) -> Result<tenant::Model, DbErr> {
    row.version += 1;
    row.updated_at = Some(stored(now));
    tenant::ActiveModel::from(row).reset_all().update(db).await
}

/// Removes a tenant with its keys, users, models and prices. What it has used stays in the ledger.
///
/// # Errors
/// The database's.
pub(crate) async fn delete(db: &impl ConnectionTrait, id: TenantId) -> Result<(), DbErr> {
    tenant::Entity::delete_by_id(Id(id.0)).exec(db).await.map(drop)
}
