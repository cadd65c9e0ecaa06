//! A database for a test, of either kind, and what stands in its roll-ups.

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend};
use usage_store::Sql;
use usage_store::tables::{
    ALL_DIMENSIONS, DAILY, DAILY_ALL, DIMENSIONS, HOURLY, HOURLY_ALL, LABEL_DIMENSIONS, LABELS, LATENCY, MEASURES,
    MONTHLY_LABEL_DIMENSIONS, MONTHLY_LABELS, TTFB,
};
use uuid::Uuid;

/// A database that lives as long as this.
pub(crate) struct TestDatabase {
    pub(crate) db: DatabaseConnection,
    _folder: Option<tempfile::TempDir>,
    server: Option<(DatabaseConnection, String)>,
}

impl TestDatabase {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/test.db?mode=rwc", folder.path().display());
        let mut options = ConnectOptions::new(url);
        options.max_connections(4).sqlx_logging(false);
        options.map_sqlx_sqlite_opts(|sqlite| sqlite.pragma("journal_mode", "WAL").pragma("synchronous", "OFF"));
        let db = Database::connect(options).await.unwrap();
        migration::up(&db).await.unwrap();
        Self { db, _folder: Some(folder), server: None }
    }

    pub(crate) async fn postgres() -> Self {
        Self::postgres_over(8).await
    }

    /// Over as many connections at most.
    pub(crate) async fn postgres_over(connections: u32) -> Self {
        let url = std::env::var("ANTIPHON_TEST_POSTGRES_URL").expect(
            "ANTIPHON_TEST_POSTGRES_URL is not set: `make test` sets it, as does `scripts/postgres-for-tests.sh start`",
        );
        let name = format!("test_{}", Uuid::now_v7().simple());
        let server = Database::connect(url.clone()).await.unwrap();
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        let mut options = ConnectOptions::new(format!("{base}/{name}"));
        options.max_connections(connections).sqlx_logging(false);
        let db = Database::connect(options).await.unwrap();
        migration::up(&db).await.unwrap();
        Self { db, _folder: None, server: Some((server, name)) }
    }

    pub(crate) async fn remove(self) {
        self.db.close().await.unwrap();
        if let Some((server, name)) = self.server {
            server.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        }
    }

    /// Removes every record and roll-up.
    pub(crate) async fn clear(&self) {
        for table in ["usage_records", HOURLY, DAILY, LABELS, HOURLY_ALL, DAILY_ALL, MONTHLY_LABELS] {
            self.db.execute_unprepared(&format!("DELETE FROM {table}")).await.unwrap();
        }
    }

    /// Inserting into `table` fails from now on, or no longer.
    pub(crate) async fn break_table(&self, table: &str, is_broken: bool) {
        let is_postgres = self.db.get_database_backend() == DbBackend::Postgres;
        let statements: &[String] = &match (is_postgres, is_broken) {
            (true, true) => vec![
                "CREATE OR REPLACE FUNCTION fail() RETURNS trigger AS $$ BEGIN RAISE 'broken'; END $$ LANGUAGE plpgsql"
                    .to_owned(),
                format!("CREATE TRIGGER broken BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"),
            ],
            (true, false) => vec![format!("DROP TRIGGER broken ON {table}")],
            (false, true) => {
                vec![format!("CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END")]
            }
            (false, false) => vec!["DROP TRIGGER broken".to_owned()],
        };
        for statement in statements {
            self.db.execute_unprepared(statement).await.unwrap();
        }
    }

    /// Every row of every roll-up as text, in order. A month that a label has left keeps a row of nothing.
    pub(crate) async fn rollups(&self) -> Vec<String> {
        let full: Vec<&str> = DIMENSIONS.into_iter().chain(MEASURES).chain(LATENCY).chain(TTFB).collect();
        let labels: Vec<&str> = LABEL_DIMENSIONS.into_iter().chain(MEASURES).collect();
        let all: Vec<&str> = ALL_DIMENSIONS.into_iter().chain(MEASURES).chain(LATENCY).chain(TTFB).collect();
        // In which shard a sum stands does not matter.
        let all: Vec<&str> = all.into_iter().filter(|column| *column != "shard").collect();
        let months: Vec<&str> = MONTHLY_LABEL_DIMENSIONS.into_iter().chain(MEASURES).collect();
        let mut lines = Vec::new();
        for (table, columns) in [
            (HOURLY, &full),
            (DAILY, &full),
            (LABELS, &labels),
            (HOURLY_ALL, &all),
            (DAILY_ALL, &all),
            (MONTHLY_LABELS, &months),
        ] {
            let list: Vec<String> = columns.iter().map(|column| format!("CAST({column} AS text)")).collect();
            let sql = Sql::new(
                self.db.get_database_backend(),
                format!("SELECT '{table} ' || {} FROM {table} WHERE requests > 0", list.join(" || ' ' || ")),
            );
            let rows = sql.all(&self.db).await.unwrap();
            lines.extend(rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()));
        }
        lines.sort();
        lines
    }

    /// One number that `sql` asks for.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = Sql::new(self.db.get_database_backend(), format!("SELECT CAST(({sql}) AS bigint)"));
        sql.one(&self.db).await.unwrap().unwrap().try_get_by_index::<Option<i64>>(0).unwrap().unwrap_or(0)
    }
}
