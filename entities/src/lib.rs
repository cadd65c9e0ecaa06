//! Table structs. Data only: queries live beside the code that owns the unit of work.

pub mod access_token;
pub mod alert_channel;
pub mod alert_delivery;
pub mod alert_event;
pub mod alert_rule;
pub mod alert_rule_channel;
pub mod audit_entry;
pub mod audit_head;
pub mod gateway_instance;
mod id;
pub mod idempotency_key;
pub mod lease;
pub mod live_session;
pub mod login_failure;
pub mod model;
pub mod oidc_sign_in;
pub mod one_time_link;
pub mod price;
pub mod provider;
pub mod provider_credential;
pub mod refresh_token;
pub mod request_minute;
pub mod setting;
pub mod signing_key;
pub mod target_health;
pub mod tenant;
pub mod usage_correction;
pub mod usage_record;
pub mod user;
pub mod virtual_key;
pub mod voice;

pub use id::Id;
