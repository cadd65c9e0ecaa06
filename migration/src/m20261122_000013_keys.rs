//! Keys say why they were revoked, and stay for the ledger's sake after they are removed.

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
        let db = manager.get_connection();
        db.execute_unprepared("ALTER TABLE virtual_keys ADD COLUMN revoked_reason text").await?;
        db.execute_unprepared(&format!("ALTER TABLE virtual_keys ADD COLUMN deleted_at {time}")).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("ALTER TABLE virtual_keys DROP COLUMN deleted_at").await?;
        db.execute_unprepared("ALTER TABLE virtual_keys DROP COLUMN revoked_reason").await?;
        Ok(())
    }
}
