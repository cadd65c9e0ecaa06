//! How the planes learn of each other's changes: a mark in the database that says what is new, and a wake
//! that says when to look.
//!
//! Whoever changes what a gateway reads calls [`announce`] in the same transaction. A gateway looks when its
//! [`Signal`] wakes it: at once where the change was made in its own process, or where PostgreSQL tells of it
//! ([`listen`]). A look that comes without a wake, every [`POLL`], is the net below both. Another carrier
//! of wakes has one duty, which is to call [`Signal::wake`].

pub mod gateways;
mod signal;

use std::time::Duration;

use entities::setting;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait};
use uuid::Uuid;

pub use signal::{Signal, Wakes, listen};

/// How often a gateway looks by itself: changes are promised within a second.
pub const POLL: Duration = Duration::from_millis(500);

/// Row of `settings` that is another one after every change that a gateway must load.
const VERSION: &str = "snapshot_version";
/// Where PostgreSQL tells of changes.
const CHANNEL: &str = "antiphon_changes";

/// Tells running gateways to load keys, tenants, providers, models and prices again. In a transaction they
/// are told when it commits; whoever has a [`Signal`] wakes it after that.
///
/// # Errors
/// The database's.
pub async fn announce(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let row = setting::ActiveModel { name: Set(VERSION.to_owned()), value: Set(Uuid::now_v7().to_string()) };
    let update = OnConflict::column(setting::Column::Name).update_column(setting::Column::Value).to_owned();
    setting::Entity::insert(row).on_conflict(update).exec_without_returning(db).await?;
    nudge(db).await
}

/// Tells running gateways to look for what concerns them alone, such as a session that shall end.
///
/// # Errors
/// The database's.
pub async fn nudge(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    if db.get_database_backend() == DbBackend::Postgres {
        db.execute_unprepared(&format!("NOTIFY {CHANNEL}")).await?;
    }
    Ok(())
}

/// Differs from what it was before when something has been announced.
///
/// # Errors
/// The database's.
pub async fn version(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    Ok(setting::Entity::find_by_id(VERSION).one(db).await?.map(|row| row.value))
}
