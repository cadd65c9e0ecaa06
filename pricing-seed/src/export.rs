//! The price list as CSV, in the form that an import takes.

use std::collections::HashMap;

use entities::{price, tenant};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, Time};

use crate::SeedError;

/// A cell that begins so would be run as a formula by a spreadsheet.
pub(crate) const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Every row ever in force, the platform's and the tenants' own, in a fixed order, each with the name of
/// the tenant that it belongs to.
///
/// # Errors
/// [`SeedError::Database`].
pub async fn all_rows(db: &impl ConnectionTrait) -> Result<Vec<(Option<String>, price::Model)>, SeedError> {
    let rows = price::Entity::find()
        .order_by_asc(price::Column::ProviderKind)
        .order_by_asc(price::Column::Model)
        .order_by_asc(price::Column::Operation)
        .order_by_asc(price::Column::Unit)
        .order_by_asc(price::Column::EffectiveFrom)
        .order_by_asc(price::Column::TenantId)
        .all(db)
        .await?;
    let tenants: HashMap<_, _> =
        tenant::Entity::find().all(db).await?.into_iter().map(|tenant| (tenant.id, tenant.name)).collect();
    // A tenant that has gone took its prices with it, so every id is known here.
    let name = |row: &price::Model| row.tenant_id.and_then(|id| tenants.get(&id).cloned());
    Ok(rows.into_iter().map(|row| (name(&row), row)).collect())
}

/// [`all_rows`] as CSV.
///
/// # Errors
/// [`SeedError::Database`], [`SeedError::Export`].
pub async fn export_csv(db: &impl ConnectionTrait) -> Result<String, SeedError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "tenant",
        "provider",
        "model",
        "operation",
        "unit",
        "price_usd",
        "minimum_ms",
        "rounding_ms",
        "effective_from",
        "source",
        "read_on",
    ];
    writer.write_record(header).map_err(failed)?;
    for (tenant, row) in all_rows(db).await? {
        let line = [
            guard(tenant.unwrap_or_default()),
            row.provider_kind,
            guard(row.model),
            row.operation,
            row.unit,
            row.usd,
            row.minimum_ms.to_string(),
            row.rounding_ms.to_string(),
            moment(row.effective_from)?,
            guard(row.source),
            guard(row.read_on),
        ];
        writer.write_record(line).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(failed)?;
    String::from_utf8(bytes).map_err(failed)
}

fn moment(time: OffsetDateTime) -> Result<String, SeedError> {
    if time.time() == Time::MIDNIGHT { Ok(time.date().to_string()) } else { time.format(&Rfc3339).map_err(failed) }
}

fn guard(cell: String) -> String {
    if cell.starts_with(FORMULA) { format!("'{cell}") } else { cell }
}

fn failed(error: impl std::fmt::Display) -> SeedError {
    SeedError::Export(error.to_string())
}
