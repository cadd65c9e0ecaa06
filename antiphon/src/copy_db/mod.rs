//! A database moved from SQLite to PostgreSQL: every table that the migrations make, in one transaction,
//! compared afterwards row for row. A table or column that a later migration adds needs nothing here.

mod cells;
mod schema;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use database::connect;
use futures_util::TryStreamExt;
use sea_orm::sea_query::{Alias, Query};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, StreamTrait};
use serde::Serialize;

use self::cells::{Cell, Sum};
use self::schema::Table;

/// Values of one statement, below PostgreSQL's 65 535.
const VALUES: usize = 30_000;
/// Rows of one statement.
const ROWS: usize = 500;
/// Bytes of one statement's rows, above which it is sent.
const BYTES: usize = 1024 * 1024;

/// What has been copied of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Copied {
    /// Its name.
    pub(crate) table: String,
    /// Rows in the source.
    pub(crate) rows: u64,
    /// Rows in the target.
    pub(crate) rows_copied: u64,
    /// The sum over the source's rows.
    pub(crate) checksum: String,
    /// The sum over the target's rows.
    pub(crate) checksum_copied: String,
}

impl Copied {
    /// Whether both hold the same rows.
    pub(crate) fn is_equal(&self) -> bool {
        self.rows == self.rows_copied && self.checksum == self.checksum_copied
    }
}

/// Opens both databases; the target is brought up to date.
pub(crate) async fn open(from: &str, to: &str) -> Result<(DatabaseConnection, DatabaseConnection)> {
    let Some(path) = from.strip_prefix("sqlite:") else { bail!("--from must be an SQLite database, sqlite://PATH") };
    let path = path.trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if !std::path::Path::new(path).is_file() {
        bail!("--from: there is no file {path}");
    }
    if !(to.starts_with("postgres://") || to.starts_with("postgresql://")) {
        bail!("--to must be a PostgreSQL database, postgres://USER:PASSWORD@HOST/NAME");
    }
    let source = connect(from).await.context("the source cannot be opened")?;
    if migration::status(&source).await.context("the source cannot be read")?.iter().any(|step| !step.applied) {
        bail!(
            "the source is of an older version; bring it up to date first: antiphon migrate up --database-url {from}"
        );
    }
    let target = connect(to).await.context("the target cannot be opened")?;
    migration::up(&target).await.context("the target cannot be brought up to date")?;
    Ok((source, target))
}

/// Copies every table into an empty target and compares. Nothing is kept of a copy that differs, or that
/// fails. `tell` hears of a table and its rows so far.
pub(crate) async fn copy(
    source: &DatabaseConnection,
    target: &DatabaseConnection,
    mut tell: impl FnMut(&str, u64),
) -> Result<Vec<Copied>> {
    let tables = schema::tables(target).await?;
    schema::compare(source, &tables).await?;
    for table in &tables {
        if has_rows(target, table).await? {
            bail!("the target is not empty: its table {} has rows", table.name);
        }
    }
    // What the source's writers do from here on is not seen.
    let reading = database::begin(source).await?;
    let writing = database::begin(target).await?;
    let mut sums = Vec::new();
    for table in &tables {
        tell(&table.name, 0);
        let sum = Box::pin(copy_table(&reading, &writing, table, &mut tell))
            .await
            .with_context(|| format!("the table {} cannot be copied", table.name))?;
        sums.push(sum);
    }
    let mut copied = Vec::new();
    for (table, source) in tables.iter().zip(sums) {
        let target = Box::pin(sum_of(&writing, table)).await?;
        copied.push(Copied {
            table: table.name.clone(),
            rows: source.rows,
            rows_copied: target.rows,
            checksum: source.text(),
            checksum_copied: target.text(),
        });
    }
    reading.rollback().await?;
    if copied.iter().all(Copied::is_equal) {
        writing.commit().await?;
    } else {
        writing.rollback().await?;
    }
    Ok(copied)
}

async fn has_rows(db: &DatabaseConnection, table: &Table) -> Result<bool> {
    let sql = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.name);
    Ok(db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?.is_some())
}

async fn copy_table(
    reading: &DatabaseTransaction,
    writing: &DatabaseTransaction,
    table: &Table,
    tell: &mut impl FnMut(&str, u64),
) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut rows = reading.stream_raw(table.select(DbBackend::Sqlite)).await?;
    let most = ROWS.min(VALUES / table.columns.len().max(1)).max(1);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let cells = Cell::of_row(&row, table)?;
        sum.add(&cells);
        bytes += cells.iter().map(Cell::len).sum::<usize>();
        batch.push(cells);
        if batch.len() >= most || bytes >= BYTES {
            insert(writing, table, std::mem::take(&mut batch)).await?;
            bytes = 0;
            tell(&table.name, sum.rows);
        }
    }
    if !batch.is_empty() {
        insert(writing, table, batch).await?;
    }
    Ok(sum)
}

async fn insert(writing: &DatabaseTransaction, table: &Table, rows: Vec<Vec<Cell>>) -> Result<()> {
    let mut insert = Query::insert();
    insert.into_table(Alias::new(&table.name));
    insert.columns(table.columns.iter().map(|column| Alias::new(&column.name)));
    for cells in rows {
        insert.values(cells.into_iter().map(|cell| cell.into_value().into()))?;
    }
    writing.execute(&insert).await?;
    Ok(())
}

async fn sum_of(db: &DatabaseTransaction, table: &Table) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut rows = db.stream_raw(table.select(DbBackend::Postgres)).await?;
    while let Some(row) = rows.try_next().await? {
        sum.add(&Cell::of_row(&row, table)?);
    }
    Ok(sum)
}
