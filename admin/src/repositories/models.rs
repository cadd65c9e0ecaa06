//! Models: names with their targets.

use std::collections::BTreeSet;

use admin_types::models::{ListModels, Model, ModelHedge, ModelSort, ModelTarget};
use admin_types::page::Page;
use domain::ids::TenantId;
use domain::routing::{Strategies, Target};
use entities::{Id, model, provider};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resource::{Head, Resource, owner};
use super::{Scope, contains, stored, unreadable};
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown.
///
/// # Errors
/// The row holds what no version of this program writes there.
pub(crate) fn view(row: model::Model) -> Result<Model, AdminError> {
    let targets: Vec<Target> = serde_json::from_str(&row.targets).map_err(|error| AdminError::internal(&error))?;
    let unmeasured_ms = row.hedge_ms.map(u32::try_from).transpose().map_err(|_| unreadable("models.hedge_ms"))?;
    Ok(Model {
        id: row.id.0,
        name: row.name,
        tenant_id: row.tenant_id.map(|id| id.0),
        strategy: row.strategy.parse().map_err(|error| AdminError::internal(&error))?,
        targets: targets.into_iter().map(shown).collect(),
        hedge: unmeasured_ms.map(|unmeasured_ms| ModelHedge { unmeasured_ms }),
        managed_by: row.managed_by,
        created_at: row.created_at,
        updated_at: row.updated_at.unwrap_or(row.created_at),
    })
}

fn shown(target: Target) -> ModelTarget {
    let Target { provider, model, weight, priority, quality, region, options } = target;
    ModelTarget { provider, model, weight, priority, quality, region, options }
}

/// A hedge as it is kept.
pub(crate) fn kept_hedge(hedge: Option<ModelHedge>) -> Option<i32> {
    hedge.map(|hedge| i32::try_from(hedge.unmeasured_ms).unwrap_or(i32::MAX))
}

/// Targets as they are kept.
///
/// # Errors
/// They cannot be written as JSON.
pub(crate) fn kept(targets: Vec<ModelTarget>) -> Result<String, AdminError> {
    let targets: Vec<Target> = targets
        .into_iter()
        .map(|target| {
            let ModelTarget { provider, model, weight, priority, quality, region, options } = target;
            Target { provider, model, weight, priority, quality, region, options }
        })
        .collect();
    serde_json::to_string(&targets).map_err(|error| AdminError::internal(&error))
}

impl Resource for model::Entity {
    const KIND: &'static str = "model";
    const ANNOUNCED: bool = true;
    type View = Model;

    fn visible(scope: Scope) -> Condition {
        scope.own_or_platform(model::Column::TenantId)
    }

    fn head(row: &model::Model) -> Head {
        Head { id: row.id, owner: owner(row.tenant_id), version: row.version, is_declared: row.managed_by == "file" }
    }

    fn renew(row: &mut model::Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = Some(now);
    }

    async fn view(_: &impl ConnectionTrait, row: model::Model, _: Scope) -> Result<Model, AdminError> {
        view(row)
    }
}

/// One page of the models that the caller may see: its own, and the platform's.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListModels,
) -> Result<Page<Model>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, ModelSort::Name | ModelSort::NameDescending).then_some(model::Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add_option(list.tenant_id.map(|tenant| model::Column::TenantId.eq(Id(tenant))))
        .add_option(list.q.as_deref().map(|text| contains(model::Column::Name, text)))
        .add_option(list.strategy.map(|strategy| model::Column::Strategy.eq(strategy.to_string())))
        .add_option(list.managed_by.as_deref().map(|origin| model::Column::ManagedBy.eq(origin)));
    let select = model::Entity::find().filter(model::Entity::visible(scope)).filter(asked);
    position.page(db, select, model::Column::Id).await?.try_map(view)
}

/// Whether a tenant has a model of its own of this name.
///
/// # Errors
/// The database's.
pub(crate) async fn has_own(db: &impl ConnectionTrait, tenant: TenantId, name: &str) -> Result<bool, AdminError> {
    let own = Scope::Tenant(tenant).own(model::Column::TenantId);
    let found = model::Entity::find().filter(own).filter(model::Column::Name.eq(name)).one(db).await?;
    Ok(found.is_some())
}

/// A model that is not kept yet.
pub(crate) fn fresh(
    owner: Option<TenantId>,
    name: String,
    strategy: Strategies,
    targets: String,
    hedge: Option<ModelHedge>,
    now: OffsetDateTime,
) -> model::Model {
    let now = stored(now);
    model::Model {
        id: Id(Uuid::now_v7()),
        name,
        tenant_id: owner.map(|tenant| Id(tenant.0)),
        strategy: strategy.to_string(),
        targets,
        hedge_ms: kept_hedge(hedge),
        managed_by: "api".to_owned(),
        created_at: now,
        version: 1,
        updated_at: Some(now),
    }
}

/// The names of the providers that an owner's models may name: the platform's, and its own.
///
/// # Errors
/// The database's.
pub(crate) async fn provider_names(
    db: &impl ConnectionTrait,
    owner: Option<TenantId>,
) -> Result<BTreeSet<String>, AdminError> {
    let mut visible = Condition::any().add(provider::Column::TenantId.is_null());
    if let Some(tenant) = owner {
        visible = visible.add(provider::Column::TenantId.eq(Id(tenant.0)));
    }
    names_of_providers(db, visible).await
}

/// The names of a tenant's own providers.
///
/// # Errors
/// The database's.
pub(crate) async fn own_provider_names(
    db: &impl ConnectionTrait,
    tenant: TenantId,
) -> Result<BTreeSet<String>, AdminError> {
    names_of_providers(db, Scope::Tenant(tenant).own(provider::Column::TenantId)).await
}

async fn names_of_providers(db: &impl ConnectionTrait, which: Condition) -> Result<BTreeSet<String>, AdminError> {
    let names = provider::Entity::find().filter(which).select_only().column(provider::Column::Name);
    Ok(names.into_tuple::<String>().all(db).await?.into_iter().collect())
}
