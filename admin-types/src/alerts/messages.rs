//! Messages to channels.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Alert, AlertTimeSort};
use crate::words::words;

words! {
    /// What a message tells.
    MessageKind {
        /// An alert began.
        Firing = "alert.firing",
        /// An alert is over.
        Resolved = "alert.resolved",
        /// Somebody tries the channel out.
        Test = "alert.test",
    }
}

words! {
    /// How a message fares.
    DeliveryStatus {
        /// It waits for its next attempt.
        Pending = "pending",
        /// It was taken.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// The body of a webhook's request.
///
/// `x-antiphon-signature: t=SECONDS,v1=HEX` has the HMAC-SHA-256, under the channel's secret, of the
/// seconds, a dot and the body as it came. `x-antiphon-event` says what `event` says, and
/// `x-antiphon-delivery` what `id` says, which is the same in every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertMessage {
    /// Tells messages apart; a message that is sent again has the same.
    pub id: Uuid,
    /// What it tells.
    pub event: MessageKind,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The alert as it was then; null in a test.
    pub alert: Option<Alert>,
}

/// One message to one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertDelivery {
    /// Its id.
    pub id: Uuid,
    /// The alert; null for a test.
    pub alert_id: Option<Uuid>,
    /// To where.
    pub channel_id: Uuid,
    /// Whose channel it is; null for the platform's.
    pub tenant_id: Option<Uuid>,
    /// What it tells.
    pub event: MessageKind,
    /// How it fares.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
    /// The status of the last answer.
    pub http_status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The begin of the last answer's body.
    pub answer: Option<String>,
    /// When it is tried again.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_attempt_at: Option<OffsetDateTime>,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was taken.
    #[serde(with = "time::serde::rfc3339::option")]
    pub delivered_at: Option<OffsetDateTime>,
}

/// Which deliveries are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListAlertDeliveries {
    /// Only messages of this alert.
    pub alert_id: Option<Uuid>,
    /// Only messages to this channel.
    pub channel_id: Option<Uuid>,
    /// Only messages that fare so.
    #[param(inline)]
    pub status: Option<DeliveryStatus>,
    /// Only messages to this tenant's channels.
    pub tenant_id: Option<Uuid>,
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
