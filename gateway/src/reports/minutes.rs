//! How requests went, counted by minute: also those that leave no usage record.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use database::blocks::{SIZES, blocks};
use domain::error::{ErrorKind, Origin};
use domain::ids::{ProviderId, TenantId};
use domain::provider::Operation;
use entities::{Id, request_minute};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::GatewayError;
use crate::snapshot::ProviderAccount;

/// Rows that wait at most. While the database is away for long, what comes on top is counted without its
/// tenant, operation and provider; after that, the oldest minutes go.
const MAX_ROWS: usize = 10_000;
/// Minutes of such coarse rows.
const MAX_COARSE_ROWS: usize = 1_440;
/// Rows of one transaction.
const BATCH: usize = 200;
/// Upper ends of the ranges by which answers are counted.
const RANGES_MS: [u64; 5] = [100, 300, 1_000, 3_000, 10_000];

/// What is counted together while calls run, without a copy of the provider's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cell {
    minute: i64,
    tenant: Option<TenantId>,
    operation: &'static str,
    provider: Option<ProviderId>,
}

/// What is counted together: the minute since 1970, and whose requests of what to whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Row {
    minute: i64,
    tenant: Option<TenantId>,
    operation: &'static str,
    provider: String,
}

/// How many of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    requests: u64,
    client_errors: u64,
    refused: u64,
    upstream_errors: u64,
    gateway_errors: u64,
    ttfb_count: u64,
    ttfb_ms_sum: u64,
    ttfb_le: [u64; 5],
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Served, by a provider that was waited for so long, where one was.
    Served(Option<Duration>),
    /// Refused for what the client sent.
    ClientError,
    /// Refused by a limit or a budget of ours.
    Refused,
    /// Failed by the provider.
    UpstreamError,
    /// Failed by the gateway.
    GatewayError,
}

impl Outcome {
    /// Of an answer with this status, written for `error` or passed on from a provider.
    #[must_use]
    pub fn of(status: u16, error: Option<&GatewayError>, waited: Duration) -> Self {
        if status < 400 {
            return Self::Served((!waited.is_zero()).then_some(waited));
        }
        let Some(error) = error else {
            return if status == 429 || status >= 500 { Self::UpstreamError } else { Self::ClientError };
        };
        match (error.origin(), error.kind()) {
            (_, ErrorKind::UpstreamRateLimited) => Self::UpstreamError,
            (Origin::Upstream, _) if status == 429 || status >= 500 => Self::UpstreamError,
            _ if status == 429 => Self::Refused,
            _ if status >= 500 => Self::GatewayError,
            _ => Self::ClientError,
        }
    }
}

/// The counts that have not been taken yet, with the names of their providers.
#[derive(Debug, Default)]
pub struct Minutes(Mutex<HashMap<Cell, (String, Counts)>>);

/// Rows in memory, bounded.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<Row, Counts>);

impl Minutes {
    /// A request was answered: of whom and what, where that was known, and by the provider that was asked last.
    pub fn answered(
        &self,
        caller: Option<(TenantId, Operation)>,
        provider: Option<&ProviderAccount>,
        outcome: Outcome,
    ) {
        self.count(caller, provider, |counts| counts.answered(outcome));
    }

    /// What had begun well was broken off by its provider.
    pub fn broken(&self, tenant: TenantId, operation: Operation, provider: Option<&ProviderAccount>) {
        self.count(Some((tenant, operation)), provider, |counts| counts.upstream_errors += 1);
    }

    fn count(
        &self,
        caller: Option<(TenantId, Operation)>,
        provider: Option<&ProviderAccount>,
        count: impl FnOnce(&mut Counts),
    ) {
        let minute = OffsetDateTime::now_utc().unix_timestamp().div_euclid(60);
        let (tenant, operation) = caller.map_or((None, ""), |(tenant, operation)| (Some(tenant), operation.as_str()));
        let cell = Cell { minute, tenant, operation, provider: provider.map(|account| account.id) };
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = || (provider.map(|account| account.name.clone()).unwrap_or_default(), Counts::default());
        count(&mut cells.entry(cell).or_insert_with(named).1);
    }

    /// What was counted since this was asked last. It is asked every second, so that little can wait here.
    pub(super) fn take(&self) -> Waiting {
        let cells = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut waiting = Waiting::default();
        for (Cell { minute, tenant, operation, .. }, (provider, counts)) in cells {
            waiting.add(Row { minute, tenant, operation, provider }, |sum| sum.absorb(&counts));
        }
        waiting
    }
}

impl Waiting {
    pub(super) fn absorb(&mut self, others: Self) {
        for (row, counts) in others.0 {
            self.add(row, |sum| sum.absorb(&counts));
        }
    }

    fn add(&mut self, row: Row, count: impl FnOnce(&mut Counts)) {
        let known = self.0.len() < MAX_ROWS || self.0.contains_key(&row);
        let row = if known { row } else { Row { tenant: None, operation: "", provider: String::new(), ..row } };
        if self.0.len() >= MAX_ROWS + MAX_COARSE_ROWS && !self.0.contains_key(&row) {
            let oldest = self.0.keys().map(|row| row.minute).min();
            self.0.retain(|row, _| Some(row.minute) != oldest);
        }
        count(self.0.entry(row).or_default());
    }

    /// Adds everything to what the database has; what it did not take stays.
    pub(super) async fn write(&mut self, db: &DatabaseConnection) -> Result<(), DbErr> {
        // In one order on every gateway, so that two of them never wait for each other.
        let rows: BTreeMap<Row, Counts> = self.0.iter().map(|(row, counts)| (row.clone(), *counts)).collect();
        let rows: Vec<(Row, Counts)> = rows.into_iter().collect();
        for batch in rows.chunks(BATCH) {
            let transaction = database::begin(db).await?;
            for block in blocks(batch, &SIZES) {
                insert(&transaction, block).await?;
            }
            transaction.commit().await?;
            for (row, _) in batch {
                self.0.remove(row);
            }
        }
        Ok(())
    }
}

impl Counts {
    fn answered(&mut self, outcome: Outcome) {
        self.requests += 1;
        match outcome {
            Outcome::Served(waited) => self.waited(waited),
            Outcome::ClientError => self.client_errors += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::UpstreamError => self.upstream_errors += 1,
            Outcome::GatewayError => self.gateway_errors += 1,
        }
    }

    fn waited(&mut self, waited: Option<Duration>) {
        let Some(waited) = waited else { return };
        let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.ttfb_count += 1;
        self.ttfb_ms_sum = self.ttfb_ms_sum.saturating_add(ms);
        for (count, end) in self.ttfb_le.iter_mut().zip(RANGES_MS) {
            *count += u64::from(ms <= end);
        }
    }

    fn absorb(&mut self, more: &Self) {
        self.requests += more.requests;
        self.client_errors += more.client_errors;
        self.refused += more.refused;
        self.upstream_errors += more.upstream_errors;
        self.gateway_errors += more.gateway_errors;
        self.ttfb_count += more.ttfb_count;
        self.ttfb_ms_sum = self.ttfb_ms_sum.saturating_add(more.ttfb_ms_sum);
        for (count, more) in self.ttfb_le.iter_mut().zip(more.ttfb_le) {
            *count += more;
        }
    }
}

async fn insert(db: &impl ConnectionTrait, rows: &[(Row, Counts)]) -> Result<(), DbErr> {
    use request_minute::{Column, Entity};
    let mut conflict = OnConflict::new();
    conflict.exprs([
        Expr::col(Column::Minute),
        Expr::cust("COALESCE(tenant_id, '')"),
        Expr::col(Column::Operation),
        Expr::col(Column::Provider),
    ]);
    for column in [
        Column::Requests,
        Column::ClientErrors,
        Column::Refused,
        Column::UpstreamErrors,
        Column::GatewayErrors,
        Column::TtfbCount,
        Column::TtfbMsSum,
        Column::TtfbLe100,
        Column::TtfbLe300,
        Column::TtfbLe1000,
        Column::TtfbLe3000,
        Column::TtfbLe10000,
    ] {
        let more = Expr::col((Alias::new("excluded"), column));
        conflict.value(column, Expr::col((Entity, column)).add(more));
    }
    let models = rows.iter().map(|(row, counts)| model(row, counts));
    Entity::insert_many(models).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}

fn model(row: &Row, counts: &Counts) -> request_minute::ActiveModel {
    let count = |count: u64| Set(i64::try_from(count).unwrap_or(i64::MAX));
    let minute = OffsetDateTime::from_unix_timestamp(row.minute.saturating_mul(60));
    let [le_100, le_300, le_1000, le_3000, le_10000] = counts.ttfb_le.map(count);
    request_minute::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        minute: Set(minute.unwrap_or(OffsetDateTime::UNIX_EPOCH)),
        tenant_id: Set(row.tenant.map(|tenant| Id(tenant.0))),
        operation: Set(row.operation.to_owned()),
        provider: Set(row.provider.clone()),
        requests: count(counts.requests),
        client_errors: count(counts.client_errors),
        refused: count(counts.refused),
        upstream_errors: count(counts.upstream_errors),
        gateway_errors: count(counts.gateway_errors),
        ttfb_count: count(counts.ttfb_count),
        ttfb_ms_sum: count(counts.ttfb_ms_sum),
        ttfb_le_100: le_100,
        ttfb_le_300: le_300,
        ttfb_le_1000: le_1000,
        ttfb_le_3000: le_3000,
        ttfb_le_10000: le_10000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(minute: i64, provider: usize) -> Row {
        Row { minute, tenant: None, operation: "speech", provider: provider.to_string() }
    }

    #[test]
    fn what_waits_is_bounded_and_counts_on() {
        let mut waiting = Waiting::default();
        for provider in 0..MAX_ROWS * 2 {
            waiting.add(row_of(0, provider), |counts| counts.requests += 1);
        }
        assert_eq!(waiting.0.len(), MAX_ROWS + 1);
        let sum: u64 = waiting.0.values().map(|counts| counts.requests).sum();
        assert_eq!(usize::try_from(sum), Ok(MAX_ROWS * 2), "nothing is lost yet");
        for minute in 1..3_000 {
            waiting.add(row_of(minute, 0), |counts| counts.requests += 1);
        }
        assert!(waiting.0.len() <= MAX_ROWS + MAX_COARSE_ROWS);
        assert!(waiting.0.keys().any(|row| row.minute == 2_999), "the newest are kept");
    }

    #[test]
    fn whose_fault_an_answer_is() {
        let waited = Duration::from_millis(250);
        let ours = GatewayError::internal(&"a test");
        let limit = GatewayError::caller(ErrorKind::RateLimitExceeded, "");
        let theirs = GatewayError::upstream(ErrorKind::UpstreamTimeout, "");
        let busy = GatewayError::upstream(ErrorKind::UpstreamRateLimited, "");
        assert_eq!(Outcome::of(200, None, waited), Outcome::Served(Some(waited)));
        assert_eq!(Outcome::of(101, None, Duration::ZERO), Outcome::Served(None));
        assert_eq!(Outcome::of(400, None, waited), Outcome::ClientError, "passed on from a vendor");
        assert_eq!(Outcome::of(503, None, waited), Outcome::UpstreamError);
        assert_eq!(Outcome::of(429, Some(&limit), waited), Outcome::Refused);
        assert_eq!(Outcome::of(429, Some(&busy), waited), Outcome::UpstreamError);
        assert_eq!(Outcome::of(504, Some(&theirs), waited), Outcome::UpstreamError);
        assert_eq!(Outcome::of(500, Some(&ours), waited), Outcome::GatewayError);
        assert_eq!(Outcome::of(401, Some(&GatewayError::unauthenticated()), waited), Outcome::ClientError);
    }

    #[test]
    fn an_answer_counts_in_every_range_that_holds_it() {
        let mut counts = Counts::default();
        counts.answered(Outcome::Served(Some(Duration::from_millis(250))));
        counts.answered(Outcome::Served(Some(Duration::from_secs(60))));
        assert_eq!((counts.ttfb_count, counts.ttfb_ms_sum), (2, 60_250));
        assert_eq!(counts.ttfb_le, [0, 1, 1, 1, 1]);
    }
}
