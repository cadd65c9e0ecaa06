//! Sums of the usage records by hour, by day and by label, and the indexes by which records are listed.
//!
//! Buckets are seconds since 1970: integers compare alike on both databases. Records that are there
//! already are summed afterwards by the program, which the row of `settings` asks for.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

/// Counts of one histogram.
const BUCKETS: usize = 20;

const MEASURES: &str = "
    requests bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    unpriced bigint NOT NULL DEFAULT 0,
    sessions bigint NOT NULL DEFAULT 0,
    cost_nano_usd bigint NOT NULL DEFAULT 0,
    audio_in_ms bigint NOT NULL DEFAULT 0,
    audio_out_ms bigint NOT NULL DEFAULT 0,
    characters bigint NOT NULL DEFAULT 0,
    text_tokens_in bigint NOT NULL DEFAULT 0,
    text_tokens_out bigint NOT NULL DEFAULT 0,
    audio_tokens_in bigint NOT NULL DEFAULT 0,
    audio_tokens_out bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    latency_ms_sum bigint NOT NULL DEFAULT 0,
    ttfb_ms_sum bigint NOT NULL DEFAULT 0,
    ttfb_count bigint NOT NULL DEFAULT 0";

const UP: &[&str] = &[
    "CREATE INDEX usage_daily_tenant ON usage_daily (tenant_id, bucket_start)",
    "CREATE INDEX usage_hourly_tenant ON usage_hourly (tenant_id, bucket_start)",
    "CREATE INDEX usage_records_started ON usage_records (started_at)",
    "CREATE INDEX usage_records_unpriced ON usage_records (started_at) WHERE cost_nano_usd IS NULL",
    "INSERT INTO settings (name, value)
        SELECT 'usage_rollups_pending', 'all' WHERE EXISTS (SELECT 1 FROM usage_records)",
];

const DOWN: &[&str] = &[
    "DROP INDEX usage_records_unpriced",
    "DROP INDEX usage_records_started",
    "DROP TABLE usage_daily_labels",
    "DROP TABLE usage_daily",
    "DROP TABLE usage_hourly",
    "DELETE FROM settings WHERE name IN ('usage_rollups_pending', 'usage_records_kept_since')",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        // A row is written again and again for as long as its bucket lasts. PostgreSQL then wants room
        // beside it, SQLite wants it to lie in its index.
        let storage = if is_postgres { "WITH (fillfactor = 70)" } else { "WITHOUT ROWID" };
        let db = manager.get_connection();
        for table in ["usage_hourly", "usage_daily"] {
            db.execute_unprepared(&rollup(table, storage)).await?;
        }
        db.execute_unprepared(&labels(storage)).await?;
        for statement in UP {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

fn rollup(table: &str, storage: &str) -> String {
    let histograms: String = ["latency", "ttfb"]
        .iter()
        .flat_map(|name| (0..BUCKETS).map(move |bucket| format!(", {name}_{bucket:02} integer NOT NULL DEFAULT 0")))
        .collect();
    format!(
        "CREATE TABLE {table} (
            bucket_start bigint NOT NULL,
            tenant_id text NOT NULL,
            key_id text NOT NULL,
            operation text NOT NULL,
            provider text NOT NULL,
            model_served text NOT NULL,
            model_asked text NOT NULL,
            {MEASURES}
            {histograms},
            PRIMARY KEY (bucket_start, tenant_id, key_id, operation, provider, model_served, model_asked)
        ) {storage}"
    )
}

fn labels(storage: &str) -> String {
    format!(
        "CREATE TABLE usage_daily_labels (
            bucket_start bigint NOT NULL,
            tenant_id text NOT NULL,
            label_kind text NOT NULL,
            label text NOT NULL,
            key_id text NOT NULL,
            operation text NOT NULL,
            provider text NOT NULL,
            model_served text NOT NULL,
            {MEASURES},
            PRIMARY KEY (bucket_start, tenant_id, label_kind, label, key_id, operation, provider, model_served)
        ) {storage}"
    )
}
