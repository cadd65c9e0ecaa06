//! Lists of prices as they arrive, in pieces of any size: rows come out, and memory stays bounded.

use domain::provider::ProviderKind;

use crate::SeedError;
use crate::cells::Cells;
use crate::objects::Objects;
use crate::read::{Fields, PriceRow};

/// Bytes of one row; longer ones are refused and read over.
pub(crate) const MAX_ROW_BYTES: usize = 16 * 1024;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Comma-separated values with a line of column names.
    #[default]
    Csv,
    /// JSON: one list of objects, or one object a line.
    Json,
}

/// A row as it was cut out.
pub(crate) struct Row {
    /// Its line; in a JSON list its place, counted from 1.
    pub(crate) line: u64,
    pub(crate) fields: Result<Fields, String>,
}

/// The list cannot be read any further.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// A price, or why a row is none.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) line: u64,
    pub(crate) price: Result<PriceRow, String>,
}

/// Reads a list of either format.
pub(crate) struct Rows {
    format: Cutter,
    kind: Option<ProviderKind>,
    cut: Vec<Row>,
}

enum Cutter {
    Cells(Box<Cells>),
    Objects(Objects),
}

impl Rows {
    /// `kind` is whose list it is; without it each row says so.
    pub(crate) fn new(format: Format, kind: Option<ProviderKind>) -> Self {
        let format = match format {
            Format::Csv => Cutter::Cells(Box::new(Cells::new(kind.is_none()))),
            Format::Json => Cutter::Objects(Objects::new()),
        };
        Self { format, kind, cut: Vec::new() }
    }

    /// Takes a piece, and gives the rows that it completes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<impl Iterator<Item = Parsed> + '_, Unreadable> {
        // An empty piece would be taken for the end.
        match &mut self.format {
            _ if bytes.is_empty() => {}
            Cutter::Cells(cells) => cells.feed(bytes, &mut self.cut)?,
            Cutter::Objects(objects) => objects.feed(bytes, &mut self.cut)?,
        }
        Ok(self.parsed())
    }

    /// The last rows.
    pub(crate) fn finish(&mut self) -> Result<impl Iterator<Item = Parsed> + '_, Unreadable> {
        match &mut self.format {
            Cutter::Cells(cells) => cells.finish(&mut self.cut)?,
            Cutter::Objects(objects) => objects.finish(&mut self.cut)?,
        }
        Ok(self.parsed())
    }

    fn parsed(&mut self) -> impl Iterator<Item = Parsed> + '_ {
        let kind = self.kind;
        self.cut
            .drain(..)
            .map(move |Row { line, fields }| Parsed { line, price: fields.and_then(|fields| fields.parse(kind, line)) })
    }
}

/// Reads a whole list that comes with the program.
pub(crate) fn read(file: &str, text: &str, kind: ProviderKind) -> Result<Vec<PriceRow>, SeedError> {
    let at = |line, reason| SeedError::Line { file: file.to_owned(), line, reason };
    let mut reader = Rows::new(Format::Csv, Some(kind));
    let mut parsed: Vec<Parsed> = reader.feed(text.as_bytes()).map_err(|error| at(error.line, error.reason))?.collect();
    parsed.extend(reader.finish().map_err(|error| at(error.line, error.reason))?);
    let mut rows = Vec::with_capacity(parsed.len());
    for row in parsed {
        rows.push(row.price.map_err(|reason| at(row.line, reason))?);
    }
    crate::check::check(&rows).map_err(|(line, reason)| at(line, reason))?;
    Ok(rows)
}
