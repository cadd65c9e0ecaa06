//! Tells gateways that something has changed: in the same transaction as the change, so that neither is
//! seen without the other.

use entities::setting;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};

/// Row of `settings` that changes with every change a gateway must notice.
const VERSION: &str = "snapshot_version";

/// Marks that gateways must read the database again.
///
/// # Errors
/// The database's.
pub async fn announce(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let value = uuid::Uuid::now_v7().to_string();
    let row = setting::ActiveModel { name: Set(VERSION.to_owned()), value: Set(value) };
    let update = OnConflict::column(setting::Column::Name).update_column(setting::Column::Value).to_owned();
    setting::Entity::insert(row).on_conflict(update).exec_without_returning(db).await?;
    Ok(())
}
