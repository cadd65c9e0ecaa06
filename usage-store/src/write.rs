//! Adding to roll-ups, in statements of many rows and in the order of their keys.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use database::blocks::parts;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};
use uuid::Uuid;

use crate::Sql;
use crate::keep::{lock_days_shared, lock_months_shared};
use crate::tables::{
    ALL_DIMENSIONS, DAILY, DAILY_ALL, DIMENSIONS, HOURLY, HOURLY_ALL, LABEL_DIMENSIONS, LABELS, LATENCY, MEASURES,
    MONTHLY_LABEL_DIMENSIONS, MONTHLY_LABELS, TTFB,
};
use crate::tally::{AllDimensions, Dimensions, LabelDimensions, Measures, MonthlyLabelDimensions, Sums, Tally};

/// Rows of a statement, of about 1.3 KiB each.
const BLOCKS: [usize; 2] = [8, 1];

/// Rows that one sum over all tenants is spread over at most.
const SHARDS: u8 = 8;
/// The rows over all tenants that this process adds to.
static SHARD: LazyLock<i64> =
    LazyLock::new(|| i64::from(Uuid::now_v7().as_bytes().last().map_or(0, |last| last % SHARDS)));

/// Adds `tally` inside the transaction `db`.
///
/// # Errors
/// The database's.
pub(crate) async fn add(db: &impl ConnectionTrait, tally: &Tally) -> Result<(), DbErr> {
    lock_days_shared(db, &tally.days()).await?;
    lock_months_shared(db, &tally.label_months()).await?;
    let rows = |(key, sums): (&Dimensions, &Sums)| (key.values(), sums.values());
    upsert(db, HOURLY, &DIMENSIONS, tally.hourly.iter().map(rows)).await?;
    upsert(db, DAILY, &DIMENSIONS, tally.daily.iter().map(rows)).await?;
    let labels = tally.labels.iter().map(|(key, measures)| (key.values(), measures.list().to_vec()));
    upsert(db, LABELS, &LABEL_DIMENSIONS, labels).await?;
    for (table, rows) in [(HOURLY_ALL, &tally.hourly), (DAILY_ALL, &tally.daily)] {
        let mut all: BTreeMap<AllDimensions<'_>, Sums> = BTreeMap::new();
        rows.iter().for_each(|(key, sums)| all.entry(key.into()).or_default().add(sums));
        let all = all.iter().map(|(key, sums)| (key.values(*SHARD), sums.values()));
        upsert(db, table, &ALL_DIMENSIONS, all).await?;
    }
    let mut months: BTreeMap<MonthlyLabelDimensions<'_>, Measures> = BTreeMap::new();
    tally.labels.iter().for_each(|(key, measures)| months.entry(key.into()).or_default().add(measures));
    let months = months.iter().map(|(key, measures)| (key.values(), measures.list().to_vec()));
    upsert(db, MONTHLY_LABELS, &MONTHLY_LABEL_DIMENSIONS, months).await
}

/// A row: what it is about, and what is added.
type Row = (Vec<Value>, Vec<i64>);

async fn upsert(
    db: &impl ConnectionTrait,
    table: &str,
    key: &[&str],
    rows: impl ExactSizeIterator<Item = Row>,
) -> Result<(), DbErr> {
    let mut rows = rows;
    for size in parts(rows.len(), &BLOCKS) {
        statement(db.get_database_backend(), table, key, rows.by_ref().take(size)).execute(db).await?;
    }
    Ok(())
}

fn statement(backend: DbBackend, table: &str, key: &[&str], rows: impl Iterator<Item = Row>) -> Sql {
    let has_times = ![LABELS, MONTHLY_LABELS].contains(&table);
    let times = LATENCY.into_iter().chain(TTFB).filter(|_| has_times);
    let columns: Vec<&str> = MEASURES.into_iter().chain(times).collect();
    let mut sql =
        Sql::new(backend, format!("INSERT INTO {table} ({}, {}) VALUES ", key.join(", "), columns.join(", ")));
    for (index, (about, added)) in rows.enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" }).bind_list(about);
        sql.push(", ").bind_list(added).push(")");
    }
    let sums: Vec<String> =
        columns.iter().map(|column| format!("{column} = {table}.{column} + excluded.{column}")).collect();
    sql.push(&format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), sums.join(", ")));
    sql
}

impl Dimensions {
    pub(crate) fn values(&self) -> Vec<Value> {
        let Self { bucket_start, tenant_id, key_id, operation, provider, model_served, model_asked } = self;
        let names = [tenant_id, key_id, operation, provider, model_served, model_asked];
        std::iter::once(Value::from(*bucket_start)).chain(names.map(|name| name.as_str().into())).collect()
    }
}

impl LabelDimensions {
    pub(crate) fn values(&self) -> Vec<Value> {
        let Self { bucket_start, tenant_id, label_kind, label, key_id, operation, provider, model_served } = self;
        let names = [tenant_id, *label_kind, label, key_id, operation, provider, model_served];
        std::iter::once(Value::from(*bucket_start)).chain(names.map(Value::from)).collect()
    }
}

impl AllDimensions<'_> {
    pub(crate) fn values(&self, shard: i64) -> Vec<Value> {
        let Self { bucket_start, operation, provider, model_served, model_asked } = self;
        let numbers = [*bucket_start, shard].map(Value::from);
        let names = [*operation, *provider, *model_served, *model_asked].map(Value::from);
        numbers.into_iter().chain(names).collect()
    }
}

impl MonthlyLabelDimensions<'_> {
    pub(crate) fn values(&self) -> Vec<Value> {
        let Self { bucket_start, tenant_id, label_kind, label } = self;
        let names = [*tenant_id, *label_kind, *label].map(Value::from);
        std::iter::once(Value::from(*bucket_start)).chain(names).collect()
    }
}

impl Sums {
    fn values(&self) -> Vec<i64> {
        let Self { measures, latency, ttfb } = self;
        measures.list().into_iter().chain(latency.0).chain(ttfb.0).collect()
    }
}
