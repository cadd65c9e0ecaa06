//! Providers may belong to a tenant, and have any number of credentials, each sealed in a row of its own.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => UP_POSTGRES,
            _ => UP_SQLITE,
        };
        run(manager, statements).await?;
        run(manager, CREDENTIALS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => DOWN_POSTGRES,
            _ => DOWN_SQLITE,
        };
        run(manager, &["DROP TABLE provider_credentials"]).await?;
        run(manager, statements).await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let (time, bytes) = match manager.get_database_backend() {
        DbBackend::Postgres => ("timestamptz", "bytea"),
        _ => ("timestamp_with_timezone_text", "blob"),
    };
    for statement in statements {
        let sql = statement.replace("{time}", time).replace("{bytes}", bytes);
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

const UP_POSTGRES: &[&str] = &[
    "ALTER TABLE providers
        DROP CONSTRAINT providers_name_key,
        DROP COLUMN credential,
        ADD COLUMN tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        ADD COLUMN enabled boolean NOT NULL DEFAULT true,
        ADD COLUMN version bigint NOT NULL DEFAULT 1,
        ADD COLUMN updated_at {time}",
    "UPDATE providers SET updated_at = created_at",
    "ALTER TABLE providers ALTER COLUMN updated_at SET NOT NULL",
    NAMES,
];

/// A constraint of a table cannot be dropped here, so the table is made anew.
const UP_SQLITE: &[&str] = &[
    "CREATE TABLE providers_anew (
        id text PRIMARY KEY,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        name text NOT NULL,
        kind text NOT NULL,
        base_url text NOT NULL,
        region text,
        allow_insecure boolean NOT NULL DEFAULT false,
        enabled boolean NOT NULL DEFAULT true,
        managed_by text NOT NULL,
        version bigint NOT NULL DEFAULT 1,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL
    )",
    "INSERT INTO providers_anew
        (id, name, kind, base_url, region, allow_insecure, managed_by, created_at, updated_at)
        SELECT id, name, kind, base_url, region, allow_insecure, managed_by, created_at, created_at FROM providers",
    "DROP TABLE providers",
    "ALTER TABLE providers_anew RENAME TO providers",
    NAMES,
];

/// Null differs from null in a unique index, and the platform has each name once.
const NAMES: &str = "CREATE UNIQUE INDEX providers_name ON providers (name, COALESCE(tenant_id, ''))";

const CREDENTIALS: &[&str] = &[
    "CREATE INDEX providers_tenant ON providers (tenant_id, id)",
    "CREATE TABLE provider_credentials (
        id text PRIMARY KEY,
        provider_id text NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        label text NOT NULL,
        sealed {bytes} NOT NULL,
        last4 text NOT NULL,
        fingerprint text NOT NULL,
        weight bigint NOT NULL DEFAULT 1 CHECK (weight >= 0),
        max_concurrent bigint CHECK (max_concurrent > 0),
        enabled boolean NOT NULL DEFAULT true,
        version bigint NOT NULL DEFAULT 1,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL,
        UNIQUE (provider_id, label)
    )",
];

const DOWN_POSTGRES: &[&str] = &[
    "DELETE FROM providers WHERE tenant_id IS NOT NULL",
    "DROP INDEX providers_tenant",
    "DROP INDEX providers_name",
    "ALTER TABLE providers
        DROP COLUMN tenant_id,
        DROP COLUMN enabled,
        DROP COLUMN version,
        DROP COLUMN updated_at,
        ADD COLUMN credential {bytes},
        ADD CONSTRAINT providers_name_key UNIQUE (name)",
];

const DOWN_SQLITE: &[&str] = &[
    "CREATE TABLE providers_before (
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
    "INSERT INTO providers_before
        (id, name, kind, base_url, region, allow_insecure, managed_by, created_at)
        SELECT id, name, kind, base_url, region, allow_insecure, managed_by, created_at
        FROM providers WHERE tenant_id IS NULL",
    "DROP TABLE providers",
    "ALTER TABLE providers_before RENAME TO providers",
];
