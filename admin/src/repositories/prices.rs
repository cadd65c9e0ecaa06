//! Prices.

use admin_types::page::Page;
use admin_types::prices::{ListPrices, Price, PriceFilter, PriceSort};
use domain::ids::TenantId;
use entities::{Id, price};
use pricing_seed::PriceRow;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resource::{Head, Resource, owner};
use super::{Scope, contains, is_there};
use crate::error::AdminError;
use crate::paging::Position;

/// Units that measure the length of audio.
const LENGTHS: [&str; 3] = ["audio_hour", "audio_minute", "audio_second"];

/// A row as it is shown.
pub(crate) fn view(row: price::Model) -> Price {
    Price {
        id: row.id.0,
        tenant_id: row.tenant_id.map(|id| id.0),
        provider_kind: row.provider_kind,
        model: row.model,
        operation: row.operation,
        unit: row.unit,
        price_usd: row.usd,
        minimum_ms: row.minimum_ms,
        rounding_ms: row.rounding_ms,
        effective_from: row.effective_from,
        source: row.source,
        read_on: row.read_on,
        managed_by: row.managed_by,
    }
}

impl Resource for price::Entity {
    const KIND: &'static str = "price";
    const ANNOUNCED: bool = true;
    type View = Price;

    fn visible(scope: Scope) -> Condition {
        scope.own_or_platform(price::Column::TenantId)
    }

    fn head(row: &price::Model) -> Head {
        Head { id: row.id, owner: owner(row.tenant_id), version: row.version, is_declared: false }
    }

    fn renew(row: &mut price::Model, _: OffsetDateTime) {
        row.version += 1;
    }

    async fn view(_: &impl ConnectionTrait, row: price::Model, _: Scope) -> Result<Price, AdminError> {
        Ok(view(row))
    }
}

/// One page of the prices that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListPrices,
) -> Result<Page<Price>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = match sort {
        PriceSort::CreatedAt | PriceSort::CreatedAtDescending => None,
        PriceSort::Model | PriceSort::ModelDescending => Some(price::Column::Model),
        PriceSort::EffectiveFrom | PriceSort::EffectiveFromDescending => Some(price::Column::EffectiveFrom),
    };
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let select = price::Entity::find().filter(which(scope, list));
    Ok(position.page(db, select, price::Column::Id).await?.map(view))
}

/// The prices that the caller may see and asks for.
pub(crate) fn which(scope: Scope, wanted: impl Into<PriceFilter>) -> Condition {
    let wanted = wanted.into();
    let column = |column: price::Column, text: &Option<String>| text.as_ref().map(|text| column.eq(text.as_str()));
    let owner = is_there(price::Column::TenantId, wanted.platform.map(|platform| !platform));
    let text = wanted.q.as_ref().map(|text| {
        Condition::any().add(contains(price::Column::Model, text)).add(contains(price::Column::Source, text))
    });
    Condition::all()
        .add(price::Entity::visible(scope))
        .add_option(wanted.tenant_id.map(|id| price::Column::TenantId.eq(Id(id))))
        .add_option(owner)
        .add_option(column(price::Column::ProviderKind, &wanted.provider_kind))
        .add_option(column(price::Column::Model, &wanted.model))
        .add_option(column(price::Column::Operation, &wanted.operation))
        .add_option(column(price::Column::Unit, &wanted.unit))
        .add_option(column(price::Column::ManagedBy, &wanted.managed_by))
        .add_option(wanted.in_force_at.map(in_force_at))
        .add_option(text)
}

/// Begun by then, and not followed by another for the same: a price in one unit of length replaces one in
/// another.
pub(crate) fn in_force_at(at: OffsetDateTime) -> Condition {
    // Prices begin at whole seconds, and SQLite compares text.
    let at = whole(at);
    let own = |column: price::Column| Expr::col((price::Entity, column));
    let other = |column: price::Column| Expr::col((Alias::new("other"), column));
    let same = |column: price::Column| other(column).eq(own(column));
    let whose = |column: Expr| -> SimpleExpr { Func::coalesce([column, Expr::cust("''")]).into() };
    let same_unit = Condition::any()
        .add(same(price::Column::Unit))
        .add(own(price::Column::Unit).is_in(LENGTHS).and(other(price::Column::Unit).is_in(LENGTHS)));
    let follower = Query::select()
        .expr(Expr::val(1))
        .from_as(price::Entity, Alias::new("other"))
        .and_where(same(price::Column::ProviderKind))
        .and_where(same(price::Column::Model))
        .and_where(same(price::Column::Operation))
        .and_where(whose(other(price::Column::TenantId)).eq(whose(own(price::Column::TenantId))))
        .cond_where(same_unit)
        .and_where(other(price::Column::EffectiveFrom).gt(own(price::Column::EffectiveFrom)))
        .and_where(other(price::Column::EffectiveFrom).lte(at))
        .to_owned();
    Condition::all().add(price::Column::EffectiveFrom.lte(at)).add(Expr::exists(follower).not())
}

/// From here on nobody else writes prices until the transaction ends. SQLite has one writer anyway.
///
/// # Errors
/// The database's.
pub(crate) async fn lock(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE").await?;
    }
    Ok(())
}

/// A price that is not kept yet.
pub(crate) fn fresh(owner: Option<TenantId>, row: PriceRow) -> price::Model {
    price::Model {
        id: Id(Uuid::now_v7()),
        tenant_id: owner.map(|tenant| Id(tenant.0)),
        provider_kind: row.kind.as_str().to_owned(),
        model: row.model,
        operation: row.operation.as_str().to_owned(),
        unit: row.unit.as_str().to_owned(),
        usd: row.usd.normalize().to_string(),
        minimum_ms: i64::try_from(row.minimum_ms).unwrap_or(i64::MAX),
        rounding_ms: i64::try_from(row.rounding_ms).unwrap_or(i64::MAX),
        effective_from: row.effective_from,
        source: row.source,
        read_on: row.read_on,
        managed_by: "api".to_owned(),
        version: 1,
    }
}

/// A price in another unit of length for the same from the same moment on: both would be billed.
///
/// # Errors
/// The database's.
pub(crate) async fn other_length(db: &impl ConnectionTrait, row: &price::Model) -> Result<Option<String>, DbErr> {
    if !LENGTHS.contains(&row.unit.as_str()) {
        return Ok(None);
    }
    let owner = row.tenant_id.map_or_else(|| price::Column::TenantId.is_null(), |id| price::Column::TenantId.eq(id));
    price::Entity::find()
        .select_only()
        .column(price::Column::Unit)
        .filter(price::Column::ProviderKind.eq(row.provider_kind.as_str()))
        .filter(price::Column::Model.eq(row.model.as_str()))
        .filter(price::Column::Operation.eq(row.operation.as_str()))
        .filter(price::Column::Unit.is_in(LENGTHS))
        .filter(price::Column::EffectiveFrom.eq(row.effective_from))
        .filter(price::Column::Id.ne(row.id))
        .filter(owner)
        .into_tuple()
        .one(db)
        .await
}

/// The whole second that a moment lies in.
pub(crate) fn whole(at: OffsetDateTime) -> OffsetDateTime {
    at.checked_to_offset(time::UtcOffset::UTC).unwrap_or(at).replace_nanosecond(0).unwrap_or(at)
}
