//! What the configuration declares, brought to where the gateway finds it: tenants and keys into the
//! database, providers, models and voices into every view that is loaded from it. Credentials from
//! the file or the environment are never written to the database.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use anyhow::Result;
use domain::ids::{ProviderId, TenantId, VirtualKeyId};
use domain::key::{KeyHash, Pepper};
use domain::money::NanoUsd;
use gateway::repositories::keys::{self, StoredKey};
use gateway::repositories::{ManagedBy, tenants};
use gateway::snapshot::load::{LoadError, load};
use gateway::snapshot::{Budget, Key, ProviderAccount, Route, Snapshot};
use sea_orm::{DatabaseConnection, TransactionTrait};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::cli::tenant_of;
use crate::config::{Config, KeyConfig, ProviderConfig};
use crate::master_key;

/// Providers, models and voices of the configuration.
#[derive(Debug)]
pub(crate) struct Declared {
    providers: Vec<Arc<ProviderAccount>>,
    models: Vec<Arc<Route>>,
    voices: BTreeMap<String, BTreeMap<String, String>>,
}

/// Writes tenants and keys, revokes keys that the file no longer declares, and keeps the rest.
pub(crate) async fn apply(config: &Config, db: &DatabaseConnection, pepper: &Pepper) -> Result<Declared> {
    write_keys(config, db, pepper).await?;
    let mut models = Vec::with_capacity(config.models.len());
    for model in &config.models {
        let tenant = match &model.tenant {
            Some(name) => Some(tenant_of(db, name).await?),
            None => None,
        };
        models.push(Arc::new(Route {
            name: model.name.clone(),
            tenant,
            strategy: model.strategy,
            targets: model.targets.clone(),
        }));
    }
    let voices = config.voices.iter().map(|voice| (voice.name.clone(), voice.map.clone())).collect();
    Ok(Declared { providers: config.providers.iter().map(account).map(Arc::new).collect(), models, voices })
}

async fn write_keys(config: &Config, db: &DatabaseConnection, pepper: &Pepper) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let transaction = db.begin().await?;
    let mut hashes = Vec::new();
    for tenant in &config.tenants {
        let id = tenants::upsert_tenant(&transaction, &tenant.name, false, ManagedBy::File, now).await?;
        for key in &tenant.keys {
            let stored = stored_key(key, id, pepper, now);
            hashes.push(stored.hash);
            keys::upsert_key(&transaction, &stored).await?;
        }
    }
    keys::revoke_undeclared_keys(&transaction, &hashes, now).await?;
    changes::announce(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

fn stored_key(key: &KeyConfig, tenant: TenantId, pepper: &Pepper, now: OffsetDateTime) -> StoredKey {
    let secret = key.key.expose_secret();
    StoredKey {
        key: Key {
            id: VirtualKeyId(Uuid::now_v7()),
            tenant,
            name: key.name.clone(),
            operations: key.operations.clone(),
            models: key.models.clone(),
            requests_per_minute: key.requests_per_minute,
            max_concurrent_sessions: key.max_concurrent_sessions,
            budget: key
                .budget
                .as_ref()
                .map(|budget| Budget { amount: NanoUsd::from_usd(budget.usd), window: budget.window.into() }),
            max_upload_bytes: key.max_upload_mib.map(|mib| mib.saturating_mul(1024 * 1024)),
            expires_at: key.expires_at,
            refuse_unpriced: key.refuse_unpriced,
            passthrough: key.passthrough,
        },
        hash: KeyHash::of(pepper, secret),
        pepper_version: master_key::PEPPER_VERSION,
        redacted: domain::key::redact(secret),
        managed_by: ManagedBy::File,
        revoked_at: None,
        created_at: now,
    }
}

fn account(provider: &ProviderConfig) -> ProviderAccount {
    ProviderAccount {
        id: ProviderId(Uuid::now_v7()),
        name: provider.name.clone(),
        kind: provider.kind,
        base_url: provider.base_url.clone().unwrap_or_default(),
        api_key: provider.api_key.clone(),
        region: provider.region.clone(),
        allow_insecure: provider.allow_insecure,
    }
}

impl Declared {
    /// A view of the database with what is declared on top: a declared name goes before a stored one.
    pub(crate) async fn load(&self, db: &DatabaseConnection) -> Result<Snapshot, LoadError> {
        let mut snapshot = load(db, &refuse_sealed).await?;
        for provider in &self.providers {
            snapshot.providers.insert(provider.name.clone(), Arc::clone(provider));
        }
        for model in &self.models {
            snapshot.insert_route(Arc::clone(model));
        }
        snapshot.voices.extend(self.voices.clone());
        Ok(snapshot)
    }
}

/// This version writes no credential to the database, so one that lies there is another version's.
fn refuse_sealed(_: ProviderId, _: &[u8]) -> Result<SecretString, Box<dyn Error + Send + Sync>> {
    Err("a stored credential can only be opened by the version that stored it".into())
}
