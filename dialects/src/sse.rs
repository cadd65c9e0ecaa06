//! Server-sent events, read piece by piece and written.
//!
//! The reader decides byte by byte, so the pieces in which a stream arrives never change its events.

use std::borrow::Cow;

use domain::limits::MAX_UPSTREAM_MESSAGE_BYTES;

use crate::error::DialectError;

/// One event as it stood in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its bytes as they came. All of them in order are the stream again.
    pub raw: &'a [u8],
    /// The `data` lines joined by line feeds; `None` where there is none (comments, keep-alives).
    pub data: Option<Cow<'a, [u8]>>,
}

/// Splits a stream into events.
#[derive(Debug)]
pub struct Splitter {
    pending: Vec<u8>,
    line_is_empty: bool,
    after_carriage_return: bool,
    limit: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::with_limit(MAX_UPSTREAM_MESSAGE_BYTES)
    }
}

impl Splitter {
    /// A reader that refuses events of more than `limit` bytes.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self { pending: Vec::new(), line_is_empty: true, after_carriage_return: false, limit }
    }

    /// Takes the next bytes and hands over every event that they complete.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when an event is larger than the limit; the reader is of no use then.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(&Event<'_>) -> Result<(), DialectError>,
    ) -> Result<(), DialectError> {
        let mut rest = bytes;
        while let Some(end) = self.event_end(rest) {
            let Some((head, tail)) = rest.split_at_checked(end) else { break };
            self.check_size(head.len())?;
            if self.pending.is_empty() {
                on_event(&read(head))?;
            } else {
                self.pending.extend_from_slice(head);
                let whole = std::mem::take(&mut self.pending);
                on_event(&read(&whole))?;
            }
            rest = tail;
        }
        self.check_size(rest.len())?;
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// The stream ended: hands over what stands without its closing empty line. Some servers leave it out.
    ///
    /// # Errors
    /// Those of `on_event`.
    pub fn finish(
        &mut self,
        mut on_event: impl FnMut(&Event<'_>) -> Result<(), DialectError>,
    ) -> Result<(), DialectError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let whole = std::mem::take(&mut self.pending);
        on_event(&read(&whole))
    }

    fn check_size(&self, more: usize) -> Result<(), DialectError> {
        if self.pending.len().saturating_add(more) > self.limit {
            return Err(DialectError::Upstream(format!("an event of more than {} bytes", self.limit)));
        }
        Ok(())
    }

    /// Where the first event of `bytes` ends, just after the empty line. A line feed after a carriage
    /// return belongs to the same line end; when that pair closes an event, the feed is counted to
    /// the next event, so that nothing has to wait for the byte after a carriage return.
    fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        while let Some(rest) = bytes.get(from..) {
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
                if !rest.is_empty() {
                    self.line_is_empty = false;
                    self.after_carriage_return = false;
                }
                return None;
            };
            let is_return = rest.get(found) == Some(&b'\r');
            from += found + 1;
            if found == 0 && !is_return && self.after_carriage_return {
                self.after_carriage_return = false;
                continue;
            }
            let empty = found == 0 && self.line_is_empty;
            self.line_is_empty = true;
            self.after_carriage_return = is_return;
            if empty {
                return Some(from);
            }
        }
        None
    }
}

fn read(raw: &[u8]) -> Event<'_> {
    let text = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    let mut data: Option<Cow<'_, [u8]>> = None;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(value) = field(line, b"data") else { continue };
        data = Some(match data {
            None => Cow::Borrowed(value),
            Some(before) => {
                let mut joined = before.into_owned();
                joined.push(b'\n');
                joined.extend_from_slice(value);
                Cow::Owned(joined)
            }
        });
    }
    Event { raw, data }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Appends one event with `data`, whose line ends become further `data` lines.
pub fn write_event(out: &mut Vec<u8>, data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// How a stream of events ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamEnd {
    /// The provider said that it was done. Otherwise the stream was cut or failed.
    pub complete: bool,
    /// What the provider says was used, where it came to say so.
    pub usage: Option<domain::usage::Usage>,
}
