//! `providers`: accounts at providers.

use domain::provider::ProviderKind;
use secrecy::SecretString;
use serde::Deserialize;

/// One account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderConfig {
    /// What models and `provider/model` call it.
    pub(crate) name: String,
    /// Whose language it speaks.
    pub(crate) kind: ProviderKind,
    /// The credential.
    #[serde(default, deserialize_with = "super::value::present")]
    pub(crate) api_key: Option<SecretString>,
    /// What the vendor's own SDK takes by that name; the vendor's public address unless told.
    #[serde(default, deserialize_with = "super::value::present")]
    pub(crate) base_url: Option<String>,
    /// Where it runs, for geographic routing.
    #[serde(default)]
    pub(crate) region: Option<String>,
    /// Permits plain `http` and private addresses.
    #[serde(default)]
    pub(crate) allow_insecure: bool,
    /// As [`Self::is_undeclared`] tells.
    #[serde(skip)]
    pub(super) undeclared: bool,
}

impl ProviderConfig {
    /// Whether nobody has declared it: it exists by its usual variable, or in this process.
    pub(crate) const fn is_undeclared(&self) -> bool {
        self.undeclared
    }
}
