//! What a provider adds to its price for what a request asks beside the usual, so that a record explains
//! its cost.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = "ALTER TABLE usage_records ADD COLUMN surcharge_percent bigint NOT NULL DEFAULT 0";
        manager.get_connection().execute_unprepared(add).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop_column = "ALTER TABLE usage_records DROP COLUMN surcharge_percent";
        manager.get_connection().execute_unprepared(drop_column).await.map(drop)
    }
}
