//! Messages on their way: claimed, sent in the form of their channel, and tried again where that failed.

use admin_types::alerts::{AlertMessage, DeliveryStatus};
use entities::{Id, alert_channel, alert_delivery, alert_event};
use futures_util::{StreamExt, stream};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use time::{Duration, OffsetDateTime};

use super::{Alerts, message};
use crate::outgoing::check_url;
use crate::repositories::alerts::channels::{self, Leads};
use crate::repositories::stored;
use crate::telemetry;

/// Messages of one turn, and how many of them at once.
const BATCH: u64 = 64;
const AT_ONCE: usize = 8;
/// Attempts of one message.
const MAX_ATTEMPTS: i64 = 8;
/// From the first attempt to the second; each later wait is four times as long.
const FIRST_WAIT: Duration = Duration::seconds(15);
/// A message that is not taken within this is given up.
const GIVE_UP_AFTER: Duration = Duration::DAY;
/// A process that has claimed a message and says nothing for so long is taken for dead.
const CLAIM: Duration = Duration::minutes(2);
/// How long messages, and alerts that are over, are kept.
const KEEP_DELIVERIES: Duration = Duration::days(30);
const KEEP_ALERTS: Duration = Duration::days(90);

/// How one attempt fared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// What the URL answered.
    pub(crate) http_status: Option<u16>,
    /// Why it was not taken; `None` where it was.
    pub(crate) error: Option<String>,
    /// The begin of the answer's body.
    pub(crate) answer: Option<String>,
}

impl Outcome {
    fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// Sends what is due. Gives how many were tried.
pub(super) async fn due(alerts: &Alerts, now: OffsetDateTime) -> Result<usize, DbErr> {
    use alert_delivery::{Column, Entity};
    let now = stored(now);
    let mut tried = 0;
    loop {
        let rows = Entity::find()
            .filter(Column::Status.eq(DeliveryStatus::Pending.as_str()))
            .filter(Column::NextAttemptAt.lte(now))
            .order_by_asc(Column::NextAttemptAt)
            .order_by_asc(Column::Id)
            .limit(BATCH)
            .all(&alerts.database)
            .await?;
        let count = rows.len();
        let mut attempts = stream::iter(rows).map(|row| attempt(alerts, row, now)).buffer_unordered(AT_ONCE);
        while let Some(attempted) = attempts.next().await {
            tried += usize::from(attempted?);
        }
        // Whatever was tried is not due any more, so each turn comes to its end.
        if u64::try_from(count).unwrap_or(u64::MAX) < BATCH {
            return Ok(tried);
        }
    }
}

/// Claims a message, sends it, and writes how that fared. `false` where another process has claimed it.
async fn attempt(alerts: &Alerts, row: alert_delivery::Model, now: OffsetDateTime) -> Result<bool, DbErr> {
    use alert_delivery::{Column, Entity};
    let claimed = Entity::update_many()
        .col_expr(Column::Attempts, Expr::value(row.attempts + 1))
        .col_expr(Column::NextAttemptAt, Expr::value(stored(now + CLAIM)))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(DeliveryStatus::Pending.as_str()))
        .filter(Column::Attempts.eq(row.attempts))
        .exec(&alerts.database)
        .await?;
    if claimed.rows_affected == 0 {
        return Ok(false);
    }
    let channel = alert_channel::Entity::find_by_id(row.channel_id).one(&alerts.database).await?;
    // A channel that was removed has taken its messages with it.
    let Some(channel) = channel else { return Ok(false) };
    let (outcome, again) = if channel.enabled {
        let outcome = alerts.send(&channel, &row.payload, now).await;
        let again = retry_at(row.attempts + 1, row.created_at, now, jitter());
        (outcome, again)
    } else {
        (Outcome::failed("the channel is switched off"), None)
    };
    let status = record(&alerts.database, row.id, &outcome, again, now).await?;
    telemetry::delivery(&channel.kind, status);
    Ok(true)
}

/// Writes how an attempt fared; `again` says when the next one is, where there is one.
async fn record(
    db: &DatabaseConnection,
    id: Id,
    outcome: &Outcome,
    again: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<DeliveryStatus, DbErr> {
    let status = match (&outcome.error, again) {
        (None, _) => DeliveryStatus::Delivered,
        (Some(_), Some(_)) => DeliveryStatus::Pending,
        (Some(_), None) => DeliveryStatus::Failed,
    };
    let row = alert_delivery::ActiveModel {
        id: Set(id),
        status: Set(status.as_str().to_owned()),
        http_status: Set(outcome.http_status.map(i32::from)),
        error: Set(outcome.error.clone()),
        answer: Set(outcome.answer.clone()),
        next_attempt_at: Set(again.filter(|_| status == DeliveryStatus::Pending).map(stored)),
        delivered_at: Set((status == DeliveryStatus::Delivered).then_some(stored(now))),
        ..Default::default()
    };
    row.update(db).await?;
    Ok(status)
}

/// When a message that was tried `attempts` times is tried again; `None` where it is given up. Up to a
/// quarter of the wait is taken off by `jitter`, so that what failed together is not tried again together.
fn retry_at(attempts: i64, created_at: OffsetDateTime, now: OffsetDateTime, jitter: u8) -> Option<OffsetDateTime> {
    if attempts >= MAX_ATTEMPTS {
        return None;
    }
    let doublings = u32::try_from(2 * (attempts - 1)).unwrap_or_default();
    let wait = FIRST_WAIT * 2_i32.pow(doublings);
    let at = now + wait - wait * i32::from(jitter) / (4 * i32::from(u8::MAX));
    (at <= created_at + GIVE_UP_AFTER).then_some(at)
}

fn jitter() -> u8 {
    crate::random::<1>().map_or(0, |[byte]| byte)
}

impl Alerts {
    /// Sends a message through a channel, once.
    pub(crate) async fn send(&self, channel: &alert_channel::Model, payload: &str, now: OffsetDateTime) -> Outcome {
        let Ok(message) = serde_json::from_str::<AlertMessage>(payload) else {
            return Outcome::failed("the message is damaged");
        };
        let leads = match channels::open(&self.sealing, channel) {
            Ok(leads) => leads,
            Err(error) => return Outcome::failed(error),
        };
        match leads {
            Leads::Webhook { url, secret } => {
                let headers = [
                    ("x-antiphon-event", message.event.as_str().to_owned()),
                    ("x-antiphon-delivery", message.id.to_string()),
                    ("x-antiphon-signature", message::signature(&secret, now.unix_timestamp(), payload)),
                ];
                self.post(&url, channel.allow_insecure, &headers, payload.to_owned()).await
            }
            Leads::Slack { url } => {
                let body = message::slack(&message).to_string();
                self.post(&url, channel.allow_insecure, &[], body).await
            }
            Leads::Email { to } => match &self.mail {
                None => Outcome::failed("the configuration names no mail server"),
                Some(mail) => Outcome { error: mail.send(&to, &message).await.err(), ..Outcome::default() },
            },
        }
    }

    async fn post(&self, url: &str, allow_insecure: bool, headers: &[(&'static str, String)], body: String) -> Outcome {
        let answer = match self.outgoing.post(url, allow_insecure, headers, body).await {
            Ok(answer) => answer,
            Err(error) => {
                let host = check_url(url, true).ok().and_then(|url| url.host_str().map(str::to_owned));
                return Outcome::failed(format!("{} {error}", host.unwrap_or_else(|| "the URL".to_owned())));
            }
        };
        let status = answer.status;
        let error = (!status.is_success()).then(|| format!("the answer was {status}"));
        Outcome { http_status: Some(status.as_u16()), error, answer: Some(answer.body) }
    }
}

/// Removes what is old.
pub(super) async fn clean(db: &DatabaseConnection, now: OffsetDateTime) -> Result<(), DbErr> {
    let old = Condition::all()
        .add(alert_delivery::Column::CreatedAt.lt(stored(now - KEEP_DELIVERIES)))
        .add(alert_delivery::Column::Status.ne(DeliveryStatus::Pending.as_str()));
    alert_delivery::Entity::delete_many().filter(old).exec(db).await?;
    let old = alert_event::Column::ResolvedAt.lt(stored(now - KEEP_ALERTS));
    alert_event::Entity::delete_many().filter(old).exec(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_message_is_tried_eight_times_within_a_day() {
        let begun = datetime!(2026-11-22 12:00 UTC);
        for jitter in [0, 100, 255] {
            let (mut now, mut attempts, mut waits) = (begun, 1, Vec::new());
            while let Some(next) = retry_at(attempts, begun, now, jitter) {
                waits.push(next - now);
                (now, attempts) = (next, attempts + 1);
            }
            assert_eq!(attempts, MAX_ATTEMPTS, "{waits:?}");
            assert!(now - begun <= GIVE_UP_AFTER, "{waits:?}");
            assert!(waits.windows(2).all(|pair| pair[1] >= pair[0] * 3), "{waits:?}");
        }
        assert_eq!(retry_at(1, begun, begun, 0), Some(begun + Duration::seconds(15)));
        assert_eq!(retry_at(2, begun, begun + Duration::days(2), 0), None, "a process that slept gives up too");
    }
}
