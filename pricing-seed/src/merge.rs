//! What the database does with the rows of a list that are put aside: compares them with each other and
//! with the table, and writes them. Both databases read these statements alike.

use entities::price;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement, Value};

use crate::import::{ImportReport, NAMED_PROBLEMS, Options, Problem};

/// The table of this connection alone in which rows are put aside.
pub(crate) const ASIDE: &str = "price_import";
/// Its columns, but for those that are found out afterwards.
pub(crate) const COLUMNS: [&str; 14] = [
    "line",
    "tenant",
    "provider_kind",
    "model",
    "operation",
    "unit",
    "usd",
    "minimum_ms",
    "rounding_ms",
    "effective_from",
    "source",
    "read_on",
    "id",
    "problem",
];

/// What makes that table.
pub(crate) const fn make_room(backend: DbBackend) -> [&'static str; 2] {
    match backend {
        DbBackend::Postgres => [
            "SELECT 1",
            "CREATE TEMPORARY TABLE price_import (
                line bigint PRIMARY KEY, tenant text, tenant_key text NOT NULL DEFAULT '', provider_kind text,
                model text, operation text, unit text, usd text, minimum_ms bigint, rounding_ms bigint,
                effective_from timestamptz, source text, read_on text, id text, outcome text, problem text
            ) ON COMMIT DROP",
        ],
        _ => [
            // A list that failed while it was written leaves nothing; one of a killed process may.
            "DROP TABLE IF EXISTS temp.price_import",
            "CREATE TEMPORARY TABLE price_import (
                line integer PRIMARY KEY, tenant text, tenant_key text NOT NULL DEFAULT '', provider_kind text,
                model text, operation text, unit text, usd text, minimum_ms bigint, rounding_ms bigint,
                effective_from timestamp_with_timezone_text, source text, read_on text, id text, outcome text,
                problem text
            )",
        ],
    }
}

const LENGTHS: &str = "('audio_hour', 'audio_minute', 'audio_second')";
/// A row of the table that is for the same as one put aside, but for its unit.
const SAME_SUBJECT: &str = "p.provider_kind = price_import.provider_kind AND p.model = price_import.model
    AND p.operation = price_import.operation AND COALESCE(p.tenant_id, '') = price_import.tenant_key
    AND p.effective_from = price_import.effective_from";

/// Marks every row with what becomes of it. From here on nobody else writes prices until the transaction
/// ends.
pub(crate) async fn check(transaction: &DatabaseTransaction, options: &Options) -> Result<(), DbErr> {
    for statement in lock(transaction.get_database_backend()) {
        transaction.execute_unprepared(statement).await?;
    }
    find_tenants(transaction).await?;
    refuse_overlaps(transaction).await?;
    let found = format!(
        "UPDATE price_import SET id = p.id, outcome = CASE
            WHEN p.usd = price_import.usd AND p.minimum_ms = price_import.minimum_ms
                AND p.rounding_ms = price_import.rounding_ms AND p.source = price_import.source
                AND p.read_on = price_import.read_on THEN 'unchanged' ELSE 'updated' END
         FROM prices p WHERE problem IS NULL AND {SAME_SUBJECT} AND p.unit = price_import.unit"
    );
    transaction.execute_unprepared(&found).await?;
    refuse_used(transaction, options).await?;
    let beside = format!(
        "UPDATE price_import SET problem = 'unit: overlaps a price in another unit of length of the same date'
         WHERE problem IS NULL AND unit IN {LENGTHS} AND EXISTS (SELECT 1 FROM prices p
            WHERE {SAME_SUBJECT} AND p.unit IN {LENGTHS} AND p.unit <> price_import.unit)"
    );
    transaction.execute_unprepared(&beside).await?;
    let fresh = "UPDATE price_import SET outcome = 'inserted' WHERE problem IS NULL AND outcome IS NULL";
    transaction.execute_unprepared(fresh).await.map(drop)
}

/// On SQLite the first touch of the database, so that what is read afterwards is what is there when it is
/// written. Sizes of the rows put aside are told to PostgreSQL, which would guess.
const fn lock(backend: DbBackend) -> [&'static str; 2] {
    match backend {
        DbBackend::Postgres => ["LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE", "ANALYZE price_import"],
        _ => ["UPDATE prices SET version = version WHERE id = ''", "SELECT 1"],
    }
}

/// A name that no tenant has is refused: a slip of the pen must not make a tenant.
async fn find_tenants(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let find = "UPDATE price_import SET tenant_key = COALESCE(
            (SELECT tenants.id FROM tenants WHERE tenants.name = price_import.tenant), '?')
         WHERE tenant IS NOT NULL";
    transaction.execute_unprepared(find).await?;
    let unknown = r#"UPDATE price_import SET problem = 'tenant: there is no tenant "' || tenant || '"'
        WHERE tenant_key = '?' AND problem IS NULL"#;
    transaction.execute_unprepared(unknown).await.map(drop)
}

/// Of two rows for one thing the first stands.
async fn refuse_overlaps(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let repeated = "UPDATE price_import
        SET problem = 'unit: overlaps line ' || twice.earliest || ': same tenant, model, operation, unit and date'
        FROM (SELECT here, earliest FROM (
            SELECT line AS here, MIN(line) OVER (
                PARTITION BY tenant_key, provider_kind, model, operation, unit, effective_from) AS earliest
            FROM price_import WHERE problem IS NULL) AS numbered
        WHERE here > earliest) AS twice
        WHERE price_import.line = twice.here";
    transaction.execute_unprepared(repeated).await?;
    // Both would be billed for the same audio.
    let lengths = format!(
        "UPDATE price_import
        SET problem = 'unit: overlaps line ' || twice.earliest || ': ' || price_import.unit || ' beside ' || twice.other
        FROM (SELECT here, earliest, own, other FROM (
            SELECT line AS here, unit AS own, MIN(line) OVER same AS earliest,
                FIRST_VALUE(unit) OVER (same ORDER BY line) AS other
            FROM price_import WHERE problem IS NULL AND unit IN {LENGTHS}
            WINDOW same AS (PARTITION BY tenant_key, provider_kind, model, operation, effective_from)) AS numbered
        WHERE own <> other) AS twice
        WHERE price_import.line = twice.here"
    );
    transaction.execute_unprepared(&lengths).await.map(drop)
}

/// A price that decided what somebody was billed is not changed afterwards; where it was read may be.
async fn refuse_used(transaction: &DatabaseTransaction, options: &Options) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let is_postgres = backend == DbBackend::Postgres;
    let mark = if is_postgres { "$1" } else { "?" };
    let refuse = "UPDATE price_import
        SET problem = 'price_usd: costs were decided by the row that is there; give a later effective_from instead'";
    let which = format!(
        "problem IS NULL AND outcome = 'updated' AND effective_from <= {mark} AND EXISTS (
            SELECT 1 FROM prices p WHERE p.id = price_import.id AND (p.usd <> price_import.usd
                OR p.minimum_ms <> price_import.minimum_ms OR p.rounding_ms <> price_import.rounding_ms))"
    );
    let named = format!(
        "{refuse} WHERE {which} AND (EXISTS (SELECT 1 FROM usage_records u WHERE u.price_id = price_import.id)
            OR id IN (SELECT price_id FROM usage_corrections))"
    );
    let day = if is_postgres {
        "CAST(EXTRACT(EPOCH FROM date_trunc('day', effective_from AT TIME ZONE 'UTC')) AS bigint)"
    } else {
        "CAST(strftime('%s', substr(effective_from, 1, 10)) AS integer)"
    };
    // Records name one row of those that decided a cost, and go in their time: the sums tell what had one.
    let billed = format!(
        "{refuse} FROM (
            SELECT d.tenant, d.operation, d.model_served, p.kind, MAX(d.bucket_start) AS latest FROM (
                SELECT '' AS tenant, bucket_start, operation, provider, model_served FROM usage_daily_all
                    WHERE requests > unpriced
                UNION ALL SELECT tenant_id, bucket_start, operation, provider, model_served FROM usage_daily
                    WHERE requests > unpriced
                        AND tenant_id IN (SELECT tenant_key FROM price_import WHERE outcome = 'updated')
            ) AS d LEFT JOIN providers p ON p.name = d.provider
            WHERE d.model_served IN (SELECT model FROM price_import WHERE outcome = 'updated')
            GROUP BY d.tenant, d.operation, d.model_served, p.kind
        ) AS used
        WHERE {which} AND used.tenant = tenant_key AND used.model_served = model
            AND COALESCE(used.kind, provider_kind) = provider_kind AND used.latest >= {day}
            AND (used.operation = price_import.operation
                OR (price_import.operation = 'transcription' AND used.operation IN ('translation', 'realtime')))"
    );
    for sql in [named, billed] {
        let now: Value = options.now.into();
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, [now])).await?;
    }
    Ok(())
}

/// Whether a price that has begun has decided what somebody was billed: a record or a correction names it, or the
/// sums tell that what it is for had a cost on its first day or later.
///
/// # Errors
/// The database's.
pub async fn decided_costs(db: &impl ConnectionTrait, row: &price::Model) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    let begun = row.effective_from.unix_timestamp().div_euclid(86_400) * 86_400;
    let mut values: Vec<Value> =
        vec![row.id.into(), begun.into(), row.model.clone().into(), row.provider_kind.clone().into()];
    let operations = match row.operation.as_str() {
        // It stands in for the price of these where they have none.
        "transcription" => "('transcription', 'translation', 'realtime')",
        other => {
            values.push(other.into());
            "($5)"
        }
    };
    let (table, whose) = match row.tenant_id {
        None => ("usage_daily_all", String::new()),
        Some(tenant) => {
            values.push(tenant.into());
            ("usage_daily", format!(" AND d.tenant_id = ${}", values.len()))
        }
    };
    // Both databases number their placeholders so.
    let sql = format!(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM usage_records WHERE price_id = $1)
            OR EXISTS (SELECT 1 FROM usage_corrections WHERE price_id = $1)
            OR EXISTS (SELECT 1 FROM {table} d WHERE d.bucket_start >= $2 AND d.model_served = $3
                AND d.requests > d.unpriced AND d.operation IN {operations}{whose}
                AND (d.provider IN (SELECT name FROM providers WHERE kind = $4)
                    OR d.provider NOT IN (SELECT name FROM providers)))"
    );
    Ok(db.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?.is_some())
}

#[derive(FromQueryResult)]
struct Count {
    outcome: String,
    rows: i64,
}

#[derive(FromQueryResult)]
struct Refused {
    line: i64,
    problem: String,
}

/// What becomes of the rows, counted.
pub(crate) async fn report(transaction: &DatabaseTransaction) -> Result<ImportReport, DbErr> {
    let backend = transaction.get_database_backend();
    let counted = "SELECT CASE WHEN problem IS NULL THEN outcome ELSE 'refused' END AS outcome, COUNT(*) AS rows
        FROM price_import GROUP BY 1";
    let mut report = ImportReport::default();
    for Count { outcome, rows } in
        Count::find_by_statement(Statement::from_string(backend, counted)).all(transaction).await?
    {
        let rows = u64::try_from(rows).unwrap_or_default();
        match outcome.as_str() {
            "inserted" => report.inserted = rows,
            "updated" => report.updated = rows,
            "unchanged" => report.unchanged = rows,
            _ => report.refused = rows,
        }
    }
    let first = format!(
        "SELECT line, problem FROM price_import WHERE problem IS NOT NULL ORDER BY line LIMIT {NAMED_PROBLEMS}"
    );
    let refused = Refused::find_by_statement(Statement::from_string(backend, first)).all(transaction).await?;
    report.problems = refused
        .into_iter()
        .map(|Refused { line, problem }| Problem { line: u64::try_from(line).unwrap_or_default(), reason: problem })
        .collect();
    Ok(report)
}

/// Writes the rows that can be used.
pub(crate) async fn apply(transaction: &DatabaseTransaction, managed_by: &str) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let mark = if backend == DbBackend::Postgres { "$1" } else { "?" };
    let change = format!(
        "UPDATE prices SET usd = s.usd, minimum_ms = s.minimum_ms, rounding_ms = s.rounding_ms, source = s.source,
            read_on = s.read_on, managed_by = {mark}, version = prices.version + 1
        FROM price_import s WHERE s.id = prices.id AND s.outcome = 'updated' AND s.problem IS NULL"
    );
    let insert = format!(
        "INSERT INTO prices (id, tenant_id, provider_kind, model, operation, unit, usd, minimum_ms, rounding_ms,
            effective_from, source, read_on, managed_by, version)
        SELECT id, NULLIF(tenant_key, ''), provider_kind, model, operation, unit, usd, minimum_ms, rounding_ms,
            effective_from, source, read_on, {mark}, 1
        FROM price_import WHERE outcome = 'inserted' AND problem IS NULL ORDER BY line"
    );
    for sql in [change, insert] {
        let by: Value = managed_by.into();
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, [by])).await?;
    }
    Ok(())
}
