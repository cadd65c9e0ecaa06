//! Alerts: what is watched, who is told, what was found, and what was said.

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
    &["alert_deliveries", "alert_events", "alert_rule_channels", "alert_rules", "alert_channels", "leases"];

const STATEMENTS: &[&str] = &[
    "CREATE TABLE leases (
        name text PRIMARY KEY,
        holder text NOT NULL,
        expires_at {time} NOT NULL
    )",
    "CREATE TABLE alert_channels (
        id text PRIMARY KEY,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        name text NOT NULL,
        kind text NOT NULL,
        target text NOT NULL,
        sealed {bytes},
        allow_insecure boolean NOT NULL DEFAULT false,
        enabled boolean NOT NULL,
        version bigint NOT NULL DEFAULT 1,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL
    )",
    // Null differs from null in a unique index, and the platform has each name once.
    "CREATE UNIQUE INDEX alert_channels_name ON alert_channels (name, COALESCE(tenant_id, ''))",
    "CREATE TABLE alert_rules (
        id text PRIMARY KEY,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        name text NOT NULL,
        kind text NOT NULL,
        parameters text NOT NULL,
        severity text NOT NULL,
        enabled boolean NOT NULL,
        muted_until {time},
        version bigint NOT NULL DEFAULT 1,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL
    )",
    "CREATE UNIQUE INDEX alert_rules_name ON alert_rules (name, COALESCE(tenant_id, ''))",
    "CREATE TABLE alert_rule_channels (
        rule_id text NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
        channel_id text NOT NULL REFERENCES alert_channels (id) ON DELETE CASCADE,
        PRIMARY KEY (rule_id, channel_id)
    )",
    "CREATE INDEX alert_rule_channels_channel ON alert_rule_channels (channel_id)",
    // An alert outlives its rule: what has happened stays known.
    "CREATE TABLE alert_events (
        id text PRIMARY KEY,
        rule_id text NOT NULL,
        rule_name text NOT NULL,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        kind text NOT NULL,
        severity text NOT NULL,
        subject text NOT NULL,
        subject_name text NOT NULL,
        state text NOT NULL,
        value text NOT NULL,
        threshold text NOT NULL,
        started_at {time} NOT NULL,
        notified_at {time},
        resolved_at {time},
        acknowledged_by text,
        acknowledged_at {time}
    )",
    "CREATE INDEX alert_events_tenant ON alert_events (tenant_id, id)",
    // Whoever evaluates, and were it two at once: one open alert for each subject of a rule.
    "CREATE UNIQUE INDEX alert_events_open ON alert_events (rule_id, subject) WHERE state <> 'resolved'",
    "CREATE INDEX alert_events_resolved ON alert_events (resolved_at) WHERE resolved_at IS NOT NULL",
    "CREATE TABLE alert_deliveries (
        id text PRIMARY KEY,
        event_id text REFERENCES alert_events (id) ON DELETE CASCADE,
        channel_id text NOT NULL REFERENCES alert_channels (id) ON DELETE CASCADE,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        message text NOT NULL,
        payload text NOT NULL,
        attempts bigint NOT NULL DEFAULT 0,
        status text NOT NULL,
        http_status integer,
        error text,
        answer text,
        next_attempt_at {time},
        created_at {time} NOT NULL,
        delivered_at {time}
    )",
    "CREATE INDEX alert_deliveries_due ON alert_deliveries (next_attempt_at) WHERE status = 'pending'",
    "CREATE INDEX alert_deliveries_tenant ON alert_deliveries (tenant_id, id)",
    "CREATE INDEX alert_deliveries_event ON alert_deliveries (event_id)",
    "CREATE INDEX alert_deliveries_channel ON alert_deliveries (channel_id)",
    "CREATE INDEX alert_deliveries_created ON alert_deliveries (created_at)",
];
