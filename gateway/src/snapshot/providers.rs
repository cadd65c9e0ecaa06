//! Accounts at providers, the platform's and the tenants' own, as a call finds them.

use std::sync::Arc;

use domain::ids::{CredentialId, ProviderId, TenantId};
use domain::provider::ProviderKind;
use secrecy::SecretString;

use super::Snapshot;

/// A configured account at a provider, with the one credential that a call uses.
#[derive(Debug, Clone)]
pub struct ProviderAccount {
    /// Its row.
    pub id: ProviderId,
    /// Whose it is; `None` is the platform, which shares it with every tenant.
    pub tenant: Option<TenantId>,
    /// The name it is configured by.
    pub name: String,
    /// Whose language it speaks.
    pub kind: ProviderKind,
    /// Base URL without a trailing slash; empty for in-process providers.
    pub base_url: String,
    /// The credential, where one is needed.
    pub api_key: Option<SecretString>,
    /// What is known of that credential, where it has a row.
    pub credential: Option<Credential>,
    /// Where it runs.
    pub region: Option<String>,
    /// Plain `http` and private addresses are permitted. Never for a tenant's.
    pub allow_insecure: bool,
}

/// What is remembered of an account by: two credentials of one provider may be two accounts there.
pub type AccountKey = (ProviderId, Option<CredentialId>);

impl ProviderAccount {
    /// By what something is remembered of it.
    #[must_use]
    pub fn key(&self) -> AccountKey {
        (self.id, self.credential.map(|credential| credential.id))
    }
}

/// One of the credentials that a provider is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// Its row.
    pub id: CredentialId,
    /// Its share of the calls; 0 is used when no other can be.
    pub weight: u32,
    /// Calls and sessions at once; `None` is unlimited.
    pub max_concurrent: Option<u32>,
}

/// A configured provider: the account at it, once for each credential that it may be called with.
#[derive(Debug, Clone)]
pub struct Pool {
    first: Arc<ProviderAccount>,
    others: Box<[Arc<ProviderAccount>]>,
}

impl From<ProviderAccount> for Pool {
    fn from(account: ProviderAccount) -> Self {
        Self { first: Arc::new(account), others: Box::default() }
    }
}

impl Pool {
    /// The pool of these accounts, which differ in their credentials alone; `None` where there are none.
    pub fn new(accounts: impl IntoIterator<Item = ProviderAccount>) -> Option<Self> {
        let mut accounts = accounts.into_iter().map(Arc::new);
        let first = accounts.next()?;
        Some(Self { first, others: accounts.collect() })
    }

    /// What is the same whichever credential is used. Its own is the first.
    #[must_use]
    pub fn account(&self) -> &Arc<ProviderAccount> {
        &self.first
    }

    /// The account with each of its credentials.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<ProviderAccount>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// There is nothing to choose and nothing to count: nearly every provider has one credential without
    /// a bound.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let bound = self.first.credential.and_then(|credential| credential.max_concurrent);
        self.others.is_empty() && bound.is_none()
    }

    /// Changes what every credential is used with.
    pub fn change(&mut self, mut change: impl FnMut(&mut ProviderAccount)) {
        std::iter::once(&mut self.first).chain(&mut self.others).for_each(|account| change(Arc::make_mut(account)));
    }
}

impl Snapshot {
    /// The provider that a name means for a tenant: its own, else the platform's. A name that the tenant has
    /// given to one of its own never means the platform's, even while that one cannot be used.
    #[must_use]
    pub fn provider(&self, tenant: TenantId, name: &str) -> Option<&Pool> {
        let own = self.tenant_providers.get(&tenant).and_then(|providers| providers.get(name));
        own.or_else(|| self.providers.get(name).filter(|_| !self.is_unusable(tenant, name)))
    }

    /// Whether a tenant has given this name to a provider of its own, which can be used or not.
    #[must_use]
    pub fn is_own(&self, tenant: TenantId, name: &str) -> bool {
        let usable = self.tenant_providers.get(&tenant).is_some_and(|providers| providers.contains_key(name));
        usable || self.is_unusable(tenant, name)
    }

    fn is_unusable(&self, tenant: TenantId, name: &str) -> bool {
        self.unusable.get(&tenant).is_some_and(|names| names.contains(name))
    }

    /// Every provider that a tenant may use: its own, and the platform's whose names it has not taken.
    pub fn providers_of(&self, tenant: TenantId) -> impl Iterator<Item = &Pool> {
        let own = self.tenant_providers.get(&tenant);
        let platform = self.providers.iter().filter(move |(name, _)| !self.is_own(tenant, name)).map(|(_, pool)| pool);
        own.into_iter().flat_map(|providers| providers.values()).chain(platform)
    }

    /// Enters a provider among the platform's or its tenant's; one of the same name there is replaced.
    pub fn insert_provider(&mut self, pool: impl Into<Pool>) {
        let pool = pool.into();
        let providers = match pool.account().tenant {
            Some(tenant) => self.tenant_providers.entry(tenant).or_default(),
            None => &mut self.providers,
        };
        providers.insert(pool.account().name.clone(), pool);
    }
}
