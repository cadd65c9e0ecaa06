//! What holds for a tenant's keys while Redis is away, where it is not what holds for all.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE tenants ADD COLUMN when_away text";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE tenants DROP COLUMN when_away";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}
