//! What the control plane keeps: users and how they sign in, what was asked twice, and who changed what.

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
        for statement in UP {
            let sql = statement.replace("{time}", time).replace("{bytes}", bytes);
            manager.get_connection().execute_unprepared(&sql).await?;
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

const UP: &[&str] = &[
    "ALTER TABLE tenants ADD COLUMN suspended_at {time}",
    "ALTER TABLE tenants ADD COLUMN suspended_reason text",
    "ALTER TABLE tenants ADD COLUMN version bigint NOT NULL DEFAULT 1",
    "ALTER TABLE tenants ADD COLUMN updated_at {time}",
    // The secret that a rotation has replaced, valid until its end.
    "ALTER TABLE virtual_keys ADD COLUMN previous_hash {bytes}",
    "ALTER TABLE virtual_keys ADD COLUMN previous_redacted text",
    "ALTER TABLE virtual_keys ADD COLUMN previous_expires_at {time}",
    "ALTER TABLE virtual_keys ADD COLUMN rotated_at {time}",
    "ALTER TABLE virtual_keys ADD COLUMN version bigint NOT NULL DEFAULT 1",
    "ALTER TABLE virtual_keys ADD COLUMN updated_at {time}",
    "CREATE UNIQUE INDEX virtual_keys_previous_hash ON virtual_keys (previous_hash)",
    "ALTER TABLE models ADD COLUMN version bigint NOT NULL DEFAULT 1",
    "ALTER TABLE models ADD COLUMN updated_at {time}",
    "ALTER TABLE voices ADD COLUMN version bigint NOT NULL DEFAULT 1",
    "ALTER TABLE prices ADD COLUMN version bigint NOT NULL DEFAULT 1",
    // E-mail addresses are kept in lower case. A platform administrator belongs to no tenant, everybody
    // else to one.
    "CREATE TABLE users (
        id text PRIMARY KEY,
        email text NOT NULL UNIQUE,
        name text NOT NULL,
        password_hash text,
        role text NOT NULL,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        disabled_at {time},
        session_epoch bigint NOT NULL DEFAULT 0,
        oidc_issuer text,
        oidc_subject text,
        last_login_at {time},
        password_changed_at {time},
        version bigint NOT NULL DEFAULT 1,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL,
        CHECK ((role = 'platform_admin') = (tenant_id IS NULL))
    )",
    "CREATE INDEX users_tenant ON users (tenant_id, id)",
    "CREATE UNIQUE INDEX users_oidc ON users (oidc_issuer, oidc_subject)",
    // One row for each refresh token ever given; those of one sign-in are a family.
    "CREATE TABLE refresh_tokens (
        id text PRIMARY KEY,
        family_id text NOT NULL,
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        hash {bytes} NOT NULL UNIQUE,
        session_epoch bigint NOT NULL,
        address text NOT NULL,
        user_agent text,
        created_at {time} NOT NULL,
        expires_at {time} NOT NULL,
        used_at {time},
        revoked_at {time}
    )",
    "CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id)",
    "CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id)",
    "CREATE TABLE access_tokens (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name text NOT NULL,
        hash {bytes} NOT NULL UNIQUE,
        redacted text NOT NULL,
        role text NOT NULL,
        tenant_id text REFERENCES tenants (id) ON DELETE CASCADE,
        expires_at {time},
        last_used_at {time},
        revoked_at {time},
        created_at {time} NOT NULL
    )",
    "CREATE INDEX access_tokens_user ON access_tokens (user_id, id)",
    // Links that work once: an invitation, or a new password.
    "CREATE TABLE one_time_links (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        purpose text NOT NULL,
        hash {bytes} NOT NULL UNIQUE,
        expires_at {time} NOT NULL,
        used_at {time},
        created_at {time} NOT NULL
    )",
    "CREATE INDEX one_time_links_user ON one_time_links (user_id)",
    // Keys that sign access tokens; the id stands in the token.
    "CREATE TABLE signing_keys (
        id text PRIMARY KEY,
        sealed {bytes} NOT NULL,
        created_at {time} NOT NULL,
        retired_at {time}
    )",
    "CREATE TABLE oidc_sign_ins (
        id text PRIMARY KEY,
        sealed {bytes} NOT NULL,
        expires_at {time} NOT NULL
    )",
    // Failed guesses by account and by address, under a keyed digest of either.
    "CREATE TABLE login_failures (
        subject text PRIMARY KEY,
        failures bigint NOT NULL,
        blocked_until {time},
        updated_at {time} NOT NULL
    )",
    "CREATE TABLE idempotency_keys (
        id text PRIMARY KEY,
        body_hash text NOT NULL,
        status integer NOT NULL,
        sealed {bytes},
        created_at {time} NOT NULL
    )",
    "CREATE TABLE audit_log (
        id text PRIMARY KEY,
        chain text NOT NULL,
        sequence bigint NOT NULL,
        at text NOT NULL,
        tenant_id text,
        actor_kind text NOT NULL,
        actor_id text,
        actor_name text NOT NULL,
        address text,
        request_id text,
        action text NOT NULL,
        object_kind text NOT NULL,
        object_id text,
        before text,
        after text,
        previous_hash text NOT NULL,
        hash text NOT NULL
    )",
    "CREATE UNIQUE INDEX audit_log_chain ON audit_log (chain, sequence)",
    "CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id)",
    "CREATE INDEX audit_log_object ON audit_log (object_kind, object_id)",
    "CREATE TABLE audit_heads (
        chain text PRIMARY KEY,
        sequence bigint NOT NULL,
        hash text NOT NULL
    )",
];

const DOWN: &[&str] = &[
    "DROP TABLE audit_heads",
    "DROP TABLE audit_log",
    "DROP TABLE idempotency_keys",
    "DROP TABLE login_failures",
    "DROP TABLE oidc_sign_ins",
    "DROP TABLE signing_keys",
    "DROP TABLE one_time_links",
    "DROP TABLE access_tokens",
    "DROP TABLE refresh_tokens",
    "DROP TABLE users",
    "ALTER TABLE prices DROP COLUMN version",
    "ALTER TABLE voices DROP COLUMN version",
    "ALTER TABLE models DROP COLUMN updated_at",
    "ALTER TABLE models DROP COLUMN version",
    "DROP INDEX virtual_keys_previous_hash",
    "ALTER TABLE virtual_keys DROP COLUMN updated_at",
    "ALTER TABLE virtual_keys DROP COLUMN version",
    "ALTER TABLE virtual_keys DROP COLUMN rotated_at",
    "ALTER TABLE virtual_keys DROP COLUMN previous_expires_at",
    "ALTER TABLE virtual_keys DROP COLUMN previous_redacted",
    "ALTER TABLE virtual_keys DROP COLUMN previous_hash",
    "ALTER TABLE tenants DROP COLUMN updated_at",
    "ALTER TABLE tenants DROP COLUMN version",
    "ALTER TABLE tenants DROP COLUMN suspended_reason",
    "ALTER TABLE tenants DROP COLUMN suspended_at",
];
