//! Who may write roll-ups when: whoever adds to a day shares it, whoever sums it anew has it alone.
//!
//! SQLite has one writer at a time, which is enough. On PostgreSQL these are advisory locks that end
//! with their transaction.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use crate::Sql;

/// The class of the locks of days: "us" in ASCII.
const DAYS: i32 = 0x7573;
/// The lock of whoever sums anew or deletes: "usage ke" in ASCII.
const UPKEEP: i64 = 0x7573_6167_6520_6b65;

/// A transaction for upkeep: summing anew, deleting. There is one at a time.
pub(crate) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        // One that began by reading could not become a writer beside another.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = db.begin_with_options(options).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        let mut sql = Sql::new(DbBackend::Postgres, "SELECT pg_advisory_xact_lock(");
        sql.bind(UPKEEP).push(")");
        sql.execute(&transaction).await?;
    }
    Ok(transaction)
}

/// Shares `days`, given in order, until the transaction ends.
pub(crate) async fn lock_days_shared(db: &impl ConnectionTrait, days: &[i64]) -> Result<(), DbErr> {
    for day in days {
        lock_day(db, "pg_advisory_xact_lock_shared", *day).await?;
    }
    Ok(())
}

/// Has `day` alone until the transaction ends.
pub(crate) async fn lock_day_alone(db: &impl ConnectionTrait, day: i64) -> Result<(), DbErr> {
    lock_day(db, "pg_advisory_xact_lock", day).await
}

async fn lock_day(db: &impl ConnectionTrait, function: &str, day: i64) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // Years beyond what the lock's number holds share one lock, which is right as well.
    let day = i32::try_from(day).unwrap_or(i32::MAX);
    let mut sql = Sql::new(DbBackend::Postgres, format!("SELECT {function}("));
    sql.bind(DAYS).push(", ").bind(day).push(")");
    sql.execute(db).await.map(drop)
}
