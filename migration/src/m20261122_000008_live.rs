//! What gateways tell of themselves while they run: that they live, their open sessions, the health of
//! targets, and how requests went. Rows of a gateway go with it.

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
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(&statement.replace("{time}", time)).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["request_minutes", "target_health", "live_sessions", "gateway_instances"] {
            manager.get_connection().execute_unprepared(&format!("DROP TABLE {table}")).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE gateway_instances (
        id text PRIMARY KEY,
        name text NOT NULL,
        version text NOT NULL,
        started_at {time} NOT NULL,
        heartbeat_at {time} NOT NULL,
        draining boolean NOT NULL DEFAULT false,
        open_sessions bigint NOT NULL DEFAULT 0,
        journal_records bigint NOT NULL DEFAULT 0
    )",
    "CREATE TABLE live_sessions (
        id text PRIMARY KEY,
        gateway_id text NOT NULL REFERENCES gateway_instances (id) ON DELETE CASCADE,
        request_id text NOT NULL,
        tenant_id text NOT NULL,
        key_id text NOT NULL,
        operation text NOT NULL,
        kind text NOT NULL,
        model_asked text NOT NULL,
        provider text,
        model_served text,
        client_address text,
        user_tag text,
        tags text,
        started_at {time} NOT NULL,
        last_seen_at {time} NOT NULL,
        turns bigint NOT NULL DEFAULT 0,
        audio_in_ms bigint NOT NULL DEFAULT 0,
        audio_out_ms bigint NOT NULL DEFAULT 0,
        cost_nano_usd bigint,
        terminate_requested_at {time},
        terminate_reason text,
        terminated_by text
    )",
    "CREATE INDEX live_sessions_gateway ON live_sessions (gateway_id)",
    "CREATE INDEX live_sessions_tenant ON live_sessions (tenant_id, id)",
    "CREATE TABLE target_health (
        gateway_id text NOT NULL REFERENCES gateway_instances (id) ON DELETE CASCADE,
        provider_id text NOT NULL,
        model text NOT NULL,
        provider text NOT NULL,
        tenant_id text,
        breaker text NOT NULL,
        failures bigint NOT NULL,
        ttfb_ms text NOT NULL,
        updated_at {time} NOT NULL,
        PRIMARY KEY (gateway_id, provider_id, model)
    )",
    // The key of a row is all that it is counted by: the id stands for it, since null differs from null.
    "CREATE TABLE request_minutes (
        id text PRIMARY KEY,
        minute {time} NOT NULL,
        tenant_id text,
        operation text NOT NULL,
        provider text NOT NULL,
        requests bigint NOT NULL,
        client_errors bigint NOT NULL,
        refused bigint NOT NULL,
        upstream_errors bigint NOT NULL,
        gateway_errors bigint NOT NULL,
        ttfb_count bigint NOT NULL,
        ttfb_ms_sum bigint NOT NULL,
        ttfb_le_100 bigint NOT NULL,
        ttfb_le_300 bigint NOT NULL,
        ttfb_le_1000 bigint NOT NULL,
        ttfb_le_3000 bigint NOT NULL,
        ttfb_le_10000 bigint NOT NULL
    )",
    "CREATE UNIQUE INDEX request_minutes_row
        ON request_minutes (minute, COALESCE(tenant_id, ''), operation, provider)",
];
