//! Handlers: each takes what it needs, calls one function, and shapes the answer.

pub(crate) mod audit;
pub(crate) mod bulk_keys;
pub(crate) mod document;
pub(crate) mod keys;
pub(crate) mod health;
pub(crate) mod sessions;
pub(crate) mod tenants;

use utoipa_actix_web::service_config::ServiceConfig;

/// Every resource.
pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .configure(document::configure)
        .configure(tenants::configure)
        .configure(keys::configure)
        .configure(audit::configure)
        .configure(sessions::configure)
        .configure(health::configure);
}
