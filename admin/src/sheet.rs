//! Comma-separated values: read record by record as bytes arrive, and written so that a spreadsheet runs
//! nothing of what it opens.

use domain::sheet::guarded;

/// Bytes of one record.
pub(crate) const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Cells of one record.
const MAX_CELLS: usize = 64;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a record cannot be read. What follows it cannot be told from it, so reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// It is longer than [`MAX_RECORD_BYTES`].
    #[error("is longer than {MAX_RECORD_BYTES} bytes; perhaps a quotation mark is not closed")]
    TooLong,
    /// It has more than [`MAX_CELLS`] cells.
    #[error("has more than {MAX_CELLS} cells")]
    TooWide,
}

/// A record's cells; `None` where they are not UTF-8, or hold U+0000.
pub(crate) type Record = Option<Vec<String>>;

/// Cuts bytes into records. Holds one record and no more.
pub(crate) struct Records {
    reader: csv_core::Reader,
    /// The first bytes, until it is known whether they are a byte-order mark.
    start: Option<Vec<u8>>,
    text: Vec<u8>,
    text_len: usize,
    ends: [usize; MAX_CELLS],
    ends_len: usize,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

impl Records {
    /// Before the first byte.
    pub(crate) fn new() -> Self {
        Self {
            reader: csv_core::Reader::new(),
            start: Some(Vec::new()),
            text: vec![0; MAX_RECORD_BYTES],
            text_len: 0,
            ends: [0; MAX_CELLS],
            ends_len: 0,
        }
    }

    /// Takes bytes, and gives each record that they end.
    ///
    /// # Errors
    /// [`RecordError`]; nothing more may be fed then.
    pub(crate) fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Record)) -> Result<(), RecordError> {
        let Some(mut start) = self.start.take() else { return self.read(bytes, take) };
        start.extend_from_slice(bytes);
        if start.len() < BYTE_ORDER_MARK.len() {
            self.start = Some(start);
            return Ok(());
        }
        let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start);
        self.read(start, take)
    }

    /// Gives the record that no line end has ended.
    ///
    /// # Errors
    /// As [`Self::feed`]'s.
    pub(crate) fn finish(mut self, take: &mut impl FnMut(Record)) -> Result<(), RecordError> {
        if let Some(start) = self.start.take() {
            self.read(&start, take)?;
        }
        // To the reader, no bytes are the end.
        while self.step(&[], take)?.1 {}
        Ok(())
    }

    fn read(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Record)) -> Result<(), RecordError> {
        while !bytes.is_empty() {
            let (read, _) = self.step(bytes, take)?;
            bytes = bytes.get(read..).unwrap_or_default();
        }
        Ok(())
    }

    /// How many bytes were read, and whether they ended a record.
    fn step(&mut self, bytes: &[u8], take: &mut impl FnMut(Record)) -> Result<(usize, bool), RecordError> {
        let text = self.text.get_mut(self.text_len..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ends_len..).unwrap_or_default();
        let (result, read, written, cells) = self.reader.read_record(bytes, text, ends);
        self.text_len += written;
        self.ends_len += cells;
        match result {
            csv_core::ReadRecordResult::OutputFull => Err(RecordError::TooLong),
            csv_core::ReadRecordResult::OutputEndsFull => Err(RecordError::TooWide),
            csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::End => Ok((read, false)),
            csv_core::ReadRecordResult::Record => {
                take(self.record());
                (self.text_len, self.ends_len) = (0, 0);
                Ok((read, true))
            }
        }
    }

    fn record(&self) -> Record {
        let text = std::str::from_utf8(self.text.get(..self.text_len)?).ok()?;
        let mut from = 0;
        let mut cells = Vec::with_capacity(self.ends_len);
        for end in self.ends.get(..self.ends_len)? {
            // An end within a character: its bytes are UTF-8 only together with the next cell's.
            cells.push(text.get(from..*end)?.to_owned());
            from = *end;
        }
        (!text.contains('\0')).then_some(cells)
    }
}

/// Writes one record.
pub(crate) fn write(out: &mut String, cells: impl IntoIterator<Item = impl AsRef<str>>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_cell(out, cell.as_ref());
    }
    out.push_str("\r\n");
}

/// A cell that a spreadsheet would run as a formula begins with `'`.
fn write_cell(out: &mut String, cell: &str) {
    let cell = guarded(cell);
    if cell.contains(['"', ',', '\r', '\n']) {
        out.push('"');
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(&cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(chunks: &[&[u8]]) -> (Vec<Record>, Result<(), RecordError>) {
        let mut found = Vec::new();
        let mut take = |record| found.push(record);
        let mut reader = Records::new();
        let read = chunks.iter().try_for_each(|chunk| reader.feed(chunk, &mut take));
        let read = read.and_then(|()| reader.finish(&mut take));
        (found, read)
    }

    fn row(cells: &[&str]) -> Record {
        Some(cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn records_are_the_same_however_the_bytes_are_cut() {
        let text = "\u{feff}\"name\",tenant\r\n\"a, \"\"b\"\"\n\",ü\n\nlast,".as_bytes();
        let expected = vec![row(&["name", "tenant"]), row(&["a, \"b\"\n", "ü"]), row(&["last", ""])];
        for cut in 0..text.len() {
            let (before, after) = text.split_at(cut);
            assert_eq!(records(&[before, after]), (expected.clone(), Ok(())), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(records(&bytes), (expected, Ok(())));
        assert_eq!(records(&[]), (Vec::new(), Ok(())));
    }

    #[test]
    fn what_cannot_be_text_is_told_and_what_has_no_end_is_not_kept() {
        assert_eq!(records(&[b"a,\xff\nb,c\n", b"d,\0\n"]).0, [None, row(&["b", "c"]), None]);
        assert_eq!(records(&[b"a\n\"", &[b'x'; MAX_RECORD_BYTES + 1]]), (vec![row(&["a"])], Err(RecordError::TooLong)));
        assert_eq!(records(&[&[b','; 100]]).1, Err(RecordError::TooWide));
        assert_eq!(records(&[b"\xc3,\xa4\n"]).0, [None], "half a character in each of two cells");
    }

    #[test]
    fn a_spreadsheet_runs_nothing() {
        let mut out = String::new();
        write(&mut out, ["=1+1", "+1", "-1", "@a", " =1", "\t1", "a=1", "say \"x\", y", "", "=\"a\""]);
        assert_eq!(out, "'=1+1,'+1,'-1,'@a,' =1,'\t1,a=1,\"say \"\"x\"\", y\",,\"'=\"\"a\"\"\"\r\n");
    }
}
