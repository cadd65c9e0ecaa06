//! Adding to roll-ups, in statements of many rows and in the order of their keys.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use crate::Sql;
use crate::keep::lock_days_shared;
use crate::tables::{DAILY, DIMENSIONS, HOURLY, LABEL_DIMENSIONS, LABELS, LATENCY, MEASURES, TTFB};
use crate::tally::{Dimensions, LabelDimensions, Sums, Tally};

/// Values of one statement: SQLite takes 32 766.
const MAX_VALUES: usize = 32_000;

/// Adds `tally` inside the transaction `db`.
///
/// # Errors
/// The database's.
pub(crate) async fn add(db: &impl ConnectionTrait, tally: &Tally) -> Result<(), DbErr> {
    lock_days_shared(db, &tally.days()).await?;
    let rows = |(key, sums): (&Dimensions, &Sums)| (key.values(), sums.values());
    upsert(db, HOURLY, &DIMENSIONS, tally.hourly.iter().map(rows).collect()).await?;
    upsert(db, DAILY, &DIMENSIONS, tally.daily.iter().map(rows).collect()).await?;
    let labels = tally.labels.iter().map(|(key, measures)| (key.values(), measures.list().to_vec())).collect();
    upsert(db, LABELS, &LABEL_DIMENSIONS, labels).await
}

/// A row: what it is about, and what is added.
type Row = (Vec<Value>, Vec<i64>);

async fn upsert(db: &impl ConnectionTrait, table: &str, key: &[&str], rows: Vec<Row>) -> Result<(), DbErr> {
    // Most columns of most batches are nothing but zeros, which is what the tables hold by themselves.
    let used: Vec<&str> = columns()
        .enumerate()
        .filter(|(index, _)| rows.iter().any(|(_, added)| added.get(*index).is_some_and(|added| *added != 0)))
        .map(|(_, column)| column)
        .collect();
    let width = key.len() + used.len();
    for rows in rows.chunks(MAX_VALUES / width) {
        statement(db.get_database_backend(), table, key, &used, rows).execute(db).await?;
    }
    Ok(())
}

/// Everything that is added up; the roll-up by label has the beginning of it.
fn columns() -> impl Iterator<Item = &'static str> {
    MEASURES.into_iter().chain(LATENCY).chain(TTFB)
}

fn statement(backend: DbBackend, table: &str, key: &[&str], used: &[&str], rows: &[Row]) -> Sql {
    let mut sql = Sql::new(backend, format!("INSERT INTO {table} ({}", key.join(", ")));
    for column in used {
        sql.push(", ").push(column);
    }
    sql.push(") VALUES ");
    for (index, (about, added)) in rows.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" }).bind_list(about.iter().cloned());
        for (count, _) in added.iter().zip(columns()).filter(|(_, column)| used.contains(column)) {
            sql.push(", ").bind(*count);
        }
        sql.push(")");
    }
    sql.push(&format!(" ON CONFLICT ({}) DO UPDATE SET ", key.join(", ")));
    for (index, column) in used.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        sql.push(&format!("{comma}{column} = {table}.{column} + excluded.{column}"));
    }
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
