//! Sums over all tenants, and labels by month: what is asked over everything reads thousands of rows, not
//! hundreds of thousands. They begin with what the finer sums have.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

/// Counts of one histogram.
const BUCKETS: usize = 20;

const MEASURES: [&str; 16] = [
    "requests",
    "errors",
    "unpriced",
    "sessions",
    "cost_nano_usd",
    "audio_in_ms",
    "audio_out_ms",
    "characters",
    "text_tokens_in",
    "text_tokens_out",
    "audio_tokens_in",
    "audio_tokens_out",
    "cached_tokens",
    "latency_ms_sum",
    "ttfb_ms_sum",
    "ttfb_count",
];

const DOWN: &[&str] = &["DROP TABLE usage_monthly_labels", "DROP TABLE usage_daily_all", "DROP TABLE usage_hourly_all"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        let storage = if is_postgres { "WITH (fillfactor = 70)" } else { "WITHOUT ROWID" };
        let month = if is_postgres {
            "CAST(extract(epoch FROM date_trunc('month', to_timestamp(bucket_start) AT TIME ZONE 'UTC')) AS bigint)"
        } else {
            "CAST(strftime('%s', bucket_start, 'unixepoch', 'start of month') AS integer)"
        };
        let db = manager.get_connection();
        let measures = MEASURES.map(|name| format!("{name} bigint NOT NULL DEFAULT 0")).join(", ");
        let times: Vec<String> = ["latency", "ttfb"]
            .iter()
            .flat_map(|name| (0..BUCKETS).map(move |bucket| format!("{name}_{bucket:02}")))
            .collect();
        let time_columns: String = times.iter().map(|name| format!(", {name} integer NOT NULL DEFAULT 0")).collect();
        let all: Vec<&str> = MEASURES.into_iter().chain(times.iter().map(String::as_str)).collect();
        for (table, fine) in [("usage_hourly_all", "usage_hourly"), ("usage_daily_all", "usage_daily")] {
            let create = format!(
                "CREATE TABLE {table} (
                    bucket_start bigint NOT NULL,
                    shard integer NOT NULL,
                    operation text NOT NULL,
                    provider text NOT NULL,
                    model_served text NOT NULL,
                    model_asked text NOT NULL,
                    {measures}{time_columns},
                    PRIMARY KEY (bucket_start, shard, operation, provider, model_served, model_asked)
                ) {storage}"
            );
            db.execute_unprepared(&create).await?;
            db.execute_unprepared(&format!(
                "INSERT INTO {table} (bucket_start, shard, operation, provider, model_served, model_asked, {})
                SELECT bucket_start, 0, operation, provider, model_served, model_asked, {} FROM {fine}
                GROUP BY bucket_start, operation, provider, model_served, model_asked",
                all.join(", "),
                sums(&all),
            ))
            .await?;
        }
        let create = format!(
            "CREATE TABLE usage_monthly_labels (
                bucket_start bigint NOT NULL,
                tenant_id text NOT NULL,
                label_kind text NOT NULL,
                label text NOT NULL,
                {measures},
                PRIMARY KEY (bucket_start, tenant_id, label_kind, label)
            ) {storage}"
        );
        db.execute_unprepared(&create).await?;
        db.execute_unprepared(&format!(
            "INSERT INTO usage_monthly_labels (bucket_start, tenant_id, label_kind, label, {})
            SELECT {month} AS month, tenant_id, label_kind, label, {} FROM usage_daily_labels
            GROUP BY 1, tenant_id, label_kind, label",
            MEASURES.join(", "),
            sums(&MEASURES),
        ))
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

fn sums(columns: &[&str]) -> String {
    let sums: Vec<String> = columns.iter().map(|column| format!("CAST(SUM({column}) AS bigint)")).collect();
    sums.join(", ")
}
