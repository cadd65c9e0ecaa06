//! Adding to roll-ups, in statements of many rows and in the order of their keys.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use crate::Sql;
use crate::keep::lock_days_shared;
use crate::tables::{DAILY, DIMENSIONS, HOURLY, LABEL_DIMENSIONS, LABELS, LATENCY, MEASURES, TTFB};
use crate::tally::{Dimensions, LabelDimensions, Sums, Tally};

/// Rows of a statement, the largest number first: whatever is left goes in smaller ones.
const BLOCKS: [usize; 2] = [8, 1];

/// Adds `tally` inside the transaction `db`.
///
/// # Errors
/// The database's.
pub(crate) async fn add(db: &impl ConnectionTrait, tally: &Tally) -> Result<(), DbErr> {
    lock_days_shared(db, &tally.days()).await?;
    let rows = |(key, sums): (&Dimensions, &Sums)| (key.values(), sums.values());
    upsert(db, HOURLY, &DIMENSIONS, tally.hourly.iter().map(rows)).await?;
    upsert(db, DAILY, &DIMENSIONS, tally.daily.iter().map(rows)).await?;
    let labels = tally.labels.iter().map(|(key, measures)| (key.values(), measures.list().to_vec()));
    upsert(db, LABELS, &LABEL_DIMENSIONS, labels).await
}

/// A row: what it is about, and what is added.
type Row = (Vec<Value>, Vec<i64>);

/// Rows go in blocks of a few sizes, so that there are few statements and each is prepared once: to
/// prepare one for every batch would cost more than to run it.
async fn upsert(
    db: &impl ConnectionTrait,
    table: &str,
    key: &[&str],
    rows: impl ExactSizeIterator<Item = Row>,
) -> Result<(), DbErr> {
    let mut rows = rows;
    for size in BLOCKS {
        while rows.len() >= size {
            statement(db.get_database_backend(), table, key, rows.by_ref().take(size)).execute(db).await?;
        }
    }
    Ok(())
}

fn statement(backend: DbBackend, table: &str, key: &[&str], rows: impl Iterator<Item = Row>) -> Sql {
    let width = if table == LABELS { MEASURES.len() } else { usize::MAX };
    let columns: Vec<&str> = MEASURES.into_iter().chain(LATENCY).chain(TTFB).take(width).collect();
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

impl Sums {
    fn values(&self) -> Vec<i64> {
        let Self { measures, latency, ttfb } = self;
        measures.list().into_iter().chain(latency.0).chain(ttfb.0).collect()
    }
}
