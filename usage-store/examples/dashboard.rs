//! How long the questions of a dashboard take over a year of records.
//!
//! `cargo run -p usage-store --example dashboard -- 'sqlite:///tmp/year.db?mode=rwc' [RECORDS]`
//! An empty database is filled first: 20 tenants with 5 keys each that use 3 of 6 models, a tenth of the
//! records with one of 2,000 users and as many with one of 12 teams. Sums are filled by SQL, which takes
//! minutes instead of hours. Each question is asked five times,
//! without times and with them for percentiles, and the median is told, with what this
//! process itself worked beside each.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a tool for one's own machine")]

use std::time::Instant;

use entities::{Id, usage_record};
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use usage_store::aggregate::{Bucket, Filter, GroupBy, Question, aggregate};
use usage_store::histogram::{BOUNDS_MS, BUCKETS};
use usage_store::tables::{DAILY, DAILY_ALL, DIMENSIONS, HOURLY, HOURLY_ALL, LABELS, MEASURES, MONTHLY_LABELS};
use usage_store::{DAY, Sql};
use uuid::Uuid;

/// 2026-11-22.
const END: i64 = 1_795_305_600;
const YEAR: i64 = 365 * DAY;
/// Days that are filled at once.
const STEP: i64 = 10;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap();
    let records = arguments.next().map_or(5_000_000, |count| count.parse().unwrap());
    measure(&url, records).await;
}

async fn measure(url: &str, records: i64) {
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false);
    if url.starts_with("sqlite") {
        options.map_sqlx_sqlite_opts(|sqlite| sqlite.pragma("journal_mode", "WAL").pragma("synchronous", "FULL"));
    }
    let db = Database::connect(options).await.unwrap();
    migration::up(&db).await.unwrap();
    if usage_record::Entity::find().one(&db).await.unwrap().is_none() {
        fill(&db, records).await;
    }
    let mut records = 0;
    for table in [HOURLY, DAILY, LABELS, HOURLY_ALL, DAILY_ALL, MONTHLY_LABELS, "usage_records"] {
        let sql = Sql::new(db.get_database_backend(), format!("SELECT COUNT(*) FROM {table}"));
        records = sql.one(&db).await.unwrap().unwrap().try_get_by_index(0).unwrap();
        println!("{table}: {records} rows");
        assert!(records > 0, "{table} is empty");
    }
    ask_all(&db, records).await;
}

/// Sums over all tenants and labels by month come with their migration, out of the finer ones, as an upgrade
/// brings them.
async fn fill(db: &DatabaseConnection, records: i64) {
    while is_applied(db, "coarse_rollups").await {
        migration::down(db, Some(1)).await.unwrap();
    }
    let a_day = records / 365;
    let mut day = 0;
    while day < 365 {
        let days = STEP.min(365 - day);
        let (first, last) = (day * a_day, (day + days) * a_day - 1);
        let (from, to) = (END - YEAR + day * DAY, END - YEAR + (day + days) * DAY);
        db.execute_unprepared(&records_of(db.get_database_backend(), first, last, a_day)).await.unwrap();
        for (table, size) in [(HOURLY, 3_600), (DAILY, DAY)] {
            db.execute_unprepared(&sums_of(db.get_database_backend(), table, size, from, to)).await.unwrap();
        }
        for (kind, column) in [("user", "user_tag"), ("tag", "tags")] {
            db.execute_unprepared(&labels_of(db.get_database_backend(), kind, column, from, to)).await.unwrap();
        }
        day += days;
    }
    migration::up(db).await.unwrap();
    db.execute_unprepared("ANALYZE").await.unwrap();
}

async fn is_applied(db: &DatabaseConnection, name: &str) -> bool {
    migration::status(db).await.unwrap().iter().any(|step| step.applied && step.name.ends_with(name))
}

fn records_of(backend: DbBackend, first: i64, last: i64, a_day: i64) -> String {
    let second = format!("{} + i * {DAY} / {a_day}", END - YEAR);
    let id = |number: &str| match backend {
        DbBackend::Postgres => {
            format!("lpad(to_hex({number}), 8, '0') || '-0000-7000-8000-' || lpad(to_hex({number}), 12, '0')")
        }
        _ => format!("printf('%08x-0000-7000-8000-%012x', {number}, {number})"),
    };
    let (numbers, time) = match backend {
        DbBackend::Postgres => (
            format!("WITH n AS (SELECT generate_series({first}::bigint, {last}::bigint) AS i)"),
            format!("to_timestamp({second})"),
        ),
        _ => (
            format!("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"),
            format!("strftime('%Y-%m-%dT%H:%M:%SZ', {second}, 'unixepoch')"),
        ),
    };
    let (own, tenant, key) = (id("i"), id("i % 100 / 5"), id("i % 100"));
    let model = "(i % 100 + i / 100 % 3) % 6";
    format!(
        "{numbers} INSERT INTO usage_records (id, request_id, sequence, tenant_id, key_id, user_tag, tags, operation,
            model_asked, provider, model_served, audio_in_ms, audio_out_ms, characters, text_tokens_in, text_tokens_out,
            audio_tokens_in, audio_tokens_out, cached_tokens, usage_source, cost_nano_usd, status, attempts, ttfb_ms,
            latency_ms, started_at, ended_at)
        SELECT {own}, {own}, 0, {tenant}, {key},
            CASE WHEN i * 7919 % 10 = 0 THEN 'user ' || (i * 7919 / 10 % 2000) END,
            CASE WHEN i * 7919 % 10 = 1 THEN 'team=' || (i * 7919 / 10 % 12) END,
            CASE {model} % 2 WHEN 0 THEN 'speech' ELSE 'transcription' END,
            'model ' || {model}, 'provider ' || ({model} / 2), 'model ' || {model},
            i * 31 % 60000, i * 17 % 60000, i % 900, 0, 0, 0, 0, 0, 'measured',
            CASE WHEN i % 1000 = 0 THEN NULL ELSE i * 7919 % 9000000 END,
            CASE WHEN i % 50 = 0 THEN 'upstream_error' ELSE 'ok' END, 1, 40 + i * 7919 % 900, 60 + i * 104729 % 4000,
            {time}, {time} FROM n"
    )
}

/// As the ledger adds them up, in SQL.
fn measures() -> String {
    MEASURES
        .iter()
        .map(|measure| match *measure {
            "requests" => "COUNT(*)".to_owned(),
            "errors" => "SUM(CASE WHEN status = 'upstream_error' THEN 1 ELSE 0 END)".to_owned(),
            "unpriced" => "SUM(CASE WHEN cost_nano_usd IS NULL THEN 1 ELSE 0 END)".to_owned(),
            "sessions" => "0".to_owned(),
            "latency_ms_sum" => "SUM(latency_ms)".to_owned(),
            "ttfb_ms_sum" => "SUM(ttfb_ms)".to_owned(),
            "ttfb_count" => "COUNT(ttfb_ms)".to_owned(),
            column => format!("COALESCE(SUM({column}), 0)"),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn histogram(column: &str) -> String {
    let bucket = |place: usize| {
        let below = place.checked_sub(1).and_then(|place| BOUNDS_MS.get(place)).map_or(i64::MIN, |bound| *bound);
        let bound = BOUNDS_MS.get(place).copied().unwrap_or(i64::MAX);
        format!("SUM(CASE WHEN {column} > {} AND {column} <= {bound} THEN 1 ELSE 0 END)", below.max(-1))
    };
    (0..BUCKETS).map(bucket).collect::<Vec<_>>().join(", ")
}

/// The start of the bucket that a record is in.
fn bucket(backend: DbBackend, size: i64) -> String {
    match backend {
        DbBackend::Postgres => format!("CAST(extract(epoch FROM started_at) AS bigint) / {size} * {size}"),
        _ => format!("CAST(strftime('%s', started_at) AS integer) / {size} * {size}"),
    }
}

fn between(backend: DbBackend, from: i64, to: i64) -> String {
    match backend {
        DbBackend::Postgres => format!("started_at >= to_timestamp({from}) AND started_at < to_timestamp({to})"),
        _ => format!(
            "started_at >= strftime('%Y-%m-%dT%H:%M:%S', {from}, 'unixepoch') \
            AND started_at < strftime('%Y-%m-%dT%H:%M:%S', {to}, 'unixepoch')"
        ),
    }
}

fn sums_of(backend: DbBackend, table: &str, size: i64, from: i64, to: i64) -> String {
    let names = DIMENSIONS.split_first().unwrap().1.join(", ");
    format!(
        "INSERT INTO {table} SELECT {} AS bucket, {names}, {}, {}, {} FROM usage_records WHERE {} GROUP BY bucket, {names}",
        bucket(backend, size),
        measures(),
        histogram("latency_ms"),
        histogram("ttfb_ms"),
        between(backend, from, to),
    )
}

fn labels_of(backend: DbBackend, kind: &str, column: &str, from: i64, to: i64) -> String {
    format!(
        "INSERT INTO {LABELS} SELECT {} AS bucket, tenant_id, '{kind}', {column}, key_id, operation, provider, model_served, {}
        FROM usage_records WHERE {column} IS NOT NULL AND {}
        GROUP BY bucket, tenant_id, {column}, key_id, operation, provider, model_served",
        bucket(backend, DAY),
        measures(),
        between(backend, from, to),
    )
}

async fn ask_all(db: &DatabaseConnection, records: i64) {
    use GroupBy::{Key, Model, Operation, Provider, Tag, Tenant, User};
    let id = |number: u128| Some(Id(Uuid::parse_str(&format!("{number:08x}-0000-7000-8000-{number:012x}")).unwrap()));
    let one_tenant = Filter { tenant: id(8), ..Filter::default() };
    let one_key = Filter { key: id(37), ..Filter::default() };
    let all = Filter::default();
    let year = END - YEAR;
    let month = END - 30 * DAY;
    for (name, from, bucket, group_by, filter) in [
        ("year", year, Bucket::None, vec![], &all),
        ("year by month", year, Bucket::Month, vec![], &all),
        ("year by day", year, Bucket::Day, vec![], &all),
        ("year by tenant", year, Bucket::None, vec![Tenant], &all),
        ("year by key and model", year, Bucket::None, vec![Key, Model], &all),
        ("year by month, provider and operation", year, Bucket::Month, vec![Provider, Operation], &all),
        ("year by tag", year, Bucket::None, vec![Tag("team".to_owned())], &all),
        ("year by user, the first 50", year, Bucket::None, vec![User], &all),
        ("year of a tenant by day", year, Bucket::Day, vec![], &one_tenant),
        ("year of a tenant by key", year, Bucket::None, vec![Key], &one_tenant),
        ("year of a tenant by user", year, Bucket::None, vec![User], &one_tenant),
        ("year of a key by day and model", year, Bucket::Day, vec![Model], &one_key),
        ("30 days by day and provider", month, Bucket::Day, vec![Provider], &all),
        ("30 days and 5 hours by tenant", month - 5 * 3_600, Bucket::None, vec![Tenant], &all),
        ("30 days by hour", month, Bucket::Hour, vec![], &all),
        ("30 days of a tenant by hour", month, Bucket::Hour, vec![], &one_tenant),
        ("24 hours by hour and model", END - DAY, Bucket::Hour, vec![Model], &all),
    ] {
        let question = Question { from, to: END, group_by, bucket, filter: filter.clone(), limit: 50, times: false };
        let with_times = Question { times: true, ..question.clone() };
        let mut taken = Vec::new();
        for question in [&question, &with_times] {
            let ask = async || {
                let answer = aggregate(db, question, None).await.unwrap();
                let counted = answer.total.measures.requests;
                let by_label = question.group_by.iter().any(|by| matches!(by, Tag(_) | User));
                let is_everything = from == year && *filter == all && !by_label;
                assert!(if is_everything { counted == records } else { counted > 0 }, "{name}: {counted}");
            };
            taken.push(time(ask).await);
        }
        let ((plain, work), (timed, timed_work)) = (taken[0], taken[1]);
        println!("| {name} | {plain} | {work} | {timed} | {timed_work} |");
    }
    let newest = usage_record::Entity::find()
        .order_by_desc(usage_record::Column::StartedAt)
        .order_by_desc(usage_record::Column::Id)
        .limit(50);
    for (name, filter) in [
        ("newest 50 records of a tenant", usage_record::Column::TenantId.eq(one_tenant.tenant.unwrap())),
        ("newest 50 records without a price", usage_record::Column::CostNanoUsd.is_null()),
    ] {
        let ask = async || assert_eq!(newest.clone().filter(filter.clone()).all(db).await.unwrap().len(), 50);
        let (plain, work) = time(ask).await;
        println!("| {name} | {plain} | {work} | | |");
    }
}

/// The median of five, and what this process itself did in it, which other programs do not slow down. A
/// server's own time is in the first alone.
async fn time(ask: impl AsyncFn()) -> (u128, u128) {
    let mut taken = Vec::new();
    for _ in 0..5 {
        let (begun, worked) = (Instant::now(), worked_ns());
        ask().await;
        taken.push((begun.elapsed().as_millis(), (worked_ns() - worked) / 1_000_000));
    }
    taken.sort_unstable();
    taken[2]
}

/// Nanoseconds that the threads of this process have run.
fn worked_ns() -> u128 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u128>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_small_year_is_filled_and_every_question_answered() {
        let folder = tempfile::tempdir().unwrap();
        super::measure(&format!("sqlite://{}/year.db?mode=rwc", folder.path().display()), 51_000).await;
    }
}
