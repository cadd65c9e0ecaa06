//! The database as the gateways see it: unique ids, and every way in which an insert can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::ids::{RequestId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::usage::UsageStatus;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rng::Rng;
use crate::ledger::{InsertError, Sink, UsageRecord};
use crate::limits::PastSpend;

/// How the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Well,
    /// Inserts are slow, are done in part, or are done and answered with an error.
    Shaky,
    Away,
}

#[derive(Debug)]
pub(super) struct Store {
    rng: Rng,
    pub(super) weather: Weather,
    pub(super) rows: BTreeMap<UsageRecordId, UsageRecord>,
    /// Records of these requests are never taken.
    pub(super) refuses: BTreeSet<RequestId>,
    /// A loss of power may leave a note where a record was: two of one id may differ.
    pub(super) power_was_lost: bool,
    pub(super) wrong: Vec<String>,
}

/// What becomes of one insert.
struct Fate {
    before: Duration,
    after: Duration,
    /// How many of the records are kept, in hundredths.
    kept: usize,
    answered: bool,
}

impl Store {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed ^ 0xdb),
            weather: Weather::Well,
            rows: BTreeMap::new(),
            refuses: BTreeSet::new(),
            power_was_lost: false,
            wrong: Vec::new(),
        }
    }

    fn fate(&mut self) -> Fate {
        let ms = |rng: &mut Rng, most| Duration::from_millis(rng.between(0, most));
        let (before, after) = (ms(&mut self.rng, 20), ms(&mut self.rng, 20));
        match self.weather {
            Weather::Well => Fate { before, after, kept: 100, answered: true },
            Weather::Away => Fate { before, after, kept: 0, answered: false },
            Weather::Shaky => Fate {
                before: ms(&mut self.rng, 3_000),
                after: ms(&mut self.rng, 3_000),
                kept: self.rng.pick(&[0, 30, 100, 100, 100]),
                answered: self.rng.percent(50),
            },
        }
    }

    fn apply(&mut self, records: &[UsageRecord], fate: &Fate) -> Result<(), InsertError> {
        if records.iter().any(|record| self.refuses.contains(&record.request_id)) && fate.kept > 0 {
            return Err(InsertError::Refused("a NUL".to_owned()));
        }
        let answered = fate.answered && fate.kept == 100;
        for record in records.iter().take(records.len() * fate.kept / 100) {
            self.insert(record);
        }
        if answered { Ok(()) } else { Err(InsertError::Away("the connection broke".to_owned())) }
    }

    fn insert(&mut self, record: &UsageRecord) {
        let Some(known) = self.rows.get(&record.id) else {
            self.rows.insert(record.id, record.clone());
            return;
        };
        // A slot that was emptied when the power went may be there again.
        let is_note = record.status == UsageStatus::ClientClosed || known.status == UsageStatus::ClientClosed;
        if known != record && !(self.power_was_lost && is_note) {
            self.wrong.push(format!("two records under one id: {known:?} and {record:?}"));
        }
    }

    /// What `gateway::repositories::usage::spent_before` gives, and the records it is made of.
    pub(super) fn spent_before(&self, key: VirtualKeyId, bound: Uuid, day: Bound, month: Bound) -> PastSpend {
        let rows = || self.rows.values().filter(|row| row.key_id == key && row.id.0 < bound);
        let since = |start: Bound| {
            let rows = rows().filter(|row| start.is_none_or(|start| row.started_at >= start));
            NanoUsd(rows.filter_map(|row| row.cost).map(|cost| cost.0).sum())
        };
        PastSpend { total: since(None), month: since(month), day: since(day) }
    }
}

type Bound = Option<OffsetDateTime>;

/// One process's connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) store: Arc<Mutex<Store>>,
    /// The process lives; one that was killed says nothing more.
    pub(super) alive: Arc<AtomicBool>,
}

impl Line {
    async fn takes(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if !self.alive.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

impl Sink for Line {
    async fn insert(&self, records: &[UsageRecord]) -> Result<(), InsertError> {
        let fate = self.store.lock().unwrap().fate();
        self.takes(fate.before).await;
        let answer = self.store.lock().unwrap().apply(records, &fate);
        self.takes(fate.after).await;
        answer
    }
}
