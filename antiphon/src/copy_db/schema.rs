//! The tables as the migrations have made them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

/// Where each database notes its migrations, which the target has made itself.
const MIGRATIONS: &str = "seaql_migrations";

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// Its columns.
    pub(super) columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) kind: Kind,
}

/// What a column holds. The two databases write these differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    SmallInteger,
    Boolean,
    Bytes,
    Time,
}

impl Kind {
    fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "text" | "character varying" => Self::Text,
            "bigint" => Self::Integer,
            "integer" => Self::SmallInteger,
            "boolean" => Self::Boolean,
            "bytea" => Self::Bytes,
            "timestamp with time zone" => Self::Time,
            _ => return None,
        })
    }
}

impl Table {
    /// All its rows.
    pub(super) fn select(&self, backend: DbBackend) -> Statement {
        let columns: Vec<_> = self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        Statement::from_string(backend, format!("SELECT {} FROM \"{}\"", columns.join(", "), self.name))
    }
}

/// Every table of the target, those that others name first.
pub(super) async fn tables(target: &DatabaseConnection) -> Result<Vec<Table>> {
    let sql = "SELECT c.table_name::text, c.column_name::text, c.data_type::text
        FROM information_schema.columns c
        JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
        WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
        ORDER BY c.table_name, c.ordinal_position";
    let mut columns: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for row in target.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await? {
        let (table, name): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let data_type: String = row.try_get_by_index(2)?;
        if table == MIGRATIONS {
            continue;
        }
        let Some(kind) = Kind::of(&data_type) else {
            bail!("the column {table}.{name} is of the type {data_type}, which cannot be copied");
        };
        columns.entry(table).or_default().push(Column { name, kind });
    }
    let named = "SELECT r.relname::text, f.relname::text FROM pg_constraint c
        JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
        JOIN pg_namespace n ON n.oid = c.connamespace
        WHERE c.contype = 'f' AND n.nspname = current_schema() AND c.conrelid <> c.confrelid";
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in target.query_all_raw(Statement::from_string(DbBackend::Postgres, named)).await? {
        names.entry(row.try_get_by_index(0)?).or_default().insert(row.try_get_by_index(1)?);
    }
    order(columns, &names)
}

fn order(mut columns: BTreeMap<String, Vec<Column>>, names: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    while !columns.is_empty() {
        let is_free = |table: &&String| {
            names.get(*table).is_none_or(|named| !named.iter().any(|name| columns.contains_key(name)))
        };
        let Some(name) = columns.keys().find(is_free).cloned() else {
            bail!("the tables {:?} name each other in a ring", columns.keys());
        };
        if let Some(columns) = columns.remove(&name) {
            tables.push(Table { name, columns });
        }
    }
    Ok(tables)
}

/// The source must have the same tables and columns.
pub(super) async fn compare(source: &DatabaseConnection, tables: &[Table]) -> Result<()> {
    let sql = "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut here = BTreeSet::new();
    for row in source.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await? {
        let column: (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if column.0 != MIGRATIONS {
            here.insert(column);
        }
    }
    let there: BTreeSet<(String, String)> = tables
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| (table.name.clone(), column.name.clone())))
        .collect();
    if let Some((table, column)) = here.symmetric_difference(&there).next() {
        bail!("only one of the databases has the column {table}.{column}: they are of different versions");
    }
    Ok(())
}
