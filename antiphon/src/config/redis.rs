//! `redis`: shared counters for several gateways; optional.

use secrecy::SecretString;
use serde::Deserialize;

/// One Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisConfig {
    /// `redis://…` or `rediss://…`; its password is part of it.
    pub(crate) url: SecretString,
}
