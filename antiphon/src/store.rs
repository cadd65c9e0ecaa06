//! The database as the commands use it: open and up to date.

use anyhow::{Context, Result};
use entities::setting;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait};

use crate::config::DatabaseConfig;

/// Opens the database and brings its tables up to date. Replicas that start together wait for each
/// other.
pub(crate) async fn open(config: &DatabaseConfig) -> Result<DatabaseConnection> {
    let db = database::connect(&config.url).await.context("the database cannot be opened")?;
    migration::up(&db).await.context("the database cannot be brought up to date")?;
    Ok(db)
}

/// One row of `settings`.
pub(crate) async fn read_setting(db: &impl ConnectionTrait, name: &str) -> Result<Option<String>, DbErr> {
    Ok(setting::Entity::find_by_id(name).one(db).await?.map(|row| row.value))
}

/// Writes one row of `settings` where there is none yet; whoever was first is believed.
pub(crate) async fn write_new_setting(db: &impl ConnectionTrait, name: &str, value: &str) -> Result<(), DbErr> {
    let row = setting::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) };
    let nothing = OnConflict::column(setting::Column::Name).do_nothing().to_owned();
    match setting::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes one row of `settings`.
pub(crate) async fn write_setting(db: &impl ConnectionTrait, name: &str, value: &str) -> Result<(), DbErr> {
    let row = setting::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) };
    let update = OnConflict::column(setting::Column::Name).update_column(setting::Column::Value).to_owned();
    setting::Entity::insert(row).on_conflict(update).exec_without_returning(db).await?;
    Ok(())
}
