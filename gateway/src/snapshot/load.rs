//! Rows into the immutable view.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use dialects::{address, registry};
use domain::ids::{CredentialId, ProviderId, TenantId, VirtualKeyId};
use domain::seal::{OpenError, credential_binding};
use sea_orm::{ConnectionTrait, DbErr, StreamTrait};
use secrecy::SecretString;
use time::OffsetDateTime;

use super::{Pool, PriceList, ProviderAccount, Route, Snapshot};
use crate::repositories::providers::{StoredCredential, StoredProvider};
use crate::repositories::{ManagedBy, keys, models, prices, providers, tenants};

/// Opens what was sealed for the place that a binding names.
pub type Open<'a> = dyn Fn(&str, &[u8]) -> Result<SecretString, OpenError> + Send + Sync + 'a;

/// Why there is no new view. The last good one stays in use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database cannot be read.
    #[error("the configuration cannot be read from the database")]
    Database(#[from] DbErr),
}

/// Reads everything a request may need. A provider or credential that cannot be used is left out, and the
/// log says why: one damaged row must not keep every other change from the gateway.
///
/// # Errors
/// The database's.
pub async fn load(db: &(impl ConnectionTrait + StreamTrait), open: &Open<'_>) -> Result<Snapshot, LoadError> {
    let mut snapshot = Snapshot {
        prices: PriceList::new(prices::list_prices(db, OffsetDateTime::now_utc()).await?),
        voices: models::list_voices(db).await?,
        when_away: tenants::list_when_away(db).await?,
        ..Snapshot::default()
    };
    for (hash, key) in keys::all_active_keys(db).await? {
        snapshot.insert_key(hash, key);
    }
    insert_providers(db, &mut snapshot, open).await?;
    insert_routes(&mut snapshot, models::list_models(db).await?);
    Ok(snapshot)
}

/// Reads what one question about a name needs, but for prices, of which [`load_prices`] reads those that
/// decide.
///
/// # Errors
/// The database's.
pub async fn load_for(
    db: &impl ConnectionTrait,
    open: &Open<'_>,
    tenant: TenantId,
    model: &str,
    key: Option<VirtualKeyId>,
) -> Result<Snapshot, LoadError> {
    let mut snapshot = Snapshot { voices: models::list_voices(db).await?, ..Snapshot::default() };
    if let Some(id) = key {
        for (hash, key) in keys::find_active_key(db, id).await? {
            snapshot.insert_key(hash, key);
        }
    }
    insert_providers(db, &mut snapshot, open).await?;
    insert_routes(&mut snapshot, models::list_models_named(db, tenant, model).await?);
    Ok(snapshot)
}

/// Reads the prices of these models into a view, in the place of those that it has.
///
/// # Errors
/// The database's.
pub async fn load_prices(
    db: &(impl ConnectionTrait + StreamTrait),
    snapshot: &mut Snapshot,
    tenant: TenantId,
    models: &BTreeSet<String>,
) -> Result<(), LoadError> {
    let now = OffsetDateTime::now_utc();
    snapshot.prices = PriceList::new(prices::list_prices_of(db, now, tenant, models).await?);
    Ok(())
}

/// Reads the account at one provider, with the credential that is named, or else the enabled one of the highest
/// weight; `None` where it is not there, or cannot be used.
///
/// # Errors
/// The database's.
pub async fn load_account(
    db: &impl ConnectionTrait,
    open: &Open<'_>,
    id: ProviderId,
    named: Option<CredentialId>,
) -> Result<Option<Arc<ProviderAccount>>, LoadError> {
    let mut stored = providers::list_providers(db).await?.into_iter();
    let Some(mut stored) = stored.find(|stored| stored.enabled && stored.account.id == id) else { return Ok(None) };
    if let Some(named) = named {
        stored.credentials.retain(|stored| stored.credential.id == named);
        // One that is switched off is tried before it is switched on.
        stored.credentials.iter_mut().for_each(|stored| stored.enabled = true);
        if stored.credentials.is_empty() {
            return Ok(None);
        }
    }
    stored.credentials.sort_by_key(|stored| Reverse(stored.credential.weight));
    Ok(pool(stored, open).map(|pool| Arc::clone(pool.account())))
}

async fn insert_providers(
    db: &impl ConnectionTrait,
    snapshot: &mut Snapshot,
    open: &Open<'_>,
) -> Result<(), LoadError> {
    for stored in providers::list_providers(db).await? {
        let (tenant, name) = (stored.account.tenant, stored.account.name.clone());
        match Some(stored).filter(|stored| stored.enabled).and_then(|stored| pool(stored, open)) {
            Some(pool) => snapshot.insert_provider(pool),
            None => {
                if let Some(tenant) = tenant {
                    snapshot.unusable.entry(tenant).or_default().insert(name);
                }
            }
        }
    }
    Ok(())
}

/// A tenant's own route may name a deployment at the tenant's own providers alone: at the platform's another model
/// would run than the one that is billed. Such a target is left out, but where the platform's file declares it.
fn insert_routes(snapshot: &mut Snapshot, routes: Vec<(Route, ManagedBy)>) {
    for (mut route, managed_by) in routes {
        if let Some(tenant) = route.tenant.filter(|_| managed_by != ManagedBy::File) {
            let Route { name, targets, .. } = &mut route;
            targets.retain(|target| {
                let fits = !target.options.contains_key("deployment") || snapshot.is_own(tenant, &target.provider);
                if !fits {
                    let reason = "a tenant's route names a deployment at a provider of the platform";
                    let provider = &target.provider;
                    tracing::error!(model = %name, %tenant, %provider, reason, "a target is left out");
                }
                fits
            });
        }
        snapshot.insert_route(Arc::new(route));
    }
}

/// A provider with the credentials that can be used; `None` where it cannot be.
fn pool(stored: StoredProvider, open: &Open<'_>) -> Option<Pool> {
    let StoredProvider { account, credentials, .. } = stored;
    if let Err(reason) = check_owner(&account) {
        tracing::error!(provider = %account.name, tenant = ?account.tenant, reason, "a tenant's provider is left out");
        return None;
    }
    if credentials.is_empty() {
        // A vendor answers nobody without a key. What the file declares has its own, in memory.
        let needs_one = registry::provider(account.kind).is_none_or(|row| row.key_variable.is_some());
        return (!needs_one).then(|| account.into());
    }
    let enabled = credentials.into_iter().filter(|stored| stored.enabled);
    Pool::new(enabled.filter_map(|stored| opened(&account, stored, open)))
}

/// What a tenant may not have, whoever has written it into the table: a way to this machine or its network.
fn check_owner(account: &ProviderAccount) -> Result<(), String> {
    if account.tenant.is_none() {
        return Ok(());
    }
    if account.allow_insecure {
        return Err("a tenant's provider is never insecure".to_owned());
    }
    let in_process = registry::provider(account.kind).is_none_or(|row| row.in_process);
    if in_process {
        return Err("it runs in this process".to_owned());
    }
    address::base_url(&account.base_url, false).map(drop).map_err(|error| error.to_string())
}

fn opened(account: &ProviderAccount, stored: StoredCredential, open: &Open<'_>) -> Option<ProviderAccount> {
    let binding = credential_binding(stored.credential.id, account.id, account.tenant);
    match open(&binding, &stored.sealed) {
        Ok(key) => Some(ProviderAccount { api_key: Some(key), credential: Some(stored.credential), ..account.clone() }),
        Err(error) => {
            let (provider, label) = (&account.name, &stored.label);
            tracing::error!(%provider, %label, %error, "a credential cannot be opened and is left out");
            None
        }
    }
}
