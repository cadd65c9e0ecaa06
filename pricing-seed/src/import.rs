//! A list of any length into the table, in one transaction and in little memory: rows are put aside in a
//! table of this connection as they arrive, and compared and written by the database.
//!
//! Until [`Import::finish`] nothing of the database is locked, however slowly the list arrives.

use entities::Id;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Alias, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement, Value};
use time::OffsetDateTime;

use crate::merge;
use crate::read::PriceRow;
use crate::rows::{Format, Parsed, Rows, Unreadable};

/// Rows of one statement, of about 200 bytes each and always as many, for the reasons in `database::blocks`.
const CHUNK: usize = 64;
/// Bytes that are cut into rows at once.
const PIECE: usize = 16 * 1024;
/// Problems that a report names; the others are counted.
pub const NAMED_PROBLEMS: u64 = 100;
/// Most characters of a problem.
const MAX_PROBLEM: usize = 300;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How it reads.
    pub format: Format,
    /// Rows that cannot be used are left out; otherwise one of them keeps the whole list out.
    pub skip_bad: bool,
    /// Nothing is written; the report says what would be.
    pub dry_run: bool,
    /// What `managed_by` says of the rows.
    pub managed_by: &'static str,
    /// Rows that have begun by now and decided a cost are not changed.
    pub now: OffsetDateTime,
}

impl Options {
    /// As a person with a shell writes one: CSV, whole or not at all.
    #[must_use]
    pub const fn of_command_line(now: OffsetDateTime) -> Self {
        Self { format: Format::Csv, skip_bad: false, dry_run: false, managed_by: "cli", now }
    }
}

/// How far a list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its rows arrive.
    Reading,
    /// They are compared with each other and with what is there.
    Checking,
    /// They are written.
    Writing,
}

impl Stage {
    /// For people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Checking => "checking",
            Self::Writing => "writing",
        }
    }
}

/// What has been done of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// With what it is at.
    pub stage: Stage,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Rows that have arrived.
    pub rows: u64,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its line; in a JSON list its place, counted from 1.
    pub line: u64,
    /// Why, beginning with the name of the field where it is one field's.
    pub reason: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Whether the rows have been written.
    pub applied: bool,
    /// Rows of the list.
    pub rows: u64,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that change one that is there.
    pub updated: u64,
    /// Rows that are there already.
    pub unchanged: u64,
    /// Rows that cannot be used.
    pub refused: u64,
    /// The first of those.
    pub problems: Vec<Problem>,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Outcome {
    /// Its line; in a JSON list its place, counted from 1.
    pub line: i64,
    /// `inserted`, `updated` or `unchanged`, where it can be used.
    pub outcome: Option<String>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Why a list was not taken. The transaction must be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The list itself cannot be read.
    #[error("line {line}: {reason}")]
    Unreadable {
        /// Where.
        line: u64,
        /// Why.
        reason: String,
    },
    /// The database's.
    #[error("the price list cannot be written to the database")]
    Database(#[from] DbErr),
}

impl From<Unreadable> for ImportError {
    fn from(Unreadable { line, reason }: Unreadable) -> Self {
        Self::Unreadable { line, reason }
    }
}

/// A list that is being read.
pub struct Import<'t> {
    transaction: &'t DatabaseTransaction,
    options: Options,
    rows: Rows,
    waiting: Vec<Parsed>,
    bytes: u64,
    read: u64,
}

impl std::fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("options", &self.options).field("read", &self.read).finish_non_exhaustive()
    }
}

impl<'t> Import<'t> {
    /// Makes room for the list. On SQLite the transaction should be a deferred one.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(transaction: &'t DatabaseTransaction, options: Options) -> Result<Self, ImportError> {
        for statement in merge::make_room(transaction.get_database_backend()) {
            transaction.execute_unprepared(statement).await?;
        }
        let rows = Rows::new(options.format, None);
        Ok(Self { transaction, options, rows, waiting: Vec::new(), bytes: 0, read: 0 })
    }

    /// Takes the next piece of the list.
    ///
    /// # Errors
    /// The list cannot be read, or the database's.
    pub async fn feed(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        for piece in bytes.chunks(PIECE) {
            self.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.waiting.extend(self.rows.feed(piece)?);
            let rest = self.waiting.split_off(self.waiting.len() - self.waiting.len() % CHUNK);
            let whole = std::mem::replace(&mut self.waiting, rest);
            self.put_aside(&whole).await?;
        }
        Ok(())
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self, stage: Stage) -> Progress {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        Progress { stage, bytes: self.bytes, rows: self.read + waiting }
    }

    /// The list has ended: checks it against itself and the table, and writes it unless something speaks
    /// against it. Where the report says that it was not applied, the transaction must be rolled back.
    ///
    /// # Errors
    /// The list cannot be read, or the database's.
    pub async fn finish(mut self, mut tell: impl FnMut(Progress)) -> Result<ImportReport, ImportError> {
        let last: Vec<Parsed> = self.rows.finish()?.collect();
        self.waiting.extend(last);
        let last = std::mem::take(&mut self.waiting);
        self.put_aside(&last).await?;
        tell(self.progress(Stage::Checking));
        merge::check(self.transaction, &self.options).await?;
        let mut report = merge::report(self.transaction).await?;
        report.rows = self.read;
        report.applied = !self.options.dry_run && (self.options.skip_bad || report.refused == 0);
        if report.applied {
            tell(self.progress(Stage::Writing));
            merge::apply(self.transaction, self.options.managed_by).await?;
        }
        Ok(report)
    }

    async fn put_aside(&mut self, rows: &[Parsed]) -> Result<(), ImportError> {
        for chunk in rows.chunks(CHUNK) {
            let mut insert = Query::insert();
            insert.into_table(Alias::new(merge::ASIDE)).columns(merge::COLUMNS.map(Alias::new));
            for row in chunk {
                insert.values(values(row).map(Into::into)).map_err(|error| DbErr::Custom(error.to_string()))?;
            }
            self.transaction.execute(&insert).await?;
        }
        self.read += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// The rows put aside behind `line`, in their order, at most `most`. After [`Import::finish`] and before
/// the transaction ends.
///
/// # Errors
/// The database's.
pub async fn outcomes(transaction: &DatabaseTransaction, line: i64, most: u64) -> Result<Vec<Outcome>, DbErr> {
    let backend = transaction.get_database_backend();
    let mark = if backend == DbBackend::Postgres { ["$1", "$2"] } else { ["?", "?"] };
    let [after, limit] = mark;
    let sql =
        format!("SELECT line, outcome, problem FROM {} WHERE line > {after} ORDER BY line LIMIT {limit}", merge::ASIDE);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(backend, sql, [line.into(), most.into()]);
    Outcome::find_by_statement(statement).all(transaction).await
}

/// Gives back the room that a list took; before the transaction is committed.
///
/// # Errors
/// The database's.
pub async fn clear(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    transaction.execute_unprepared(&format!("DROP TABLE {}", merge::ASIDE)).await.map(drop)
}

/// As [`merge::COLUMNS`] has them.
fn values(row: &Parsed) -> [Value; 14] {
    let line: Value = i64::try_from(row.line).unwrap_or(i64::MAX).into();
    let none = || Value::String(None);
    match &row.price {
        Err(problem) => {
            let problem: String = problem.chars().take(MAX_PROBLEM).collect();
            let number = || Value::BigInt(None);
            let time = Value::TimeDateTimeWithTimeZone(None);
            let texts = (none(), none(), none(), none(), none(), none());
            let (tenant, kind, model, operation, unit, usd) = texts;
            let (minimum, rounding) = (number(), number());
            [
                line,
                tenant,
                kind,
                model,
                operation,
                unit,
                usd,
                minimum,
                rounding,
                time,
                none(),
                none(),
                none(),
                problem.into(),
            ]
        }
        Ok(price) => good(line, price),
    }
}

fn good(line: Value, price: &PriceRow) -> [Value; 14] {
    let milliseconds = |ms: u64| -> Value { i64::try_from(ms).unwrap_or(i64::MAX).into() };
    [
        line,
        price.tenant.clone().into(),
        price.kind.as_str().into(),
        price.model.clone().into(),
        price.operation.as_str().into(),
        price.unit.as_str().into(),
        price.usd.normalize().to_string().into(),
        milliseconds(price.minimum_ms),
        milliseconds(price.rounding_ms),
        price.effective_from.into(),
        price.source.clone().into(),
        price.read_on.clone().into(),
        Id(Uuid::now_v7()).into(),
        Value::String(None),
    ]
}
