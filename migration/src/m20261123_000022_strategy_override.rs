//! Keys whose calls may name how the targets of their model are ordered.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE virtual_keys ADD COLUMN allow_strategy boolean NOT NULL DEFAULT false";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE virtual_keys DROP COLUMN allow_strategy";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}
