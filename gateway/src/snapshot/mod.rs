//! The immutable view of tenants, keys, providers, models and prices that one request sees.
//!
//! A request takes the snapshot once and keeps it to its end. A change builds a new one and swaps it
//! in whole; when that fails, the last good one stays.

pub mod load;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::ids::{ProviderId, TenantId, VirtualKeyId};
use domain::key::KeyHash;
use domain::money::NanoUsd;
use domain::pricing::Price;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategy, Target};
use secrecy::SecretString;
use time::OffsetDateTime;

/// What is known at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Keys that may be used, by their hash. Revoked keys are not in it.
    pub keys: HashMap<KeyHash, Arc<Key>>,
    /// The hash of each key, by its row.
    pub keys_by_id: HashMap<VirtualKeyId, KeyHash>,
    /// Accounts at providers, by configured name.
    pub providers: BTreeMap<String, Arc<ProviderAccount>>,
    /// Routes, by the name a client asks for.
    pub models: BTreeMap<String, Arc<Route>>,
    /// Prices, by provider kind, model and operation; every row ever in force.
    pub prices: PriceList,
    /// Voice names that work on every provider: name → provider name or kind → that provider's voice.
    pub voices: BTreeMap<String, BTreeMap<String, String>>,
}

/// Prices with their dates.
pub type PriceList = HashMap<(ProviderKind, String, Operation), Vec<DatedPrice>>;

/// A price and from when it holds, until the next row of the same unit.
#[derive(Debug, Clone)]
pub struct DatedPrice {
    /// The price.
    pub price: Price,
    /// From this moment on.
    pub effective_from: OffsetDateTime,
}

impl Snapshot {
    /// A key by its row. Client secrets name it so, and sessions remember it so.
    #[must_use]
    pub fn key_by_id(&self, id: VirtualKeyId) -> Option<&Arc<Key>> {
        self.keys_by_id.get(&id).and_then(|hash| self.keys.get(hash))
    }

    /// Enters a key.
    pub fn insert_key(&mut self, hash: KeyHash, key: Key) {
        self.keys_by_id.insert(key.id, hash);
        self.keys.insert(hash, Arc::new(key));
    }

    /// The prices in force at `now`, one row per unit.
    #[must_use]
    pub fn prices_at(&self, kind: ProviderKind, model: &str, operation: Operation, now: OffsetDateTime) -> Vec<Price> {
        let mut newest: BTreeMap<&'static str, &DatedPrice> = BTreeMap::new();
        let rows = self.prices.get(&(kind, model.to_owned(), operation));
        for row in rows.into_iter().flatten().filter(|row| row.effective_from <= now) {
            let unit = row.price.unit.as_str();
            if newest.get(unit).is_none_or(|other| other.effective_from < row.effective_from) {
                newest.insert(unit, row);
            }
        }
        newest.into_values().map(|row| row.price.clone()).collect()
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

/// A configured account at a provider.
#[derive(Debug, Clone)]
pub struct ProviderAccount {
    /// Its row.
    pub id: ProviderId,
    /// The name it is configured by.
    pub name: String,
    /// Whose language it speaks.
    pub kind: ProviderKind,
    /// Base URL without a trailing slash; empty for in-process providers.
    pub base_url: String,
    /// The credential, where one is needed.
    pub api_key: Option<SecretString>,
    /// Where it runs.
    pub region: Option<String>,
    /// Plain `http` and private addresses are permitted.
    pub allow_insecure: bool,
}

/// A model name and what serves it.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name a client asks for.
    pub name: String,
    /// `None`: a model of the platform, for every tenant.
    pub tenant: Option<TenantId>,
    /// How targets are ordered.
    pub strategy: Strategy,
    /// What serves it.
    pub targets: Vec<Target>,
}
