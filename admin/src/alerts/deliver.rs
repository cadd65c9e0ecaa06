//! Messages on their way: claimed, sent in the form of their channel, and tried again where that failed.
//!
//! Owners take turns: whoever was served longest ago comes first, and nobody has more than a few messages on
//! their way at once. So receivers that do not answer hold up their owner's messages alone.

use std::collections::HashMap;
use std::pin::pin;

use admin_types::alerts::{AlertMessage, DeliveryStatus};
use entities::{Id, alert_channel, alert_delivery, alert_event};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;

use super::{Alerts, message};
use crate::outgoing::check_url;
use crate::repositories::alerts::channels::{self, Leads};
use crate::repositories::stored;
use crate::telemetry;

/// Messages that are sent at once, and how many of them may be one owner's.
const AT_ONCE: usize = 16;
const OF_OWNER: usize = 4;
/// How often it is looked what else is due while messages are on their way.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
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

/// Sends what is due until nothing is, or until `stop` is cancelled: then what was begun is ended. Gives how many
/// were tried.
pub(super) async fn due(
    alerts: &Alerts,
    now: impl Fn() -> OffsetDateTime,
    stop: &CancellationToken,
) -> Result<usize, DbErr> {
    let mut turns = Turns::default();
    let mut sending = FuturesUnordered::new();
    let (mut tried, mut result, mut look) = (0, Ok(()), true);
    loop {
        let mut ended = Vec::new();
        if look && result.is_ok() && !stop.is_cancelled() {
            let places = AT_ONCE.saturating_sub(sending.len());
            let mut claim = pin!(turns.claim(&alerts.database, places, now()));
            // What is on its way goes on meanwhile: it may have the connections that this waits for.
            let claimed = loop {
                tokio::select! {
                    claimed = &mut claim => break claimed,
                    Some(done) = sending.next() => ended.push(done),
                }
            };
            match claimed {
                Ok(rows) => sending.extend(rows.into_iter().map(|row| attempt(alerts, row, &now))),
                Err(error) => result = Err(error),
            }
        }
        if ended.is_empty() {
            tokio::select! {
                done = sending.next() => match done {
                    Some(done) => ended.push(done),
                    None => return result.map(|()| tried),
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        // Once for several places: each look goes over all that is due.
        look = ended.is_empty() || sending.len() <= AT_ONCE / 2;
        for (owner, sent) in ended {
            turns.end(owner);
            tried += 1;
            result = result.and(sent);
        }
    }
}

/// Whose messages are on their way, and who had a turn when.
#[derive(Debug, Default)]
struct Turns {
    sending: HashMap<Option<Id>, usize>,
    served: HashMap<Option<Id>, u64>,
    turn: u64,
}

impl Turns {
    /// The messages that are sent next, claimed.
    async fn claim(
        &mut self,
        db: &DatabaseConnection,
        places: usize,
        now: OffsetDateTime,
    ) -> Result<Vec<alert_delivery::Model>, DbErr> {
        use alert_delivery::{Column, Entity};
        let is_due = Condition::all()
            .add(Column::Status.eq(DeliveryStatus::Pending.as_str()))
            .add(Column::NextAttemptAt.lte(stored(now)));
        let mut owners: Vec<Option<Id>> = Entity::find()
            .select_only()
            .column(Column::TenantId)
            .filter(is_due.clone())
            .group_by(Column::TenantId)
            .order_by_asc(Expr::expr(Column::NextAttemptAt.min()))
            .into_tuple()
            .all(db)
            .await?;
        owners.sort_by_key(|owner| self.served.get(owner).copied());
        let mut claimed = Vec::new();
        for owner in owners {
            let own = owner.map_or_else(|| Column::TenantId.is_null(), |owner| Column::TenantId.eq(owner));
            let busy = self.sending.get(&owner).copied().unwrap_or_default();
            let most = OF_OWNER.saturating_sub(busy).min(places - claimed.len());
            if most == 0 {
                continue;
            }
            let rows = Entity::find()
                .filter(is_due.clone())
                .filter(own)
                .order_by_asc(Column::NextAttemptAt)
                .order_by_asc(Column::Id)
                .limit(u64::try_from(most).unwrap_or_default())
                .all(db)
                .await?;
            for row in rows {
                if claim(db, &row, now).await? {
                    self.begin(owner);
                    claimed.push(row);
                }
            }
        }
        Ok(claimed)
    }

    fn begin(&mut self, owner: Option<Id>) {
        self.turn += 1;
        self.served.insert(owner, self.turn);
        *self.sending.entry(owner).or_default() += 1;
    }

    fn end(&mut self, owner: Option<Id>) {
        if let Some(count) = self.sending.get_mut(&owner) {
            *count = count.saturating_sub(1);
        }
    }
}

/// `false` where another process has claimed the message.
async fn claim(db: &DatabaseConnection, row: &alert_delivery::Model, now: OffsetDateTime) -> Result<bool, DbErr> {
    use alert_delivery::{Column, Entity};
    let claimed = Entity::update_many()
        .col_expr(Column::Attempts, Expr::value(row.attempts + 1))
        .col_expr(Column::NextAttemptAt, Expr::value(stored(now + CLAIM)))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(DeliveryStatus::Pending.as_str()))
        .filter(Column::Attempts.eq(row.attempts))
        .exec(db)
        .await?;
    Ok(claimed.rows_affected > 0)
}

/// Sends a message that is claimed, and writes how that fared. Gives whose it is.
async fn attempt(
    alerts: &Alerts,
    row: alert_delivery::Model,
    now: impl Fn() -> OffsetDateTime,
) -> (Option<Id>, Result<(), DbErr>) {
    let owner = row.tenant_id;
    (owner, send(alerts, row, now).await)
}

async fn send(alerts: &Alerts, row: alert_delivery::Model, now: impl Fn() -> OffsetDateTime) -> Result<(), DbErr> {
    let channel = alert_channel::Entity::find_by_id(row.channel_id).one(&alerts.database).await?;
    // A channel that was removed has taken its messages with it.
    let Some(channel) = channel else { return Ok(()) };
    let (outcome, again) = if channel.enabled {
        let outcome = alerts.send(&channel, &row.payload, now()).await;
        (outcome, retry_at(row.attempts + 1, row.created_at, now(), jitter()))
    } else {
        (Outcome::failed("the channel is switched off"), None)
    };
    let status = record(&alerts.database, row.id, &outcome, again, now()).await?;
    telemetry::delivery(&channel.kind, status);
    Ok(())
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
