//! Rows into the table, so that a second run changes nothing.

use std::collections::HashMap;

use entities::{Id, price};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use time::{OffsetDateTime, UtcOffset};

use crate::read::PriceRow;
use crate::{SeedError, SeedReport};

/// Rows of one statement, far below SQLite's 32 766 variables.
const CHUNK: usize = 200;

/// Who brings the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// This program: it never changes what a person has set.
    Seed,
    /// A person.
    Person,
}

impl Author {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Person => "cli",
        }
    }
}

/// What makes a row of the platform's list unique.
type Key = (String, String, String, String, OffsetDateTime);

pub(crate) async fn upsert(
    db: &impl ConnectionTrait,
    rows: &[PriceRow],
    author: Author,
) -> Result<SeedReport, SeedError> {
    let existing = price::Entity::find().filter(price::Column::TenantId.is_null()).all(db).await?;
    let existing: HashMap<Key, price::Model> = existing.into_iter().map(|row| (key_of(&row), row)).collect();
    let mut report = SeedReport::default();
    let mut fresh = Vec::new();
    for row in rows {
        let new = to_model(row, author);
        match existing.get(&key_of(&new)) {
            None => fresh.push(price::ActiveModel::from(new)),
            Some(old) if is_same(old, &new) => report.unchanged += 1,
            Some(old) if author == Author::Seed && old.managed_by != Author::Seed.as_str() => report.kept += 1,
            Some(old) => {
                price::Entity::update(changed(old.id, new)).exec(db).await?;
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

fn is_same(old: &price::Model, new: &price::Model) -> bool {
    old.usd == new.usd
        && old.minimum_ms == new.minimum_ms
        && old.rounding_ms == new.rounding_ms
        && old.source == new.source
        && old.read_on == new.read_on
}

fn changed(id: Id, new: price::Model) -> price::ActiveModel {
    price::ActiveModel {
        id: Set(id),
        usd: Set(new.usd),
        minimum_ms: Set(new.minimum_ms),
        rounding_ms: Set(new.rounding_ms),
        source: Set(new.source),
        read_on: Set(new.read_on),
        managed_by: Set(new.managed_by),
        ..<price::ActiveModel as sea_orm::ActiveModelTrait>::default()
    }
}

fn to_model(row: &PriceRow, author: Author) -> price::Model {
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
        effective_from: row.effective_from.to_offset(UtcOffset::UTC),
        source: row.source.clone(),
        read_on: row.read_on.clone(),
        managed_by: author.as_str().to_owned(),
    }
}
