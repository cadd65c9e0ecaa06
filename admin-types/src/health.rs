//! How the installation is: its gateways, its database, and the targets that gateways ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Most targets that are told of.
pub const MAX_TARGETS: u64 = 1000;

/// How everything is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The database that was asked for all of this.
    pub database: DatabaseHealth,
    /// The gateways that live; told to platform administrators alone.
    pub gateways: Vec<GatewayHealth>,
    /// What each gateway knows of each target, at most 1000.
    pub targets: Vec<TargetHealth>,
    /// There are more targets: ask with a filter.
    pub more_targets: bool,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseHealth {
    /// `sqlite` or `postgresql`.
    pub kind: String,
    /// How long it took to answer, in milliseconds.
    pub latency_ms: u64,
}

/// A gateway process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayHealth {
    /// Another one with every start.
    pub id: Uuid,
    /// The machine that it runs on.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// When it started.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it last said that it lives.
    #[serde(with = "time::serde::rfc3339")]
    pub heartbeat_at: OffsetDateTime,
    /// It takes no new sessions.
    pub draining: bool,
    /// Sessions that were open then.
    pub open_sessions: i64,
    /// Usage records that were not in the database yet then.
    pub journal_records: i64,
}

/// What one gateway knows of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetHealth {
    /// Which gateway.
    pub gateway_id: Uuid,
    /// Which provider.
    pub provider_id: Uuid,
    /// Its configured name.
    pub provider: String,
    /// Whose provider it is; absent for the platform's.
    pub tenant_id: Option<Uuid>,
    /// Which of its models.
    pub model: String,
    /// Whether it is asked.
    pub breaker: Breaker,
    /// Failures in a row.
    pub failures: i64,
    /// Decayed mean of the milliseconds to the first byte, by operation.
    pub ttfb_ms: BTreeMap<String, u64>,
    /// When this was written.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Whether a target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// It is.
    Closed,
    /// By one call, which finds out whether it is well again.
    HalfOpen,
    /// It is not.
    Open,
}

impl Breaker {
    /// As it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// Of which targets is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AskHealth {
    /// Only of this provider, by its configured name.
    #[param(max_length = 200)]
    pub provider: Option<String>,
    /// Only of targets whose breaker is so.
    #[param(inline)]
    pub breaker: Option<Breaker>,
}
