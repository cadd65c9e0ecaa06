//! What the configuration declares, brought to where the gateway finds it: as rows into the database, so
//! that the admin plane shows it, and with its credentials into every view that is loaded from there.
//! Credentials from the file or the environment are never written to the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use admin::audit::By;
use admin::audit::standing::{Declares, Standing};
use anyhow::Result;
use arc_swap::ArcSwap;
use domain::ids::{CredentialId, ProviderId, TenantId, VirtualKeyId};
use domain::key::{KeyHash, Pepper};
use domain::money::NanoUsd;
use domain::seal::SealingKey;
use gateway::repositories::keys::{self, StoredKey};
use gateway::repositories::{ManagedBy, models, providers, tenants};
use gateway::snapshot::load::{LoadError, load, load_account, load_for};
use gateway::snapshot::{Budget, Key, Pool, ProviderAccount, Route, Snapshot};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::cli::tenant_of;
use crate::config::{Config, KeyConfig, ProviderConfig, Unpriced};
use crate::master_key;
use crate::sealed::Opener;

/// The lock of whoever writes what is declared: "declared" in ASCII.
const LOCK: i64 = 0x6465_636c_6172_6564;

/// Providers, models and voices of the configuration in force.
#[derive(Debug)]
pub(crate) struct Declared {
    contents: ArcSwap<Contents>,
    /// Raised when the contents are exchanged.
    revision: AtomicU64,
    opener: Opener,
}

/// Providers, models and voices of one configuration.
#[derive(Debug, Default)]
struct Contents {
    providers: Vec<Pool>,
    models: Vec<Arc<Route>>,
    voices: BTreeMap<String, BTreeMap<String, String>>,
}

/// Writes what is declared, and removes or revokes what the file no longer declares.
pub(crate) async fn apply(
    config: &Config,
    db: &DatabaseConnection,
    pepper: &Pepper,
    sealing_key: SealingKey,
) -> Result<Declared> {
    let contents = ArcSwap::from_pointee(write(config, db, pepper).await?);
    Ok(Declared { contents, revision: AtomicU64::new(0), opener: Opener::new(sealing_key) })
}

/// Writes all that is declared, or nothing.
async fn write(config: &Config, db: &DatabaseConnection, pepper: &Pepper) -> Result<Contents> {
    let now = OffsetDateTime::now_utc();
    let transaction = database::begin_writing(db).await?;
    write_alone(&transaction).await?;
    let declares = declares(config, pepper);
    let before = Standing::read(&transaction, &declares).await?;
    write_keys(config, &transaction, pepper, now).await?;
    let mut contents = Contents::default();
    for model in &config.models {
        let tenant = match &model.tenant {
            Some(name) => Some(tenant_of(&transaction, name).await?),
            None => None,
        };
        contents.models.push(Arc::new(Route {
            name: model.name.clone(),
            tenant,
            strategy: model.strategy,
            targets: model.targets.clone(),
            hedge: model.hedge,
        }));
    }
    contents.voices = config.voices.iter().map(|voice| (voice.name.clone(), voice.map.clone())).collect();
    contents.write(config, &transaction, now).await?;
    before.tell(&transaction, &By::system("configuration"), &declares).await?;
    changes::announce(&transaction).await?;
    transaction.commit().await?;
    Ok(contents)
}

/// Replicas that start together write one after the other, so that only the first of them tells of a change. On
/// SQLite a writing transaction is alone anyway.
async fn write_alone(transaction: &DatabaseTransaction) -> Result<()> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    }
    Ok(())
}

/// What the audit log tells of.
fn declares<'a>(config: &'a Config, pepper: &Pepper) -> Declares<'a> {
    let owners = config.models.iter().filter_map(|model| model.tenant.as_deref());
    let keys = config.tenants.iter().flat_map(|tenant| &tenant.keys);
    Declares {
        tenants: config.tenants.iter().map(|tenant| tenant.name.as_str()).chain(owners).collect(),
        keys: keys.map(|key| KeyHash::of(pepper, key.key.expose_secret())).collect(),
    }
}

async fn write_keys(
    config: &Config,
    transaction: &DatabaseTransaction,
    pepper: &Pepper,
    now: OffsetDateTime,
) -> Result<()> {
    let mut hashes = Vec::new();
    for tenant in &config.tenants {
        let refuse_unpriced = tenant.unpriced.map(Unpriced::refuses);
        let id = tenants::upsert_tenant(transaction, &tenant.name, refuse_unpriced, ManagedBy::File, now).await?;
        tenants::set_when_away(transaction, id, tenant.when_away.map(Into::into)).await?;
        for key in &tenant.keys {
            let stored = stored_key(key, id, pepper, now);
            hashes.push(stored.hash);
            keys::upsert_key(transaction, &stored).await?;
        }
    }
    keys::revoke_undeclared_keys(transaction, &hashes, now).await?;
    let names: Vec<&str> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    tenants::release_undeclared_tenants(transaction, &names, now).await?;
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
            refuse_unpriced: key.refuses_unpriced(),
            passthrough: key.passthrough,
            allow_strategy: key.allow_strategy,
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
        tenant: None,
        name: provider.name.clone(),
        kind: provider.kind,
        base_url: provider.base_url.clone().unwrap_or_default(),
        api_key: provider.api_key.clone(),
        credential: None,
        region: provider.region.clone(),
        allow_insecure: provider.allow_insecure,
    }
}

impl Contents {
    /// Writes the rows of providers, models and voices. A provider is known by its row from then on, at the
    /// next start too.
    async fn write(&mut self, config: &Config, transaction: &DatabaseTransaction, now: OffsetDateTime) -> Result<()> {
        for managed_by in [ManagedBy::File, ManagedBy::Environment] {
            let undeclared = managed_by == ManagedBy::Environment;
            let mut names = Vec::new();
            for provider in config.providers.iter().filter(|provider| provider.is_undeclared() == undeclared) {
                let mut account = account(provider);
                account.id = providers::upsert_provider(transaction, &account, managed_by, now).await?;
                names.push(account.name.clone());
                self.providers.push(account.into());
            }
            providers::delete_undeclared_providers(transaction, managed_by, &names, now).await?;
        }
        for route in &self.models {
            models::upsert_model(transaction, route, ManagedBy::File, now).await?;
        }
        let names: Vec<_> = self.models.iter().map(|route| (route.name.clone(), route.tenant)).collect();
        models::delete_undeclared_models(transaction, ManagedBy::File, &names).await?;
        for (name, map) in &self.voices {
            models::upsert_voice(transaction, name, map, ManagedBy::File).await?;
        }
        let names: Vec<String> = self.voices.keys().cloned().collect();
        models::delete_undeclared_voices(transaction, ManagedBy::File, &names).await?;
        Ok(())
    }

    fn lay_over(&self, snapshot: &mut Snapshot) {
        for provider in &self.providers {
            snapshot.insert_provider(provider.clone());
        }
        for model in &self.models {
            snapshot.insert_route(Arc::clone(model));
        }
        snapshot.voices.extend(self.voices.clone());
    }
}

impl Declared {
    /// Writes what another configuration declares, and puts it in the place of what was declared. Where that
    /// fails nothing changes.
    pub(crate) async fn replace(&self, config: &Config, db: &DatabaseConnection, pepper: &Pepper) -> Result<()> {
        let contents = write(config, db, pepper).await?;
        self.contents.store(Arc::new(contents));
        self.revision.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Another one after each [`Self::replace`]: views that were loaded before are outdated then.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// A view of the database with what is declared on top: a declared name goes before a stored one.
    pub(crate) async fn load(&self, db: &DatabaseConnection) -> Result<Snapshot, LoadError> {
        let opening = self.opener.begin();
        let mut snapshot = load(db, &|binding, sealed| opening.open(binding, sealed)).await?;
        opening.end();
        self.contents.load().lay_over(&mut snapshot);
        Ok(snapshot)
    }

    /// As [`Self::load`], for one question about a name; prices are not in it.
    pub(crate) async fn load_for(
        &self,
        db: &DatabaseConnection,
        tenant: TenantId,
        model: &str,
        key: Option<VirtualKeyId>,
    ) -> Result<Snapshot, LoadError> {
        // It is no whole view, so it says nothing of which secrets are still in use.
        let opening = self.opener.begin();
        let open = |binding: &str, sealed: &[u8]| opening.open(binding, sealed);
        let mut snapshot = load_for(db, &open, tenant, model, key).await?;
        self.contents.load().lay_over(&mut snapshot);
        Ok(snapshot)
    }

    /// One provider with the credential that is named, or else the one of the highest weight; `None` where it
    /// cannot be used. What is declared has one credential, which has no row to be named by.
    pub(crate) async fn load_account(
        &self,
        db: &DatabaseConnection,
        id: ProviderId,
        credential: Option<CredentialId>,
    ) -> Result<Option<Arc<ProviderAccount>>, LoadError> {
        if let Some(declared) = self.contents.load().providers.iter().find(|pool| pool.account().id == id) {
            return Ok(credential.is_none().then(|| Arc::clone(declared.account())));
        }
        let opening = self.opener.begin();
        load_account(db, &|binding, sealed| opening.open(binding, sealed), id, credential).await
    }
}
