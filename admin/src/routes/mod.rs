//! Handlers: each takes what it needs, calls one function, and shapes the answer.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod bulk_keys;
pub(crate) mod credentials;
pub(crate) mod document;
pub(crate) mod health;
pub(crate) mod instance;
pub(crate) mod keys;
pub(crate) mod log_level;
pub(crate) mod models;
pub(crate) mod oidc;
pub(crate) mod price_lists;
pub(crate) mod prices;
pub(crate) mod profile;
pub(crate) mod provider_tests;
pub(crate) mod providers;
pub(crate) mod sessions;
pub(crate) mod tenants;
pub(crate) mod tokens;
pub(crate) mod unpriced;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod voices;

use utoipa_actix_web::service_config::ServiceConfig;

/// Every resource.
pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .configure(document::configure)
        .configure(instance::configure)
        .configure(auth::configure)
        .configure(oidc::configure)
        .configure(tenants::configure)
        .configure(users::configure)
        .configure(tokens::configure)
        .configure(keys::configure)
        .configure(audit::configure)
        .configure(sessions::configure)
        .configure(health::configure)
        .configure(log_level::configure)
        .configure(profile::configure)
        .configure(price_lists::configure)
        .configure(unpriced::configure)
        .configure(prices::configure)
        .configure(usage::configure)
        .configure(alerts::configure)
        .configure(models::configure)
        .configure(voices::configure)
        .configure(provider_tests::configure)
        .configure(providers::configure)
        .configure(credentials::configure);
}
