//! Questions to the roll-ups: sums by any of their dimensions and by time.
//!
//! Whole days come from the daily roll-up, the hours at either end from the hourly one. Nearly every
//! answer is one statement. Where there are more groups than an answer may hold, the largest are asked
//! for by name, and what the others come to is what is left of the whole.

use std::collections::BTreeMap;

use entities::Id;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult};

use crate::histogram::{BUCKETS, Histogram};
use crate::source::{Segment, Source, choose};
use crate::tables::{DAILY, HOURLY, HOURLY_ALL, LATENCY, MEASURES, TTFB};
use crate::tally::Measures;
use crate::{Sql, Sums};

/// Rows that are read at once; more are asked for by name.
const MAX_ROWS: usize = 10_000;

/// By what is summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// Who pays.
    Tenant,
    /// By which key.
    Key,
    /// `x-antiphon-user`; records without one are left out.
    User,
    /// The value of one of `x-antiphon-tags`, by its name; records without it are left out.
    Tag(String),
    /// Configured name of the provider.
    Provider,
    /// The model that served.
    Model,
    /// The model that the client named.
    ModelAsked,
    /// Operation.
    Operation,
}

/// Over what time each sum goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// All of it.
    None,
    /// Hours.
    Hour,
    /// Days in UTC.
    Day,
    /// Months in UTC.
    Month,
}

/// What is summed; whatever is not told is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// One tenant's. `None` is for those who may see all of them.
    pub tenant: Option<Id>,
    /// One key's.
    pub key: Option<Id>,
    /// Of one `x-antiphon-user`.
    pub user: Option<String>,
    /// With one of `x-antiphon-tags`, such as `team=a`.
    pub tag: Option<String>,
    /// Of one provider.
    pub provider: Option<String>,
    /// Served by one model.
    pub model: Option<String>,
    /// Asked for by this name.
    pub model_asked: Option<String>,
    /// Of one operation.
    pub operation: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// From this second on, since 1970; the start of its hour, or of its day where only days are kept.
    pub from: i64,
    /// Up to this second, not included; the end of its hour or day likewise.
    pub to: i64,
    /// By what.
    pub group_by: Vec<GroupBy>,
    /// Over what time.
    pub bucket: Bucket,
    /// Of what.
    pub filter: Filter,
    /// Groups told apart, the dearest first; the others are summed together.
    pub limit: usize,
    /// Whether times are counted too, for percentiles: more than twice the work.
    pub times: bool,
}

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// Start of the bucket in seconds since 1970.
    pub bucket: Option<i64>,
    /// What the group is, in the order of the question.
    pub group: Vec<String>,
    /// What it comes to.
    pub sums: Sums,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The first second that is summed.
    pub from: i64,
    /// The second behind the last that is summed.
    pub to: i64,
    /// Whether times were counted, so that there are percentiles.
    pub has_times: bool,
    /// By bucket, within it the dearest group of the whole time first.
    pub rows: Vec<AnswerRow>,
    /// What groups beyond the limit come to, by bucket; empty when there are none.
    pub other: Vec<AnswerRow>,
    /// Everything.
    pub total: Sums,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// No roll-up has it, and why.
    NotKept(String),
    /// The database's.
    Database(DbErr),
}

impl From<DbErr> for AskError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Answers `question`. `hours_since` is where the hourly roll-up begins, if hours are deleted.
///
/// # Errors
/// No roll-up has the answer, or the database's.
pub async fn aggregate(
    db: &impl ConnectionTrait,
    question: &Question,
    hours_since: Option<i64>,
) -> Result<Answer, AskError> {
    let source = choose(question, hours_since).map_err(AskError::NotKept)?;
    let mut rows = ask(db, question, &source, &By::all(question), MAX_ROWS + 1).await?;
    let mut other = Vec::new();
    if rows.len() > MAX_ROWS {
        (rows, other) = ask_by_name(db, question, &source).await?;
    }
    Ok(arrange(question, &source, rows, other))
}

/// What each of these keys spent before the day that begins at `second`, in nano-dollars.
///
/// # Errors
/// The database's.
pub async fn spent_before_day(
    db: &impl ConnectionTrait,
    keys: impl Iterator<Item = Id>,
    second: i64,
) -> Result<Vec<(Id, i64)>, DbErr> {
    let mut sql = Sql::new(db.get_database_backend(), "SELECT key_id, CAST(SUM(cost_nano_usd) AS bigint)");
    sql.push(&format!(" FROM {DAILY} WHERE bucket_start < ")).bind(second);
    sql.push(" AND key_id IN (").bind_list(keys).push(") GROUP BY key_id");
    let rows = sql.all(db).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// The largest groups by name, and what is left of the whole, by bucket.
async fn ask_by_name(
    db: &impl ConnectionTrait,
    question: &Question,
    source: &Source,
) -> Result<(Vec<AnswerRow>, Vec<AnswerRow>), AskError> {
    let largest = ask(db, question, source, &By { bucket: false, groups: true, only: &[] }, question.limit).await?;
    let names: Vec<Vec<String>> = largest.into_iter().map(|row| row.group).collect();
    let rows = ask(db, question, source, &By { only: &names, ..By::all(question) }, MAX_ROWS + 1).await?;
    if rows.len() > MAX_ROWS {
        let message = format!(
            "{} groups over this time are more than {MAX_ROWS} sums: ask for fewer groups, a shorter time or larger buckets",
            question.limit
        );
        return Err(AskError::NotKept(message));
    }
    let whole = ask(db, question, source, &By { groups: false, ..By::all(question) }, MAX_ROWS).await?;
    let mut left: BTreeMap<Option<i64>, Sums> = whole.into_iter().map(|row| (row.bucket, row.sums)).collect();
    for row in &rows {
        if let Some(sums) = left.get_mut(&row.bucket) {
            sums.take(&row.sums);
        }
    }
    let left = left.into_iter().filter(|(_, sums)| sums.measures.requests > 0);
    Ok((rows, left.map(|(bucket, sums)| AnswerRow { bucket, group: Vec::new(), sums }).collect()))
}

/// Puts the dearest groups first and sums what is beyond the limit.
fn arrange(question: &Question, source: &Source, rows: Vec<AnswerRow>, mut other: Vec<AnswerRow>) -> Answer {
    let mut total = Sums::default();
    let mut by_group: BTreeMap<&[String], Sums> = BTreeMap::new();
    for row in &rows {
        total.add(&row.sums);
        by_group.entry(&row.group).or_default().add(&row.sums);
    }
    other.iter().for_each(|row| total.add(&row.sums));
    let mut order: Vec<_> = by_group.into_iter().map(|(group, sums)| (group.to_vec(), sums)).collect();
    order.sort_by_key(|(_, sums)| std::cmp::Reverse((sums.measures.cost_nano_usd, sums.measures.requests)));
    let places: BTreeMap<Vec<String>, usize> =
        order.into_iter().take(question.limit).enumerate().map(|(place, (group, _))| (group, place)).collect();

    let (mut kept, beyond): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| places.contains_key(&row.group));
    kept.sort_by_key(|row| (row.bucket, places.get(&row.group).copied()));
    let mut sums: BTreeMap<Option<i64>, Sums> = BTreeMap::new();
    for row in other.drain(..).chain(beyond) {
        sums.entry(row.bucket).or_default().add(&row.sums);
    }
    let other = sums.into_iter().map(|(bucket, sums)| AnswerRow { bucket, group: Vec::new(), sums }).collect();
    Answer { from: source.from, to: source.to, has_times: source.has_times, rows: kept, other, total }
}

/// By what one statement sums.
struct By<'a> {
    bucket: bool,
    groups: bool,
    /// These groups alone, unless there are none here.
    only: &'a [Vec<String>],
}

impl By<'_> {
    fn all(question: &Question) -> Self {
        Self { bucket: question.bucket != Bucket::None, groups: !question.group_by.is_empty(), only: &[] }
    }
}

async fn ask(
    db: &impl ConnectionTrait,
    question: &Question,
    source: &Source,
    by: &By<'_>,
    limit: usize,
) -> Result<Vec<AnswerRow>, DbErr> {
    let backend = db.get_database_backend();
    let mut sql = Sql::new(backend, "SELECT ");
    let mut keys = Vec::new();
    if by.bucket {
        keys.push("bucket".to_owned());
    }
    let groups: Vec<String> = (0..question.group_by.len()).map(|place| format!("group_{place}")).collect();
    if by.groups {
        keys.extend(groups.iter().cloned());
    }
    for key in &keys {
        sql.push(key).push(", ");
    }
    for (index, column) in source.sums().enumerate() {
        sql.push(if index == 0 { "" } else { ", " });
        sql.push(&format!("CAST(COALESCE(SUM({column}), 0) AS bigint) AS {column}"));
    }
    sql.push(" FROM (");
    for (index, segment) in source.segments.iter().enumerate() {
        sql.push(if index == 0 { "" } else { " UNION ALL " });
        select(&mut sql, question, source, segment, by);
    }
    sql.push(") AS summed");
    if !by.only.is_empty() {
        only(&mut sql, &groups, by.only);
    }
    if !keys.is_empty() {
        sql.push(" GROUP BY ").push(&keys.join(", "));
        sql.push(" ORDER BY SUM(cost_nano_usd) DESC, SUM(requests) DESC, ").push(&keys.join(", "));
    }
    sql.push(" LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = sql.all(db).await?;
    let count = if by.groups { groups.len() } else { 0 };
    let rows: Vec<AnswerRow> = rows.iter().map(|row| read(row, by.bucket, count, source)).collect::<Result<_, _>>()?;
    // Over nothing at all a database still gives one row of nothing.
    Ok(rows.into_iter().filter(|row| row.sums.measures.requests > 0).collect())
}

/// What one roll-up comes to. It is summed here and not around it, so that a database reads its rows once
/// and where they lie.
fn select(sql: &mut Sql, question: &Question, source: &Source, segment: &Segment, by: &By<'_>) {
    let Segment { table, from, to } = segment;
    sql.push("SELECT ");
    let mut keys = 0;
    if by.bucket {
        let start = bucket_start(sql.backend(), question.bucket, table);
        sql.push(start).push(" AS bucket, ");
        keys += 1;
    }
    if by.groups {
        for (place, group) in question.group_by.iter().enumerate() {
            match group {
                GroupBy::Tag(name) => {
                    // Behind the name and its sign of equality; positions count from 1.
                    let value = i32::try_from(name.chars().count() + 2).unwrap_or(i32::MAX);
                    sql.push("substr(label, ").bind(value).push(")")
                }
                other => sql.push(column(other)),
            };
            sql.push(&format!(" AS group_{place}, "));
            keys += 1;
        }
    }
    let sums: Vec<String> = source.sums().map(|column| format!("SUM({column}) AS {column}")).collect();
    sql.push(&sums.join(", ")).push(&format!(" FROM {table} WHERE bucket_start >= "));
    sql.bind(*from).push(" AND bucket_start < ").bind(*to);
    filter(sql, &question.filter);
    for group in &question.group_by {
        match group {
            GroupBy::User => {
                sql.push(" AND label_kind = 'user'");
            }
            GroupBy::Tag(name) => {
                let begins = format!("{name}=");
                let length = i32::try_from(begins.chars().count()).unwrap_or(i32::MAX);
                sql.push(" AND label_kind = 'tag' AND substr(label, 1, ").bind(length).push(") = ").bind(begins);
            }
            _ => {}
        }
    }
    if keys > 0 {
        let places: Vec<String> = (1..=keys).map(|place: i32| place.to_string()).collect();
        sql.push(" GROUP BY ").push(&places.join(", "));
    }
}

fn filter(sql: &mut Sql, filter: &Filter) {
    let Filter { tenant, key, user, tag, provider, model, model_asked, operation } = filter;
    let tenant = tenant.map(|id| id.to_string());
    let key = key.map(|id| id.to_string());
    for (column, value) in [
        ("tenant_id", &tenant),
        ("key_id", &key),
        ("provider", provider),
        ("model_served", model),
        ("model_asked", model_asked),
        ("operation", operation),
        ("label_kind = 'user' AND label", user),
        ("label_kind = 'tag' AND label", tag),
    ] {
        if let Some(value) = value {
            sql.push(" AND ").push(column).push(" = ").bind(value.clone());
        }
    }
}

/// `WHERE` one of `groups` is meant.
fn only(sql: &mut Sql, names: &[String], groups: &[Vec<String>]) {
    sql.push(" WHERE ");
    for (index, group) in groups.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { " OR (" });
        for (place, (name, value)) in names.iter().zip(group).enumerate() {
            sql.push(if place == 0 { "" } else { " AND " }).push(name).push(" = ").bind(value.clone());
        }
        sql.push(")");
    }
}

const fn column(group: &GroupBy) -> &'static str {
    match group {
        GroupBy::Tenant => "tenant_id",
        GroupBy::Key => "key_id",
        GroupBy::User | GroupBy::Tag(_) => "label",
        GroupBy::Provider => "provider",
        GroupBy::Model => "model_served",
        GroupBy::ModelAsked => "model_asked",
        GroupBy::Operation => "operation",
    }
}

fn bucket_start(backend: DbBackend, bucket: Bucket, table: &str) -> &'static str {
    match (bucket, backend) {
        (Bucket::None | Bucket::Hour, _) => "bucket_start",
        // As it is, it is in the order of the table.
        (Bucket::Day, _) if ![HOURLY, HOURLY_ALL].contains(&table) => "bucket_start",
        (Bucket::Day, _) => "bucket_start / 86400 * 86400",
        (Bucket::Month, DbBackend::Postgres) => {
            "CAST(extract(epoch FROM date_trunc('month', to_timestamp(bucket_start) AT TIME ZONE 'UTC')) AS bigint)"
        }
        (Bucket::Month, _) => "CAST(strftime('%s', bucket_start, 'unixepoch', 'start of month') AS integer)",
    }
}

fn read(row: &QueryResult, has_bucket: bool, groups: usize, source: &Source) -> Result<AnswerRow, DbErr> {
    let bucket = if has_bucket { Some(row.try_get_by_index(0)?) } else { None };
    let first_group = usize::from(has_bucket);
    let group =
        (first_group..first_group + groups).map(|place| row.try_get_by_index(place)).collect::<Result<_, _>>()?;
    let mut place = first_group + groups;
    let mut next = || {
        place += 1;
        row.try_get_by_index::<i64>(place - 1)
    };
    let mut measures = [0; MEASURES.len()];
    for sum in &mut measures {
        *sum = next()?;
    }
    let mut times = [Histogram([0; BUCKETS]); 2];
    if source.has_times {
        for count in times.iter_mut().flat_map(|histogram| &mut histogram.0) {
            *count = next()?;
        }
    }
    let [latency, ttfb] = times;
    Ok(AnswerRow { bucket, group, sums: Sums { measures: Measures::from_list(measures), latency, ttfb } })
}

impl Source {
    /// The columns that are summed.
    fn sums(&self) -> impl Iterator<Item = &'static str> {
        let times = if self.has_times { LATENCY.len() + TTFB.len() } else { 0 };
        MEASURES.into_iter().chain(LATENCY.into_iter().chain(TTFB).take(times))
    }
}
