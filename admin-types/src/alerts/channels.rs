//! Channels.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::AlertSort;
use crate::words::words;

words! {
    /// What a channel is.
    AlertChannelKind {
        /// A URL that gets signed JSON.
        Webhook = "webhook",
        /// A URL that takes what Slack's incoming webhooks take.
        Slack = "slack",
        /// E-mail.
        Email = "email",
    }
}

/// Where a channel leads. Secrets go in and never come out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelSettings {
    /// A URL that gets signed JSON. It may hold a token, so only its host is shown.
    Webhook {
        /// `https`, and at a public address.
        #[schema(pattern = "^https?://", max_length = 2000, write_only)]
        url: String,
        /// Signs each message: 16 to 200 printable ASCII characters without spaces.
        #[schema(min_length = 16, max_length = 200, pattern = "^[!-~]+$", write_only)]
        secret: String,
        /// Plain `http` and private addresses too: for channels of the platform only.
        #[serde(default)]
        allow_insecure: bool,
    },
    /// A URL that takes what Slack's incoming webhooks take. The URL is itself a secret, so only its host is
    /// shown.
    Slack {
        /// `https`, and at a public address.
        #[schema(pattern = "^https?://", max_length = 2000, write_only)]
        url: String,
        /// Plain `http` and private addresses too: for channels of the platform only.
        #[serde(default)]
        allow_insecure: bool,
    },
    /// E-mail, by the server that the configuration names.
    Email {
        /// To whom.
        #[schema(min_items = 1, max_items = 10)]
        to: Vec<String>,
    },
}

impl std::fmt::Debug for ChannelSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Webhook { .. } => "Webhook(…)",
            Self::Slack { .. } => "Slack(…)",
            Self::Email { .. } => "Email(…)",
        })
    }
}

const fn yes() -> bool {
    true
}

/// Where alerts are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertChannel {
    /// Its id.
    pub id: Uuid,
    /// Whose it is; null for the platform's.
    pub tenant_id: Option<Uuid>,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: AlertChannelKind,
    /// The host of its URL, such as `https://hooks.example.com/…`; absent for e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// To whom e-mail goes; empty for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// It may be plain `http` and in a private network.
    pub allow_insecure: bool,
    /// Whether anything is told through it.
    pub enabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A channel to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAlertChannel {
    /// What people call it; unique for its owner.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
    pub name: String,
    /// Whose it is: of a tenant's people always their own, of a platform administrator the platform's
    /// unless told.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
    /// Where it leads.
    pub settings: ChannelSettings,
    /// Whether anything is told through it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What changes of a channel; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAlertChannel {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
    pub name: Option<String>,
    /// Where it leads, as a whole: whoever changes the URL gives the secret again.
    pub settings: Option<ChannelSettings>,
    /// Whether anything is told through it.
    pub enabled: Option<bool>,
}

/// How a test message fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertChannelTest {
    /// Whether it was taken.
    pub delivered: bool,
    /// Its entry in the list of deliveries.
    pub delivery_id: Uuid,
    /// The status that the URL answered; absent for e-mail and where nothing answered.
    pub http_status: Option<u16>,
    /// Why it was not taken.
    pub error: Option<String>,
    /// The begin of what the URL answered.
    pub answer: Option<String>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

/// Which channels are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListAlertChannels {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only channels of this kind.
    #[param(inline)]
    pub kind: Option<AlertChannelKind>,
    /// Only channels of this tenant.
    pub tenant_id: Option<Uuid>,
    /// `created_at` (as told nothing), `-created_at`, `name` or `-name`; `-` is descending.
    #[param(inline)]
    pub sort: Option<AlertSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}
