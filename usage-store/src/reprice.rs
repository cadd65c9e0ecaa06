//! Records that get a cost afterwards.

use std::collections::BTreeMap;

use entities::usage_record;
use sea_orm::{ConnectionTrait, DbErr};

use crate::keep::{lock_days_shared, lock_months_shared};
use crate::tables::{
    ALL_DIMENSIONS, DAILY, DAILY_ALL, DIMENSIONS, HOURLY, HOURLY_ALL, LABEL_DIMENSIONS, LABELS,
    MONTHLY_LABEL_DIMENSIONS, MONTHLY_LABELS,
};
use crate::tally::{
    AllDimensions, Dimensions, LabelDimensions, MonthlyLabelDimensions, bounded, dimensions, floor, label_dimensions,
    labels_of, month_floor,
};
use crate::{DAY, HOUR, Sql};

/// A record whose cost changes.
#[derive(Debug, Clone, Copy)]
pub struct Repriced<'a> {
    /// As it stood before, old cost included.
    pub record: &'a usage_record::Model,
    /// The new cost in nano-dollars; none for a cost that is not known after all.
    pub cost_nano_usd: Option<i64>,
}

/// What changes in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Change {
    cost_nano_usd: i64,
    unpriced: i64,
}

/// Brings the roll-ups in line with `changes`, inside the transaction `db` that writes the records. A
/// roll-up that is kept no longer stays as it is.
///
/// # Errors
/// The database's.
pub async fn reprice_rollups(db: &impl ConnectionTrait, changes: &[Repriced<'_>]) -> Result<(), DbErr> {
    let mut hours: BTreeMap<Dimensions, Change> = BTreeMap::new();
    let mut days: BTreeMap<Dimensions, Change> = BTreeMap::new();
    let mut labels: BTreeMap<LabelDimensions, Change> = BTreeMap::new();
    for Repriced { record, cost_nano_usd } in changes {
        let change = Change::between(record.cost_nano_usd, *cost_nano_usd);
        let second = record.started_at.unix_timestamp();
        let day = dimensions(record, floor(second, DAY));
        for (kind, label) in labels_of(record.user_tag.as_deref(), record.tags.as_deref()) {
            labels.entry(label_dimensions(&day, kind, &label)).or_default().add(change);
        }
        hours.entry(dimensions(record, floor(second, HOUR))).or_default().add(change);
        days.entry(day).or_default().add(change);
    }
    let mut touched: Vec<i64> = days.keys().map(|key| key.bucket_start / DAY).collect();
    touched.dedup();
    lock_days_shared(db, &touched).await?;
    let mut months: Vec<i64> = labels.keys().map(|key| month_floor(key.bucket_start)).collect();
    months.dedup();
    lock_months_shared(db, &months).await?;
    // In the order in which batches are added, so that neither waits for the other in a ring.
    for (key, change) in &hours {
        update(db, HOURLY, &DIMENSIONS, key.values(), *change).await?;
    }
    for (key, change) in &days {
        update(db, DAILY, &DIMENSIONS, key.values(), *change).await?;
    }
    for (key, change) in &labels {
        update(db, LABELS, &LABEL_DIMENSIONS, key.values(), *change).await?;
    }
    for (table, rows) in [(HOURLY_ALL, &hours), (DAILY_ALL, &days)] {
        let mut all: BTreeMap<AllDimensions<'_>, Change> = BTreeMap::new();
        rows.iter().for_each(|(key, change)| all.entry(key.into()).or_default().add(*change));
        for (key, change) in &all {
            if let Some(shard) = shard_of(db, table, key).await? {
                update(db, table, &ALL_DIMENSIONS, key.values(shard), *change).await?;
            }
        }
    }
    let mut months: BTreeMap<MonthlyLabelDimensions<'_>, Change> = BTreeMap::new();
    labels.iter().for_each(|(key, change)| months.entry(key.into()).or_default().add(*change));
    for (key, change) in &months {
        update(db, MONTHLY_LABELS, &MONTHLY_LABEL_DIMENSIONS, key.values(), *change).await?;
    }
    Ok(())
}

/// A shard that has a row of these, if any has: it does not matter in which of them a sum stands.
async fn shard_of(db: &impl ConnectionTrait, table: &str, key: &AllDimensions<'_>) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(db.get_database_backend(), format!("SELECT CAST(MIN(shard) AS bigint) FROM {table}"));
    for (index, (column, value)) in
        ALL_DIMENSIONS.iter().zip(key.values(0)).filter(|(column, _)| **column != "shard").enumerate()
    {
        sql.push(if index == 0 { " WHERE " } else { " AND " }).push(column).push(" = ").bind(value);
    }
    sql.one(db).await?.map_or(Ok(None), |row| row.try_get_by_index(0))
}

async fn update(
    db: &impl ConnectionTrait,
    table: &str,
    key: &[&str],
    values: Vec<sea_orm::Value>,
    change: Change,
) -> Result<(), DbErr> {
    if change == Change::default() {
        return Ok(());
    }
    let mut sql = Sql::new(db.get_database_backend(), format!("UPDATE {table} SET cost_nano_usd = cost_nano_usd + "));
    sql.bind(change.cost_nano_usd).push(", unpriced = unpriced + ").bind(change.unpriced);
    for (index, (column, value)) in key.iter().zip(values).enumerate() {
        sql.push(if index == 0 { " WHERE " } else { " AND " }).push(column).push(" = ").bind(value);
    }
    sql.execute(db).await.map(drop)
}

impl Change {
    fn between(before: Option<i64>, after: Option<i64>) -> Self {
        Self {
            cost_nano_usd: bounded(after.unwrap_or(0)) - bounded(before.unwrap_or(0)),
            unpriced: i64::from(after.is_none()) - i64::from(before.is_none()),
        }
    }

    fn add(&mut self, other: Self) {
        self.cost_nano_usd += other.cost_nano_usd;
        self.unpriced += other.unpriced;
    }
}
