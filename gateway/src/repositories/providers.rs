//! Accounts at providers. Credentials are sealed before they come here and opened after they leave.

use domain::ids::ProviderId;
use entities::{Id, provider};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use time::OffsetDateTime;

use super::{ManagedBy, parse, stored};
use crate::snapshot::ProviderAccount;

/// An account as it is kept.
#[derive(Debug, Clone)]
pub struct StoredProvider {
    /// The account, without its credential.
    pub account: ProviderAccount,
    /// The sealed credential.
    pub credential: Option<Vec<u8>>,
    /// Who made it.
    pub managed_by: ManagedBy,
}

/// Makes or changes the provider of this name, but for its credential; gives the row's id, which is
/// the older one's where there was one. A credential is sealed for that id: [`set_credential`].
///
/// # Errors
/// The database's.
pub async fn upsert_provider(
    db: &impl ConnectionTrait,
    account: &ProviderAccount,
    managed_by: ManagedBy,
    now: OffsetDateTime,
) -> Result<ProviderId, DbErr> {
    let row = provider::ActiveModel {
        id: Set(Id(account.id.0)),
        name: Set(account.name.clone()),
        kind: Set(account.kind.as_str().to_owned()),
        base_url: Set(account.base_url.clone()),
        credential: Set(None),
        region: Set(account.region.clone()),
        allow_insecure: Set(account.allow_insecure),
        managed_by: Set(managed_by.as_str().to_owned()),
        created_at: Set(stored(now)),
    };
    let update = OnConflict::column(provider::Column::Name)
        .update_columns([
            provider::Column::Kind,
            provider::Column::BaseUrl,
            provider::Column::Region,
            provider::Column::AllowInsecure,
            provider::Column::ManagedBy,
        ])
        .to_owned();
    provider::Entity::insert(row).on_conflict(update).exec_without_returning(db).await?;
    let found = provider::Entity::find().filter(provider::Column::Name.eq(account.name.as_str())).one(db).await?;
    found.map(|row| ProviderId(row.id.0)).ok_or_else(|| DbErr::RecordNotFound(format!("provider {}", account.name)))
}

/// Sets or clears a provider's sealed credential.
///
/// # Errors
/// The database's; there is no such provider.
pub async fn set_credential(db: &impl ConnectionTrait, id: ProviderId, sealed: Option<Vec<u8>>) -> Result<(), DbErr> {
    let result = provider::Entity::update_many()
        .col_expr(provider::Column::Credential, Expr::value(sealed))
        .filter(provider::Column::Id.eq(Id(id.0)))
        .exec(db)
        .await?;
    if result.rows_affected == 0 {
        return Err(DbErr::RecordNotFound(format!("provider {id}")));
    }
    Ok(())
}

/// Removes the providers that `managed_by` once declared and does not any more; gives how many.
///
/// # Errors
/// The database's.
pub async fn delete_undeclared_providers(
    db: &impl ConnectionTrait,
    managed_by: ManagedBy,
    declared: &[String],
) -> Result<u64, DbErr> {
    let result = provider::Entity::delete_many()
        .filter(provider::Column::ManagedBy.eq(managed_by.as_str()))
        .filter(provider::Column::Name.is_not_in(declared.iter().map(String::as_str)))
        .exec(db)
        .await?;
    Ok(result.rows_affected)
}

/// Every provider, by name. Their `api_key` is not set: the credential is sealed.
///
/// # Errors
/// The database's.
pub async fn list_providers(db: &impl ConnectionTrait) -> Result<Vec<StoredProvider>, DbErr> {
    let rows = provider::Entity::find().order_by_asc(provider::Column::Name).all(db).await?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: provider::Model) -> Result<StoredProvider, DbErr> {
    let account = ProviderAccount {
        id: ProviderId(row.id.0),
        name: row.name,
        kind: parse("kind", &row.kind)?,
        base_url: row.base_url,
        api_key: None,
        region: row.region,
        allow_insecure: row.allow_insecure,
    };
    Ok(StoredProvider { account, credential: row.credential, managed_by: ManagedBy::parse(&row.managed_by)? })
}
