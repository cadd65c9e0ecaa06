//! The first tables. Ids are UUIDs as 36 characters of text and JSON is text on both databases, so
//! that rows compare alike wherever they lie; only times and bytes have a type of each database.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (time, bytes) = match manager.get_database_backend() {
            DbBackend::Postgres => ("timestamptz", "bytea"),
            _ => ("timestamp_with_timezone_text", "blob"),
        };
        for statement in STATEMENTS {
            let sql = statement.replace("{time}", time).replace("{bytes}", bytes);
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.get_connection().execute_unprepared(&format!("DROP TABLE {table}")).await?;
        }
        Ok(())
    }
}

/// In the order in which they can be dropped.
const TABLES: &[&str] =
    &["usage_records", "virtual_keys", "models", "voices", "prices", "providers", "settings", "tenants"];

const STATEMENTS: &[&str] = &[
    "CREATE TABLE tenants (
        id text PRIMARY KEY,
        name text NOT NULL UNIQUE,
        refuse_unpriced boolean NOT NULL DEFAULT false,
        managed_by text NOT NULL,
        created_at {time} NOT NULL
    )",
    "CREATE TABLE virtual_keys (
        id text PRIMARY KEY,
        tenant_id text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
        name text NOT NULL,
        hash {bytes} NOT NULL UNIQUE,
        pepper_version integer NOT NULL,
        redacted text NOT NULL,
        operations text NOT NULL,
        models text NOT NULL,
        rpm bigint,
        max_sessions bigint,
        budget_nano_usd bigint,
        budget_window text,
        max_upload_bytes bigint,
        refuse_unpriced boolean NOT NULL DEFAULT false,
        expires_at {time},
        revoked_at {time},
        revoked_by text,
        managed_by text NOT NULL,
        created_at {time} NOT NULL,
        CHECK ((budget_nano_usd IS NULL) = (budget_window IS NULL))
    )",
    "CREATE INDEX virtual_keys_tenant ON virtual_keys (tenant_id, id)",
    "CREATE TABLE providers (
        id text PRIMARY KEY,
        name text NOT NULL UNIQUE,
        kind text NOT NULL,
        base_url text NOT NULL,
        credential {bytes},
        region text,
        allow_insecure boolean NOT NULL DEFAULT false,
        managed_by text NOT NULL,
        created_at {time} NOT NULL
    )",
    "CREATE TABLE models (
        id text PRIMARY KEY,
        name text NOT NULL,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        strategy text NOT NULL,
        targets text NOT NULL,
        managed_by text NOT NULL,
        created_at {time} NOT NULL
    )",
    // Null differs from null in a unique index, and the platform has each name once.
    "CREATE UNIQUE INDEX models_name ON models (name, COALESCE(tenant_id, ''))",
    "CREATE TABLE voices (
        name text PRIMARY KEY,
        map text NOT NULL,
        managed_by text NOT NULL
    )",
    // Dollars are text: a number on SQLite would be a float.
    "CREATE TABLE prices (
        id text PRIMARY KEY,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        provider_kind text NOT NULL,
        model text NOT NULL,
        operation text NOT NULL,
        unit text NOT NULL,
        usd text NOT NULL,
        minimum_ms bigint NOT NULL DEFAULT 0,
        rounding_ms bigint NOT NULL DEFAULT 0,
        effective_from {time} NOT NULL,
        source text NOT NULL,
        read_on text NOT NULL,
        managed_by text NOT NULL
    )",
    "CREATE UNIQUE INDEX prices_row
        ON prices (provider_kind, model, operation, unit, effective_from, COALESCE(tenant_id, ''))",
    "CREATE TABLE settings (
        name text PRIMARY KEY,
        value text NOT NULL
    )",
    // No foreign keys: a record outlives the key and the tenant that it bills.
    "CREATE TABLE usage_records (
        id text PRIMARY KEY,
        request_id text NOT NULL,
        session_id text,
        sequence bigint NOT NULL,
        tenant_id text NOT NULL,
        key_id text NOT NULL,
        user_tag text,
        tags text,
        operation text NOT NULL,
        model_asked text NOT NULL,
        provider text NOT NULL,
        model_served text NOT NULL,
        audio_in_ms bigint NOT NULL,
        audio_out_ms bigint NOT NULL,
        characters bigint NOT NULL,
        text_tokens_in bigint NOT NULL,
        text_tokens_out bigint NOT NULL,
        audio_tokens_in bigint NOT NULL,
        audio_tokens_out bigint NOT NULL,
        cached_tokens bigint NOT NULL,
        usage_source text NOT NULL,
        cost_nano_usd bigint,
        price_id text,
        status text NOT NULL,
        attempts bigint NOT NULL,
        cache text,
        ttfb_ms bigint,
        latency_ms bigint NOT NULL,
        started_at {time} NOT NULL,
        ended_at {time} NOT NULL
    )",
    "CREATE INDEX usage_records_key ON usage_records (key_id, started_at)",
    "CREATE INDEX usage_records_tenant ON usage_records (tenant_id, started_at)",
    "CREATE INDEX usage_records_request ON usage_records (request_id)",
    "CREATE UNIQUE INDEX usage_records_turn ON usage_records (session_id, sequence) WHERE session_id IS NOT NULL",
];
