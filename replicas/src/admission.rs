//! Admission of one key's calls over all gateways: how often, how many sessions at once, for how much money; and the
//! leases by which what was taken comes back.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use domain::ids::VirtualKeyId;
use domain::money::NanoUsd;
use futures_util::future::join_all;
use time::{Date, Month, OffsetDateTime, Time};
use uuid::Uuid;

use crate::connection::{Count, Replicas};
use crate::money::{Reading, amount_text, born_ms};
use crate::{ReplicasError, script};

/// How soon a refused session may try again: nobody can foretell when a slot comes free.
const SESSION_RETRY: Duration = Duration::from_secs(5);
/// How long who has spent a budget for good should wait: long enough to stop a loop, short enough to notice that
/// the budget was raised.
const SPENT_RETRY: Duration = Duration::from_secs(86_400);
/// Leases that one script renews: a script keeps everybody else waiting.
const RENEWED_AT_ONCE: usize = 200;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyLimits {
    /// Requests per minute, all of which may come at once; `None` is no limit.
    pub requests_per_minute: Option<u32>,
    /// Realtime sessions at once.
    pub max_sessions: Option<u32>,
    /// Money.
    pub budget: Option<Budget>,
}

/// Money in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How much.
    pub amount: NanoUsd,
    /// In which time.
    pub window: Window,
}

/// The time in which a budget is spent, by the clock of Redis and in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// The key's whole life.
    Total,
    /// From midnight to midnight.
    Daily,
    /// From the first of a month to the first of the next.
    Monthly,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// What it may cost; `None` while unknown or unpriced, which fits while anything at all is left.
    pub cost: Option<NanoUsd>,
    /// Whether it is a realtime session.
    pub session: bool,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub enum Admission {
    /// It may go on.
    Granted(Grant),
    /// It may not; nothing was taken of any limit.
    Refused(Refusal),
    /// Redis cannot tell what the key has spent: read it, [`Replicas::set_past`], and ask again.
    NeedsPast(Reading),
}

/// What an admitted call has.
#[derive(Debug, Clone)]
pub struct Grant {
    /// How the rate stands, where the key has one.
    pub rate: Option<RateState>,
    /// What it holds; `None` where it holds nothing, such as a call that only the rate was asked for.
    pub lease: Option<Lease>,
    /// When it was admitted, by Redis; `None` where the key has no limits, so that Redis was not asked.
    pub at: Option<OffsetDateTime>,
    /// That the past should be read again, by this gateway and when it likes: for instance because a record came
    /// late. Nobody else is asked for a few seconds.
    pub refresh: Option<Reading>,
}

/// What the `x-ratelimit-*-requests` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateState {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that would be admitted at this moment.
    pub remaining: u32,
    /// Until `remaining` is `limit` again.
    pub reset: Duration,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which limit did not hold the call.
    pub limit: Limit,
    /// When another try may succeed.
    pub retry_after: Duration,
    /// For the rate headers, where the rate refused.
    pub rate: Option<RateState>,
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests per minute.
    Rate,
    /// Sessions at once.
    Sessions,
    /// Money.
    Budget,
}

/// What an admitted call holds in Redis until it is settled, or is not renewed for the time of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub key: VirtualKeyId,
    /// The call. No record of it has a smaller id.
    pub call: Uuid,
    /// Higher than that of every earlier admission of this key, so that what comes of an earlier one is recognised.
    pub fence: u64,
    /// Money held.
    pub reserved: NanoUsd,
    /// Whether it holds a session's slot.
    pub session: bool,
    /// Up to this id the call's records are all settled: what the horizon need not wait for. At first the call.
    pub from: Uuid,
}

/// What became of more money that an open call asked for.
#[derive(Debug, Clone)]
pub enum Reserved {
    /// The lease holds it now.
    Granted,
    /// The budget does not hold it; what was held stays held.
    Refused(Refusal),
    /// As [`Admission::NeedsPast`].
    NeedsPast(Reading),
}

/// What became of leases that were renewed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renewal {
    /// Calls whose lease Redis had lost, or had given back since nobody renewed it. They hold again what they held.
    pub restored: Vec<Uuid>,
    /// Calls that were admitted again since, under a higher fence: the lease renewed is void.
    pub replaced: Vec<Uuid>,
}

impl KeyLimits {
    fn ask_nothing(self, want: Want) -> bool {
        self.requests_per_minute.is_none() && self.budget.is_none() && !want.session
    }
}

impl Window {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        }
    }

    /// When the window that holds `now` ends; `None` for the whole life.
    fn end(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let day = now.date();
        let next = match self {
            Self::Total => return None,
            Self::Daily => day.next_day(),
            Self::Monthly if day.month() == Month::December => {
                Date::from_calendar_date(day.year() + 1, Month::January, 1).ok()
            }
            Self::Monthly => Date::from_calendar_date(day.year(), day.month().next(), 1).ok(),
        };
        next.map(|next| next.with_time(Time::MIDNIGHT).assume_utc())
    }

    fn retry_after(self, now: OffsetDateTime) -> Duration {
        let left = self.end(now).and_then(|end| Duration::try_from(end - now).ok());
        left.unwrap_or(SPENT_RETRY)
    }
}

impl Replicas {
    /// Admits one call of `key`, or refuses it and takes nothing: one script, and none at all for a key without
    /// limits. `call` is a `UUIDv7` at or below the ids of all records of the call; a call that asks twice is
    /// admitted once.
    ///
    /// # Errors
    /// `Away` within the call timeout. The call may hold a lease then, which ends by itself.
    pub async fn admit(
        &self,
        key: VirtualKeyId,
        limits: KeyLimits,
        want: Want,
        call: Uuid,
    ) -> Result<Admission, ReplicasError> {
        if limits.ask_nothing(want) {
            return Ok(Admission::Granted(Grant { rate: None, lease: None, at: None, refresh: None }));
        }
        let number = |limit: Option<u32>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
        let mut args = self.periods();
        args.extend([
            call.to_string(),
            born_ms(call).to_string(),
            number(limits.requests_per_minute),
            number(limits.max_sessions),
            limits.budget.map_or("", |budget| budget.window.name()).to_owned(),
            limits.budget.map_or_else(|| "0".to_owned(), |budget| amount_text(budget.amount)),
            want.cost.map_or_else(String::new, amount_text),
            flag(want.session),
            self.seen_fence(key).to_string(),
        ]);
        let answer = self.run(&script::ADMIT, self.keys().of_key(key), args).await?;
        self.admission(key, limits, want, call, &answer).ok_or_else(|| unexpected(&answer))
    }

    fn admission(
        &self,
        key: VirtualKeyId,
        limits: KeyLimits,
        want: Want,
        call: Uuid,
        answer: &[String],
    ) -> Option<Admission> {
        let now = moment(answer.get(1)?)?;
        match answer.first()?.as_str() {
            "granted" => {
                let fence = answer.get(2)?.parse().ok()?;
                let holds = want.session || limits.budget.is_some();
                if limits.budget.is_some() {
                    self.see_fence(key, fence);
                }
                Some(Admission::Granted(Grant {
                    rate: limits.requests_per_minute.and_then(|limit| rate_state(limit, answer.get(3)?)),
                    lease: holds.then(|| Lease {
                        key,
                        call,
                        fence,
                        reserved: NanoUsd(want.cost.map_or(0, |cost| cost.0.max(0))),
                        session: want.session,
                        from: call,
                    }),
                    at: Some(now),
                    refresh: Reading::parse(key, now, answer.get(4)?),
                }))
            }
            "past" => self.needs_past(key, now, answer).map(Admission::NeedsPast),
            limit => refusal(limit, limits, now, answer).map(Admission::Refused),
        }
    }

    /// Holds `more` beside what `lease` holds, by `budget`, and notes it there.
    ///
    /// # Errors
    /// `Away`; the lease is unchanged here, and where Redis has more of it the next renewal does not take it back,
    /// but its end does.
    pub async fn reserve_more(
        &self,
        lease: &mut Lease,
        more: NanoUsd,
        budget: Option<Budget>,
    ) -> Result<Reserved, ReplicasError> {
        let mut args = self.periods();
        args.extend([
            lease.call.to_string(),
            lease.fence.to_string(),
            born_ms(lease.from).to_string(),
            amount_text(lease.reserved),
            flag(lease.session),
            amount_text(more),
            budget.map_or("", |budget| budget.window.name()).to_owned(),
            budget.map_or_else(|| "0".to_owned(), |budget| amount_text(budget.amount)),
            self.seen_fence(lease.key).to_string(),
        ]);
        let answer = self.run(&script::RESERVE, self.keys().of_key(lease.key), args).await?;
        let now = answer.get(1).and_then(|text| moment(text)).ok_or_else(|| unexpected(&answer))?;
        match (answer.first().map(String::as_str), budget) {
            (Some("granted"), _) => {
                lease.reserved = lease.reserved.saturating_add(NanoUsd(more.0.max(0)));
                Ok(Reserved::Granted)
            }
            (Some("budget"), Some(budget)) => Ok(Reserved::Refused(over_budget(budget, now))),
            (Some("past"), _) => {
                let reading = self.needs_past(lease.key, now, &answer).ok_or_else(|| unexpected(&answer))?;
                Ok(Reserved::NeedsPast(reading))
            }
            _ => Err(unexpected(&answer)),
        }
    }

    /// Keeps leases alive; to be called each third of their time to live. All of them travel together.
    ///
    /// # Errors
    /// `Away`: then some may have been renewed, and all may be renewed again.
    pub async fn renew(&self, leases: &[Lease]) -> Result<Renewal, ReplicasError> {
        let mut by_key: HashMap<VirtualKeyId, Vec<&Lease>> = HashMap::new();
        for lease in leases {
            by_key.entry(lease.key).or_default().push(lease);
        }
        let batches: Vec<(VirtualKeyId, &[&Lease])> =
            by_key.iter().flat_map(|(key, leases)| leases.chunks(RENEWED_AT_ONCE).map(|chunk| (*key, chunk))).collect();
        let mut renewal = Renewal::default();
        // What is sent at once shares the connections' writes, and is bounded by what they answer in time.
        for batches in batches.chunks(64) {
            let answers = join_all(batches.iter().map(|(key, leases)| self.renew_some(*key, leases))).await;
            for answer in answers {
                let answer = answer?;
                renewal.restored.extend(answer.restored);
                renewal.replaced.extend(answer.replaced);
            }
        }
        self.add(Count::RestoredLease, renewal.restored.len() as u64);
        Ok(renewal)
    }

    async fn renew_some(&self, key: VirtualKeyId, leases: &[&Lease]) -> Result<Renewal, ReplicasError> {
        let mut args = self.periods();
        for lease in leases {
            args.extend([
                lease.call.to_string(),
                lease.fence.to_string(),
                born_ms(lease.from).to_string(),
                amount_text(lease.reserved),
                flag(lease.session),
            ]);
        }
        let outcomes = self.run(&script::RENEW, self.keys().of_key(key), args).await?;
        let mut renewal = Renewal::default();
        for (lease, outcome) in leases.iter().zip(&outcomes) {
            match outcome.as_str() {
                "restored" => renewal.restored.push(lease.call),
                "replaced" => renewal.replaced.push(lease.call),
                _ => {}
            }
        }
        Ok(renewal)
    }

    /// What every script about a key begins with.
    pub(crate) fn periods(&self) -> Vec<String> {
        let settings = self.settings();
        let periods = [settings.lag, settings.max_lag, settings.lease_ttl, settings.refresh];
        periods.iter().map(|period| period.as_millis().to_string()).collect()
    }

    fn needs_past(&self, key: VirtualKeyId, now: OffsetDateTime, answer: &[String]) -> Option<Reading> {
        let gone_back = answer.get(3)? == "stale";
        self.add(if gone_back { Count::GoneBack } else { Count::UnknownPast }, 1);
        Reading::parse(key, now, answer.get(2)?)
    }
}

fn refusal(limit: &str, limits: KeyLimits, now: OffsetDateTime, answer: &[String]) -> Option<Refusal> {
    match limit {
        "sessions" => Some(Refusal { limit: Limit::Sessions, retry_after: SESSION_RETRY, rate: None }),
        "budget" => Some(over_budget(limits.budget?, now)),
        "rate" => Some(Refusal {
            limit: Limit::Rate,
            retry_after: Duration::from_micros(answer.get(2)?.parse().ok()?),
            rate: rate_state(limits.requests_per_minute?, answer.get(3)?),
        }),
        _ => None,
    }
}

fn over_budget(budget: Budget, now: OffsetDateTime) -> Refusal {
    Refusal { limit: Limit::Budget, retry_after: budget.window.retry_after(now), rate: None }
}

fn rate_state(limit: u32, remaining: &str) -> Option<RateState> {
    let minute = Duration::from_secs(60);
    let Some(most) = NonZeroU32::new(limit) else {
        return Some(RateState { limit: 0, remaining: 0, reset: minute });
    };
    let remaining = remaining.parse::<u32>().ok()?.min(limit);
    Some(RateState { limit, remaining, reset: (minute / most.get()).saturating_mul(limit - remaining) })
}

/// A moment of Redis' clock, in microseconds since 1970.
pub(crate) fn moment(text: &str) -> Option<OffsetDateTime> {
    let micros: i128 = text.parse().ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1_000)?).ok()
}

pub(crate) fn flag(set: bool) -> String {
    if set { "1" } else { "0" }.to_owned()
}

pub(crate) fn unexpected(answer: &[String]) -> ReplicasError {
    ReplicasError::Answer { answer: format!("{answer:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_wait_for_a_budget_is_until_its_window_ends() {
        let now = datetime!(2026-12-31 23:59:50 UTC);
        assert_eq!(Window::Daily.retry_after(now), Duration::from_secs(10));
        assert_eq!(Window::Monthly.retry_after(now), Duration::from_secs(10));
        assert_eq!(Window::Total.retry_after(now), SPENT_RETRY);
        assert_eq!(Window::Monthly.end(datetime!(2028-02-29 1:00 UTC)), Some(datetime!(2028-03-01 0:00 UTC)));
    }

    #[test]
    fn the_rate_comes_back_one_request_after_the_other() {
        let state = rate_state(3, "1").unwrap();
        assert_eq!(state, RateState { limit: 3, remaining: 1, reset: Duration::from_secs(40) });
        assert_eq!(rate_state(0, "0").unwrap().reset, Duration::from_secs(60));
        assert_eq!(rate_state(3, "-1"), None);
    }
}
