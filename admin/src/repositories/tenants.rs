//! Tenants.

use admin_types::tenants::{CreateTenant, ListTenants, Tenant, TenantSort, WhenAway};
use domain::ids::TenantId;
use entities::{Id, tenant};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resource::{Head, Resource};
use super::{Scope, contains, is_there, stored, unreadable};
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown.
///
/// # Errors
/// The row holds what no version of this program writes there.
pub(crate) fn view(row: tenant::Model) -> Result<Tenant, DbErr> {
    let when_away =
        row.when_away.as_deref().map(|word| WhenAway::named(word).ok_or_else(|| unreadable("tenants.when_away")));
    Ok(Tenant {
        id: row.id.0,
        name: row.name,
        refuse_unpriced: row.refuse_unpriced,
        when_away: when_away.transpose()?,
        suspended_at: row.suspended_at,
        suspended_reason: row.suspended_reason,
        managed_by: row.managed_by,
        created_at: row.created_at,
        updated_at: row.updated_at.unwrap_or(row.created_at),
    })
}

impl Resource for tenant::Entity {
    const KIND: &'static str = "tenant";
    const ANNOUNCED: bool = true;
    type View = Tenant;

    fn visible(scope: Scope) -> Condition {
        scope.own(tenant::Column::Id)
    }

    /// A tenant that is declared may still be suspended, so each change asks for itself.
    fn head(row: &tenant::Model) -> Head {
        Head { id: row.id, owner: Some(TenantId(row.id.0)), version: row.version, is_declared: false }
    }

    fn renew(row: &mut tenant::Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = Some(now);
    }

    async fn view(_: &impl ConnectionTrait, row: tenant::Model, _: Scope) -> Result<Tenant, AdminError> {
        Ok(view(row)?)
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
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, TenantSort::Name | TenantSort::NameDescending).then_some(tenant::Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add_option(list.q.as_deref().map(|text| contains(tenant::Column::Name, text)))
        .add_option(is_there(tenant::Column::SuspendedAt, list.suspended));
    let select = tenant::Entity::find().filter(tenant::Entity::visible(scope)).filter(asked);
    Ok(position.page(db, select, tenant::Column::Id).await?.try_map(view)?)
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

/// A tenant that is not kept yet.
pub(crate) fn fresh(asked: CreateTenant, now: OffsetDateTime) -> tenant::Model {
    let now = stored(now);
    tenant::Model {
        id: Id(Uuid::now_v7()),
        name: asked.name,
        refuse_unpriced: asked.refuse_unpriced,
        when_away: asked.when_away.map(word),
        suspended_at: None,
        suspended_reason: None,
        version: 1,
        updated_at: Some(now),
        managed_by: "api".to_owned(),
        created_at: now,
    }
}

/// As the table has it.
pub(crate) fn word(when_away: WhenAway) -> String {
    when_away.as_str().to_owned()
}

/// # Errors
/// 422 for an owner that is not there; the database's.
pub(crate) async fn check_owner(db: &impl ConnectionTrait, owner: Option<TenantId>) -> Result<(), AdminError> {
    let Some(tenant) = owner else { return Ok(()) };
    let found = tenant::Entity::find_by_id(Id(tenant.0)).one(db).await?;
    found.map(drop).ok_or_else(|| AdminError::field("tenant_id", "there is no such tenant"))
}
