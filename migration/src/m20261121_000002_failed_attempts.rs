//! A usage record names the targets that failed before another served.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = "ALTER TABLE usage_records ADD COLUMN failed_attempts text";
        manager.get_connection().execute_unprepared(add).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = "ALTER TABLE usage_records DROP COLUMN failed_attempts";
        manager.get_connection().execute_unprepared(remove).await.map(drop)
    }
}
