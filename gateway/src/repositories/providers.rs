//! Accounts at providers with their credentials, which are sealed before they come here and opened after
//! they leave.

use std::collections::HashMap;

use domain::ids::{CredentialId, ProviderId, TenantId};
use entities::{Id, provider, provider_credential};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use time::OffsetDateTime;

use super::{ManagedBy, parse, stored, to_count};
use crate::snapshot::{Credential, ProviderAccount};

/// An account as it is kept.
#[derive(Debug, Clone)]
pub struct StoredProvider {
    /// The account, without a credential.
    pub account: ProviderAccount,
    /// Its credentials, in the order in which they were made.
    pub credentials: Vec<StoredCredential>,
    /// Whether it is used.
    pub enabled: bool,
    /// Who made it.
    pub managed_by: ManagedBy,
}

/// A credential as it is kept.
#[derive(Clone)]
pub struct StoredCredential {
    /// What is known of it.
    pub credential: Credential,
    /// What people call it.
    pub label: String,
    /// Itself, sealed for its row.
    pub sealed: Vec<u8>,
    /// Whether it is used.
    pub enabled: bool,
}

impl std::fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredCredential").field("credential", &self.credential).finish_non_exhaustive()
    }
}

/// Makes or changes the platform's provider of this name; gives the row's id, which is the older one's
/// where there was one. Credentials are none of its business. What the environment alone declares leaves a
/// row as it is that somebody has made by hand.
///
/// # Errors
/// The database's.
pub async fn upsert_provider(
    db: &impl ConnectionTrait,
    account: &ProviderAccount,
    managed_by: ManagedBy,
    now: OffsetDateTime,
) -> Result<ProviderId, DbErr> {
    let find = || {
        provider::Entity::find()
            .filter(provider::Column::Name.eq(account.name.as_str()))
            .filter(provider::Column::TenantId.is_null())
    };
    let Some(row) = find().one(db).await? else {
        let row = provider::ActiveModel {
            id: Set(Id(account.id.0)),
            tenant_id: Set(None),
            name: Set(account.name.clone()),
            kind: Set(account.kind.as_str().to_owned()),
            base_url: Set(account.base_url.clone()),
            region: Set(account.region.clone()),
            allow_insecure: Set(account.allow_insecure),
            enabled: Set(true),
            managed_by: Set(managed_by.as_str().to_owned()),
            version: Set(1),
            created_at: Set(stored(now)),
            updated_at: Set(stored(now)),
        };
        // Another replica that starts at the same moment has written the same file's provider.
        let nothing = OnConflict::new().do_nothing().to_owned();
        match provider::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await {
            Ok(_) | Err(DbErr::RecordNotInserted) => {}
            Err(error) => return Err(error),
        }
        let made = find().one(db).await?;
        let made = made.ok_or_else(|| DbErr::RecordNotFound(format!("provider {}", account.name)))?;
        return Ok(ProviderId(made.id.0));
    };
    let id = ProviderId(row.id.0);
    let by_hand = !matches!(ManagedBy::parse(&row.managed_by)?, ManagedBy::File | ManagedBy::Environment);
    let is_same = row.kind == account.kind.as_str()
        && row.base_url == account.base_url
        && row.region == account.region
        && row.allow_insecure == account.allow_insecure
        && row.enabled
        && row.managed_by == managed_by.as_str();
    if is_same || (by_hand && managed_by == ManagedBy::Environment) {
        return Ok(id);
    }
    provider::Entity::update_many()
        .col_expr(provider::Column::Kind, Expr::value(account.kind.as_str()))
        .col_expr(provider::Column::BaseUrl, Expr::value(account.base_url.as_str()))
        .col_expr(provider::Column::Region, Expr::value(account.region.clone()))
        .col_expr(provider::Column::AllowInsecure, Expr::value(account.allow_insecure))
        .col_expr(provider::Column::Enabled, Expr::value(true))
        .col_expr(provider::Column::ManagedBy, Expr::value(managed_by.as_str()))
        .col_expr(provider::Column::Version, Expr::col(provider::Column::Version).add(1))
        .col_expr(provider::Column::UpdatedAt, Expr::value(stored(now)))
        .filter(provider::Column::Id.eq(row.id))
        .exec(db)
        .await?;
    Ok(id)
}

/// Removes the providers that `managed_by` once declared and does not any more; gives how many. One that
/// has credentials of its own was made by hand before: it is given back to the API.
///
/// # Errors
/// The database's.
pub async fn delete_undeclared_providers(
    db: &impl ConnectionTrait,
    managed_by: ManagedBy,
    declared: &[String],
    now: OffsetDateTime,
) -> Result<u64, DbErr> {
    let gone = provider::Column::ManagedBy
        .eq(managed_by.as_str())
        .and(provider::Column::TenantId.is_null())
        .and(provider::Column::Name.is_not_in(declared.iter().map(String::as_str)));
    let with_credentials =
        Query::select().column(provider_credential::Column::ProviderId).from(provider_credential::Entity).to_owned();
    provider::Entity::update_many()
        .col_expr(provider::Column::ManagedBy, Expr::value(ManagedBy::Api.as_str()))
        .col_expr(provider::Column::Version, Expr::col(provider::Column::Version).add(1))
        .col_expr(provider::Column::UpdatedAt, Expr::value(stored(now)))
        .filter(gone.clone())
        .filter(provider::Column::Id.in_subquery(with_credentials))
        .exec(db)
        .await?;
    let result = provider::Entity::delete_many().filter(gone).exec(db).await?;
    Ok(result.rows_affected)
}

/// Every provider with its credentials: the platform's and the tenants', by name. Their `api_key` is not
/// set: credentials are sealed.
///
/// # Errors
/// The database's.
pub async fn list_providers(db: &impl ConnectionTrait) -> Result<Vec<StoredProvider>, DbErr> {
    let mut credentials: HashMap<Id, Vec<StoredCredential>> = HashMap::new();
    let rows = provider_credential::Entity::find().order_by_asc(provider_credential::Column::Id).all(db).await?;
    for row in rows {
        credentials.entry(row.provider_id).or_default().push(credential(row)?);
    }
    let order = provider::Entity::find().order_by_asc(provider::Column::Name).order_by_asc(provider::Column::Id);
    let rows = order.all(db).await?;
    rows.into_iter()
        .map(|row| {
            let credentials = credentials.remove(&row.id).unwrap_or_default();
            from_row(row, credentials)
        })
        .collect()
}

fn credential(row: provider_credential::Model) -> Result<StoredCredential, DbErr> {
    let credential = Credential {
        id: CredentialId(row.id.0),
        weight: to_count("weight", row.weight)?,
        max_concurrent: row.max_concurrent.map(|most| to_count("max_concurrent", most)).transpose()?,
    };
    Ok(StoredCredential { credential, label: row.label, sealed: row.sealed, enabled: row.enabled })
}

fn from_row(row: provider::Model, credentials: Vec<StoredCredential>) -> Result<StoredProvider, DbErr> {
    let account = ProviderAccount {
        id: ProviderId(row.id.0),
        tenant: row.tenant_id.map(|tenant| TenantId(tenant.0)),
        name: row.name,
        kind: parse("kind", &row.kind)?,
        base_url: row.base_url,
        api_key: None,
        credential: None,
        region: row.region,
        allow_insecure: row.allow_insecure,
    };
    let managed_by = ManagedBy::parse(&row.managed_by)?;
    Ok(StoredProvider { account, credentials, enabled: row.enabled, managed_by })
}
