//! Transactions begin here and nowhere else.
//!
//! sqlx 0.9.0 forgets a transaction whose `BEGIN` was on its way to PostgreSQL when the future that waited for it was
//! dropped, as when a time limit passes or a client is gone: it goes back to the pool with its connection, and whoever
//! writes over that one next believes it written (<https://github.com/launchbadge/sqlx/issues/4393>, mended after
//! 0.9.0). So the opening is a task of its own, which always ends; what it opened for nobody is rolled back. A
//! `ROLLBACK` whenever a connection goes back would cost a round trip and a warning of the server each time.

use std::panic::resume_unwind;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

/// A transaction.
///
/// # Errors
/// The database's.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    open(db, TransactionOptions::default()).await
}

/// A transaction that will write. SQLite makes it wait for other writers now: one that reads first could not write
/// after somebody else has.
///
/// # Errors
/// The database's.
pub async fn begin_writing(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    open(db, TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() }).await
}

async fn open(db: &DatabaseConnection, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
    let db = db.clone();
    #[expect(clippy::disallowed_methods, reason = "in a task of its own")]
    let opening = tokio::spawn(async move { db.begin_with_options(options).await });
    match opening.await {
        Ok(opened) => opened,
        Err(failed) if failed.is_panic() => resume_unwind(failed.into_panic()),
        Err(cancelled) => Err(DbErr::Custom(cancelled.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use sea_orm::{ConnectOptions, ConnectionTrait, Database, Statement};

    use super::*;

    /// A future that is given up at its `left`th poll, should it still wait then.
    struct GivenUp<F> {
        of: Pin<Box<F>>,
        left: usize,
    }

    impl<F: Future> Future for GivenUp<F> {
        type Output = Option<F::Output>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            let polled = self.of.as_mut().poll(context).map(Some);
            self.left -= 1;
            if self.left == 0 && polled.is_pending() { Poll::Ready(None) } else { polled }
        }
    }

    async fn count(db: &DatabaseConnection, table: &str) -> i64 {
        let statement = Statement::from_string(db.get_database_backend(), format!("SELECT count(*) FROM {table}"));
        db.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    /// Gives up on one wherever it can be, and writes over the same connection each time.
    #[tokio::test]
    async fn what_postgresql_wrote_after_a_transaction_was_given_up_is_there() {
        let url = std::env::var("ANTIPHON_TEST_POSTGRES_URL").expect("`scripts/postgres-for-tests.sh start` sets it");
        let one_connection = async || {
            let mut options = ConnectOptions::new(&url);
            Database::connect(options.max_connections(1).sqlx_logging(false).to_owned()).await.unwrap()
        };
        let (db, beside) = (one_connection().await, one_connection().await);
        let table = format!("given_up_{}", std::process::id());
        db.execute_unprepared(&format!("CREATE TABLE {table} (n INTEGER)")).await.unwrap();
        let mut written = 0;
        for polls in 1.. {
            let opened = GivenUp { of: Box::pin(begin_writing(&db)), left: polls }.await;
            let was_opened = opened.is_some();
            drop(opened);
            db.execute_unprepared(&format!("INSERT INTO {table} VALUES ({polls})")).await.unwrap();
            written += 1;
            assert_eq!(count(&beside, &table).await, written, "given up at poll {polls}");
            if was_opened {
                break;
            }
        }
        assert!(written > 1, "none was given up");
        beside.close().await.unwrap();
        db.execute_unprepared(&format!("DROP TABLE {table}")).await.unwrap();
        db.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_will_write_keeps_others_out_from_its_start_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ConnectOptions::new(format!("sqlite://{}/test.db?mode=rwc", folder.path().display()));
        options.max_connections(2).map_sqlx_sqlite_opts(|sqlite| sqlite.busy_timeout(Duration::ZERO));
        let db = Database::connect(options).await.unwrap();
        db.execute_unprepared("CREATE TABLE t (n INTEGER)").await.unwrap();
        let writing = begin_writing(&db).await.unwrap();
        let beside = db.execute_unprepared("INSERT INTO t VALUES (1)").await;
        assert!(beside.unwrap_err().to_string().contains("locked"));
        writing.rollback().await.unwrap();
    }
}
