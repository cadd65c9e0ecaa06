//! Values as both databases mean them, and the sum by which two tables are compared.

use anyhow::{Context, Result};
use sea_orm::{QueryResult, TryGetable, Value};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, UtcOffset};

use super::schema::{Kind, Table};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null(Kind),
    Text(String),
    Integer(i64),
    SmallInteger(i32),
    Boolean(bool),
    Bytes(Vec<u8>),
    /// In UTC and whole microseconds: PostgreSQL keeps no more.
    Time(OffsetDateTime),
}

impl Cell {
    /// The values of a row, in the order of the table's columns.
    pub(super) fn of_row(row: &QueryResult, table: &Table) -> Result<Vec<Self>> {
        let mut cells = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let cell = Self::read(row, index, column.kind)
                .with_context(|| format!("a value of {}.{} is not of its type", table.name, column.name))?;
            cells.push(cell);
        }
        Ok(cells)
    }

    fn read(row: &QueryResult, index: usize, kind: Kind) -> Result<Self> {
        let cell = match kind {
            Kind::Text => get(row, index)?.map(Self::Text),
            Kind::Integer => get(row, index)?.map(Self::Integer),
            Kind::SmallInteger => get(row, index)?.map(Self::SmallInteger),
            Kind::Boolean => get(row, index)?.map(Self::Boolean),
            Kind::Bytes => get(row, index)?.map(Self::Bytes),
            Kind::Time => get(row, index)?.map(|time: OffsetDateTime| {
                let time = time.to_offset(UtcOffset::UTC);
                let whole = time.nanosecond() / 1000 * 1000;
                Self::Time(time.replace_nanosecond(whole).unwrap_or(time))
            }),
        };
        Ok(cell.unwrap_or(Self::Null(kind)))
    }

    /// Bytes that it takes, about.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 8,
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Integer(number) => number.into(),
            Self::SmallInteger(number) => number.into(),
            Self::Boolean(truth) => truth.into(),
            Self::Bytes(bytes) => bytes.into(),
            Self::Time(time) => time.into(),
            Self::Null(Kind::Text) => Value::String(None),
            Self::Null(Kind::Integer) => Value::BigInt(None),
            Self::Null(Kind::SmallInteger) => Value::Int(None),
            Self::Null(Kind::Boolean) => Value::Bool(None),
            Self::Null(Kind::Bytes) => Value::Bytes(None),
            Self::Null(Kind::Time) => Value::TimeDateTimeWithTimeZone(None),
        }
    }

    /// Unambiguous: what it is, how long, and its bytes.
    fn digest(&self, hash: &mut Sha256) {
        let mut put = |tag: u8, bytes: &[u8]| {
            hash.update([tag]);
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        };
        match self {
            Self::Null(_) => put(0, &[]),
            Self::Text(text) => put(1, text.as_bytes()),
            Self::Integer(number) => put(2, &number.to_be_bytes()),
            Self::SmallInteger(number) => put(2, &i64::from(*number).to_be_bytes()),
            Self::Boolean(truth) => put(3, &[u8::from(*truth)]),
            Self::Bytes(bytes) => put(4, bytes),
            Self::Time(time) => put(5, &time.unix_timestamp_nanos().to_be_bytes()),
        }
    }
}

fn get<T: TryGetable>(row: &QueryResult, index: usize) -> Result<Option<T>> {
    Ok(row.try_get_by_index::<Option<T>>(index)?)
}

/// The sum over the rows of a table, whatever their order: the databases sort text differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) rows: u64,
    parts: [u64; 4],
}

impl Sum {
    pub(super) fn add(&mut self, cells: &[Cell]) {
        let mut hash = Sha256::new();
        for cell in cells {
            cell.digest(&mut hash);
        }
        self.rows += 1;
        let digest: [u8; 32] = hash.finalize().into();
        for (part, bytes) in self.parts.iter_mut().zip(digest.chunks_exact(8)) {
            let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
            *part = part.wrapping_add(u64::from_be_bytes(bytes));
        }
    }

    pub(super) fn text(&self) -> String {
        self.parts.iter().map(|part| format!("{part:016x}")).collect()
    }
}
