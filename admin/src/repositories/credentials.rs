//! Credentials of providers. They come here sealed, and nobody opens them on this plane.

use admin_types::page::Page;
use admin_types::providers::{Credential, CredentialSort, ListCredentials};
use entities::{Id, provider_credential};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, Select};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resource::{Head, Resource, owner};
use super::{Scope, contains, unreadable};
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown.
///
/// # Errors
/// The row holds what no version of this program writes there.
pub(crate) fn view(row: provider_credential::Model) -> Result<Credential, DbErr> {
    let count = |column: &str, number: i64| u32::try_from(number).map_err(|_| unreadable(column));
    Ok(Credential {
        id: row.id.0,
        provider_id: row.provider_id.0,
        label: row.label,
        last4: row.last4,
        fingerprint: row.fingerprint,
        weight: count("provider_credentials.weight", row.weight)?,
        max_concurrent: row
            .max_concurrent
            .map(|most| count("provider_credentials.max_concurrent", most))
            .transpose()?,
        enabled: row.enabled,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

impl Resource for provider_credential::Entity {
    const KIND: &'static str = "credential";
    const ANNOUNCED: bool = true;
    type View = Credential;

    fn visible(scope: Scope) -> Condition {
        scope.own(provider_credential::Column::TenantId)
    }

    fn head(row: &provider_credential::Model) -> Head {
        Head { id: row.id, owner: owner(row.tenant_id), version: row.version, is_declared: false }
    }

    fn renew(row: &mut provider_credential::Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = now;
    }

    async fn view(
        _: &impl ConnectionTrait,
        row: provider_credential::Model,
        _: Scope,
    ) -> Result<Credential, AdminError> {
        Ok(view(row)?)
    }
}

/// One page of a provider's credentials.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    provider: Id,
    list: &ListCredentials,
) -> Result<Page<Credential>, AdminError> {
    use provider_credential::Column;
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, CredentialSort::Label | CredentialSort::LabelDescending).then_some(Column::Label);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add(Column::ProviderId.eq(provider))
        .add_option(list.q.as_deref().map(|text| contains(Column::Label, text)))
        .add_option(list.enabled.map(|enabled| Column::Enabled.eq(enabled)));
    let select = provider_credential::Entity::find().filter(asked);
    Ok(position.page(db, select, Column::Id).await?.try_map(view)?)
}

/// How many credentials a provider has.
///
/// # Errors
/// The database's.
pub(crate) async fn count(db: &impl ConnectionTrait, provider: Id) -> Result<u64, DbErr> {
    provider_credential::Entity::find().filter(provider_credential::Column::ProviderId.eq(provider)).count(db).await
}

/// One credential of a provider.
pub(crate) fn of(provider: Id, id: Uuid) -> Select<provider_credential::Entity> {
    provider_credential::Entity::find_by_id(Id(id)).filter(provider_credential::Column::ProviderId.eq(provider))
}
