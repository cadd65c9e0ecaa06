//! A list of JSON objects cut into rows as its bytes arrive: one list in brackets, or one object a line.

use crate::read::Fields;
use crate::rows::{MAX_ROW_BYTES, Row, Unreadable};

/// The state between two pieces of a list.
pub(crate) struct Objects {
    state: State,
    shape: Shape,
    /// The object so far.
    text: Vec<u8>,
    too_large: bool,
    depth: usize,
    in_string: bool,
    escaped: bool,
    line: u64,
    entry: u64,
    /// How many bytes of a byte-order mark have come at the very start.
    mark: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unknown,
    List,
    Lines,
}

/// What may come next outside of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `[` or the first object of lines.
    Start,
    /// An object, or the end of an empty list.
    First,
    /// An object.
    Next,
    /// A comma or the end of the list.
    Behind,
    /// Nothing but space.
    Ended,
    /// Inside an object.
    Inside,
}

const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Objects {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Start,
            shape: Shape::Unknown,
            text: Vec::new(),
            too_large: false,
            depth: 0,
            in_string: false,
            escaped: false,
            line: 1,
            entry: 0,
            mark: 0,
        }
    }

    /// Takes a piece; rows that it completes are added to `rows`.
    pub(crate) fn feed(&mut self, bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), Unreadable> {
        for byte in bytes {
            match self.state {
                State::Inside => self.inside(*byte, rows),
                State::Start if MARK.get(self.mark) == Some(byte) => self.mark += 1,
                _ => self.between(*byte)?,
            }
            self.line += u64::from(*byte == b'\n');
        }
        Ok(())
    }

    /// The list has ended.
    pub(crate) fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), Unreadable> {
        match (self.shape, self.state) {
            // A last line without an end.
            (Shape::Lines, State::Inside) => self.end_row(rows),
            (Shape::Lines, _) | (_, State::Ended | State::Start) => {}
            _ => return Err(self.unreadable("the list ends in its middle")),
        }
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<(), Unreadable> {
        if byte.is_ascii_whitespace() {
            return Ok(());
        }
        self.state = match (self.state, byte) {
            (State::Start, b'[') => {
                self.shape = Shape::List;
                State::First
            }
            (State::Start, b'{') => {
                self.shape = Shape::Lines;
                self.begin(byte)
            }
            (State::First | State::Next, b'{') => self.begin(byte),
            // A line that is no object is a row at fault; the next line may be one.
            (State::Next, other) if self.shape == Shape::Lines => self.begin(other),
            (State::First | State::Behind, b']') => State::Ended,
            (State::Behind, b',') => State::Next,
            _ => return Err(self.unreadable("this is no list of JSON objects")),
        };
        Ok(())
    }

    fn begin(&mut self, byte: u8) -> State {
        self.entry = if self.shape == Shape::Lines { self.line } else { self.entry + 1 };
        self.text.clear();
        self.text.push(byte);
        (self.depth, self.in_string, self.escaped, self.too_large) = (1, false, false, false);
        State::Inside
    }

    fn inside(&mut self, byte: u8, rows: &mut Vec<Row>) {
        let is_end = if self.shape == Shape::Lines { byte == b'\n' } else { self.closes(byte) };
        if self.text.len() < MAX_ROW_BYTES {
            self.text.push(byte);
        } else if !is_end {
            self.too_large = true;
        }
        if is_end {
            self.end_row(rows);
        }
    }

    /// Whether this byte closes the object.
    fn closes(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }

    fn end_row(&mut self, rows: &mut Vec<Row>) {
        let fields = if self.too_large {
            Err(format!("the row is longer than {MAX_ROW_BYTES} bytes"))
        } else {
            serde_json::from_slice::<Fields>(&self.text).map_err(|error| reason(&error))
        };
        rows.push(Row { line: self.entry, fields });
        self.state = if self.shape == Shape::Lines { State::Next } else { State::Behind };
        self.text.clear();
    }

    fn unreadable(&self, reason: &str) -> Unreadable {
        Unreadable { line: self.line, reason: reason.to_owned() }
    }
}

/// Without the place in the text, which counts from the row's own beginning.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    text.chars().take(200).collect()
}
