//! Providers, the platform's and the tenants' own.

use admin_types::page::Page;
use admin_types::providers::{ListProviders, Provider, ProviderSort};
use domain::routing::Target;
use entities::{Id, model, provider};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use time::OffsetDateTime;

use super::resource::{Head, Resource, owner};
use super::{Scope, contains};
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown. Where the platform's providers are is none of a tenant's business.
pub(crate) fn view(row: provider::Model, scope: Scope) -> Provider {
    let is_shown = scope == Scope::All || row.tenant_id.is_some();
    Provider {
        id: row.id.0,
        tenant_id: row.tenant_id.map(|id| id.0),
        name: row.name,
        kind: row.kind,
        base_url: is_shown.then_some(row.base_url),
        region: row.region,
        allow_insecure: row.allow_insecure,
        enabled: row.enabled,
        managed_by: row.managed_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

impl Resource for provider::Entity {
    const KIND: &'static str = "provider";
    const ANNOUNCED: bool = true;
    type View = Provider;

    fn visible(scope: Scope) -> Condition {
        scope.own_or_platform(provider::Column::TenantId)
    }

    fn head(row: &provider::Model) -> Head {
        Head {
            id: row.id,
            owner: owner(row.tenant_id),
            version: row.version,
            is_declared: matches!(row.managed_by.as_str(), "file" | "environment"),
        }
    }

    fn renew(row: &mut provider::Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = now;
    }

    async fn view(_: &impl ConnectionTrait, row: provider::Model, scope: Scope) -> Result<Provider, AdminError> {
        Ok(view(row, scope))
    }
}

/// One page of the providers that the caller may use: its own, and the platform's.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListProviders,
) -> Result<Page<Provider>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, ProviderSort::Name | ProviderSort::NameDescending).then_some(provider::Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add_option(list.q.as_deref().map(|text| contains(provider::Column::Name, text)))
        .add_option(list.kind.as_deref().map(|kind| provider::Column::Kind.eq(kind)))
        .add_option(list.tenant_id.map(|tenant| provider::Column::TenantId.eq(Id(tenant))))
        .add_option(list.managed_by.as_deref().map(|origin| provider::Column::ManagedBy.eq(origin)))
        .add_option(list.enabled.map(|enabled| provider::Column::Enabled.eq(enabled)));
    let select = provider::Entity::find().filter(provider::Entity::visible(scope)).filter(asked);
    Ok(position.page(db, select, provider::Column::Id).await?.map(|row| view(row, scope)))
}

/// Names of the models with a target at a provider: of its tenant's, or of all for the platform's.
///
/// # Errors
/// The database's; a route that cannot be read.
pub(crate) async fn routes_to(db: &impl ConnectionTrait, row: &provider::Model) -> Result<Vec<String>, AdminError> {
    let mut select = model::Entity::find().filter(contains(model::Column::Targets, &row.name));
    if let Some(tenant) = row.tenant_id {
        select = select.filter(model::Column::TenantId.eq(tenant));
    }
    let mut names = Vec::new();
    for route in select.order_by_asc(model::Column::Name).all(db).await? {
        let targets: Vec<Target> =
            serde_json::from_str(&route.targets).map_err(|error| AdminError::internal(&error))?;
        if targets.iter().any(|target| target.provider == row.name) {
            names.push(route.name);
        }
    }
    Ok(names)
}
