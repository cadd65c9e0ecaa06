//! Sums of records, as they are asked for and shown.

use std::collections::HashMap;

use admin_types::usage::{AggregateUsage, UsageAggregates, UsageBucket, UsageGroup, UsageSum, UsageTimes};
use entities::Id;
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use usage_store::aggregate::{Answer, AnswerRow, AskError, Bucket, Filter, GroupBy, Question, aggregate};
use usage_store::histogram::Histogram;
use usage_store::{Sums, rebuild, retain};
use uuid::Uuid;

use crate::error::AdminError;
use crate::repositories::Scope;
use crate::repositories::usage::{check_operation, names, tenant_of, usd};

/// Groups told apart where the caller says nothing.
const DEFAULT_GROUPS: u16 = 50;
/// Most groups told apart.
const MAX_GROUPS: u16 = 500;
/// Most things to group by.
const MAX_GROUP_BY: usize = 4;

/// Answers what is asked with what the caller may see.
///
/// # Errors
/// 422 for what cannot be asked and for what no roll-up has; the database's.
pub(crate) async fn sums(
    db: &impl ConnectionTrait,
    scope: Scope,
    asked: &AggregateUsage,
) -> Result<UsageAggregates, AdminError> {
    let question = question(scope, asked)?;
    let complete = !rebuild::is_pending(db).await?;
    let hours_since = retain::hours_since(db).await?;
    let answer = aggregate(db, &question, hours_since).await.map_err(refused)?;
    let names = names_in(db, scope, &question.group_by, &answer).await?;
    let show = |row: &AnswerRow| shown(row, &question.group_by, &names, answer.has_times);
    let total = AnswerRow { bucket: None, group: Vec::new(), sums: answer.total };
    Ok(UsageAggregates {
        from: moment(answer.from)?,
        to: moment(answer.to)?,
        data: answer.rows.iter().map(show).collect::<Result<_, _>>()?,
        other: answer.other.iter().map(show).collect::<Result<_, _>>()?,
        total: show(&total)?,
        complete,
    })
}

/// Whose usage a filter means: of another tenant there is none.
pub(crate) fn tenant(scope: Scope, asked: Option<Uuid>) -> Option<Id> {
    match tenant_of(scope, asked) {
        Some(Scope::All) => None,
        Some(Scope::Tenant(tenant)) => Some(Id(tenant.0)),
        None => Some(Id(Uuid::nil())),
    }
}

/// What cannot be answered is the caller's to ask otherwise.
pub(crate) fn refused(error: AskError) -> AdminError {
    match error {
        AskError::NotKept(reason) => AdminError::field("query", reason),
        AskError::Database(error) => error.into(),
    }
}

fn question(scope: Scope, asked: &AggregateUsage) -> Result<Question, AdminError> {
    check_operation(asked.operation.as_deref())?;
    if asked.from >= asked.to {
        return Err(AdminError::field("from", "must be before `to`"));
    }
    let limit = asked.limit.unwrap_or(DEFAULT_GROUPS);
    if limit == 0 || limit > MAX_GROUPS {
        return Err(AdminError::field("limit", format!("must be from 1 to {MAX_GROUPS}")));
    }
    Ok(Question {
        from: asked.from.unix_timestamp(),
        to: asked.to.unix_timestamp(),
        group_by: group_by(asked.group_by.as_deref().unwrap_or_default())?,
        bucket: match asked.bucket.unwrap_or_default() {
            UsageBucket::None => Bucket::None,
            UsageBucket::Hour => Bucket::Hour,
            UsageBucket::Day => Bucket::Day,
            UsageBucket::Month => Bucket::Month,
        },
        filter: Filter {
            tenant: tenant(scope, asked.tenant_id),
            key: asked.key_id.map(Id),
            user: asked.user.clone(),
            tag: asked.tag.clone(),
            provider: asked.provider.clone(),
            model: asked.model.clone(),
            model_asked: asked.model_asked.clone(),
            operation: asked.operation.clone(),
        },
        limit: limit.into(),
        times: asked.percentiles.unwrap_or(true),
    })
}

fn group_by(text: &str) -> Result<Vec<GroupBy>, AdminError> {
    let mut groups = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let group = match part {
            "tenant" => GroupBy::Tenant,
            "key" => GroupBy::Key,
            "user" => GroupBy::User,
            "provider" => GroupBy::Provider,
            "model" => GroupBy::Model,
            "model_asked" => GroupBy::ModelAsked,
            "operation" => GroupBy::Operation,
            other => match other.strip_prefix("tag:") {
                Some(name) if !name.is_empty() && !name.contains('=') => GroupBy::Tag(name.to_owned()),
                _ => return Err(AdminError::field("group_by", "has something that nothing is grouped by")),
            },
        };
        if groups.contains(&group) {
            return Err(AdminError::field("group_by", "names something twice"));
        }
        groups.push(group);
    }
    if groups.len() > MAX_GROUP_BY {
        return Err(AdminError::field("group_by", format!("may name {MAX_GROUP_BY} things")));
    }
    Ok(groups)
}

/// The names of the tenants and keys of an answer.
async fn names_in(
    db: &impl ConnectionTrait,
    scope: Scope,
    group_by: &[GroupBy],
    answer: &Answer,
) -> Result<HashMap<Id, String>, AdminError> {
    let ids = |of: &GroupBy| -> Vec<Id> {
        let Some(place) = group_by.iter().position(|group| group == of) else { return Vec::new() };
        let values = answer.rows.iter().filter_map(|row| row.group.get(place)?.parse().ok());
        let ids: std::collections::HashSet<Id> = values.collect();
        ids.into_iter().collect()
    };
    Ok(names(db, scope, ids(&GroupBy::Tenant), ids(&GroupBy::Key)).await?)
}

fn shown(
    row: &AnswerRow,
    group_by: &[GroupBy],
    names: &HashMap<Id, String>,
    has_times: bool,
) -> Result<UsageSum, AdminError> {
    let Sums { measures, latency, ttfb } = &row.sums;
    let group = group_by.iter().zip(&row.group).map(|(by, value)| UsageGroup {
        by: name_of(by),
        value: value.clone(),
        name: match by {
            GroupBy::Tenant | GroupBy::Key => value.parse().ok().and_then(|id: Id| names.get(&id).cloned()),
            _ => None,
        },
    });
    Ok(UsageSum {
        bucket_start: row.bucket.map(moment).transpose()?,
        group: group.collect(),
        requests: measures.requests,
        errors: measures.errors,
        unpriced: measures.unpriced,
        sessions: measures.sessions,
        cost_usd: usd(measures.cost_nano_usd),
        cost_nano_usd: measures.cost_nano_usd,
        audio_in_ms: measures.audio_in_ms,
        audio_out_ms: measures.audio_out_ms,
        characters: measures.characters,
        text_tokens_in: measures.text_tokens_in,
        text_tokens_out: measures.text_tokens_out,
        audio_tokens_in: measures.audio_tokens_in,
        audio_tokens_out: measures.audio_tokens_out,
        cached_tokens: measures.cached_tokens,
        latency: if has_times { times(latency, measures.latency_ms_sum) } else { None },
        ttfb: if has_times { times(ttfb, measures.ttfb_ms_sum) } else { None },
    })
}

fn times(histogram: &Histogram, sum: i64) -> Option<UsageTimes> {
    Some(UsageTimes {
        mean_ms: sum.checked_div(histogram.count())?,
        p50_ms: histogram.percentile(50),
        p95_ms: histogram.percentile(95),
        p99_ms: histogram.percentile(99),
    })
}

fn name_of(group: &GroupBy) -> String {
    match group {
        GroupBy::Tenant => "tenant".to_owned(),
        GroupBy::Key => "key".to_owned(),
        GroupBy::User => "user".to_owned(),
        GroupBy::Tag(name) => format!("tag:{name}"),
        GroupBy::Provider => "provider".to_owned(),
        GroupBy::Model => "model".to_owned(),
        GroupBy::ModelAsked => "model_asked".to_owned(),
        GroupBy::Operation => "operation".to_owned(),
    }
}

fn moment(second: i64) -> Result<OffsetDateTime, AdminError> {
    OffsetDateTime::from_unix_timestamp(second).map_err(|_| AdminError::field("to", "is beyond all calendars"))
}

/// About how many records a filter means, where the roll-ups know it.
pub(crate) async fn estimate(
    db: &impl ConnectionTrait,
    scope: Scope,
    filter: &admin_types::usage::UsageFilter,
) -> Result<Option<i64>, AdminError> {
    let by_rollup = filter.model.is_none()
        && filter.status.is_none()
        && filter.session_id.is_none()
        && filter.request_id.is_none()
        && filter.priced.is_none();
    if !by_rollup {
        return Ok(None);
    }
    let question = Question {
        from: filter.from.map_or(0, OffsetDateTime::unix_timestamp),
        to: filter.to.unwrap_or_else(OffsetDateTime::now_utc).unix_timestamp(),
        group_by: Vec::new(),
        bucket: Bucket::None,
        filter: Filter {
            tenant: tenant(scope, filter.tenant_id),
            key: filter.key_id.map(Id),
            user: filter.user.clone(),
            tag: filter.tag.clone(),
            provider: filter.provider.clone(),
            model: None,
            model_asked: None,
            operation: filter.operation.clone(),
        },
        limit: 1,
        times: false,
    };
    match aggregate(db, &question, retain::hours_since(db).await?).await {
        Ok(answer) => Ok(Some(answer.total.measures.requests)),
        Err(AskError::NotKept(_)) => Ok(None),
        Err(AskError::Database(error)) => Err(error.into()),
    }
}
