//! The usage ledger's table.

use std::collections::HashMap;

use domain::ids::{PriceId, RequestId, SessionId, TenantId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::usage::{Usage, UsageSource, UsageStatus};
use entities::{Id, usage_record};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, Func, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use serde::de::DeserializeOwned;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::{parse, stored, to_count, to_i64};
use crate::ledger::{FailedAttempt, Routing, UsageRecord};
use crate::limits::PastSpend;

/// Keys asked for in one statement.
const CHUNK: usize = 500;

/// A record as the table gives it back. The table has one sum of cached tokens and neither image
/// tokens nor counted requests: `usage` carries that sum as cached text tokens and 0 for the others.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredUsage {
    /// Its id.
    pub id: UsageRecordId,
    /// As `x-request-id` says.
    pub request_id: RequestId,
    /// The realtime session, where there is one.
    pub session_id: Option<SessionId>,
    /// Turn in the session.
    pub sequence: u32,
    /// Who pays.
    pub tenant_id: TenantId,
    /// By which key.
    pub key_id: VirtualKeyId,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`.
    pub tags: Option<String>,
    /// What was asked.
    pub operation: Operation,
    /// The model the client named.
    pub model_asked: String,
    /// Configured name of the provider that served.
    pub provider: String,
    /// That provider's model.
    pub model_served: String,
    /// Quantities.
    pub usage: Usage,
    /// How they are known.
    pub usage_source: UsageSource,
    /// `None` while unpriced.
    pub cost: Option<NanoUsd>,
    /// The price row that decided most of the cost.
    pub price_id: Option<PriceId>,
    /// How it ended.
    pub status: UsageStatus,
    /// Targets tried.
    pub attempts: u32,
    /// Those that failed before another served.
    pub failed_attempts: Vec<FailedAttempt>,
    /// How the call was routed, where there was a choice.
    pub routing: Option<Box<Routing>>,
    /// Cache result.
    pub cache: Option<String>,
    /// Milliseconds to the first byte.
    pub ttfb_ms: Option<u64>,
    /// Milliseconds to the end.
    pub latency_ms: u64,
    /// When it was admitted.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: OffsetDateTime,
}

/// Writes records and adds what is new to the roll-ups; one that is there already is left as it is, so
/// that a journal can be replayed. Gives how many were new.
///
/// A record whose turn of a session is taken by another record is logged and left out: it would be
/// refused for ever, and must not hold up the others.
///
/// # Errors
/// The database's; nothing is written then.
pub async fn insert_batch(db: &DatabaseConnection, records: &[UsageRecord]) -> Result<u64, DbErr> {
    let rows: Vec<usage_record::Model> = records.iter().map(to_row).collect();
    let usage_store::Inserted { new, left_out } = usage_store::insert_new(db, &rows).await?;
    for row in rows.iter().filter(|row| left_out.contains(&row.id)) {
        tracing::error!(
            usage_record.id = %row.id,
            session.id = ?row.session_id,
            sequence = row.sequence,
            cost_nano_usd = ?row.cost_nano_usd,
            "a usage record was left out: this turn of the session is recorded already"
        );
    }
    Ok(new)
}

/// A key with its sums: in all, of the month, of the day.
type SumsOfKey = (Id, Option<String>, Option<String>, Option<String>);

/// What each of these keys spent by the records whose id is below the one beside it: in all, since
/// `month` and since `day`, by when the calls began; both are whole seconds. Keys that spent nothing
/// are left out. Of days whose records are deleted the sums are taken: `month` is never that long ago.
///
/// # Errors
/// The database's.
pub async fn spent_before(
    db: &impl ConnectionTrait,
    keys: &[(VirtualKeyId, Uuid)],
    day: OffsetDateTime,
    month: OffsetDateTime,
) -> Result<HashMap<VirtualKeyId, PastSpend>, DbErr> {
    loop {
        let kept_since = usage_store::rebuild::kept_since(db).await?;
        let mut spent = spent_by_records(db, keys, day, month, kept_since).await?;
        if let Some(kept_since) = kept_since {
            add_deleted(db, keys, kept_since, &mut spent).await?;
        }
        // Records that were deleted in between would be missed.
        if usage_store::rebuild::kept_since(db).await? == kept_since {
            return Ok(spent);
        }
    }
}

async fn spent_by_records(
    db: &impl ConnectionTrait,
    keys: &[(VirtualKeyId, Uuid)],
    day: OffsetDateTime,
    month: OffsetDateTime,
    kept_since: Option<i64>,
) -> Result<HashMap<VirtualKeyId, PastSpend>, DbErr> {
    let backend = db.get_database_backend();
    let mut by_bound: HashMap<Uuid, Vec<Id>> = HashMap::new();
    for (key, bound) in keys {
        by_bound.entry(*bound).or_default().push(Id(key.0));
    }
    let kept = kept_since.map(|second| usage_store::since(backend, second)).transpose()?;
    let mut spent = HashMap::new();
    for (bound, keys) in by_bound {
        for keys in keys.chunks(CHUNK) {
            let rows: Vec<SumsOfKey> = usage_record::Entity::find()
                .select_only()
                .column(usage_record::Column::KeyId)
                .column_as(usage_record::Column::CostNanoUsd.sum().cast_as("text"), "total")
                .column_as(sum_of_cost_since(backend, month)?, "month")
                .column_as(sum_of_cost_since(backend, day)?, "day")
                .filter(usage_record::Column::KeyId.is_in(keys.iter().copied()))
                .filter(usage_record::Column::Id.lt(Id(bound)))
                .filter(Condition::all().add_option(kept.clone()))
                .group_by(usage_record::Column::KeyId)
                .into_tuple()
                .all(db)
                .await?;
            for (key, total, month, day) in rows {
                let past = PastSpend { total: amount(total)?, month: amount(month)?, day: amount(day)? };
                spent.insert(VirtualKeyId(key.0), past);
            }
        }
    }
    Ok(spent)
}

/// What keys spent before `kept_since`, of which there are sums and no longer records.
async fn add_deleted(
    db: &impl ConnectionTrait,
    keys: &[(VirtualKeyId, Uuid)],
    kept_since: i64,
    spent: &mut HashMap<VirtualKeyId, PastSpend>,
) -> Result<(), DbErr> {
    for keys in keys.chunks(CHUNK) {
        let ids = keys.iter().map(|(key, _)| Id(key.0));
        for (key, nano_usd) in usage_store::spent_before_day(db, ids, kept_since).await? {
            let past = spent.entry(VirtualKeyId(key.0)).or_default();
            past.total = past.total.saturating_add(NanoUsd(nano_usd));
        }
    }
    Ok(())
}

/// The priced records of a key with ids at or above `bound`, the newest first and at most so many.
///
/// # Errors
/// The database's.
pub async fn at_or_above(
    db: &impl ConnectionTrait,
    key: VirtualKeyId,
    bound: Uuid,
    most: u64,
) -> Result<Vec<replicas::Record>, DbErr> {
    let rows: Vec<(Id, i64, OffsetDateTime)> = usage_record::Entity::find()
        .select_only()
        .columns([usage_record::Column::Id, usage_record::Column::CostNanoUsd, usage_record::Column::StartedAt])
        .filter(usage_record::Column::KeyId.eq(Id(key.0)))
        .filter(usage_record::Column::Id.gte(Id(bound)))
        .filter(usage_record::Column::CostNanoUsd.gt(0_i64))
        .order_by_desc(usage_record::Column::Id)
        .limit(most)
        .into_tuple()
        .all(db)
        .await?;
    let record = |(id, cost, started_at): (Id, i64, OffsetDateTime)| {
        let (id, cost) = (UsageRecordId(id.0), Some(NanoUsd(cost)));
        replicas::Record { id, key, cost, started_at }
    };
    Ok(rows.into_iter().map(record).collect())
}

/// The records of one request of a key, in the order of their turns.
///
/// # Errors
/// The database's.
pub async fn find_by_request(
    db: &impl ConnectionTrait,
    key: VirtualKeyId,
    request: RequestId,
) -> Result<Vec<StoredUsage>, DbErr> {
    let rows = usage_record::Entity::find()
        .filter(usage_record::Column::RequestId.eq(Id(request.0)))
        .filter(usage_record::Column::KeyId.eq(Id(key.0)))
        .order_by_asc(usage_record::Column::Sequence)
        .order_by_asc(usage_record::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// How many records there are.
///
/// # Errors
/// The database's.
pub async fn count(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    usage_record::Entity::find().count(db).await
}

/// As text: PostgreSQL sums integers into a number of any length, SQLite into an integer.
fn sum_of_cost_since(backend: DbBackend, since: OffsetDateTime) -> Result<SimpleExpr, DbErr> {
    let cost = Expr::col((usage_record::Entity, usage_record::Column::CostNanoUsd));
    let counted = CaseStatement::new().case(at_or_after(backend, since)?, cost);
    Ok(Func::sum(SimpleExpr::Case(Box::new(counted))).cast_as("text"))
}

/// No sum at all is a sum over nothing.
fn amount(sum: Option<String>) -> Result<NanoUsd, DbErr> {
    let sum = sum.map_or(Ok(0), |sum| parse::<i128>("cost_nano_usd", &sum))?;
    Ok(NanoUsd(i64::try_from(sum).unwrap_or(i64::MAX)))
}

/// `started_at >= since`. SQLite compares text, in which `…:00.5Z` stands before `…:00Z`; without
/// the final letter the bound stands before both.
fn at_or_after(backend: DbBackend, since: OffsetDateTime) -> Result<SimpleExpr, DbErr> {
    if backend == DbBackend::Postgres {
        return Ok(usage_record::Column::StartedAt.gte(stored(since)));
    }
    let shape = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let text = since
        .to_offset(UtcOffset::UTC)
        .format(shape)
        .map_err(|error| DbErr::Custom(format!("a time cannot be written: {error}")))?;
    Ok(Expr::col((usage_record::Entity, usage_record::Column::StartedAt)).gte(text))
}

fn to_row(record: &UsageRecord) -> usage_record::Model {
    let usage = &record.usage;
    usage_record::Model {
        id: Id(record.id.0),
        request_id: Id(record.request_id.0),
        session_id: record.session_id.map(|id| Id(id.0)),
        sequence: record.sequence.into(),
        tenant_id: Id(record.tenant_id.0),
        key_id: Id(record.key_id.0),
        user_tag: record.user_tag.clone(),
        tags: record.tags.clone(),
        operation: record.operation.as_str().to_owned(),
        model_asked: record.model_asked.clone(),
        provider: record.provider.clone(),
        model_served: record.model_served.clone(),
        audio_in_ms: to_i64(usage.audio_in_ms),
        audio_out_ms: to_i64(usage.audio_out_ms),
        characters: to_i64(usage.characters),
        text_tokens_in: to_i64(usage.text_tokens_in),
        text_tokens_out: to_i64(usage.text_tokens_out),
        audio_tokens_in: to_i64(usage.audio_tokens_in),
        audio_tokens_out: to_i64(usage.audio_tokens_out),
        cached_tokens: to_i64(usage.cached_tokens()),
        surcharge_percent: to_i64(usage.surcharge_percent),
        usage_source: record.usage_source.as_str().to_owned(),
        cost_nano_usd: record.cost.map(|cost| cost.0),
        price_id: record.price_id.map(|id| Id(id.0)),
        status: record.status.as_str().to_owned(),
        attempts: record.attempts.into(),
        failed_attempts: failed_attempts(&record.failed_attempts),
        routing: record.routing.as_deref().and_then(|routing| serde_json::to_string(routing).ok()),
        cache: record.cache.clone(),
        ttfb_ms: record.ttfb_ms.map(to_i64),
        latency_ms: to_i64(record.latency_ms),
        started_at: stored(record.started_at),
        ended_at: stored(record.ended_at),
    }
}

/// Nothing for none, which is nearly every call.
fn failed_attempts(attempts: &[FailedAttempt]) -> Option<String> {
    if attempts.is_empty() { None } else { serde_json::to_string(attempts).ok() }
}

fn read<T: DeserializeOwned>(column: &str, json: &str) -> Result<T, DbErr> {
    serde_json::from_str(json).map_err(|error| DbErr::Type(format!("{column}: {error}")))
}

fn from_row(row: usage_record::Model) -> Result<StoredUsage, DbErr> {
    let usage = Usage {
        audio_in_ms: to_count("audio_in_ms", row.audio_in_ms)?,
        audio_out_ms: to_count("audio_out_ms", row.audio_out_ms)?,
        characters: to_count("characters", row.characters)?,
        text_tokens_in: to_count("text_tokens_in", row.text_tokens_in)?,
        text_tokens_out: to_count("text_tokens_out", row.text_tokens_out)?,
        audio_tokens_in: to_count("audio_tokens_in", row.audio_tokens_in)?,
        audio_tokens_out: to_count("audio_tokens_out", row.audio_tokens_out)?,
        cached_text_tokens: to_count("cached_tokens", row.cached_tokens)?,
        surcharge_percent: to_count("surcharge_percent", row.surcharge_percent)?,
        ..Usage::default()
    };
    Ok(StoredUsage {
        id: UsageRecordId(row.id.0),
        request_id: RequestId(row.request_id.0),
        session_id: row.session_id.map(|id| SessionId(id.0)),
        sequence: to_count("sequence", row.sequence)?,
        tenant_id: TenantId(row.tenant_id.0),
        key_id: VirtualKeyId(row.key_id.0),
        user_tag: row.user_tag,
        tags: row.tags,
        operation: parse("operation", &row.operation)?,
        model_asked: row.model_asked,
        provider: row.provider,
        model_served: row.model_served,
        usage,
        usage_source: parse("usage_source", &row.usage_source)?,
        cost: row.cost_nano_usd.map(NanoUsd),
        price_id: row.price_id.map(|id| PriceId(id.0)),
        status: parse("status", &row.status)?,
        attempts: to_count("attempts", row.attempts)?,
        failed_attempts: row.failed_attempts.map_or_else(|| Ok(Vec::new()), |list| read("failed_attempts", &list))?,
        routing: row.routing.map(|told| read("routing", &told)).transpose()?,
        cache: row.cache,
        ttfb_ms: row.ttfb_ms.map(|ms| to_count("ttfb_ms", ms)).transpose()?,
        latency_ms: to_count("latency_ms", row.latency_ms)?,
        started_at: row.started_at,
        ended_at: row.ended_at,
    })
}
