//! Opens the database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{ConnectOptions as _, Connection as _};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr, SqlxError};

/// Connections to PostgreSQL per process.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Connections to SQLite: one writes at a time, the others read.
const SQLITE_CONNECTIONS: u32 = 4;
/// How long a connection is waited for, and how long SQLite waits for another writer.
const PATIENCE: Duration = Duration::from_secs(5);

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

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, Statement};

    use super::*;

    #[tokio::test]
    async fn what_sqlite_has_committed_survives_a_loss_of_power() {
        let folder = tempfile::tempdir().unwrap();
        let db = connect(&format!("sqlite://{}/not/there/yet.db", folder.path().display())).await.unwrap();
        let statement = Statement::from_string(db.get_database_backend(), "PRAGMA synchronous");
        let row = db.query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i32>(0).unwrap(), 2, "FULL: the journal lets go of records then");
    }

    #[tokio::test]
    async fn postgresql_is_spoken_to_over_tls_and_its_certificate_is_checked() {
        let variable = |name: &str| std::env::var(name).expect("`scripts/postgres-for-tests.sh start` sets it");
        let (url, ca) = (variable("ANTIPHON_TEST_POSTGRES_URL"), variable("ANTIPHON_TEST_POSTGRES_CA"));
        let is_encrypted = async |query: &str| {
            let db = connect(&format!("{url}?{query}")).await?;
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let statement = Statement::from_string(db.get_database_backend(), sql);
            db.query_one_raw(statement).await?.unwrap().try_get_by_index::<bool>(0)
        };
        assert!(is_encrypted("sslmode=require").await.unwrap());
        assert!(is_encrypted(&format!("sslmode=verify-full&sslrootcert={ca}")).await.unwrap());
        assert!(is_encrypted(&format!("sslmode=verify-ca&sslrootcert={ca}")).await.unwrap());
        assert!(!is_encrypted("sslmode=disable").await.unwrap());
        let refused = is_encrypted("sslmode=verify-full").await.unwrap_err().to_string();
        assert!(refused.contains("peer certificate") && !refused.contains('\n'), "{refused}");
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_is_an_error() {
        assert!(connect("sqlite:///proc/antiphon/x.db").await.is_err());
        assert!(connect("mysql://localhost/x").await.is_err());
    }
}
