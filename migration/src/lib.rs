//! The schema, forward and back. Never uses the entities: an old migration must not change when a
//! table does.
//!
//! Migrations run inside one transaction behind a lock, so that replicas that start together do not
//! trip over each other, and a migration that fails leaves nothing behind.

mod m20261121_000001_first_tables;
mod m20261121_000002_failed_attempts;
mod m20261121_000003_surcharges;
mod m20261121_000004_passthrough;
mod m20261122_000005_admin;
mod m20261122_000006_provider_accounts;
mod m20261122_000007_usage_rollups;
mod m20261122_000008_live;
mod m20261122_000009_corrections;
mod m20261122_000010_alerts;
mod m20261122_000013_keys;
mod m20261122_000014_coarse_rollups;
mod m20261122_000015_hedges;
mod m20261122_000020_tenant_when_away;
mod m20261122_000021_routing;
mod m20261123_000022_strategy_override;

use sea_orm_migration::MigrationStatus;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseConnection, DatabaseTransaction, DbBackend, EntityTrait};
use sea_orm_migration::seaql_migrations;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_first_tables::Migration),
            Box::new(m20261121_000002_failed_attempts::Migration),
            Box::new(m20261121_000003_surcharges::Migration),
            Box::new(m20261121_000004_passthrough::Migration),
            Box::new(m20261122_000005_admin::Migration),
            Box::new(m20261122_000006_provider_accounts::Migration),
            Box::new(m20261122_000007_usage_rollups::Migration),
            Box::new(m20261122_000008_live::Migration),
            Box::new(m20261122_000009_corrections::Migration),
            Box::new(m20261122_000010_alerts::Migration),
            Box::new(m20261122_000013_keys::Migration),
            Box::new(m20261122_000014_coarse_rollups::Migration),
            Box::new(m20261122_000015_hedges::Migration),
            Box::new(m20261122_000020_tenant_when_away::Migration),
            Box::new(m20261122_000021_routing::Migration),
            Box::new(m20261123_000022_strategy_override::Migration),
        ]
    }
}

/// The advisory lock of migrators on PostgreSQL: "antiphon" in ASCII.
const LOCK: i64 = 0x616e_7469_7068_6f6e;

/// A migration and whether it has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Applies what is pending. Where nothing is, it only reads: a user of the database who may not make tables will do.
///
/// # Errors
/// The database's, or that a newer version has migrated it; nothing is applied then.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = lock(db).await?;
    if is_pending(&transaction).await? {
        Migrator::up(&transaction, None).await?;
    }
    transaction.commit().await
}

async fn is_pending(db: &DatabaseTransaction) -> Result<bool, DbErr> {
    if !SchemaManager::new(db).has_table("seaql_migrations").await? {
        return Ok(true);
    }
    let applied: Vec<String> =
        seaql_migrations::Entity::find().all(db).await?.into_iter().map(|row| row.version).collect();
    let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    if let Some(unknown) = applied.iter().find(|name| !known.contains(name)) {
        let why =
            format!("a newer version of Antiphon has migrated it ({unknown}); start that version, or roll back by it");
        return Err(DbErr::Custom(why));
    }
    Ok(known.iter().any(|name| !applied.contains(name)))
}

/// Rolls back the last `steps` migrations, or all of them.
///
/// # Errors
/// The database's; nothing is rolled back then.
pub async fn down(db: &DatabaseConnection, steps: Option<u32>) -> Result<(), DbErr> {
    let transaction = lock(db).await?;
    Migrator::down(&transaction, steps).await?;
    transaction.commit().await
}

/// Every migration with its state, oldest first.
///
/// # Errors
/// The database's.
pub async fn status(db: &DatabaseConnection) -> Result<Vec<Step>, DbErr> {
    let transaction = lock(db).await?;
    let steps = Migrator::get_migration_with_status(&transaction).await?;
    transaction.commit().await?;
    Ok(steps
        .iter()
        .map(|step| Step { name: step.name().to_owned(), applied: step.status() == MigrationStatus::Applied })
        .collect())
}

/// A transaction that no other migrator holds at the same time. The locks end with it, also when the
/// process dies.
async fn lock(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let transaction = database::begin_writing(db).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    }
    Ok(transaction)
}
