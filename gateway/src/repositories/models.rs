//! Model names with their routes, and voice names.

use std::collections::BTreeMap;

use domain::ids::TenantId;
use domain::routing::Hedge;
use entities::{Id, model, voice};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ManagedBy, from_json, parse, stored, to_count, to_json};
use crate::snapshot::Route;

/// Makes or changes the route of this name and tenant.
///
/// # Errors
/// The database's.
pub async fn upsert_model(
    db: &impl ConnectionTrait,
    route: &Route,
    managed_by: ManagedBy,
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    let tenant = route.tenant.map(|tenant| Id(tenant.0));
    let owner = match tenant {
        Some(tenant) => model::Column::TenantId.eq(tenant),
        None => model::Column::TenantId.is_null(),
    };
    let found = model::Entity::find().filter(model::Column::Name.eq(route.name.as_str())).filter(owner).one(db).await?;
    let row = model::ActiveModel {
        id: Set(found.as_ref().map_or_else(|| Id(Uuid::now_v7()), |row| row.id)),
        name: Set(route.name.clone()),
        tenant_id: Set(tenant),
        strategy: Set(route.strategy.to_string()),
        targets: Set(to_json(&route.targets)?),
        hedge_ms: Set(route.hedge.map(|hedge| i32::try_from(hedge.unmeasured_ms).unwrap_or(i32::MAX))),
        managed_by: Set(managed_by.as_str().to_owned()),
        created_at: Set(found.as_ref().map_or_else(|| stored(now), |row| row.created_at)),
        ..Default::default()
    };
    if found.is_some() {
        model::Entity::update(row).exec(db).await?;
        return Ok(());
    }
    // Another replica that starts at the same moment has written the same file's route.
    let nothing = OnConflict::new().do_nothing().to_owned();
    match model::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the routes that `managed_by` once declared and does not any more; gives how many.
///
/// # Errors
/// The database's.
pub async fn delete_undeclared_models(
    db: &impl ConnectionTrait,
    managed_by: ManagedBy,
    declared: &[(String, Option<TenantId>)],
) -> Result<u64, DbErr> {
    let rows = model::Entity::find().filter(model::Column::ManagedBy.eq(managed_by.as_str())).all(db).await?;
    let is_declared = |row: &model::Model| {
        declared.iter().any(|(name, tenant)| *name == row.name && tenant.map(|id| Id(id.0)) == row.tenant_id)
    };
    let gone = rows.iter().filter(|row| !is_declared(row)).map(|row| row.id);
    let result = model::Entity::delete_many().filter(model::Column::Id.is_in(gone)).exec(db).await?;
    Ok(result.rows_affected)
}

/// Every route, and who made it: the platform's first, then the tenants'.
///
/// # Errors
/// The database's.
pub async fn list_models(db: &impl ConnectionTrait) -> Result<Vec<(Route, ManagedBy)>, DbErr> {
    let rows = model::Entity::find().order_by_asc(model::Column::Name).order_by_asc(model::Column::Id).all(db).await?;
    let mut routes = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    routes.sort_by_key(|(route, _)| route.tenant);
    Ok(routes)
}

/// The routes that a name may mean for a tenant: its own and the platform's.
///
/// # Errors
/// The database's.
pub async fn list_models_named(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    name: &str,
) -> Result<Vec<(Route, ManagedBy)>, DbErr> {
    let visible = Condition::any().add(model::Column::TenantId.is_null()).add(model::Column::TenantId.eq(Id(tenant.0)));
    let rows = model::Entity::find().filter(visible).filter(model::Column::Name.eq(name)).all(db).await?;
    rows.into_iter().map(from_row).collect()
}

/// Makes or changes a voice: provider name or kind → that provider's voice.
///
/// # Errors
/// The database's.
pub async fn upsert_voice(
    db: &impl ConnectionTrait,
    name: &str,
    map: &BTreeMap<String, String>,
    managed_by: ManagedBy,
) -> Result<(), DbErr> {
    let row = voice::ActiveModel {
        name: Set(name.to_owned()),
        map: Set(to_json(map)?),
        managed_by: Set(managed_by.as_str().to_owned()),
        ..Default::default()
    };
    let update = OnConflict::column(voice::Column::Name)
        .update_columns([voice::Column::Map, voice::Column::ManagedBy])
        .to_owned();
    voice::Entity::insert(row).on_conflict(update).exec_without_returning(db).await?;
    Ok(())
}

/// Removes the voices that `managed_by` once declared and does not any more; gives how many.
///
/// # Errors
/// The database's.
pub async fn delete_undeclared_voices(
    db: &impl ConnectionTrait,
    managed_by: ManagedBy,
    declared: &[String],
) -> Result<u64, DbErr> {
    let result = voice::Entity::delete_many()
        .filter(voice::Column::ManagedBy.eq(managed_by.as_str()))
        .filter(voice::Column::Name.is_not_in(declared.iter().map(String::as_str)))
        .exec(db)
        .await?;
    Ok(result.rows_affected)
}

/// Every voice name with its map.
///
/// # Errors
/// The database's.
pub async fn list_voices(db: &impl ConnectionTrait) -> Result<BTreeMap<String, BTreeMap<String, String>>, DbErr> {
    let rows = voice::Entity::find().all(db).await?;
    rows.into_iter().map(|row| Ok((row.name, from_json("map", &row.map)?))).collect()
}

fn from_row(row: model::Model) -> Result<(Route, ManagedBy), DbErr> {
    let managed_by = ManagedBy::parse(&row.managed_by)?;
    let route = Route {
        name: row.name,
        tenant: row.tenant_id.map(|tenant| TenantId(tenant.0)),
        strategy: parse("strategy", &row.strategy)?,
        targets: from_json("targets", &row.targets)?,
        hedge: row
            .hedge_ms
            .map(|ms| to_count("hedge_ms", ms.into()))
            .transpose()?
            .map(|unmeasured_ms| Hedge { unmeasured_ms }),
    };
    Ok((route, managed_by))
}
