//! `/api/v1/alerts`

mod channels;
mod check;
mod events;
mod rules;

use utoipa_actix_web::service_config::ServiceConfig;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    // Before `/alerts/{id}`, which would take their names for ids.
    config.configure(rules::configure).configure(channels::configure).configure(events::configure);
}
