//! The lists that come with the program into the table, so that a second run changes nothing.

use std::collections::{BTreeSet, HashMap};

use entities::{Id, price};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use time::OffsetDateTime;

use crate::merge::decided_costs;
use crate::read::PriceRow;
use crate::{SeedError, SeedReport};

/// Rows of one statement, far below SQLite's 32 766 variables.
const CHUNK: usize = 200;

/// What `managed_by` says of rows that come with the program.
const SEED: &str = "seed";

/// What makes a row unique.
type Key = (String, String, String, String, OffsetDateTime);

/// Writes rows of the platform. Rows that a person has set are never changed, and no price that has decided costs.
pub(crate) async fn upsert(
    db: &impl ConnectionTrait,
    rows: &[PriceRow],
    now: OffsetDateTime,
) -> Result<SeedReport, SeedError> {
    let models = rows.iter().map(to_model);
    let existing = existing(db, rows).await?;
    let mut report = SeedReport::default();
    let mut fresh = Vec::new();
    for new in models {
        match existing.get(&key_of(&new)) {
            None => fresh.push(price::ActiveModel::from(new)),
            Some(old) if is_same(old, &new) => report.unchanged += 1,
            Some(old) if old.managed_by != SEED => report.kept += 1,
            Some(old) if !is_same_price(old, &new) && old.effective_from <= now && decided_costs(db, old).await? => {
                tracing::warn!(price.id = %old.id, model = old.model, "a price that decided costs stays as it is");
                report.kept += 1;
            }
            Some(old) => {
                price::Entity::update(changed(old, new)).exec(db).await?;
                report.updated += 1;
            }
        }
    }
    for chunk in fresh.chunks(CHUNK) {
        // Another replica that starts at the same moment may have written the same rows.
        let nothing = OnConflict::new().do_nothing().to_owned();
        let rows = chunk.iter().cloned();
        report.inserted += match price::Entity::insert_many(rows).on_conflict(nothing).exec_without_returning(db).await
        {
            Ok(inserted) => inserted,
            Err(DbErr::RecordNotInserted) => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(report)
}

fn key_of(row: &price::Model) -> Key {
    (row.provider_kind.clone(), row.model.clone(), row.operation.clone(), row.unit.clone(), row.effective_from)
}

fn is_same_price(old: &price::Model, new: &price::Model) -> bool {
    old.usd == new.usd && old.minimum_ms == new.minimum_ms && old.rounding_ms == new.rounding_ms
}

fn is_same(old: &price::Model, new: &price::Model) -> bool {
    is_same_price(old, new) && old.source == new.source && old.read_on == new.read_on
}

fn changed(old: &price::Model, new: price::Model) -> price::ActiveModel {
    price::ActiveModel {
        id: Set(old.id),
        usd: Set(new.usd),
        minimum_ms: Set(new.minimum_ms),
        rounding_ms: Set(new.rounding_ms),
        source: Set(new.source),
        read_on: Set(new.read_on),
        managed_by: Set(new.managed_by),
        version: Set(old.version + 1),
        ..<price::ActiveModel as sea_orm::ActiveModelTrait>::default()
    }
}

/// The platform's rows of the same models, of which there may be many more than are shipped.
async fn existing(db: &impl ConnectionTrait, rows: &[PriceRow]) -> Result<HashMap<Key, price::Model>, DbErr> {
    let models: BTreeSet<&str> = rows.iter().map(|row| row.model.as_str()).collect();
    let dates: BTreeSet<OffsetDateTime> = rows.iter().map(|row| row.effective_from).collect();
    let found = price::Entity::find()
        .filter(price::Column::TenantId.is_null())
        .filter(price::Column::Model.is_in(models))
        .filter(price::Column::EffectiveFrom.is_in(dates))
        .all(db)
        .await?;
    Ok(found.into_iter().map(|row| (key_of(&row), row)).collect())
}

/// The row as the table has it.
fn to_model(row: &PriceRow) -> price::Model {
    let milliseconds = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    price::Model {
        id: Id(Uuid::now_v7()),
        tenant_id: None,
        provider_kind: row.kind.as_str().to_owned(),
        model: row.model.clone(),
        operation: row.operation.as_str().to_owned(),
        unit: row.unit.as_str().to_owned(),
        usd: row.usd.normalize().to_string(),
        minimum_ms: milliseconds(row.minimum_ms),
        rounding_ms: milliseconds(row.rounding_ms),
        effective_from: row.effective_from,
        source: row.source.clone(),
        read_on: row.read_on.clone(),
        managed_by: SEED.to_owned(),
        version: 1,
    }
}
