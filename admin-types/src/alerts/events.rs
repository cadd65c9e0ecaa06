//! Alerts that were raised.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{AlertKind, AlertTimeSort, Severity};
use crate::words::words;

words! {
    /// Where an alert stands.
    AlertState {
        /// It is so.
        Firing = "firing",
        /// It was so.
        Resolved = "resolved",
    }
}

words! {
    /// What a value counts.
    AlertUnit {
        /// Of a hundred.
        Percent = "percent",
        /// US dollars.
        Usd = "usd",
        /// Milliseconds.
        Ms = "ms",
        /// Seconds.
        Seconds = "seconds",
        /// Usage records.
        Records = "records",
    }
}

impl AlertKind {
    /// What its values count.
    #[must_use]
    pub const fn unit(self) -> AlertUnit {
        match self {
            Self::BudgetShare | Self::ErrorRate => AlertUnit::Percent,
            Self::SpendRate => AlertUnit::Usd,
            Self::Latency => AlertUnit::Ms,
            Self::Breaker => AlertUnit::Seconds,
            Self::Unpriced => AlertUnit::Records,
        }
    }
}

/// Something that a rule has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its id.
    pub id: Uuid,
    /// The rule, which may be gone by now.
    pub rule_id: Uuid,
    /// What the rule was called.
    pub rule_name: String,
    /// Whose rule it is; null for the platform's.
    pub tenant_id: Option<Uuid>,
    /// What the rule watches.
    pub kind: AlertKind,
    /// How much it matters.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// What it is about: the id of a key or a tenant, the name of a provider, or `provider/model`.
    pub subject: String,
    /// As people call that.
    pub subject_name: String,
    /// What was found when it began.
    #[schema(value_type = String, example = "85.2")]
    pub value: Decimal,
    /// What it was held against.
    #[schema(value_type = String, example = "80")]
    pub threshold: Decimal,
    /// What both count.
    pub unit: AlertUnit,
    /// A sentence for people.
    pub summary: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it was over.
    #[serde(with = "time::serde::rfc3339::option")]
    pub resolved_at: Option<OffsetDateTime>,
    /// When the channels were told; null where the rule was muted or has none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub notified_at: Option<OffsetDateTime>,
    /// Who has taken note.
    pub acknowledged_by: Option<String>,
    /// When.
    #[serde(with = "time::serde::rfc3339::option")]
    pub acknowledged_at: Option<OffsetDateTime>,
}

/// Which alerts are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListAlerts {
    /// Only alerts that stand so.
    #[param(inline)]
    pub state: Option<AlertState>,
    /// Only alerts that matter so much.
    #[param(inline)]
    pub severity: Option<Severity>,
    /// Only alerts of rules that watch this.
    #[param(inline)]
    pub kind: Option<AlertKind>,
    /// Only alerts of this rule.
    pub rule_id: Option<Uuid>,
    /// Only alerts of this tenant's rules.
    pub tenant_id: Option<Uuid>,
    /// Only alerts that somebody has taken note of, or only others.
    pub acknowledged: Option<bool>,
    /// `-created_at` (as told nothing) or `created_at`; `-` is descending.
    #[param(inline)]
    pub sort: Option<AlertTimeSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}
