//! The usage ledger's table.

use std::collections::{HashMap, HashSet};

use domain::ids::{PriceId, RequestId, SessionId, TenantId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::usage::{Usage, UsageSource, UsageStatus};
use entities::{Id, usage_record};
use sea_orm::sea_query::{ExprTrait, OnConflict, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::{parse, stored, to_count, to_i64};
use crate::ledger::UsageRecord;

/// Rows of one statement: 30 columns each must stay below SQLite's 32 766 variables.
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

/// Writes records; one that is there already is left as it is, so that a journal can be replayed.
/// Gives how many were new.
///
/// A record whose turn of a session is taken by another record is logged and left out: it would be
/// refused for ever, and must not hold up the others.
///
/// # Errors
/// The database's. Chunks before the one that failed stay written unless `db` is a transaction.
pub async fn insert_batch(db: &impl ConnectionTrait, records: &[UsageRecord]) -> Result<u64, DbErr> {
    let mut inserted = 0;
    for chunk in records.chunks(CHUNK) {
        let rows = chunk.iter().map(to_row);
        let nothing = OnConflict::new().do_nothing().to_owned();
        let new = match usage_record::Entity::insert_many(rows).on_conflict(nothing).exec_without_returning(db).await {
            Ok(new) => new,
            Err(DbErr::RecordNotInserted) => 0,
            Err(error) => return Err(error),
        };
        inserted += new;
        if new < to_u64(chunk.len()) {
            report_refused(db, chunk).await?;
        }
    }
    Ok(inserted)
}

/// What a key has spent since `since`, which is the start of a budget's window: a whole second.
///
/// # Errors
/// The database's.
pub async fn spent_since(
    db: &impl ConnectionTrait,
    key: VirtualKeyId,
    since: OffsetDateTime,
) -> Result<NanoUsd, DbErr> {
    let since = at_or_after(db.get_database_backend(), since)?;
    let spent: Option<Option<String>> = usage_record::Entity::find()
        .select_only()
        .column_as(sum_of_cost(), "spent")
        .filter(usage_record::Column::KeyId.eq(Id(key.0)))
        .filter(since)
        .into_tuple()
        .one(db)
        .await?;
    spent.flatten().map_or(Ok(NanoUsd::ZERO), |sum| amount(&sum))
}

/// What each of these keys has spent since the start of its budget's window; keys that spent nothing
/// are left out. One query for each distinct start: as many as there are kinds of windows.
///
/// # Errors
/// The database's.
pub async fn spent_by_key(
    db: &impl ConnectionTrait,
    windows: &[(VirtualKeyId, OffsetDateTime)],
) -> Result<HashMap<VirtualKeyId, NanoUsd>, DbErr> {
    let mut by_start: HashMap<OffsetDateTime, HashSet<VirtualKeyId>> = HashMap::new();
    for (key, since) in windows {
        by_start.entry(*since).or_default().insert(*key);
    }
    let mut spent = HashMap::new();
    for (since, keys) in by_start {
        let rows: Vec<(Id, Option<String>)> = usage_record::Entity::find()
            .select_only()
            .column(usage_record::Column::KeyId)
            .column_as(sum_of_cost(), "spent")
            .filter(at_or_after(db.get_database_backend(), since)?)
            .group_by(usage_record::Column::KeyId)
            .into_tuple()
            .all(db)
            .await?;
        for (key, sum) in rows {
            let key = VirtualKeyId(key.0);
            if let Some(sum) = sum.filter(|_| keys.contains(&key)) {
                spent.insert(key, amount(&sum)?);
            }
        }
    }
    Ok(spent)
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

async fn report_refused(db: &impl ConnectionTrait, chunk: &[UsageRecord]) -> Result<(), DbErr> {
    let present: HashSet<Id> = usage_record::Entity::find()
        .select_only()
        .column(usage_record::Column::Id)
        .filter(usage_record::Column::Id.is_in(chunk.iter().map(|record| Id(record.id.0))))
        .into_tuple()
        .all(db)
        .await?
        .into_iter()
        .collect();
    for record in chunk.iter().filter(|record| !present.contains(&Id(record.id.0))) {
        tracing::error!(
            usage_record.id = %record.id,
            session.id = ?record.session_id,
            sequence = record.sequence,
            cost_nano_usd = ?record.cost,
            "a usage record was left out: this turn of the session is recorded already"
        );
    }
    Ok(())
}

/// As text: PostgreSQL sums integers into a number of any length, SQLite into an integer.
fn sum_of_cost() -> SimpleExpr {
    usage_record::Column::CostNanoUsd.sum().cast_as("text")
}

fn amount(sum: &str) -> Result<NanoUsd, DbErr> {
    parse::<i128>("cost_nano_usd", sum).map(|sum| NanoUsd(i64::try_from(sum).unwrap_or(i64::MAX)))
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
    Ok(sea_orm::sea_query::Expr::col((usage_record::Entity, usage_record::Column::StartedAt)).gte(text))
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn to_row(record: &UsageRecord) -> usage_record::ActiveModel {
    let usage = &record.usage;
    usage_record::ActiveModel {
        id: Set(Id(record.id.0)),
        request_id: Set(Id(record.request_id.0)),
        session_id: Set(record.session_id.map(|id| Id(id.0))),
        sequence: Set(record.sequence.into()),
        tenant_id: Set(Id(record.tenant_id.0)),
        key_id: Set(Id(record.key_id.0)),
        user_tag: Set(record.user_tag.clone()),
        tags: Set(record.tags.clone()),
        operation: Set(record.operation.as_str().to_owned()),
        model_asked: Set(record.model_asked.clone()),
        provider: Set(record.provider.clone()),
        model_served: Set(record.model_served.clone()),
        audio_in_ms: Set(to_i64(usage.audio_in_ms)),
        audio_out_ms: Set(to_i64(usage.audio_out_ms)),
        characters: Set(to_i64(usage.characters)),
        text_tokens_in: Set(to_i64(usage.text_tokens_in)),
        text_tokens_out: Set(to_i64(usage.text_tokens_out)),
        audio_tokens_in: Set(to_i64(usage.audio_tokens_in)),
        audio_tokens_out: Set(to_i64(usage.audio_tokens_out)),
        cached_tokens: Set(to_i64(usage.cached_tokens())),
        usage_source: Set(record.usage_source.as_str().to_owned()),
        cost_nano_usd: Set(record.cost.map(|cost| cost.0)),
        price_id: Set(record.price_id.map(|id| Id(id.0))),
        status: Set(record.status.as_str().to_owned()),
        attempts: Set(record.attempts.into()),
        cache: Set(record.cache.clone()),
        ttfb_ms: Set(record.ttfb_ms.map(to_i64)),
        latency_ms: Set(to_i64(record.latency_ms)),
        started_at: Set(stored(record.started_at)),
        ended_at: Set(stored(record.ended_at)),
    }
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
        cache: row.cache,
        ttfb_ms: row.ttfb_ms.map(|ms| to_count("ttfb_ms", ms)).transpose()?,
        latency_ms: to_count("latency_ms", row.latency_ms)?,
        started_at: row.started_at,
        ended_at: row.ended_at,
    })
}
