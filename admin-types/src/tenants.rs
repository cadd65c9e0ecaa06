//! Tenants: organisations that own keys, users, providers, models and prices.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::given;
use crate::words::words;

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// Its unique name.
    pub name: String,
    /// Models without a price are refused for every key of the tenant.
    pub refuse_unpriced: bool,
    /// What holds for its keys with limits while the gateways' Redis is away; null for what the gateways are
    /// configured with.
    pub when_away: Option<WhenAway>,
    /// Since then nobody of the tenant is served.
    #[serde(with = "time::serde::rfc3339::option")]
    pub suspended_at: Option<OffsetDateTime>,
    /// Why.
    pub suspended_reason: Option<String>,
    /// `file`, `api` or `cli`; what the configuration file declares is changed there alone.
    pub managed_by: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A tenant to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its unique name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: String,
    /// Models without a price are refused for every key of the tenant.
    #[serde(default)]
    pub refuse_unpriced: bool,
    /// What holds for its keys with limits while the gateways' Redis is away; null for what the gateways are
    /// configured with.
    #[serde(default)]
    pub when_away: Option<WhenAway>,
}

/// What changes of a tenant; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTenant {
    /// Its unique name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: Option<String>,
    /// Models without a price are refused for every key of the tenant.
    pub refuse_unpriced: Option<bool>,
    /// What holds for its keys with limits while the gateways' Redis is away; null for what the gateways are
    /// configured with.
    #[serde(default, deserialize_with = "given::or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WhenAway>, required = false)]
    pub when_away: Option<Option<WhenAway>>,
}

/// Why a tenant is suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendTenant {
    /// For people, such as `unpaid invoices`.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
}

/// Which tenants are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListTenants {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only suspended ones, or only others.
    pub suspended: Option<bool>,
    /// `created_at` (as told nothing), `-created_at`, `name` or `-name`; `-` is descending.
    #[param(inline)]
    pub sort: Option<TenantSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// What holds for keys with limits while gateways cannot count together.
    WhenAway {
        /// Each gateway gives its part of each limit.
        LocalShare = "local_share",
        /// Nothing is limited; what is spent counts later.
        Open = "open",
        /// Nothing is admitted that a limit is set for.
        Closed = "closed",
    }
}

words! {
    /// Orders of a list of tenants.
    #[derive(Default)]
    TenantSort {
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
