//! Rules.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::AlertSort;
use crate::words::words;

words! {
    /// How much an alert matters.
    Severity {
        /// Good to know.
        Info = "info",
        /// Somebody should look.
        Warning = "warning",
        /// Somebody should look now.
        Critical = "critical",
    }
}

words! {
    /// What a rule watches.
    AlertKind {
        /// How much of a key's budget is spent.
        BudgetShare = "budget_share",
        /// What is spent in a while.
        SpendRate = "spend_rate",
        /// How many requests fail.
        ErrorRate = "error_rate",
        /// How long the first byte takes.
        Latency = "latency",
        /// Targets that are left out because they fail.
        Breaker = "breaker",
        /// Usage without a price.
        Unpriced = "unpriced",
    }
}

/// What must be so for a rule to fire. A tenant's rule looks at what is the tenant's, a rule of the platform
/// at everything. Each thing it finds (a key, a tenant, a provider) is an alert of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// A key has spent this share of its budget, in the window that the budget has.
    BudgetShare {
        /// At least this much of it.
        #[schema(minimum = 1, maximum = 100)]
        percent: u32,
        /// Only this key; otherwise each key that has a budget.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<Uuid>,
    },
    /// A tenant, or a key, has spent this much in the last minutes.
    SpendRate {
        /// At least this many US dollars.
        #[schema(value_type = String, pattern = r"^[0-9]{1,9}(\.[0-9]{1,9})?$", example = "25.00")]
        usd: Decimal,
        /// In this many minutes.
        #[schema(minimum = 1, maximum = 1440)]
        window_minutes: u32,
        /// Only this key; otherwise all keys of a tenant together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<Uuid>,
    },
    /// Requests to a provider failed in the last minutes, at the provider or at the gateway. What was
    /// refused for what the client sent, or by a limit, does not count.
    ErrorRate {
        /// At least this many of a hundred.
        #[schema(minimum = 1, maximum = 100)]
        percent: u32,
        /// In this many minutes.
        #[schema(minimum = 1, maximum = 1440)]
        window_minutes: u32,
        /// With fewer requests nothing is concluded.
        #[serde(default = "some_requests")]
        #[schema(minimum = 1, maximum = 1_000_000)]
        minimum_requests: u32,
        /// Only this provider, by its configured name; otherwise each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        provider: Option<String>,
        /// Only this operation, such as `speech`; otherwise all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        operation: Option<String>,
    },
    /// The first byte of 5 of 100 answers of a provider took this long in the last minutes.
    Latency {
        /// The 95th percentile is at least this many milliseconds.
        #[schema(minimum = 1, maximum = 10_000)]
        p95_ms: u32,
        /// In this many minutes.
        #[schema(minimum = 1, maximum = 1440)]
        window_minutes: u32,
        /// With fewer answers nothing is concluded.
        #[serde(default = "some_requests")]
        #[schema(minimum = 1, maximum = 1_000_000)]
        minimum_requests: u32,
        /// Only this provider, by its configured name; otherwise each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        provider: Option<String>,
        /// Only this operation, such as `speech`; otherwise all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        operation: Option<String>,
    },
    /// A gateway leaves a provider's model out because it fails.
    Breaker {
        /// For at least this many seconds.
        #[serde(default = "a_minute")]
        #[schema(maximum = 86_400)]
        open_seconds: u32,
        /// Only this provider, by its configured name; otherwise each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        provider: Option<String>,
        /// Only this model of the provider; otherwise each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        model: Option<String>,
    },
    /// A provider's model was used without a price, so that its cost is unknown.
    Unpriced {
        /// In the last minutes.
        #[serde(default = "an_hour")]
        #[schema(minimum = 1, maximum = 1440)]
        window_minutes: u32,
        /// Only this provider, by its configured name; otherwise each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        provider: Option<String>,
        /// Only this model of the provider; otherwise each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(min_length = 1, max_length = 200)]
        model: Option<String>,
    },
}

impl Condition {
    /// What it watches.
    #[must_use]
    pub const fn kind(&self) -> AlertKind {
        match self {
            Self::BudgetShare { .. } => AlertKind::BudgetShare,
            Self::SpendRate { .. } => AlertKind::SpendRate,
            Self::ErrorRate { .. } => AlertKind::ErrorRate,
            Self::Latency { .. } => AlertKind::Latency,
            Self::Breaker { .. } => AlertKind::Breaker,
            Self::Unpriced { .. } => AlertKind::Unpriced,
        }
    }
}

const fn some_requests() -> u32 {
    20
}

const fn a_minute() -> u32 {
    60
}

const fn an_hour() -> u32 {
    60
}

const fn yes() -> bool {
    true
}

const fn warning() -> Severity {
    Severity::Warning
}

/// What is watched, and where it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertRule {
    /// Its id.
    pub id: Uuid,
    /// Whose it is; null for the platform's.
    pub tenant_id: Option<Uuid>,
    /// What people call it.
    pub name: String,
    /// What must be so.
    pub condition: Condition,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it is looked at.
    pub enabled: bool,
    /// Until then it is looked at and nobody is told.
    #[serde(with = "time::serde::rfc3339::option")]
    pub muted_until: Option<OffsetDateTime>,
    /// Where it is told.
    pub channel_ids: Vec<Uuid>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A rule to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAlertRule {
    /// What people call it; unique for its owner.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
    pub name: String,
    /// Whose it is: of a tenant's people always their own, of a platform administrator the platform's
    /// unless told.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
    /// What must be so.
    pub condition: Condition,
    /// How much it matters.
    #[serde(default = "warning")]
    pub severity: Severity,
    /// Whether it is looked at.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where it is told: channels of the same owner.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub channel_ids: Vec<Uuid>,
}

/// What changes of a rule; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAlertRule {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
    pub name: Option<String>,
    /// What must be so, as a whole.
    pub condition: Option<Condition>,
    /// How much it matters.
    pub severity: Option<Severity>,
    /// Whether it is looked at.
    pub enabled: Option<bool>,
    /// Where it is told, as a whole.
    #[schema(max_items = 20)]
    pub channel_ids: Option<Vec<Uuid>>,
}

/// How long nobody is told: one of the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteAlertRule {
    /// Until this moment, in the future.
    #[serde(default, with = "crate::moment::option", skip_serializing_if = "Option::is_none")]
    pub until: Option<OffsetDateTime>,
    /// For this many minutes from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 525_600)]
    pub minutes: Option<u32>,
}

/// Which rules are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListAlertRules {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only rules that watch this.
    #[param(inline)]
    pub kind: Option<AlertKind>,
    /// Only rules of this tenant.
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
