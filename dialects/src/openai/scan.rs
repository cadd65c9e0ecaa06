//! Finds `type` at the top of an event without parsing the event.
//!
//! Strings are skipped with a vectorised search, so audio in base64 costs next to nothing, and an
//! event that begins with its type is recognised before its audio is looked at.

use std::borrow::Cow;

/// The string at `type` of a JSON object, or `None` where there is none or the text is no object.
/// Stops at the first `type`.
#[must_use]
pub fn event_type(frame: &str) -> Option<Cow<'_, str>> {
    let mut scanner = Scanner::open(frame)?;
    while let Some(key) = scanner.key() {
        if is(key, "type") {
            return scanner.string().and_then(decode);
        }
        scanner.skip_value()?;
        scanner.next_member()?;
    }
    None
}

/// As [`event_type`], but reads to the end of the object and finds nothing when `type` stands there
/// twice. Readers differ in which of two they take, so a peer that is not trusted could otherwise
/// show one to a gateway and the other to the provider.
#[must_use]
pub fn only_event_type(frame: &str) -> Option<Cow<'_, str>> {
    let mut scanner = Scanner::open(frame)?;
    let mut found = None;
    while let Some(key) = scanner.key() {
        if !is(key, "type") {
            scanner.skip_value()?;
        } else if found.is_none() {
            found = Some(scanner.string().and_then(decode)?);
        } else {
            return None;
        }
        if scanner.next_member()? == Member::Last {
            return found.filter(|_| scanner.is_at_end());
        }
    }
    None
}

fn is(raw: &str, name: &str) -> bool {
    raw == name || (raw.contains('\\') && decode(raw).is_some_and(|decoded| decoded == name))
}

fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    serde_json::from_str::<String>(&format!("\"{raw}\"")).ok().map(Cow::Owned)
}

#[derive(PartialEq, Eq)]
enum Member {
    More,
    Last,
}

struct Scanner<'a> {
    frame: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn open(frame: &'a str) -> Option<Self> {
        let mut scanner = Self { frame, at: 0 };
        scanner.expect(b'{')?;
        Some(scanner)
    }

    /// The text of the next key between its quotes; leaves the reader before the value.
    fn key(&mut self) -> Option<&'a str> {
        let key = self.string()?;
        self.expect(b':')?;
        Some(key)
    }

    /// The text of a string between its quotes, as it stands.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.end_of_string()?;
        self.frame.get(start..self.at.checked_sub(1)?)
    }

    /// Moves from within a string to behind its closing quote.
    fn end_of_string(&mut self) -> Option<()> {
        loop {
            let rest = self.frame.as_bytes().get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            if rest.get(found) == Some(&b'"') {
                self.at += found + 1;
                return Some(());
            }
            self.at += found + 2;
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        self.skip_space();
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    self.end_of_string()?;
                }
                b'{' | b'[' => {
                    self.at += 1;
                    depth += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                byte if byte.is_ascii_whitespace() => self.at += 1,
                byte if is_plain(byte) => {
                    while self.peek().is_some_and(is_plain) {
                        self.at += 1;
                    }
                }
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn next_member(&mut self) -> Option<Member> {
        self.skip_space();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(Member::More),
            b'}' => Some(Member::Last),
            _ => None,
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.frame.len()
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.skip_space();
        if self.peek()? != wanted {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.frame.as_bytes().get(self.at).copied()
    }
}

/// Letters of numbers, `true`, `false` and `null`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}
