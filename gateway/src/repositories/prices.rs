//! The price list.

use std::collections::BTreeSet;

use domain::ids::{PriceId, TenantId};
use domain::price_list::ListedPrice;
use domain::pricing::Price;
use entities::{Id, price};
use futures_util::TryStreamExt;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Query, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Select, StreamTrait};
use time::{Duration, OffsetDateTime};

use super::{parse, to_count};

/// How long after the fact a call may still be priced.
const LATE: Duration = Duration::DAY;

/// The prices that can still matter, the platform's and the tenants' own: what was in force a day ago,
/// and what has begun since or will begin. However long the list's past is, it takes no memory.
///
/// Rows of providers, operations or units this version does not know are left out: a newer version has
/// written them, and nothing here can use them.
///
/// # Errors
/// The database's; a price that is not a decimal number.
pub async fn list_prices(
    db: &(impl ConnectionTrait + StreamTrait),
    now: OffsetDateTime,
) -> Result<Vec<ListedPrice>, DbErr> {
    listed(db, price::Entity::find().filter(still_matters(now))).await
}

/// As [`list_prices`], of these models alone, the platform's and one tenant's.
///
/// # Errors
/// As [`list_prices`]'s.
pub async fn list_prices_of(
    db: &(impl ConnectionTrait + StreamTrait),
    now: OffsetDateTime,
    tenant: TenantId,
    models: &BTreeSet<String>,
) -> Result<Vec<ListedPrice>, DbErr> {
    let whose = Condition::any().add(price::Column::TenantId.is_null()).add(price::Column::TenantId.eq(Id(tenant.0)));
    let of = price::Column::Model.is_in(models.iter().map(String::as_str));
    listed(db, price::Entity::find().filter(still_matters(now)).filter(whose).filter(of)).await
}

async fn listed(
    db: &(impl ConnectionTrait + StreamTrait),
    select: Select<price::Entity>,
) -> Result<Vec<ListedPrice>, DbErr> {
    let mut rows = select.stream(db).await?;
    let mut list = Vec::new();
    while let Some(row) = rows.try_next().await? {
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

/// Not followed by another for the same until a day ago. Prices begin at whole seconds, which SQLite
/// compares rightly as text.
fn still_matters(now: OffsetDateTime) -> Condition {
    let bound = super::stored(now.checked_sub(LATE).unwrap_or(now));
    let bound = bound.replace_nanosecond(0).unwrap_or(bound);
    let own = |column: price::Column| Expr::col((price::Entity, column));
    let other = |column: price::Column| Expr::col((Alias::new("other"), column));
    let same = |column: price::Column| other(column).eq(own(column));
    let whose = |column: Expr| -> SimpleExpr { Func::coalesce([column, Expr::cust("''")]).into() };
    let follower = Query::select()
        .expr(Expr::val(1))
        .from_as(price::Entity, Alias::new("other"))
        .and_where(same(price::Column::ProviderKind))
        .and_where(same(price::Column::Model))
        .and_where(same(price::Column::Operation))
        .and_where(same(price::Column::Unit))
        .and_where(whose(other(price::Column::TenantId)).eq(whose(own(price::Column::TenantId))))
        .and_where(other(price::Column::EffectiveFrom).gt(own(price::Column::EffectiveFrom)))
        .and_where(other(price::Column::EffectiveFrom).lte(bound))
        .to_owned();
    Condition::any().add(price::Column::EffectiveFrom.gt(bound)).add(Expr::exists(follower).not())
}
