//! What a rule finds in the database. A tenant's rule reads what is the tenant's and nothing else.

use admin_types::alerts::Condition;
use domain::ids::TenantId;
use domain::money::NanoUsd;
use entities::{Id, request_minute, target_health, tenant, usage_record, virtual_key};
use rust_decimal::Decimal;
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
};
use std::collections::{BTreeMap, HashMap};
use time::{Duration, OffsetDateTime};
use usage_store::{DAY, Sql};

use super::decide::{Found, Reading, judge, p95_ms, percent};
use crate::repositories::{Scope, stored};

/// Ids in one statement.
const CHUNK: usize = 500;

/// What the condition is held against.
pub(crate) fn threshold(condition: &Condition) -> Decimal {
    match condition {
        Condition::BudgetShare { percent, .. } | Condition::ErrorRate { percent, .. } => (*percent).into(),
        Condition::SpendRate { usd, .. } => *usd,
        Condition::Latency { p95_ms, .. } => (*p95_ms).into(),
        Condition::Breaker { open_seconds, .. } => (*open_seconds).into(),
        Condition::Unpriced { .. } => Decimal::ONE,
    }
}

/// How long it must be so until it fires.
pub(crate) fn hold(condition: &Condition) -> Duration {
    match condition {
        Condition::Breaker { open_seconds, .. } => Duration::seconds((*open_seconds).into()),
        _ => Duration::ZERO,
    }
}

/// What the rule of `owner` finds at `now`.
pub(crate) async fn read(
    db: &DatabaseConnection,
    owner: Option<TenantId>,
    condition: &Condition,
    now: OffsetDateTime,
) -> Result<Vec<Reading>, DbErr> {
    let scope = owner.map_or(Scope::All, Scope::Tenant);
    match condition {
        Condition::BudgetShare { percent, key_id } => {
            budgets(db, scope, key_id.map(Id), Decimal::from(*percent), now).await
        }
        Condition::SpendRate { usd, window_minutes, key_id } => {
            spending(db, scope, key_id.map(Id), *usd, begin(now, *window_minutes)).await
        }
        Condition::ErrorRate { percent, window_minutes, minimum_requests, provider, operation } => {
            let minutes = minutes(db, scope, provider, operation, whole_minute(begin(now, *window_minutes))).await?;
            Ok(errors(minutes, Decimal::from(*percent), (*minimum_requests).into()))
        }
        Condition::Latency { p95_ms, window_minutes, minimum_requests, provider, operation } => {
            let minutes = minutes(db, scope, provider, operation, whole_minute(begin(now, *window_minutes))).await?;
            Ok(latencies(minutes, Decimal::from(*p95_ms), (*minimum_requests).into()))
        }
        Condition::Breaker { provider, model, .. } => breakers(db, scope, provider, model).await,
        Condition::Unpriced { window_minutes, provider, model } => {
            unpriced(db, scope, provider, model, begin(now, *window_minutes)).await
        }
    }
}

fn begin(now: OffsetDateTime, minutes: u32) -> OffsetDateTime {
    stored(now - Duration::minutes(minutes.into()))
}

/// The begin of the minute after the one that holds `time`, or `time` where it is one.
fn whole_minute(time: OffsetDateTime) -> OffsetDateTime {
    let seconds = (time.unix_timestamp() + 59).div_euclid(60) * 60;
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time)
}

/// A sum that is a whole number on both databases.
fn total(column: impl ColumnTrait) -> SimpleExpr {
    Expr::expr(column.sum()).cast_as("bigint")
}

/// Each key's share of its budget.
async fn budgets(
    db: &DatabaseConnection,
    scope: Scope,
    key: Option<Id>,
    threshold: Decimal,
    now: OffsetDateTime,
) -> Result<Vec<Reading>, DbErr> {
    use virtual_key::Column;
    let mut find = virtual_key::Entity::find()
        .select_only()
        .columns([Column::Id, Column::Name, Column::BudgetNanoUsd, Column::BudgetWindow])
        .filter(scope.own(Column::TenantId))
        .filter(Column::BudgetNanoUsd.is_not_null())
        .filter(Column::RevokedAt.is_null());
    if let Some(key) = key {
        find = find.filter(Column::Id.eq(key));
    }
    let keys: Vec<(Id, String, Option<i64>, Option<String>)> = find.into_tuple().all(db).await?;
    let mut by_begin: BTreeMap<i64, Vec<(Id, String, i64)>> = BTreeMap::new();
    for (id, name, budget, window) in keys {
        let begin = budget_begin(window.as_deref(), now);
        by_begin.entry(begin).or_default().push((id, name, budget.unwrap_or_default()));
    }
    let mut readings = Vec::new();
    for (begin, keys) in by_begin {
        for keys in keys.chunks(CHUNK) {
            let spent = spent(db, keys.iter().map(|(id, ..)| *id), begin).await?;
            readings.extend(keys.iter().map(|(id, name, budget)| {
                let spent = spent.get(&id.to_string()).copied().unwrap_or_default();
                let value = percent(spent.into(), (*budget).into());
                Reading { subject: id.to_string(), name: name.clone(), value, found: judge(value, threshold) }
            }));
        }
    }
    Ok(readings)
}

/// The first second of the window that holds `now`, since 1970.
fn budget_begin(window: Option<&str>, now: OffsetDateTime) -> i64 {
    let today = now.to_offset(time::UtcOffset::UTC).date();
    let first = match window {
        Some("daily") => today,
        Some("monthly") => today.replace_day(1).unwrap_or(today),
        _ => return 0,
    };
    first.midnight().assume_utc().unix_timestamp()
}

/// What keys have spent since a day began, by the sums of days: budgets begin with days too.
async fn spent(
    db: &impl ConnectionTrait,
    keys: impl Iterator<Item = Id>,
    begin: i64,
) -> Result<HashMap<String, i64>, DbErr> {
    let mut sql =
        Sql::new(db.get_database_backend(), "SELECT key_id, CAST(SUM(cost_nano_usd) AS bigint) AS cost FROM ");
    sql.push(usage_store::tables::DAILY).push(" WHERE bucket_start >= ").bind(begin - begin.rem_euclid(DAY));
    sql.push(" AND key_id IN (").bind_list(keys.map(|key| key.to_string())).push(") GROUP BY key_id");
    let rows = sql.all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("", "key_id")?, row.try_get("", "cost")?))).collect()
}

#[derive(Debug, FromQueryResult)]
struct Spent {
    subject: String,
    cost: Option<i64>,
}

/// What a key, or each tenant, has spent since `begin`.
async fn spending(
    db: &DatabaseConnection,
    scope: Scope,
    key: Option<Id>,
    threshold: Decimal,
    begin: OffsetDateTime,
) -> Result<Vec<Reading>, DbErr> {
    use usage_record::Column;
    let by = if key.is_some() { Column::KeyId } else { Column::TenantId };
    let mut find = usage_record::Entity::find()
        .select_only()
        .column_as(by, "subject")
        .column_as(total(Column::CostNanoUsd), "cost")
        .filter(scope.own(Column::TenantId))
        .filter(Column::StartedAt.gte(begin));
    if let Some(key) = key {
        find = find.filter(Column::KeyId.eq(key));
    }
    let rows: Vec<Spent> = find.group_by(by).into_model().all(db).await?;
    let ids: Vec<Id> = rows.iter().filter_map(|row| row.subject.parse().ok()).collect();
    let names = if key.is_some() { key_names(db, &ids).await? } else { tenant_names(db, &ids).await? };
    let readings = rows.into_iter().map(|row| {
        let value = NanoUsd(row.cost.unwrap_or_default()).to_usd();
        let name = names.get(&row.subject).cloned().unwrap_or_else(|| row.subject.clone());
        Reading { subject: row.subject, name, value, found: judge(value, threshold) }
    });
    Ok(readings.collect())
}

async fn key_names(db: &DatabaseConnection, ids: &[Id]) -> Result<HashMap<String, String>, DbErr> {
    use virtual_key::Column;
    let mut names = HashMap::new();
    for ids in ids.chunks(CHUNK) {
        let find = virtual_key::Entity::find().select_only().columns([Column::Id, Column::Name]);
        let rows: Vec<(String, String)> = find.filter(Column::Id.is_in(ids.to_vec())).into_tuple().all(db).await?;
        names.extend(rows);
    }
    Ok(names)
}

async fn tenant_names(db: &DatabaseConnection, ids: &[Id]) -> Result<HashMap<String, String>, DbErr> {
    use tenant::Column;
    let mut names = HashMap::new();
    for ids in ids.chunks(CHUNK) {
        let find = tenant::Entity::find().select_only().columns([Column::Id, Column::Name]);
        let rows: Vec<(String, String)> = find.filter(Column::Id.is_in(ids.to_vec())).into_tuple().all(db).await?;
        names.extend(rows);
    }
    Ok(names)
}

/// How requests to one provider went.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
struct Minutes {
    provider: String,
    requests: i64,
    client_errors: i64,
    refused: i64,
    upstream_errors: i64,
    gateway_errors: i64,
    ttfb_count: i64,
    ttfb_le_100: i64,
    ttfb_le_300: i64,
    ttfb_le_1000: i64,
    ttfb_le_3000: i64,
    ttfb_le_10000: i64,
}

async fn minutes(
    db: &DatabaseConnection,
    scope: Scope,
    provider: &Option<String>,
    operation: &Option<String>,
    begin: OffsetDateTime,
) -> Result<Vec<Minutes>, DbErr> {
    use request_minute::Column;
    let mut find = request_minute::Entity::find()
        .select_only()
        .column(Column::Provider)
        .filter(scope.own(Column::TenantId))
        .filter(Column::Minute.gte(begin))
        .group_by(Column::Provider);
    for (column, name) in [
        (Column::Requests, "requests"),
        (Column::ClientErrors, "client_errors"),
        (Column::Refused, "refused"),
        (Column::UpstreamErrors, "upstream_errors"),
        (Column::GatewayErrors, "gateway_errors"),
        (Column::TtfbCount, "ttfb_count"),
        (Column::TtfbLe100, "ttfb_le_100"),
        (Column::TtfbLe300, "ttfb_le_300"),
        (Column::TtfbLe1000, "ttfb_le_1000"),
        (Column::TtfbLe3000, "ttfb_le_3000"),
        (Column::TtfbLe10000, "ttfb_le_10000"),
    ] {
        find = find.column_as(total(column), name);
    }
    for (column, wanted) in [(Column::Provider, provider), (Column::Operation, operation)] {
        if let Some(wanted) = wanted {
            find = find.filter(column.eq(wanted.as_str()));
        }
    }
    find.into_model().all(db).await
}

/// Which share of requests failed, for each provider. Sessions fail beside the request that opened them, so
/// there may be more failures than requests.
fn errors(minutes: Vec<Minutes>, threshold: Decimal, least: i64) -> Vec<Reading> {
    let readings = minutes.into_iter().map(|sums| {
        let failed = sums.upstream_errors + sums.gateway_errors;
        let all = Ord::max(sums.requests - sums.client_errors - sums.refused, failed);
        let value = percent(failed.into(), all.into());
        provider_reading(sums.provider, value, threshold, (all, least))
    });
    readings.collect()
}

fn latencies(minutes: Vec<Minutes>, threshold: Decimal, least: i64) -> Vec<Reading> {
    let readings = minutes.into_iter().filter(|sums| sums.ttfb_count > 0).map(|sums| {
        let at_most = [sums.ttfb_le_100, sums.ttfb_le_300, sums.ttfb_le_1000, sums.ttfb_le_3000, sums.ttfb_le_10000];
        let value = p95_ms(sums.ttfb_count, at_most);
        provider_reading(sums.provider, value, threshold, (sums.ttfb_count, least))
    });
    readings.collect()
}

/// Too few samples say nothing, and none at all that nothing is wrong any more.
fn provider_reading(provider: String, value: Decimal, threshold: Decimal, (samples, least): (i64, i64)) -> Reading {
    let found = match samples {
        0 => Found::No,
        few if few < least => Found::Unclear,
        _ => judge(value, threshold),
    };
    // Requests that failed before a provider was asked have none, and no provider has a name like this.
    let name = if provider.is_empty() { "the gateway".to_owned() } else { provider.clone() };
    let subject = if provider.is_empty() { "/gateway".to_owned() } else { provider };
    Reading { subject, name, value, found }
}

/// The targets that a gateway leaves out. One that has said so stays so until it has answered: a breaker
/// that lets one request through to try has not closed.
async fn breakers(
    db: &DatabaseConnection,
    scope: Scope,
    provider: &Option<String>,
    model: &Option<String>,
) -> Result<Vec<Reading>, DbErr> {
    use target_health::Column;
    let mut find = target_health::Entity::find()
        .select_only()
        .columns([Column::Provider, Column::Model])
        .filter(scope.own(Column::TenantId))
        .filter(Column::Breaker.ne("closed"))
        .distinct();
    for (column, wanted) in [(Column::Provider, provider), (Column::Model, model)] {
        if let Some(wanted) = wanted {
            find = find.filter(column.eq(wanted.as_str()));
        }
    }
    let rows: Vec<(String, String)> = find.into_tuple().all(db).await?;
    let readings = rows.into_iter().map(|(provider, model)| {
        let name = format!("{provider}/{model}");
        Reading { subject: name.clone(), name, value: Decimal::ZERO, found: Found::Yes }
    });
    Ok(readings.collect())
}

/// The models that were used without a price since `begin`.
async fn unpriced(
    db: &DatabaseConnection,
    scope: Scope,
    provider: &Option<String>,
    model: &Option<String>,
    begin: OffsetDateTime,
) -> Result<Vec<Reading>, DbErr> {
    use usage_record::Column;
    let mut find = usage_record::Entity::find()
        .select_only()
        .columns([Column::Provider, Column::ModelServed])
        .column_as(Column::Id.count(), "records")
        .filter(scope.own(Column::TenantId))
        .filter(Column::CostNanoUsd.is_null())
        .filter(Column::StartedAt.gte(begin))
        .group_by(Column::Provider)
        .group_by(Column::ModelServed);
    for (column, wanted) in [(Column::Provider, provider), (Column::ModelServed, model)] {
        if let Some(wanted) = wanted {
            find = find.filter(column.eq(wanted.as_str()));
        }
    }
    let rows: Vec<(String, String, i64)> = find.into_tuple().all(db).await?;
    let readings = rows.into_iter().map(|(provider, model, records)| {
        let name = format!("{provider}/{model}");
        Reading { subject: name.clone(), name, value: records.into(), found: Found::Yes }
    });
    Ok(readings.collect())
}
