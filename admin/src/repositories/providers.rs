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
use crate::paging::{Key, Position};

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
    let (sort, column, descending) = match list.sort.unwrap_or_default() {
        ProviderSort::CreatedAt => ("created_at", None, false),
        ProviderSort::CreatedAtDescending => ("-created_at", None, true),
        ProviderSort::Name => ("name", Some(provider::Column::Name), false),
        ProviderSort::NameDescending => ("-name", Some(provider::Column::Name), true),
    };
    let position = Position::new(list.limit, list.cursor.as_deref(), sort, descending)?;
    let mut select = provider::Entity::find().filter(scope.own_or_platform(provider::Column::TenantId));
    if let Some(text) = &list.q {
        select = select.filter(contains(provider::Column::Name, text));
    }
    if let Some(kind) = &list.kind {
        select = select.filter(provider::Column::Kind.eq(kind.as_str()));
    }
    if let Some(tenant) = list.tenant_id {
        select = select.filter(provider::Column::TenantId.eq(Id(tenant)));
    }
    if let Some(managed_by) = &list.managed_by {
        select = select.filter(provider::Column::ManagedBy.eq(managed_by.as_str()));
    }
    if let Some(enabled) = list.enabled {
        select = select.filter(provider::Column::Enabled.eq(enabled));
    }
    let rows = position.apply(select, column, provider::Column::Id).all(db).await?;
    let key = |row: &provider::Model| match column {
        Some(_) => (Key::Text(row.name.clone()), row.id.0),
        None => (Key::Id, row.id.0),
    };
    Ok(position.page(rows, key, |row| view(row, scope)))
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
