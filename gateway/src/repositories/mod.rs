//! The only SQL of the data plane: functions from a connection to domain types.
//!
//! Times are kept in UTC, to the microsecond, which both databases hold.

pub mod keys;
pub mod models;
pub mod prices;
pub mod providers;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod usage;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{ConnectOptions as _, Connection as _};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr, SqlxError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, UtcOffset};

/// Connections to PostgreSQL per process.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Connections to SQLite: one writes at a time, the others read.
const SQLITE_CONNECTIONS: u32 = 4;
/// How long a connection is waited for, and how long SQLite waits for another writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who made a row, and so who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedBy {
    /// The configuration file.
    File,
    /// The usual environment variables.
    Environment,
    /// The admin API.
    Api,
    /// The command line, and the first start.
    Cli,
}

impl ManagedBy {
    /// As it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Environment => "environment",
            Self::Api => "api",
            Self::Cli => "cli",
        }
    }

    fn parse(text: &str) -> Result<Self, DbErr> {
        [Self::File, Self::Environment, Self::Api, Self::Cli]
            .into_iter()
            .find(|value| value.as_str() == text)
            .ok_or_else(|| corrupt("managed_by", text))
    }
}

/// Opens the database. An SQLite file and its folder are made where they are missing.
///
/// # Errors
/// The folder cannot be made, the URL is of no known database, or the database cannot be reached.
pub async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    if !url.starts_with("sqlite:") {
        return connect_to_server(url).await.map_err(|error| no_answer(url, error));
    }
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).acquire_timeout(PATIENCE).connect_timeout(PATIENCE);
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    if !in_memory {
        make_folder(url)?;
    }
    // Every connection to `:memory:` is a database of its own, gone when it closes.
    options.max_connections(if in_memory { 1 } else { SQLITE_CONNECTIONS });
    if in_memory {
        options.min_connections(1).idle_timeout(None).max_lifetime(None);
    }
    options.map_sqlx_sqlite_opts(|sqlite| {
        sqlite
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .pragma("journal_mode", "WAL")
            // A commit is on the disk when it returns: the journal lets go of the records in it then.
            .pragma("synchronous", "FULL")
            // KiB of each connection, half of what is usual: an export goes through all of them.
            .pragma("cache_size", "-1024")
    });
    Database::connect(options).await
}

async fn connect_to_server(url: &str) -> Result<DatabaseConnection, DbErr> {
    let server: PgConnectOptions = url.parse().map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))?;
    let server = server.application_name("antiphon").disable_statement_logging();
    // The options are written to the log with the finest level, and the URL holds a password.
    let mut options = ConnectOptions::new("postgres://server");
    options
        .sqlx_logging(false)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        .max_connections(POSTGRES_CONNECTIONS);
    options.map_sqlx_postgres_opts(move |_| server.clone());
    // Whoever gives up on a server leaves a connection in the middle of something. The pool asks whether it is still
    // good, and would wait for ever, with the connection's place taken, where the server has vanished.
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                let answer = tokio::time::timeout(PATIENCE, connection.ping()).await;
                answer.unwrap_or(Err(SqlxError::PoolTimedOut)).map(|()| true)
            })
        })
    });
    Database::connect(options).await
}

/// A server that does not answer is waited for, and then only the wait's end would be told.
fn no_answer(url: &str, error: DbErr) -> DbErr {
    let DbErr::Conn(RuntimeErr::SqlxError(cause)) = &error else { return error };
    if !matches!(cause.as_ref(), SqlxError::PoolTimedOut) {
        return error;
    }
    let server = url::Url::parse(url).ok();
    let host = server.as_ref().and_then(url::Url::host_str).unwrap_or("localhost").to_owned();
    let port = server.and_then(|server| server.port()).unwrap_or(5432);
    DbErr::Conn(RuntimeErr::Internal(format!("{host}:{port} does not answer")))
}

fn make_folder(url: &str) -> Result<(), DbErr> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let Some(folder) = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .map_err(|error| DbErr::Custom(format!("cannot make the folder {}: {error}", folder.display())))
}

/// A column holds what no version of this program writes there.
fn corrupt(column: &str, value: &str) -> DbErr {
    DbErr::Custom(format!("column {column} holds {value:?}, which is not known here"))
}

fn parse<T: FromStr>(column: &str, text: &str) -> Result<T, DbErr> {
    text.parse().map_err(|_| corrupt(column, text))
}

fn to_json<T: Serialize>(value: &T) -> Result<String, DbErr> {
    serde_json::to_string(value).map_err(|error| DbErr::Custom(error.to_string()))
}

fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|error| DbErr::Custom(format!("column {column}: {error}")))
}

/// In UTC and whole microseconds: PostgreSQL keeps no more, and SQLite compares text.
fn stored(time: OffsetDateTime) -> OffsetDateTime {
    let time = time.to_offset(UtcOffset::UTC);
    let whole = time.nanosecond() / 1_000 * 1_000;
    time.replace_nanosecond(whole).unwrap_or(time)
}

/// Counts above the range of a database's integer are held at its end.
fn to_i64<T: TryInto<i64>>(count: T) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Counts are never negative in a table that this program wrote.
fn to_count<T: TryFrom<i64>>(column: &str, value: i64) -> Result<T, DbErr> {
    T::try_from(value).map_err(|_| corrupt(column, &value.to_string()))
}
