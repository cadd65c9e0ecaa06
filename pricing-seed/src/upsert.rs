//! Rows into the table, so that a second run changes nothing.

use std::collections::HashMap;

use entities::{Id, price, tenant};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use time::{OffsetDateTime, UtcOffset};

use crate::read::{PriceRow, at};
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

/// What makes a row unique.
type Key = (Option<Id>, String, String, String, String, OffsetDateTime);

/// Writes rows; `file` is the name of their list in messages.
pub(crate) async fn upsert(
    db: &impl ConnectionTrait,
    file: &str,
    rows: &[PriceRow],
    author: Author,
) -> Result<SeedReport, SeedError> {
    let tenants = tenants_by_name(db).await?;
    let mut models = Vec::with_capacity(rows.len());
    for row in rows {
        models.push(to_model(row, &tenants, author).map_err(|reason| at(file, row.line, reason))?);
    }
    let existing = price::Entity::find().all(db).await?;
    let existing: HashMap<Key, price::Model> = existing.into_iter().map(|row| (key_of(&row), row)).collect();
    let mut report = SeedReport::default();
    let mut fresh = Vec::new();
    for new in models {
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
    let tenant = row.tenant_id;
    (tenant, row.provider_kind.clone(), row.model.clone(), row.operation.clone(), row.unit.clone(), row.effective_from)
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

async fn tenants_by_name(db: &impl ConnectionTrait) -> Result<HashMap<String, Id>, DbErr> {
    let tenants = tenant::Entity::find().all(db).await?;
    Ok(tenants.into_iter().map(|tenant| (tenant.name, tenant.id)).collect())
}

/// The row as the table has it. A name that no tenant has is refused: a slip of the pen must not
/// make a tenant.
fn to_model(row: &PriceRow, tenants: &HashMap<String, Id>, author: Author) -> Result<price::Model, String> {
    let milliseconds = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let tenant_id = match &row.tenant {
        Some(name) => Some(*tenants.get(name).ok_or_else(|| format!("tenant: there is no tenant {name:?}"))?),
        None => None,
    };
    Ok(price::Model {
        id: Id(Uuid::now_v7()),
        tenant_id,
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
        version: 1,
    })
}
