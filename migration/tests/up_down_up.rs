//! Every migration goes forward, back and forward again, on both databases.
#![expect(clippy::unwrap_used, reason = "the checks below are shared by the tests")]

use migration::{down, status, up};
use sea_orm_migration::sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

const TABLES: [&str; 19] = [
    "tenants",
    "virtual_keys",
    "providers",
    "models",
    "voices",
    "prices",
    "settings",
    "usage_records",
    "usage_hourly",
    "usage_daily",
    "usage_daily_labels",
    "usage_hourly_all",
    "usage_daily_all",
    "usage_monthly_labels",
    "gateway_instances",
    "live_sessions",
    "target_health",
    "request_minutes",
    "provider_credentials",
];

async fn has_table(db: &DatabaseConnection, table: &str) -> bool {
    db.execute_unprepared(&format!("SELECT 1 FROM {table} LIMIT 1")).await.is_ok()
}

async fn check(db: &DatabaseConnection) {
    assert!(status(db).await.unwrap().iter().all(|step| !step.applied));
    up(db).await.unwrap();
    up(db).await.unwrap();
    assert!(status(db).await.unwrap().iter().all(|step| step.applied));
    for table in TABLES {
        assert!(has_table(db, table).await, "{table} is there after up");
    }
    what_a_newer_version_has_migrated_is_left_alone(db).await;
    down(db, None).await.unwrap();
    for table in TABLES {
        assert!(!has_table(db, table).await, "{table} is gone after down");
    }
    up(db).await.unwrap();
    assert!(has_table(db, "usage_records").await);
    providers_of_before_are_kept(db).await;
}

async fn what_a_newer_version_has_migrated_is_left_alone(db: &DatabaseConnection) {
    let newer = "m29990101_000001_of_a_newer_version";
    let insert = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{newer}', 0)");
    db.execute_unprepared(&insert).await.unwrap();
    let error = up(db).await.unwrap_err().to_string();
    assert!(error.contains("a newer version of Antiphon") && error.contains(newer), "{error}");
    db.execute_unprepared(&format!("DELETE FROM seaql_migrations WHERE version = '{newer}'")).await.unwrap();
    up(db).await.unwrap();
}

/// A step back loses what only the newer form can hold, and nothing else.
async fn providers_of_before_are_kept(db: &DatabaseConnection) {
    let moment = "'2026-11-22 00:00:00+00:00'";
    let names = async || {
        let sql = "SELECT name FROM providers ORDER BY name";
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect::<Vec<_>>()
    };
    let columns = "id, name, kind, base_url, managed_by, created_at, updated_at";
    for sql in [
        format!("INSERT INTO tenants (id, name, managed_by, created_at) VALUES ('t', 'acme', 'api', {moment})"),
        format!("INSERT INTO providers ({columns}) VALUES ('p', 'groq', 'groq', 'x', 'api', {moment}, {moment})"),
        format!(
            "INSERT INTO providers ({columns}, tenant_id) VALUES ('q', 'groq', 'groq', 'x', 'api', {moment}, {moment}, 't')"
        ),
    ] {
        db.execute_unprepared(&sql).await.unwrap();
    }
    let twice =
        format!("INSERT INTO providers ({columns}) VALUES ('r', 'groq', 'groq', 'x', 'api', {moment}, {moment})");
    assert!(db.execute_unprepared(&twice).await.is_err(), "the platform has each name once");
    assert_eq!(names().await, ["groq", "groq"]);
    let steps = status(db).await.unwrap();
    let mine = steps.iter().position(|step| step.name.ends_with("provider_accounts")).unwrap();
    down(db, Some(u32::try_from(steps.len() - mine).unwrap())).await.unwrap();
    assert_eq!(names().await, ["groq"]);
    up(db).await.unwrap();
    assert_eq!(names().await, ["groq"]);
}

#[tokio::test]
async fn sqlite() {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).min_connections(1);
    check(&Database::connect(options).await.unwrap()).await;
}

#[tokio::test]
async fn postgresql_and_replicas_that_start_together() {
    let url = std::env::var("ANTIPHON_TEST_POSTGRES_URL").expect(
        "ANTIPHON_TEST_POSTGRES_URL is not set: `make test` sets it, as does `scripts/postgres-for-tests.sh start`",
    );
    let schema = format!("up_down_up_{}", std::process::id());
    let mut options = ConnectOptions::new(url);
    options.max_connections(4).set_schema_search_path(schema.clone());
    let db = Database::connect(options).await.unwrap();
    db.execute_unprepared(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await.unwrap();
    db.execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.unwrap();
    let (first, second, third) = tokio::join!(up(&db), up(&db), up(&db));
    assert!(first.is_ok() && second.is_ok() && third.is_ok(), "{first:?} {second:?} {third:?}");
    down(&db, None).await.unwrap();
    check(&db).await;
    db.execute_unprepared(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
}
