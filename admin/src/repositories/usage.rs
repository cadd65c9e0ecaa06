//! Usage records, as they are listed and exported.

use std::collections::HashMap;

use admin_types::page::Page;
use admin_types::usage::{FailedAttempt, ListUsage, UsageFilter, UsageRecord, UsageSort};
use domain::ids::TenantId;
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::usage::UsageStatus;
use entities::{Id, tenant, usage_record, virtual_key};
use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value,
};
use time::{Duration, OffsetDateTime};
use usage_store::{labels_of, since, until};
use uuid::Uuid;

use super::{Scope, is_there, unreadable};
use crate::error::AdminError;
use crate::paging::Position;

/// The longest time of which the dearest or the slowest records are found.
const SORTED_DAYS: Duration = Duration::days(7);

/// # Errors
/// 422 for an operation or status that there is none of, and for a time that ends before it begins.
pub(crate) fn check(filter: &UsageFilter) -> Result<(), AdminError> {
    check_operation(filter.operation.as_deref())?;
    if let Some(status) = &filter.status
        && status.parse::<UsageStatus>().is_err()
    {
        return Err(AdminError::field("status", "is none that a record can have"));
    }
    if filter.from.zip(filter.to).is_some_and(|(from, to)| from > to) {
        return Err(AdminError::field("from", "must be before `to`"));
    }
    Ok(())
}

/// The records that are meant and that the caller may see; with a tag some more, which
/// [`means`] tells apart.
fn meant(filter: &UsageFilter, backend: DbBackend, scope: Scope) -> Result<Condition, DbErr> {
    use usage_record::Column;
    let mut all = Condition::all().add(scope.own(Column::TenantId));
    for (column, id) in [
        (Column::TenantId, filter.tenant_id),
        (Column::KeyId, filter.key_id),
        (Column::SessionId, filter.session_id),
        (Column::RequestId, filter.request_id),
    ] {
        all = all.add_option(id.map(|id| column.eq(Id(id))));
    }
    for (column, text) in [
        (Column::UserTag, &filter.user),
        (Column::Provider, &filter.provider),
        (Column::Operation, &filter.operation),
        (Column::Status, &filter.status),
    ] {
        all = all.add_option(text.as_deref().map(|text| column.eq(text)));
    }
    if let Some(model) = filter.model.as_deref() {
        all = all.add(Column::ModelAsked.eq(model).or(Column::ModelServed.eq(model)));
    }
    if let Some(tag) = &filter.tag {
        // Blanks may stand around commas and signs of equality.
        let told = Func::cust("replace").arg(Column::Tags.into_expr()).arg(" ").arg("");
        all = all.add(Expr::expr(told).like(containing(&tag.replace(' ', ""))));
    }
    all = all.add_option(is_there(Column::CostNanoUsd, filter.priced));
    if let Some(from) = filter.from {
        all = all.add(since(backend, from.unix_timestamp())?);
    }
    if let Some(to) = filter.to {
        all = all.add(until(backend, to.unix_timestamp())?);
    }
    Ok(all)
}

/// What the database cannot tell exactly: whether the tag is one of the record's.
fn means(filter: &UsageFilter, record: &usage_record::Model) -> bool {
    let Some(tag) = &filter.tag else { return true };
    labels_of(None, record.tags.as_deref()).iter().any(|(_, label)| label == tag)
}

/// # Errors
/// 422 for an operation that there is none of.
pub(crate) fn check_operation(operation: Option<&str>) -> Result<(), AdminError> {
    match operation.map(str::parse::<Operation>) {
        Some(Err(_)) => Err(AdminError::field("operation", "is none that there is")),
        _ => Ok(()),
    }
}

/// One page of the records that the caller may see.
///
/// # Errors
/// The database's; a limit, cursor or order that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListUsage,
) -> Result<Page<UsageRecord>, AdminError> {
    use usage_record::Column;
    let filter = UsageFilter::from(list);
    check(&filter)?;
    let sort = list.sort.unwrap_or_default();
    let by = match sort {
        UsageSort::TimeDescending | UsageSort::Time => Column::StartedAt,
        UsageSort::CostDescending => Column::CostNanoUsd,
        UsageSort::LatencyDescending => Column::LatencyMs,
    };
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), Some(by))?;
    let behind = position.behind(db.get_database_backend(), Column::Id);
    let mut select =
        usage_record::Entity::find().filter(behind).filter(meant(&filter, db.get_database_backend(), scope)?);
    if !matches!(by, Column::StartedAt) {
        let is_short = filter.from.zip(filter.to).is_some_and(|(from, to)| to - from <= SORTED_DAYS);
        if !is_short {
            return Err(AdminError::field("sort", "this order takes `from` and `to` with at most 7 days between"));
        }
        select = select.filter(by.is_not_null());
    }
    let Page { data, next_cursor } = position.rows(db, select, Column::Id).await?;
    let meant = data.into_iter().filter(|row| means(&filter, row)).collect();
    Ok(Page { data: meant, next_cursor }.try_map(view)?)
}

/// One record that the caller may see.
///
/// # Errors
/// The database's, [`AdminError::NotFound`].
pub(crate) async fn find(db: &impl ConnectionTrait, scope: Scope, id: Uuid) -> Result<UsageRecord, AdminError> {
    let row =
        usage_record::Entity::find_by_id(Id(id)).filter(scope.own(usage_record::Column::TenantId)).one(db).await?;
    Ok(view(row.ok_or(AdminError::NotFound)?)?)
}

/// Where an export stands: the last record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    started_at: OffsetDateTime,
    id: Id,
}

/// The next records of an export, the oldest first, and where it stands then; nothing behind the last.
///
/// # Errors
/// The database's.
pub async fn next_page(
    db: &impl ConnectionTrait,
    scope: Scope,
    filter: &UsageFilter,
    after: Option<Place>,
    size: u64,
) -> Result<Option<(Vec<UsageRecord>, Place)>, DbErr> {
    use usage_record::Column;
    // The place takes the room of `from`: of two lower bounds SQLite may walk its index from the lower one, past
    // all that has been read.
    let from = if after.is_some() { None } else { filter.from };
    let rest = meant(&UsageFilter { from, ..filter.clone() }, db.get_database_backend(), scope)?;
    let mut select = usage_record::Entity::find().filter(rest);
    if let Some(Place { started_at, id }) = after {
        let row = Expr::tuple([Column::StartedAt.into_expr(), Column::Id.into_expr()]);
        select = select.filter(row.gt(Expr::tuple([Value::from(started_at).into(), Value::from(id).into()])));
    }
    let rows = select.order_by_asc(Column::StartedAt).order_by_asc(Column::Id).limit(size).all(db).await?;
    let last = rows.last().map(|row| Place { started_at: row.started_at, id: row.id });
    let records = rows.into_iter().filter(|row| means(filter, row)).map(view).collect::<Result<_, _>>()?;
    Ok(last.map(|last| (records, last)))
}

/// The names of these tenants and keys, as far as they are there and the caller may see them.
///
/// # Errors
/// The database's.
pub(crate) async fn names(
    db: &impl ConnectionTrait,
    scope: Scope,
    tenants: Vec<Id>,
    keys: Vec<Id>,
) -> Result<HashMap<Id, String>, DbErr> {
    let mut names = HashMap::new();
    if !tenants.is_empty() {
        let rows: Vec<(Id, String)> = tenant::Entity::find()
            .select_only()
            .columns([tenant::Column::Id, tenant::Column::Name])
            .filter(scope.own(tenant::Column::Id))
            .filter(tenant::Column::Id.is_in(tenants))
            .into_tuple()
            .all(db)
            .await?;
        names.extend(rows);
    }
    if !keys.is_empty() {
        let rows: Vec<(Id, String)> = virtual_key::Entity::find()
            .select_only()
            .columns([virtual_key::Column::Id, virtual_key::Column::Name])
            .filter(scope.own(virtual_key::Column::TenantId))
            .filter(virtual_key::Column::Id.is_in(keys))
            .into_tuple()
            .all(db)
            .await?;
        names.extend(rows);
    }
    Ok(names)
}

/// Any text with this in it.
fn containing(text: &str) -> LikeExpr {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    LikeExpr::new(format!("%{escaped}%")).escape('\\')
}

/// An amount as exact decimal text.
#[must_use]
pub fn usd(nano_usd: i64) -> String {
    NanoUsd(nano_usd).to_usd().normalize().to_string()
}

/// Whose tenant a filter means within what the caller may see; nothing where it is another's.
pub(crate) fn tenant_of(scope: Scope, asked: Option<Uuid>) -> Option<Scope> {
    scope.narrow(asked.map(TenantId))
}

fn view(row: usage_record::Model) -> Result<UsageRecord, DbErr> {
    let failed: Option<Vec<FailedAttempt>> = row
        .failed_attempts
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| unreadable("usage_records.failed_attempts"))?;
    let routing = row.routing.as_deref().map(serde_json::from_str).transpose();
    let routing = routing.map_err(|_| unreadable("usage_records.routing"))?;
    Ok(UsageRecord {
        id: row.id.0,
        request_id: row.request_id.0,
        session_id: row.session_id.map(|id| id.0),
        sequence: row.sequence,
        tenant_id: row.tenant_id.0,
        key_id: row.key_id.0,
        user_tag: row.user_tag,
        tags: row.tags,
        operation: row.operation,
        model_asked: row.model_asked,
        provider: row.provider,
        model_served: row.model_served,
        audio_in_ms: row.audio_in_ms,
        audio_out_ms: row.audio_out_ms,
        characters: row.characters,
        text_tokens_in: row.text_tokens_in,
        text_tokens_out: row.text_tokens_out,
        audio_tokens_in: row.audio_tokens_in,
        audio_tokens_out: row.audio_tokens_out,
        cached_tokens: row.cached_tokens,
        surcharge_percent: row.surcharge_percent,
        usage_source: row.usage_source,
        cost_usd: row.cost_nano_usd.map(usd),
        cost_nano_usd: row.cost_nano_usd,
        price_id: row.price_id.map(|id| id.0),
        status: row.status,
        attempts: row.attempts,
        failed_attempts: failed.unwrap_or_default(),
        routing,
        cache: row.cache,
        ttfb_ms: row.ttfb_ms,
        latency_ms: row.latency_ms,
        started_at: row.started_at,
        ended_at: row.ended_at,
    })
}
