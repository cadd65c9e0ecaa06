//! What keys have spent, counted exactly once over all gateways and the database.
//!
//! # How a record is counted
//!
//! Ids of records are `UUIDv7`: their first 48 bits are the millisecond in which their call began, by its gateway's
//! clock. For each key Redis keeps a **horizon**, a moment some minutes back that only ever rises. It decides for
//! each record, by nothing but its id, who counts it:
//!
//! - **below the horizon: the past**, one number per window. It is a sum over records of the database with an id
//!   below the horizon, and is set, never added to from outside;
//! - **at or above it: the ids**, a set of the ids that have been counted here, with their amounts summed by minute.
//!   Whoever knows of a record adds it to the set: the gateway that served the call when it settles, the same or
//!   another gateway once the record is in the database ([`Replicas::committed`]), and who reads the past, from the
//!   rows of the database ([`Replicas::set_past`]). An id that is in the set already changes nothing.
//!
//! What is used of a budget is `past + ids + what open leases hold`.
//!
//! # Why nothing is counted twice
//!
//! A record is below the horizon or not, so only one of the two can count it. The set counts an id once, however
//! often and in whatever order settling, committing, a replay after a kill and a reading tell of it. The past is
//! replaced by a sum in which the database has each id once. When the horizon rises, one script either moves the sums
//! it passes from the set into the past (`record.lua`), or drops them and puts a sum of the database that reaches up
//! to the new horizon in the place of the old one (`set_past.lua`); after that their ids are below the horizon, and
//! telling of them again adds nothing. A sum that was read for a lower horizon than the one in force is refused.
//!
//! # Why nothing is lost for long
//!
//! A record can be missing in three ways, each of which ends by itself:
//!
//! - *At or above the horizon, and Redis does not have it*: the gateway could not reach Redis when it settled, or
//!   Redis was emptied, or fell back to a replica or snapshot from before. If it is not in the database yet, its
//!   commit adds it, also when that is replayed by the gateway's next start. If it is, the next reading of the past
//!   has it, among the rows that it brings or in its sum.
//! - *Below the horizon, and not in the sum when that was read*: it was on its way. Usually the horizon waits: it stays
//!   below every record that is settled and not committed and every call with a lease (by its first renewal, and
//!   because it stays [`Settings::lag`] behind before that), for [`Settings::max_lag`] at most. If it was passed all the
//!   same, because its gateway was cut off from Redis or its clock is wrong by more than [`Settings::lag`], the commit comes below the horizon, which is noted as `late`: the past then counts as out of
//!   date, and somebody is told to read it again. A reading takes the note away only where the record was
//!   noted before the reading began, and so was in the database when the sum was made.
//! - *Its commit could not be told either*: every [`Settings::refresh`] the past of a key in use is read again.
//!
//! Emptied, Redis has no horizon, and admits nothing against a budget before the past is read
//! ([`crate::Admission::NeedsPast`]). Fallen back to older data, it has a lower fence than a gateway has seen, with the
//! same answer. Fences are at least the time in microseconds, so they rise also over an emptied or older Redis.
//! Gateways that read at the same time set the same sum, or sums that differ by what is noted as late.
//!
//! # How far a budget can be exceeded
//!
//! While Redis keeps its data: by no more than in one process, which is what calls cost beyond their reservation. When
//! Redis loses data: by what was held by leases at that moment and is admitted again before their gateways have
//! renewed them, a third of [`Settings::lease_ttl`]; plus what was settled and not yet in the database, until the
//! ledger has delivered it, a fifth of a second while the database answers. Where older data came back and no
//! gateway that asks has seen the key before: by what was spent since that data, until the next
//! [`Settings::refresh`] of the key.
//!
//! # Leases
//!
//! What a call may cost is held by its lease until it settles. A lease that nobody renews is given back by the next
//! script of its key. If its gateway was only paused, its settling says [`Settled::lease_lost`], and gives nothing
//! back that is not its own, since the fence is another; the money is counted by the record's id, as always.
//!
//! [`Settings::max_lag`]: crate::Settings::max_lag
//! [`Settings::lag`]: crate::Settings::lag
//! [`Settings::refresh`]: crate::Settings::refresh
//! [`Settings::lease_ttl`]: crate::Settings::lease_ttl

use std::collections::HashMap;

use domain::ids::{UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use futures_util::future::join_all;
use time::{OffsetDateTime, Time, UtcOffset};
use uuid::Uuid;

use crate::admission::{flag, moment, unexpected};
use crate::connection::{Count, Replicas};
use crate::{Lease, ReplicasError, Window, script};

/// Records that one script counts: a script keeps everybody else waiting.
const COUNTED_AT_ONCE: usize = 200;
/// Scripts that are on their way at once.
const AT_ONCE: usize = 64;

/// What one usage record says about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: UsageRecordId,
    /// Who pays.
    pub key: VirtualKeyId,
    /// What it costs; `None` while unpriced, which counts nothing.
    pub cost: Option<NanoUsd>,
    /// When its call began: it counts in the windows that hold this moment.
    pub started_at: OffsetDateTime,
}

/// What is to be read of the database: the sums of a key's records with ids below [`Reading::before`], and the
/// records at and above it. The reading must begin after this was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Of which key.
    pub key: VirtualKeyId,
    /// When it was given, by the clock of Redis; says which day and month the sums are for.
    pub asked_at: OffsetDateTime,
    horizon_ms: u64,
}

/// What a key's records below a horizon cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// In all.
    pub total: NanoUsd,
    /// Of calls that began since [`Reading::month_start`].
    pub month: NanoUsd,
    /// Of calls that began since [`Reading::day_start`].
    pub day: NanoUsd,
}

/// What a lease keeps when records of its call are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeps {
    /// What is left of its money, and its slot.
    All,
    /// What is left of its money: the session is over and its bill is not known yet.
    Money,
    /// Nothing: the call is over.
    Nothing,
}

/// What became of a settling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// The lease had been given back already, since nobody renewed it in time. The money is counted all the same.
    pub lease_lost: bool,
    /// Records that were not counted before and are now.
    pub new: u64,
    /// Records below the horizon: the database counts them, from its next reading on.
    pub late: u64,
}

/// What a key has spent and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySums {
    /// Whether Redis knows what was spent before; if not, `spent` is too little.
    pub past_is_known: bool,
    /// Spent in the window.
    pub spent: NanoUsd,
    /// Held by open calls.
    pub reserved: NanoUsd,
    /// Sessions that are open.
    pub sessions: u32,
    /// Redis' clock.
    pub at: OffsetDateTime,
}

impl Reading {
    pub(crate) fn parse(key: VirtualKeyId, asked_at: OffsetDateTime, horizon: &str) -> Option<Self> {
        Some(Self { key, asked_at, horizon_ms: horizon.parse().ok()? })
    }

    /// The id below which records are the past.
    #[must_use]
    pub fn before(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.horizon_ms) << 80)
    }

    /// The first moment of the day.
    #[must_use]
    pub fn day_start(&self) -> OffsetDateTime {
        self.asked_at.to_offset(UtcOffset::UTC).replace_time(Time::MIDNIGHT)
    }

    /// The first moment of the month.
    #[must_use]
    pub fn month_start(&self) -> OffsetDateTime {
        let day = self.day_start();
        day.replace_day(1).unwrap_or(day)
    }
}

impl Replicas {
    /// Counts `records` of the call that holds `lease`, takes what they cost out of what it holds, and lets go of
    /// what it shall not keep. What goes beyond the reservation is counted all the same: it has happened. Settling
    /// again changes nothing. The lease itself is not changed.
    ///
    /// # Errors
    /// `Away`: may be tried again; where not, the records come by [`Replicas::committed`] and the lease ends by itself.
    pub async fn settle(&self, lease: &Lease, records: &[Record], keeps: Keeps) -> Result<Settled, ReplicasError> {
        let keeps = match keeps {
            Keeps::All => "all",
            Keeps::Money => "money",
            Keeps::Nothing => "nothing",
        };
        let records: Vec<&Record> = records.iter().collect();
        let holder = [lease.call.to_string(), lease.fence.to_string(), keeps.to_owned()];
        let settled = self.count(lease.key, &holder, false, &records).await?;
        self.add(Count::LostLease, u64::from(settled.lease_lost));
        Ok(settled)
    }

    /// Tells that `records` are in the database: to be called after each batch that the ledger has written, also
    /// where a journal is replayed and some or all of the batch were there already. Counts what Redis has not
    /// counted, and lets the horizon pass them.
    ///
    /// # Errors
    /// `Away`: to be forgotten, since the next reading of the past finds them.
    pub async fn committed(&self, records: &[Record]) -> Result<(), ReplicasError> {
        let mut by_key: HashMap<VirtualKeyId, Vec<&Record>> = HashMap::new();
        for record in records.iter().filter(|record| counts(record)) {
            by_key.entry(record.key).or_default().push(record);
        }
        let batches: Vec<(VirtualKeyId, &[&Record])> = by_key
            .iter()
            .flat_map(|(key, records)| records.chunks(COUNTED_AT_ONCE).map(|chunk| (*key, chunk)))
            .collect();
        let nobody = [String::new(), "0".to_owned(), "all".to_owned()];
        for batches in batches.chunks(AT_ONCE) {
            let answers = join_all(batches.iter().map(|(key, some)| self.count(*key, &nobody, true, some))).await;
            for answer in answers {
                self.add(Count::LateRecords, answer?.late);
            }
        }
        Ok(())
    }

    /// Sets what the database has below the horizon of `reading`, and counts `present`: records that it has at or
    /// above. Those that are left out, and that Redis does not know by itself, are found by the next reading. Gives whether the sum
    /// is in force: where not, the horizon has risen meanwhile, and asking for admission again says what to read.
    ///
    /// # Errors
    /// `Away`.
    pub async fn set_past(&self, reading: &Reading, past: Past, present: &[Record]) -> Result<bool, ReplicasError> {
        // First what is beside the sum, so that nobody is admitted between the two.
        let present: Vec<Record> = present.iter().filter(|record| record.key == reading.key).copied().collect();
        self.committed(&present).await?;
        let day = days(reading.asked_at);
        let mut args = self.periods();
        args.extend([
            (reading.asked_at.unix_timestamp_nanos() / 1_000).to_string(),
            reading.horizon_ms.to_string(),
            amount_text(past.total),
            day.to_string(),
            amount_text(past.day),
            months(reading.asked_at).to_string(),
            amount_text(past.month),
            self.seen_fence(reading.key).to_string(),
        ]);
        let answer = self.run(&script::SET_PAST, self.keys().of_key(reading.key), args).await?;
        match answer.first().map(String::as_str) {
            Some("set") => Ok(true),
            Some("outdated") => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }

    /// What a key has spent and holds; for `GET /v1/usage`.
    ///
    /// # Errors
    /// `Away`.
    pub async fn sums(&self, key: VirtualKeyId, window: Window) -> Result<KeySums, ReplicasError> {
        let mut args = self.periods();
        args.push(window.name().to_owned());
        let answer = self.run(&script::READ, self.keys().of_key(key), args).await?;
        let parsed = || {
            Some(KeySums {
                past_is_known: answer.first()? == "1",
                spent: amount(answer.get(1)?)?,
                reserved: amount(answer.get(2)?)?,
                sessions: answer.get(3)?.parse().ok()?,
                at: moment(answer.get(4)?)?,
            })
        };
        parsed().ok_or_else(|| unexpected(&answer))
    }

    async fn count(
        &self,
        key: VirtualKeyId,
        holder: &[String; 3],
        committed: bool,
        records: &[&Record],
    ) -> Result<Settled, ReplicasError> {
        let mut args = self.periods();
        args.extend(holder.iter().cloned());
        args.push(flag(committed));
        for record in records.iter().filter(|record| counts(record)) {
            args.extend([
                record.id.to_string(),
                born_ms(record.id.0).to_string(),
                record.cost.map_or_else(|| "0".to_owned(), amount_text),
                days(record.started_at).to_string(),
                months(record.started_at).to_string(),
            ]);
        }
        let answer = self.run(&script::RECORD, self.keys().of_key(key), args).await?;
        let parsed = || {
            let [lost, new, late] = answer.as_slice() else { return None };
            Some(Settled { lease_lost: lost == "1", new: new.parse().ok()?, late: late.parse().ok()? })
        };
        parsed().ok_or_else(|| unexpected(&answer))
    }
}

/// What has no cost, or none yet, is not counted.
fn counts(record: &Record) -> bool {
    record.cost.is_some_and(|cost| cost.0 > 0)
}

/// The millisecond that a `UUIDv7` begins with.
pub(crate) fn born_ms(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> 80).unwrap_or(u64::MAX)
}

/// An amount as the scripts take it. Nothing that a provider reports can lower what is spent.
pub(crate) fn amount_text(amount: NanoUsd) -> String {
    amount.0.max(0).to_string()
}

/// A sum as it is shown, held at the end of the range.
fn amount(text: &str) -> Option<NanoUsd> {
    let sum: i128 = text.parse().ok()?;
    Some(NanoUsd(i64::try_from(sum).unwrap_or(i64::MAX)))
}

/// Days since 1970, in UTC; what is before that counts as the first.
fn days(moment: OffsetDateTime) -> i64 {
    moment.unix_timestamp().max(0) / 86_400
}

/// Months since the year 0, in UTC.
fn months(moment: OffsetDateTime) -> i64 {
    let date = moment.to_offset(UtcOffset::UTC).date();
    i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1
}
