//! One row of the usage ledger, as the journal and the database hold it.

use domain::ids::{PriceId, RequestId, SessionId, TenantId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::usage::{Usage, UsageSource, UsageStatus};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One row of `usage_records`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// `UUIDv7`, made when the operation was admitted.
    pub id: UsageRecordId,
    /// As `x-request-id` says.
    pub request_id: RequestId,
    /// The realtime session, where there is one.
    pub session_id: Option<SessionId>,
    /// Turn in the session; 0 for single operations.
    pub sequence: u32,
    /// Who pays.
    pub tenant_id: TenantId,
    /// By which key.
    pub key_id: VirtualKeyId,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`, as sent.
    pub tags: Option<String>,
    /// What was asked.
    pub operation: Operation,
    /// The model the client named.
    pub model_asked: String,
    /// Kind of the provider that served.
    pub provider_kind: ProviderKind,
    /// Configured name of the provider that served.
    pub provider: String,
    /// That provider's model.
    pub model_served: String,
    /// Quantities.
    pub usage: Usage,
    /// How they are known.
    pub usage_source: UsageSource,
    /// `None` while unpriced. Never 0 for want of a price.
    pub cost: Option<NanoUsd>,
    /// The price row that decided most of the cost.
    pub price_id: Option<PriceId>,
    /// How it ended.
    pub status: UsageStatus,
    /// Targets tried, the one that served included.
    pub attempts: u32,
    /// Cache result, where a cache was asked.
    pub cache: Option<String>,
    /// Milliseconds to the first byte for the client.
    pub ttfb_ms: Option<u64>,
    /// Milliseconds from the request to its end.
    pub latency_ms: u64,
    /// When it was admitted.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
}
