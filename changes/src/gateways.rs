//! The rows by which a gateway process is known, and what becomes of them when it dies.

use std::time::Duration;

use entities::gateway_instance::{Column, Entity};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, Statement};
use time::OffsetDateTime;

/// A gateway whose heart has not beaten for so long is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// The moment by the clock that all gateways share: PostgreSQL's own, since replicas' clocks differ. Those
/// that share an SQLite file share a machine.
///
/// # Errors
/// The database's.
pub async fn now(db: &impl ConnectionTrait) -> Result<OffsetDateTime, DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(OffsetDateTime::now_utc());
    }
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT clock_timestamp() AS now");
    let row = db.query_one_raw(statement).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the time".to_owned()))?.try_get("", "now")
}

/// Removes the gateways that are dead at `now`, and with them their sessions and what they knew of targets.
/// Gives how many there were.
///
/// # Errors
/// The database's.
pub async fn remove_dead(db: &impl ConnectionTrait, now: OffsetDateTime) -> Result<u64, DbErr> {
    let dead = Entity::delete_many().filter(Column::HeartbeatAt.lt(now - DEAD_AFTER));
    Ok(dead.exec(db).await?.rows_affected)
}
