//! Tenants.

use std::collections::HashMap;

use domain::ids::TenantId;
use entities::{Id, tenant};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    UpdateMany,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ManagedBy, stored};
use crate::limits::shared::WhenAway;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Unique name.
    pub name: String,
    /// Models without a price are refused for every key of the tenant.
    pub refuse_unpriced: bool,
    /// Who made it.
    pub managed_by: ManagedBy,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// Makes or changes the tenant of this name; gives its id, which never changes. `None` leaves it open what
/// becomes of models without a price: a new tenant's are served.
///
/// # Errors
/// The database's.
pub async fn upsert_tenant(
    db: &impl ConnectionTrait,
    name: &str,
    refuse_unpriced: Option<bool>,
    managed_by: ManagedBy,
    now: OffsetDateTime,
) -> Result<TenantId, DbErr> {
    let row = tenant::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        name: Set(name.to_owned()),
        refuse_unpriced: Set(refuse_unpriced.unwrap_or_default()),
        managed_by: Set(managed_by.as_str().to_owned()),
        created_at: Set(stored(now)),
        ..Default::default()
    };
    let nothing = OnConflict::column(tenant::Column::Name).do_nothing().to_owned();
    match tenant::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(error) => return Err(error),
    }
    let tenant = find_tenant_by_name(db, name).await?;
    let tenant = tenant.ok_or_else(|| DbErr::RecordNotFound(format!("tenant {name}")))?;
    let refuse_unpriced = refuse_unpriced.unwrap_or(tenant.refuse_unpriced);
    if (tenant.refuse_unpriced, tenant.managed_by) != (refuse_unpriced, managed_by) {
        changed(now)
            .col_expr(tenant::Column::RefuseUnpriced, Expr::value(refuse_unpriced))
            .col_expr(tenant::Column::ManagedBy, Expr::value(managed_by.as_str()))
            .filter(tenant::Column::Id.eq(Id(tenant.id.0)))
            .exec(db)
            .await?;
    }
    Ok(tenant.id)
}

/// Gives the tenants that the configuration file once declared and does not any more back to the API; gives how
/// many.
///
/// # Errors
/// The database's.
pub async fn release_undeclared_tenants(
    db: &impl ConnectionTrait,
    declared: &[&str],
    now: OffsetDateTime,
) -> Result<u64, DbErr> {
    let update = changed(now)
        .col_expr(tenant::Column::ManagedBy, Expr::value(ManagedBy::Api.as_str()))
        .filter(tenant::Column::ManagedBy.eq(ManagedBy::File.as_str()))
        .filter(tenant::Column::Name.is_not_in(declared.iter().copied()));
    Ok(update.exec(db).await?.rows_affected)
}

/// A change: whoever has read the row before must read it again.
fn changed(now: OffsetDateTime) -> UpdateMany<tenant::Entity> {
    tenant::Entity::update_many()
        .col_expr(tenant::Column::Version, Expr::col(tenant::Column::Version).add(1))
        .col_expr(tenant::Column::UpdatedAt, Expr::value(stored(now)))
}

/// Sets what holds for a tenant's keys while Redis is away; `None` for what holds for all.
///
/// # Errors
/// The database's.
pub async fn set_when_away(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    when_away: Option<WhenAway>,
) -> Result<(), DbErr> {
    let word = when_away.map(|when_away| when_away.as_str().to_owned());
    let update = tenant::Entity::update_many().col_expr(tenant::Column::WhenAway, Expr::value(word));
    update.filter(tenant::Column::Id.eq(Id(tenant.0))).exec(db).await.map(drop)
}

/// What holds while Redis is away, for the tenants that have something of their own. A word that is not known is
/// left out.
///
/// # Errors
/// The database's.
pub async fn list_when_away(db: &impl ConnectionTrait) -> Result<HashMap<TenantId, WhenAway>, DbErr> {
    let rows: Vec<(Id, Option<String>)> = tenant::Entity::find()
        .select_only()
        .columns([tenant::Column::Id, tenant::Column::WhenAway])
        .filter(tenant::Column::WhenAway.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    let known = |(id, word): (Id, Option<String>)| Some((TenantId(id.0), WhenAway::named(word?.as_str())?));
    Ok(rows.into_iter().filter_map(known).collect())
}

/// The tenant of this name.
///
/// # Errors
/// The database's.
pub async fn find_tenant_by_name(db: &impl ConnectionTrait, name: &str) -> Result<Option<Tenant>, DbErr> {
    let row = tenant::Entity::find().filter(tenant::Column::Name.eq(name)).one(db).await?;
    row.map(from_row).transpose()
}

/// Every tenant, by name.
///
/// # Errors
/// The database's.
pub async fn list_tenants(db: &impl ConnectionTrait) -> Result<Vec<Tenant>, DbErr> {
    let rows = tenant::Entity::find().order_by_asc(tenant::Column::Name).all(db).await?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: tenant::Model) -> Result<Tenant, DbErr> {
    Ok(Tenant {
        id: TenantId(row.id.0),
        name: row.name,
        refuse_unpriced: row.refuse_unpriced,
        managed_by: ManagedBy::parse(&row.managed_by)?,
        created_at: row.created_at,
    })
}
