//! The price list.

use domain::ids::{PriceId, TenantId};
use domain::pricing::Price;
use entities::price;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::{parse, to_count};
use crate::snapshot::ListedPrice;

/// Every price ever in force, the platform's and the tenants' own. Rows of providers, operations or
/// units this version does not know are left out: a newer version has written them, and nothing here
/// can use them.
///
/// # Errors
/// The database's; a price that is not a decimal number.
pub async fn list_prices(db: &impl ConnectionTrait) -> Result<Vec<ListedPrice>, DbErr> {
    let rows = price::Entity::find().all(db).await?;
    let mut list = Vec::with_capacity(rows.len());
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
        let tenant = row.tenant_id.map(|tenant| TenantId(tenant.0));
        let effective_from = row.effective_from;
        list.push(ListedPrice { tenant, kind, model: row.model, operation, price, effective_from });
    }
    Ok(list)
}
