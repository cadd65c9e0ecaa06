//! Providers, and the credentials that they are called with.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::words::words;

/// A configured account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// Its id.
    pub id: Uuid,
    /// Whose it is; `null` is the platform, which shares it with every tenant.
    pub tenant_id: Option<Uuid>,
    /// What models and `provider/model` call it, unique within its tenant or the platform.
    pub name: String,
    /// `openai`, `azure`, `groq`, `deepgram`, `elevenlabs`, `ultravox`, `google`, `openai-compatible` or `local`.
    pub kind: String,
    /// Where it is; `null` for the platform's where a tenant asks.
    pub base_url: Option<String>,
    /// Where it runs, for geographic routing.
    pub region: Option<String>,
    /// Plain `http` and private addresses are permitted.
    pub allow_insecure: bool,
    /// Whether it is used.
    pub enabled: bool,
    /// `file`, `environment`, `api` or `cli`; what the configuration declares is changed there alone.
    pub managed_by: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A provider to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProvider {
    /// Its name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: String,
    /// One of the kinds that this version knows, but for `local`.
    #[schema(min_length = 1, max_length = 64)]
    pub kind: String,
    /// Whose it shall be. A tenant's people make their tenant's own; without it a platform administrator
    /// makes the platform's.
    pub tenant_id: Option<Uuid>,
    /// What the vendor's own SDK takes by that name; the vendor's public address unless told.
    #[schema(min_length = 1, max_length = 2048)]
    pub base_url: Option<String>,
    /// Where it runs, for geographic routing.
    #[schema(min_length = 1, max_length = 64)]
    pub region: Option<String>,
    /// Permits plain `http` and private addresses. Never for a tenant's.
    #[serde(default)]
    pub allow_insecure: bool,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What changes of a provider; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProvider {
    /// Its name. Routes that name it are not changed with it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: Option<String>,
    /// Where it is.
    #[schema(min_length = 1, max_length = 2048)]
    pub base_url: Option<String>,
    /// Where it runs; an empty text is nowhere.
    #[schema(max_length = 64)]
    pub region: Option<String>,
    /// Permits plain `http` and private addresses. Never for a tenant's.
    pub allow_insecure: Option<bool>,
    /// Whether it is used.
    pub enabled: Option<bool>,
}

/// Which providers are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListProviders {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only of this kind.
    #[param(max_length = 64)]
    pub kind: Option<String>,
    /// Only this tenant's own.
    pub tenant_id: Option<Uuid>,
    /// Only `file`, `environment`, `api` or `cli`.
    #[param(max_length = 64)]
    pub managed_by: Option<String>,
    /// Only those that are used, or only others.
    pub enabled: Option<bool>,
    /// `created_at` (as told nothing), `-created_at`, `name` or `-name`; `-` is descending.
    #[param(inline)]
    pub sort: Option<ProviderSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of providers.
    #[derive(Default)]
    ProviderSort {
        /// Oldest first.
        #[default]
        CreatedAt = "created_at",
        /// Newest first.
        CreatedAtDescending = "-created_at",
        /// By name.
        Name = "name",
        /// By name, backwards.
        NameDescending = "-name",
    }
}

/// Whether a provider that routes name is removed all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeleteProvider {
    /// Remove it although routes name it; their targets there are skipped from then on.
    #[serde(default)]
    pub force: bool,
}

/// A credential of a provider, without the credential itself, which nobody is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// Its id.
    pub id: Uuid,
    /// The provider that is called with it.
    pub provider_id: Uuid,
    /// What people call it, unique within its provider.
    pub label: String,
    /// Its last characters, where it is long enough to show them.
    pub last4: String,
    /// Alike for equal credentials.
    pub fingerprint: String,
    /// Its share of the provider's calls; 0 is used when no other can be.
    pub weight: u32,
    /// Calls and sessions at once in each gateway; `null` is unlimited.
    pub max_concurrent: Option<u32>,
    /// Whether it is used.
    pub enabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Which credentials of a provider are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListCredentials {
    /// Only labels that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only those that are used, or that are not.
    pub enabled: Option<bool>,
    /// `created_at` (as told nothing), `-created_at`, `label` or `-label`; `-` is descending.
    #[param(inline)]
    pub sort: Option<CredentialSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of credentials.
    #[derive(Default)]
    CredentialSort {
        /// Oldest first.
        #[default]
        CreatedAt = "created_at",
        /// Newest first.
        CreatedAtDescending = "-created_at",
        /// By label.
        Label = "label",
        /// By label, backwards.
        LabelDescending = "-label",
    }
}

/// A credential to be kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCredential {
    /// What people call it.
    #[schema(min_length = 1, max_length = 64)]
    pub label: String,
    /// The credential itself: an API key, or the JSON of a service account. It is never shown again.
    #[schema(min_length = 1, max_length = 16384, write_only)]
    pub secret: String,
    /// Its share of the provider's calls; 0 is used when no other can be.
    #[serde(default = "one")]
    #[schema(maximum = 1000000)]
    pub weight: u32,
    /// Calls and sessions at once in each gateway; without it unlimited.
    #[schema(minimum = 1)]
    pub max_concurrent: Option<u32>,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What changes of a credential; what is absent stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateCredential {
    /// What people call it.
    #[schema(min_length = 1, max_length = 64)]
    pub label: Option<String>,
    /// Another credential in its place.
    #[schema(min_length = 1, max_length = 16384, write_only)]
    pub secret: Option<String>,
    /// Its share of the provider's calls; 0 is used when no other can be.
    #[schema(maximum = 1000000)]
    pub weight: Option<u32>,
    /// Calls and sessions at once in each gateway; 0 is unlimited.
    pub max_concurrent: Option<u32>,
    /// Whether it is used.
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for CreateCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateCredential").field("label", &self.label).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for UpdateCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateCredential").field("label", &self.label).finish_non_exhaustive()
    }
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}
