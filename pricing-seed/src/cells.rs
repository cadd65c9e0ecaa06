//! A CSV list cut into rows as its bytes arrive. No row is kept that is longer than a row may be, however
//! long the cell is that somebody sends.

use csv_core::{ReadRecordResult, Reader};

use crate::export::runs;
use crate::read::Fields;
use crate::rows::{MAX_ROW_BYTES, Row, Unreadable};

/// Cells that a row may have; more than there are columns.
const MAX_CELLS: usize = 32;
/// The columns of a list, the first two of which may be missing.
pub(crate) const COLUMNS: [&str; 11] = [
    "tenant",
    "provider",
    "model",
    "operation",
    "unit",
    "price_usd",
    "minimum_ms",
    "rounding_ms",
    "effective_from",
    "source",
    "read_on",
];

/// Where in a row's quotation marks the reading stands, as the reader takes them: one that is not closed would take
/// what follows into its row, however many rows that is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Quotes {
    /// At the beginning of a cell.
    #[default]
    Before,
    /// In a cell without them, or behind them.
    Outside,
    /// Between them.
    Inside,
    /// Behind a mark between them, which closes them or is the first of two.
    Closing,
}

impl Quotes {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Inside, b'"') => Self::Closing,
            (Self::Before | Self::Closing, b'"') | (Self::Inside, _) => Self::Inside,
            (_, b',' | b'\r' | b'\n') => Self::Before,
            _ => Self::Outside,
        }
    }
}

/// The state between two pieces of a list.
pub(crate) struct Cells {
    reader: Reader,
    /// The cells of the row so far, and where each ends.
    text: Vec<u8>,
    ends: [usize; MAX_CELLS],
    filled: usize,
    cells: usize,
    too_large: bool,
    /// Line ends that have been read, and the line at which the row began.
    line_ends: u64,
    line: u64,
    is_inside: bool,
    quotes: Quotes,
    /// Which column each cell is of.
    columns: Option<Vec<usize>>,
    needs_provider: bool,
    /// What has come of the first three bytes, which may be a byte-order mark.
    head: Option<Vec<u8>>,
}

impl Cells {
    pub(crate) fn new(needs_provider: bool) -> Self {
        Self {
            reader: Reader::new(),
            text: vec![0; MAX_ROW_BYTES],
            ends: [0; MAX_CELLS],
            filled: 0,
            cells: 0,
            too_large: false,
            line_ends: 0,
            line: 0,
            is_inside: false,
            quotes: Quotes::default(),
            columns: None,
            needs_provider,
            head: Some(Vec::new()),
        }
    }

    /// Takes a piece; rows that it completes are added to `rows`.
    pub(crate) fn feed(&mut self, bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), Unreadable> {
        let Some(mut head) = self.head.take() else { return self.read(bytes, rows) };
        // The mark is recognised at the start of one piece only.
        head.extend_from_slice(bytes);
        if head.len() < 3 {
            self.head = Some(head);
            return Ok(());
        }
        self.read(&head, rows)
    }

    /// The list has ended.
    pub(crate) fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), Unreadable> {
        if let Some(head) = self.head.take() {
            self.read(&head, rows)?;
        }
        if self.quotes == Quotes::Inside {
            return Err(self.unclosed());
        }
        self.read(&[], rows)?;
        if self.columns.is_none() {
            return Err(Unreadable { line: 1, reason: "there is no line of column names".to_owned() });
        }
        Ok(())
    }

    /// Reads what is there; an empty piece is the end.
    fn read(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), Unreadable> {
        let is_end = bytes.is_empty();
        loop {
            bytes = self.begin_row(bytes);
            // An empty piece would be taken for the end of the list.
            if bytes.is_empty() && !is_end {
                return Ok(());
            }
            let text = self.text.get_mut(self.filled..).unwrap_or_default();
            let ends = self.ends.get_mut(self.cells..).unwrap_or_default();
            let (result, taken, filled, cells) = self.reader.read_record(bytes, text, ends);
            let row = bytes.get(..taken).unwrap_or_default();
            self.count_lines(row);
            self.follow_quotes(row)?;
            bytes = bytes.get(taken..).unwrap_or_default();
            self.filled += filled;
            self.cells += cells;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(()),
                // What follows is read over what was kept: of this row only its end matters now.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.too_large = true;
                    (self.filled, self.cells) = (0, 0);
                }
                ReadRecordResult::Record => self.end_row(rows)?,
            }
        }
    }

    /// Reads over the line ends before a row, and notes where it begins.
    fn begin_row<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.is_inside {
            return bytes;
        }
        let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        let row = bytes.get(begin..).unwrap_or_default();
        self.count_lines(bytes.get(..begin).unwrap_or_default());
        if !row.is_empty() {
            self.is_inside = true;
            // Lines that end in a carriage return alone are counted by their rows.
            self.line = (self.line_ends + 1).max(self.line + 1);
        }
        row
    }

    /// No cell has a line break, so that the first one between quotation marks tells that one is not closed.
    fn follow_quotes(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        for byte in bytes {
            if self.quotes == Quotes::Inside && matches!(byte, b'\r' | b'\n') {
                return Err(self.unclosed());
            }
            self.quotes = self.quotes.after(*byte);
        }
        Ok(())
    }

    fn unclosed(&self) -> Unreadable {
        let reason = "the line ends inside a quotation mark (\"): it is not closed, or a cell has a line break";
        Unreadable { line: self.line, reason: reason.to_owned() }
    }

    fn count_lines(&mut self, bytes: &[u8]) {
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.line_ends += u64::try_from(ends).unwrap_or_default();
    }

    fn end_row(&mut self, rows: &mut Vec<Row>) -> Result<(), Unreadable> {
        let line = self.line;
        self.is_inside = false;
        let (filled, cells) = (std::mem::take(&mut self.filled), std::mem::take(&mut self.cells));
        if std::mem::take(&mut self.too_large) {
            let reason = format!("the row is longer than {MAX_ROW_BYTES} bytes or has more than {MAX_CELLS} cells");
            if self.columns.is_none() {
                return Err(Unreadable { line, reason });
            }
            rows.push(Row { line, fields: Err(reason) });
            return Ok(());
        }
        let text = self.text.get(..filled).unwrap_or_default();
        let ends = self.ends.get(..cells).unwrap_or_default();
        let cells = cut(text, ends);
        let Some(columns) = &self.columns else {
            let columns = cells.and_then(|cells| columns(&cells, self.needs_provider));
            self.columns = Some(columns.map_err(|reason| Unreadable { line, reason })?);
            return Ok(());
        };
        rows.push(Row { line, fields: cells.and_then(|cells| fields(&cells, columns)) });
        Ok(())
    }
}

fn cut<'a>(text: &'a [u8], ends: &[usize]) -> Result<Vec<&'a str>, String> {
    let mut begin = 0;
    let mut cells = Vec::with_capacity(ends.len());
    for end in ends {
        let cell = text.get(begin..*end).unwrap_or_default();
        cells.push(std::str::from_utf8(cell).map_err(|_| "the row is not UTF-8".to_owned())?.trim());
        begin = *end;
    }
    Ok(cells)
}

/// Which column each cell of the rows is of.
fn columns(names: &[&str], needs_provider: bool) -> Result<Vec<usize>, String> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = COLUMNS.iter().position(|column| column == name);
        let shown: String = name.chars().take(40).collect();
        match column {
            None => return Err(format!("there is no column {shown:?}; columns are {}", COLUMNS.join(", "))),
            Some(column) if columns.contains(&column) => return Err(format!("the column {shown:?} is there twice")),
            Some(column) => columns.push(column),
        }
    }
    let optional = if needs_provider { 1 } else { 2 };
    match (optional..COLUMNS.len()).find(|column| !columns.contains(column)).and_then(|column| COLUMNS.get(column)) {
        Some(missing) => Err(format!("the column {missing} is missing")),
        None => Ok(columns),
    }
}

fn fields(cells: &[&str], columns: &[usize]) -> Result<Fields, String> {
    if cells.len() != columns.len() {
        return Err(format!("the row has {} cells and the line of column names {}", cells.len(), columns.len()));
    }
    let mut fields = Fields::default();
    for (cell, column) in cells.iter().zip(columns) {
        let text = || unguard(cell);
        let number = |name: &str| cell.parse().map_err(|_| format!("{name}: is not a whole number"));
        match column {
            0 => fields.tenant = Some(text()),
            1 => fields.provider = Some(text()),
            2 => fields.model = text(),
            3 => fields.operation = text(),
            4 => fields.unit = text(),
            5 => fields.price_usd = text(),
            6 => fields.minimum_ms = number("minimum_ms")?,
            7 => fields.rounding_ms = number("rounding_ms")?,
            8 => fields.effective_from = text(),
            9 => fields.source = text(),
            _ => fields.read_on = text(),
        }
    }
    Ok(fields)
}

/// Takes back what the export put before a cell that a spreadsheet would run as a formula.
fn unguard(cell: &str) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if runs(rest) => rest.to_owned(),
        _ => cell.to_owned(),
    }
}
