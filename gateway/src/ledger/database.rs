//! The database as the ledger's sink.

use sea_orm::sqlx::Error;
use sea_orm::{DatabaseConnection, DbBackend, DbErr, RuntimeErr};

use super::{InsertError, Sink, UsageRecord};
use crate::repositories::usage;

/// SQLite's primary codes for data: a string too long, a constraint, a type, a number out of range.
const SQLITE_DATA: [i32; 4] = [18, 19, 20, 25];
/// PostgreSQL's classes for data: exceptions such as a NUL in a text, constraints, and rows or index
/// entries over its limits.
const POSTGRES_DATA: [&str; 3] = ["22", "23", "54"];

/// What is said of a record that comes when those of its day are deleted.
const LATE: &str = "the records of its day are deleted already, and nobody knows whether the sums have it";

impl Sink for DatabaseConnection {
    async fn insert(&self, records: &[UsageRecord]) -> Result<(), InsertError> {
        let Err(error) = usage::insert_batch(self, records).await else { return Ok(()) };
        if matches!(error, DbErr::RecordNotInserted) {
            return Err(InsertError::Refused(LATE.to_owned()));
        }
        let told = error.to_string();
        Err(if refuses(self.get_database_backend(), &error) {
            InsertError::Refused(told)
        } else {
            InsertError::Away(told)
        })
    }
}

/// Whether the database will never take the same data. Whatever is not known counts as passing.
fn refuses(backend: DbBackend, error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    let database = match &**error {
        Error::Encode(_) => return true,
        Error::Database(database) => database,
        _ => return false,
    };
    let code = database.code().unwrap_or_default();
    match backend {
        DbBackend::Postgres => POSTGRES_DATA.iter().any(|class| code.starts_with(class)),
        // The low byte is the primary code.
        _ => code.parse::<i32>().is_ok_and(|code| SQLITE_DATA.contains(&(code & 0xff))),
    }
}
