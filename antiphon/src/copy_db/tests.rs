//! Every table there is, with the values at the edges, from SQLite to PostgreSQL.

use std::collections::BTreeMap;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, Value};
use time::macros::datetime;
use uuid::Uuid;

use super::schema::{Column, Kind, Table, tables};
use super::{Copied, copy, open};

/// An SQLite file and an empty database of PostgreSQL's.
struct Databases {
    _folder: tempfile::TempDir,
    server: DatabaseConnection,
    name: String,
    from: String,
    to: String,
}

impl Databases {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = format!("sqlite://{}/antiphon.db", folder.path().display());
        let made = database::connect(&from).await.unwrap();
        migration::up(&made).await.unwrap();
        made.close().await.unwrap();
        let url = std::env::var("ANTIPHON_TEST_POSTGRES_URL").expect(
            "ANTIPHON_TEST_POSTGRES_URL is not set: `make test` sets it, as does `scripts/postgres-for-tests.sh start`",
        );
        let mut options = ConnectOptions::new(url.clone());
        options.sqlx_logging(false);
        let server = Database::connect(options).await.unwrap();
        let name = format!("test_{}", Uuid::now_v7().simple());
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        Self { _folder: folder, from, to: format!("{base}/{name}"), server, name }
    }

    async fn remove(self) {
        self.server.execute_unprepared(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await.unwrap();
    }
}

/// What constraints ask for beside the types.
fn wanted(table: &str, column: &str, is_full: bool) -> Option<Value> {
    match (table, column) {
        // Everybody but the platform's administrators is of a tenant.
        ("users", "role") if !is_full => Some("platform_admin".into()),
        ("provider_credentials", "weight") if !is_full => Some(0_i64.into()),
        _ => None,
    }
}

/// A value at an edge: the largest and oddest of a full row, the smallest of the other.
fn edge(table: &Table, column: &Column, is_full: bool) -> Value {
    let name = &column.name;
    match (column.kind, is_full) {
        (Kind::Text, true) => format!("{}.{name} '\"\\ ünï ☎ \u{1f600}\n\t\u{7f}", table.name).into(),
        (Kind::Text, false) => "".into(),
        (Kind::Integer, true) => i64::MAX.into(),
        (Kind::Integer, false) => i64::MIN.into(),
        (Kind::SmallInteger, true) => i32::MAX.into(),
        (Kind::SmallInteger, false) => i32::MIN.into(),
        (Kind::Boolean, is_full) => is_full.into(),
        (Kind::Bytes, true) => (0..=255_u8).collect::<Vec<_>>().into(),
        (Kind::Bytes, false) => Vec::<u8>::new().into(),
        (Kind::Time, true) => datetime!(2999-12-31 23:59:59.999999 UTC).into(),
        (Kind::Time, false) => datetime!(1969-07-20 20:17:40.000001 UTC).into(),
    }
}

/// The columns of a table on SQLite: which may be null, and which name another table's column.
async fn shape(db: &DatabaseConnection, table: &str) -> BTreeMap<String, (bool, Option<String>)> {
    let rows = async |sql: String| db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
    let mut shape = BTreeMap::new();
    for row in rows(format!("SELECT name, \"notnull\" OR pk > 0 FROM pragma_table_info('{table}')")).await {
        let is_needed: i64 = row.try_get_by_index(1).unwrap();
        shape.insert(row.try_get_by_index::<String>(0).unwrap(), (is_needed == 0, None));
    }
    for row in rows(format!("SELECT \"from\", \"table\" FROM pragma_foreign_key_list('{table}')")).await {
        let from: String = row.try_get_by_index(0).unwrap();
        shape.get_mut(&from).unwrap().1 = row.try_get_by_index(1).unwrap();
    }
    shape
}

/// Two rows for each table: one with everything at its largest, one with nulls and the smallest.
async fn fill(source: &DatabaseConnection, tables: &[Table]) {
    for table in tables {
        let shape = shape(source, &table.name).await;
        // A table of nothing but other tables' rows holds each pair once.
        let joins = shape.values().all(|(_, named)| named.is_some());
        for is_full in if joins { &[true][..] } else { &[true, false] }.iter().copied() {
            let mut values = Vec::new();
            for column in &table.columns {
                let (may_be_null, named) = &shape[&column.name];
                let value = match (wanted(&table.name, &column.name, is_full), named) {
                    (Some(value), _) => value,
                    (None, _) if !is_full && *may_be_null => null(column.kind),
                    (None, Some(named)) => format!("{named}.id '\"\\ ünï ☎ \u{1f600}\n\t\u{7f}").into(),
                    (None, None) => edge(table, column, is_full),
                };
                values.push(value);
            }
            let names: Vec<_> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
            let marks = vec!["?"; names.len()].join(", ");
            let sql = format!("INSERT INTO \"{}\" ({}) VALUES ({marks})", table.name, names.join(", "));
            let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
            source.execute_raw(statement).await.unwrap_or_else(|error| panic!("{}: {error}", table.name));
        }
    }
}

fn null(kind: Kind) -> Value {
    match kind {
        Kind::Text => Value::String(None),
        Kind::Integer => Value::BigInt(None),
        Kind::SmallInteger => Value::Int(None),
        Kind::Boolean => Value::Bool(None),
        Kind::Bytes => Value::Bytes(None),
        Kind::Time => Value::TimeDateTimeWithTimeZone(None),
    }
}

#[actix_web::test]
async fn every_table_arrives_as_it_was() {
    let databases = Databases::new().await;
    let (source, target) = open(&databases.from, &databases.to).await.unwrap();
    let all = tables(&target).await.unwrap();
    assert!(all.len() > 25, "{all:?}");
    for statement in ["DELETE FROM settings"] {
        source.execute_unprepared(statement).await.unwrap();
    }
    fill(&source, &all).await;
    let mut told = Vec::new();
    let copied = copy(&source, &target, |table, _| told.push(table.to_owned())).await.unwrap();
    let rows = |table: &str| if table == "alert_rule_channels" { 1 } else { 2 };
    assert!(copied.iter().all(|table| table.is_equal() && table.rows == rows(&table.table)), "{copied:#?}");
    assert_eq!(copied.len(), all.len());
    assert!(told.iter().position(|table| table == "tenants") < told.iter().position(|table| table == "users"));

    let ask = async |sql: &str| {
        target.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap()
    };
    let row =
        ask("SELECT extract(epoch FROM started_at)::text, tags IS NULL, cost_nano_usd IS NULL FROM usage_records \
         ORDER BY started_at LIMIT 1")
        .await;
    let (began, no_tags, no_cost): (String, bool, bool) =
        (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap(), row.try_get_by_index(2).unwrap());
    assert_eq!((began.as_str(), no_tags, no_cost), ("-14182939.999999", true, true));
    let row =
        ask("SELECT octet_length(hash)::bigint, revoked_at IS NOT NULL FROM virtual_keys WHERE length(name) > 0").await;
    assert_eq!((row.try_get_by_index::<i64>(0).unwrap(), row.try_get_by_index::<bool>(1).unwrap()), (256, true));

    let again = copy(&source, &target, |_, _| {}).await.unwrap_err();
    assert!(again.to_string().contains("the target is not empty"), "{again:#}");
    databases.remove().await;
}

#[actix_web::test]
async fn a_copy_that_differs_or_fails_leaves_nothing() {
    let databases = Databases::new().await;
    let (source, target) = open(&databases.from, &databases.to).await.unwrap();
    for statement in ["INSERT INTO settings (name, value) VALUES ('one', 'two')"] {
        source.execute_unprepared(statement).await.unwrap();
    }
    // Somebody changes what is written.
    let tamper = "CREATE FUNCTION tamper() RETURNS trigger AS $$ BEGIN NEW.value = NEW.value || ' '; RETURN NEW; END $$ LANGUAGE plpgsql";
    target.execute_unprepared(tamper).await.unwrap();
    let trigger = "CREATE TRIGGER tamper BEFORE INSERT ON settings FOR EACH ROW EXECUTE FUNCTION tamper()";
    target.execute_unprepared(trigger).await.unwrap();
    let copied = copy(&source, &target, |_, _| {}).await.unwrap();
    let different: Vec<_> = copied.iter().filter(|table| !table.is_equal()).map(|table| table.table.as_str()).collect();
    assert_eq!(different, ["settings"]);
    target.execute_unprepared("DROP TRIGGER tamper ON settings").await.unwrap();

    source.execute_unprepared("INSERT INTO settings (name, value) VALUES ('nul', 'a' || char(0))").await.unwrap();
    let failed = copy(&source, &target, |_, _| {}).await.unwrap_err();
    assert!(format!("{failed:#}").contains("the table settings cannot be copied"), "{failed:#}");
    source.execute_unprepared("DELETE FROM settings WHERE name = 'nul'").await.unwrap();
    let copied = copy(&source, &target, |_, _| {}).await.unwrap();
    assert!(copied.iter().all(Copied::is_equal), "nothing was left that stood in the way: {copied:?}");
    databases.remove().await;
}

#[actix_web::test]
async fn what_cannot_be_copied_is_refused_before_anything_is_touched() {
    for (from, to, reason) in [
        ("postgres://h/x", "postgres://h/y", "--from must be an SQLite database"),
        ("sqlite:///nowhere/x.db", "postgres://h/y", "there is no file /nowhere/x.db"),
        ("sqlite:///dev/null", "postgres://h/y", "there is no file"),
    ] {
        let refused = open(from, to).await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/old.db", folder.path().display());
    let old = database::connect(&url).await.unwrap();
    migration::up(&old).await.unwrap();
    migration::down(&old, Some(1)).await.unwrap();
    let refused = open(&url, "postgres://localhost:1/y").await.unwrap_err().to_string();
    assert!(refused.contains("antiphon migrate up"), "{refused}");
    let refused = open(&url, "sqlite://y").await.unwrap_err().to_string();
    assert!(refused.contains("--to must be a PostgreSQL database"), "{refused}");
}
