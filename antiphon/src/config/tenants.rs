//! `tenants`: organisations and their virtual keys.

use domain::provider::Operation;
use gateway::snapshot::BudgetWindow;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;

use super::redis::Away;

/// One organisation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantConfig {
    /// Its name, unique.
    pub(crate) name: String,
    /// What holds for its keys with limits while Redis is away: `local_share`, `open` or `closed`. Default:
    /// `redis.when_away`.
    #[serde(default)]
    pub(crate) when_away: Option<Away>,
    /// What becomes of models without a known price: `serve` records them as unpriced, `refuse` answers 403
    /// `model_unpriced` for every key of the tenant. Without it what is set stays as it is.
    #[serde(default)]
    pub(crate) unpriced: Option<Unpriced>,
    /// Its keys. A key that is dropped from the file is revoked at the next start.
    #[serde(default)]
    pub(crate) keys: Vec<KeyConfig>,
}

/// One virtual key with its policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyConfig {
    /// What people call it, unique within its tenant.
    pub(crate) name: String,
    /// The secret itself, 20 characters or more.
    pub(crate) key: SecretString,
    /// What it may do; every operation unless told.
    #[serde(default)]
    pub(crate) operations: Vec<Operation>,
    /// Patterns with `*` of the models it may use; every model unless told.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// Realtime sessions at once; unlimited unless told.
    #[serde(default)]
    pub(crate) max_concurrent_sessions: Option<u32>,
    /// Requests per minute; unlimited unless told.
    #[serde(default)]
    pub(crate) requests_per_minute: Option<u32>,
    /// Largest upload in MiB; the gateway's limit unless told.
    #[serde(default)]
    pub(crate) max_upload_mib: Option<u64>,
    /// Money; unlimited unless told.
    #[serde(default)]
    pub(crate) budget: Option<BudgetConfig>,
    /// After this moment the key is refused.
    #[serde(default, deserialize_with = "super::value::moment")]
    pub(crate) expires_at: Option<OffsetDateTime>,
    /// Whether models without a known price are served and recorded as unpriced, or refused. Default `serve`.
    #[serde(default)]
    pub(crate) unpriced: Option<Unpriced>,
    /// Another way to say `unpriced: refuse`.
    #[serde(default)]
    pub(crate) refuse_unpriced: bool,
    /// Paths of a vendor that are not known here are forwarded all the same, recorded as unpriced.
    #[serde(default)]
    pub(crate) passthrough: bool,
    /// Its calls may say by `x-antiphon-strategy` how targets are ordered.
    #[serde(default)]
    pub(crate) allow_strategy: bool,
}

impl KeyConfig {
    /// Whether models without a known price are refused.
    pub(crate) fn refuses_unpriced(&self) -> bool {
        self.unpriced.map_or(self.refuse_unpriced, Unpriced::refuses)
    }
}

/// What becomes of models without a known price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unpriced {
    /// They are served, and recorded as unpriced.
    Serve,
    /// They are refused.
    Refuse,
}

impl Unpriced {
    /// Whether they are refused.
    pub(crate) fn refuses(self) -> bool {
        self == Self::Refuse
    }
}

/// An amount in a window.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetConfig {
    /// US dollars, as text so that no digit is lost.
    #[serde(with = "rust_decimal::serde::str")]
    pub(crate) usd: Decimal,
    /// When it starts anew, in UTC. Default `total`.
    #[serde(default)]
    pub(crate) window: Window,
}

/// Windows of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Window {
    /// The key's whole life.
    #[default]
    Total,
    /// From midnight.
    Daily,
    /// From the first of the month.
    Monthly,
}

impl Window {
    /// As it is written in the file and in output.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        }
    }
}

impl From<Window> for BudgetWindow {
    fn from(window: Window) -> Self {
        match window {
            Window::Total => Self::Total,
            Window::Daily => Self::Daily,
            Window::Monthly => Self::Monthly,
        }
    }
}

impl From<BudgetWindow> for Window {
    fn from(window: BudgetWindow) -> Self {
        match window {
            BudgetWindow::Total => Self::Total,
            BudgetWindow::Daily => Self::Daily,
            BudgetWindow::Monthly => Self::Monthly,
        }
    }
}
