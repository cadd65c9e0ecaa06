//! The price list.

use domain::ids::{PriceId, TenantId};
use domain::pricing::Price;
use entities::{Id, price};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use super::{parse, to_count};
use crate::snapshot::{DatedPrice, PriceList};

/// The platform's prices (`None`), or only the rows by which a tenant overrides them; every row ever
/// in force. Rows of providers, operations or units this version does not know are left out: a newer
/// version has written them, and nothing here can use them.
///
/// # Errors
/// The database's; a price that is not a decimal number.
pub async fn list_prices(db: &impl ConnectionTrait, tenant: Option<TenantId>) -> Result<PriceList, DbErr> {
    let owner = match tenant {
        Some(tenant) => price::Column::TenantId.eq(Id(tenant.0)),
        None => price::Column::TenantId.is_null(),
    };
    let rows = price::Entity::find().filter(owner).all(db).await?;
    let mut list = PriceList::new();
    for row in rows {
        let (Ok(kind), Ok(operation), Ok(unit)) = (row.provider_kind.parse(), row.operation.parse(), row.unit.parse())
        else {
            tracing::warn!(price.id = %row.id, "a price for an unknown provider kind, operation or unit is not used");
            continue;
        };
        let price = Price {
            id: PriceId(row.id.0),
            unit,
            usd: parse("usd", &row.usd)?,
            minimum_ms: to_count("minimum_ms", row.minimum_ms)?,
            rounding_ms: to_count("rounding_ms", row.rounding_ms)?,
        };
        let dated = DatedPrice { price, effective_from: row.effective_from };
        list.entry((kind, row.model, operation)).or_default().push(dated);
    }
    Ok(list)
}
