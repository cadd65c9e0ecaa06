//! Rows into the immutable view.

use std::error::Error;
use std::sync::Arc;

use domain::ids::ProviderId;
use sea_orm::{ConnectionTrait, DbErr};
use secrecy::SecretString;

use super::{PriceList, Snapshot};
use crate::repositories::{keys, models, prices, providers};

/// Opens the sealed credential of a provider.
pub type Decrypt<'a> =
    dyn Fn(ProviderId, &[u8]) -> Result<SecretString, Box<dyn Error + Send + Sync>> + Send + Sync + 'a;

/// Why there is no new view. The last good one stays in use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database cannot be read.
    #[error("the configuration cannot be read from the database")]
    Database(#[from] DbErr),
    /// A credential was sealed under another master key, or damaged.
    #[error("the credential of the provider {provider} cannot be opened with this master key")]
    Credential {
        /// Configured name of the provider.
        provider: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Reads everything a request may need.
///
/// # Errors
/// [`LoadError`]: nothing is left out silently, so a view is whole or there is none.
pub async fn load(db: &impl ConnectionTrait, decrypt: &Decrypt<'_>) -> Result<Snapshot, LoadError> {
    let mut snapshot = Snapshot {
        prices: PriceList::new(prices::list_prices(db).await?),
        voices: models::list_voices(db).await?,
        ..Snapshot::default()
    };
    for (hash, key) in keys::all_active_keys(db).await? {
        snapshot.insert_key(hash, key);
    }
    for stored in providers::list_providers(db).await? {
        let mut account = stored.account;
        if let Some(sealed) = stored.credential {
            let opened = decrypt(account.id, &sealed);
            account.api_key =
                Some(opened.map_err(|source| LoadError::Credential { provider: account.name.clone(), source })?);
        }
        snapshot.providers.insert(account.name.clone(), Arc::new(account));
    }
    for route in models::list_models(db).await? {
        snapshot.insert_route(Arc::new(route));
    }
    Ok(snapshot)
}
