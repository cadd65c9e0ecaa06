//! The immutable view of tenants, keys, providers, models and prices that one request sees.
//!
//! A request takes the snapshot once and keeps it to its end. A change builds a new one and swaps it
//! in whole; when that fails, the last good one stays.

pub mod load;
mod providers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::ids::{TenantId, VirtualKeyId};
use domain::key::KeyHash;
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::routing::{Hedge, Strategies, Target};
use time::OffsetDateTime;

use crate::limits::shared::WhenAway;

pub use self::providers::{AccountKey, Credential, Pool, ProviderAccount};
pub use domain::price_list::{ListedPrice, PriceList};

/// What is known at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Keys that may be used, by their hash. Revoked keys are not in it.
    pub keys: HashMap<KeyHash, Arc<Key>>,
    /// The hash of each key, by its row.
    pub keys_by_id: HashMap<VirtualKeyId, KeyHash>,
    /// The platform's providers, by configured name. Which of them a tenant sees says
    /// [`Snapshot::provider`].
    pub providers: BTreeMap<String, Pool>,
    /// The tenants' own providers, which go before the platform's of the same name.
    pub tenant_providers: HashMap<TenantId, BTreeMap<String, Pool>>,
    /// Names of the tenants' own providers that cannot be used. They mean nobody else's.
    pub unusable: HashMap<TenantId, BTreeSet<String>>,
    /// The platform's routes, by the name a client asks for.
    pub models: BTreeMap<String, Arc<Route>>,
    /// The tenants' own routes, which go before the platform's of the same name.
    pub tenant_models: HashMap<TenantId, BTreeMap<String, Arc<Route>>>,
    /// Prices, the platform's and each tenant's own; every row that can still matter.
    pub prices: PriceList,
    /// Voice names that work on every provider: name → provider name or kind → that provider's voice.
    pub voices: BTreeMap<String, BTreeMap<String, String>>,
    /// What holds for a tenant's keys while Redis is away, where it is not what holds for all.
    pub when_away: HashMap<TenantId, WhenAway>,
}

impl Snapshot {
    /// A key by its row. Client secrets name it so, and sessions remember it so.
    #[must_use]
    pub fn key_by_id(&self, id: VirtualKeyId) -> Option<&Arc<Key>> {
        self.keys_by_id.get(&id).and_then(|hash| self.keys.get(hash))
    }

    /// The route that a name means for a tenant: its own, else the platform's.
    #[must_use]
    pub fn route(&self, tenant: TenantId, name: &str) -> Option<&Arc<Route>> {
        let own = self.tenant_models.get(&tenant).and_then(|models| models.get(name));
        own.or_else(|| self.models.get(name))
    }

    /// Every route that a tenant may name: its own, and the platform's whose names it has not taken.
    pub fn routes(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Route>> {
        let own = self.tenant_models.get(&tenant);
        let free = move |name: &str| own.is_none_or(|models| !models.contains_key(name));
        let platform = self.models.iter().filter(move |(name, _)| free(name)).map(|(_, route)| route);
        own.into_iter().flat_map(BTreeMap::values).chain(platform)
    }

    /// Enters a route among the platform's or its tenant's; one of the same name there is replaced.
    pub fn insert_route(&mut self, route: Arc<Route>) {
        let models = match route.tenant {
            Some(tenant) => self.tenant_models.entry(tenant).or_default(),
            None => &mut self.models,
        };
        models.insert(route.name.clone(), route);
    }

    /// Enters a key. One that is entered again under another secret is known by that one, and good by both.
    pub fn insert_key(&mut self, hash: KeyHash, key: Key) {
        self.keys_by_id.insert(key.id, hash);
        self.keys.insert(hash, Arc::new(key));
    }
}

/// A virtual key with its policy.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its row.
    pub id: VirtualKeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// Empty means every operation.
    pub operations: Vec<Operation>,
    /// Patterns with `*`; empty means every model.
    pub models: Vec<String>,
    /// Requests per minute; `None` is unlimited.
    pub requests_per_minute: Option<u32>,
    /// Realtime sessions at once; `None` is unlimited.
    pub max_concurrent_sessions: Option<u32>,
    /// Money; `None` is unlimited.
    pub budget: Option<Budget>,
    /// Upload limit in bytes; `None` is the gateway's.
    pub max_upload_bytes: Option<u64>,
    /// After this the key is refused.
    pub expires_at: Option<OffsetDateTime>,
    /// Models without a price are refused instead of served and recorded as unpriced.
    pub refuse_unpriced: bool,
    /// Paths of a vendor that are not known here are forwarded all the same, recorded as unpriced.
    pub passthrough: bool,
    /// Its calls may say by `x-antiphon-strategy` how targets are ordered.
    pub allow_strategy: bool,
}

/// An amount in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How much.
    pub amount: NanoUsd,
    /// In which window.
    pub window: BudgetWindow,
}

/// Windows of a budget, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BudgetWindow {
    /// The key's whole life.
    Total,
    /// From midnight.
    Daily,
    /// From the first of the month.
    Monthly,
}

/// A model name and what serves it.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name a client asks for.
    pub name: String,
    /// `None`: a model of the platform, for every tenant.
    pub tenant: Option<TenantId>,
    /// How targets are ordered.
    pub strategy: Strategies,
    /// What serves it.
    pub targets: Vec<Target>,
    /// Whether a second target is asked beside a first one that is slow to speak.
    pub hedge: Option<Hedge>,
}
