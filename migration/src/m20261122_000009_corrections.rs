//! What makes prices of any number quick to ask, and the corrections by which records that were served
//! without a price get their cost afterwards.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let time = match manager.get_database_backend() {
            DbBackend::Postgres => "timestamptz",
            _ => "timestamp_with_timezone_text",
        };
        run(manager, UP, time).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN, "").await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[&str], time: &str) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(&statement.replace("{time}", time)).await?;
    }
    Ok(())
}

const UP: &[&str] = &[
    // The date last, so that one look finds the row that follows another.
    "DROP INDEX prices_row",
    "CREATE UNIQUE INDEX prices_row
        ON prices (provider_kind, model, operation, unit, COALESCE(tenant_id, ''), effective_from)",
    "CREATE INDEX prices_tenant ON prices (tenant_id)",
    // Which prices decided costs.
    "CREATE INDEX usage_records_price ON usage_records (price_id) WHERE price_id IS NOT NULL",
    // No foreign keys: a correction outlives the record and the price that it names.
    "CREATE TABLE usage_corrections (
        id text PRIMARY KEY,
        record_id text NOT NULL UNIQUE,
        tenant_id text NOT NULL,
        price_id text NOT NULL,
        cost_nano_usd bigint NOT NULL,
        corrected_at {time} NOT NULL,
        corrected_by text NOT NULL
    )",
    "CREATE INDEX usage_corrections_tenant ON usage_corrections (tenant_id, id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE usage_corrections",
    "DROP INDEX usage_records_price",
    "DROP INDEX prices_tenant",
    "DROP INDEX prices_row",
    "CREATE UNIQUE INDEX prices_row
        ON prices (provider_kind, model, operation, unit, effective_from, COALESCE(tenant_id, ''))",
];
