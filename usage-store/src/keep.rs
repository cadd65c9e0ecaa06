//! Who may write roll-ups when: whoever adds to a day shares it, whoever sums it anew has it alone. So it is with
//! the labels of a month. Days are taken before months.
//!
//! SQLite has one writer at a time, which is enough. On PostgreSQL these are advisory locks that end
//! with their transaction.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr};

use crate::{DAY, Sql};

/// The class of the locks of days: "us" in ASCII.
const DAYS: i32 = 0x7573;
/// The class of the locks of the labels of months: "ul" in ASCII.
const MONTHS: i32 = 0x756c;
/// The lock of whoever sums anew or deletes: "usage ke" in ASCII.
const UPKEEP: i64 = 0x7573_6167_6520_6b65;

/// A transaction for upkeep: summing anew, deleting. There is one at a time.
pub(crate) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let transaction = database::begin_writing(db).await?;
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
        lock(db, "pg_advisory_xact_lock_shared", DAYS, *day).await?;
    }
    Ok(())
}

/// Has `day` alone until the transaction ends.
pub(crate) async fn lock_day_alone(db: &impl ConnectionTrait, day: i64) -> Result<(), DbErr> {
    lock(db, "pg_advisory_xact_lock", DAYS, day).await
}

/// Shares the labels of months, given by the seconds at which they begin, in order, until the transaction ends.
pub(crate) async fn lock_months_shared(db: &impl ConnectionTrait, months: &[i64]) -> Result<(), DbErr> {
    for month in months {
        lock(db, "pg_advisory_xact_lock_shared", MONTHS, *month / DAY).await?;
    }
    Ok(())
}

/// Has the labels of the month that begins at `month` alone until the transaction ends.
pub(crate) async fn lock_month_alone(db: &impl ConnectionTrait, month: i64) -> Result<(), DbErr> {
    lock(db, "pg_advisory_xact_lock", MONTHS, month / DAY).await
}

async fn lock(db: &impl ConnectionTrait, function: &str, class: i32, day: i64) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // Years beyond what the lock's number holds share one lock, which is right as well.
    let day = i32::try_from(day).unwrap_or(i32::MAX);
    let mut sql = Sql::new(DbBackend::Postgres, format!("SELECT {function}("));
    sql.bind(class).push(", ").bind(day).push(")");
    sql.execute(db).await.map(drop)
}
