//! `secrets`: the one secret from which the others are derived.

use secrecy::SecretString;
use serde::Deserialize;

/// The server's own secrets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecretsConfig {
    /// 32 bytes in base64. Without it one is generated into the data folder (SQLite only).
    pub(crate) master_key: Option<SecretString>,
}
