//! Follows a body in chunks to its end, without keeping any of it.

/// Digits of a chunk's size.
const MAX_SIZE_DIGITS: usize = 15;
/// Bytes of one body's chunk extensions and trailers: nobody needs any.
const MAX_EXTRAS: usize = 16 * 1024;

/// The body's framing is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunk;

/// Where in a body the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size {
        digits: usize,
    },
    /// Between a size and what ends its line.
    SizeSpace,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    /// At the start of a trailer's line; an empty one ends the body.
    Trailer,
    TrailerLine,
    TrailerFeed,
    EndFeed,
}

/// A body in chunks on its way in.
#[derive(Debug)]
pub struct Chunks {
    at: At,
    size: u64,
    extras: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size { digits: 0 }, size: 0, extras: 0 }
    }
}

impl Chunks {
    /// Follows more bytes. Gives how many belong to this body, and whether it ended with them.
    ///
    /// # Errors
    /// The framing is broken.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if self.at == At::Data {
                let left = bytes.len() - used;
                let taken = usize::try_from(self.size).unwrap_or(usize::MAX).min(left);
                self.size -= taken as u64;
                used += taken;
                if self.size == 0 {
                    self.at = At::DataReturn;
                }
                continue;
            }
            used += 1;
            if self.at == At::EndFeed && byte == b'\n' {
                return Ok((used, true));
            }
            self.at = self.step(byte)?;
        }
        Ok((used, false))
    }

    fn step(&mut self, byte: u8) -> Result<At, BadChunk> {
        Ok(match (self.at, byte) {
            (At::Size { digits }, byte) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = if digits == 0 { 0 } else { self.size * 16 } + u64::from(digit);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. } | At::SizeSpace | At::Extension, b'\r') => At::SizeFeed,
            (At::Size { digits: 1.. } | At::SizeSpace, b' ' | b'\t') => self.extra(At::SizeSpace)?,
            (At::Size { digits: 1.. } | At::SizeSpace, b';') => At::Extension,
            (At::Extension, byte) if byte == b'\t' || !byte.is_ascii_control() => self.extra(At::Extension)?,
            (At::SizeFeed, b'\n') if self.size > 0 => At::Data,
            (At::SizeFeed | At::TrailerFeed, b'\n') => At::Trailer,
            (At::DataReturn, b'\r') => At::DataFeed,
            (At::DataFeed, b'\n') => At::Size { digits: 0 },
            (At::Trailer, b'\r') => At::EndFeed,
            (At::TrailerLine, b'\r') => At::TrailerFeed,
            (At::Trailer | At::TrailerLine, byte) if byte == b'\t' || !byte.is_ascii_control() => {
                self.extra(At::TrailerLine)?
            }
            _ => return Err(BadChunk),
        })
    }

    fn extra(&mut self, next: At) -> Result<At, BadChunk> {
        self.extras += 1;
        if self.extras > MAX_EXTRAS { Err(BadChunk) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n00a;name=value\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n";

    #[test]
    fn a_body_ends_where_it_ends_however_it_was_cut() {
        let mut stream = BODY.to_vec();
        stream.extend_from_slice(b"GET / HTTP/1.1");
        for cut in 0..BODY.len() {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.follow(&stream[..cut]), Ok((cut, false)), "{cut}");
            assert_eq!(chunks.follow(&stream[cut..]), Ok((BODY.len() - cut, true)), "{cut}");
        }
        assert_eq!(Chunks::default().follow(b"0\r\n\r\nX"), Ok((5, true)));
    }

    #[test]
    fn broken_framing_is_an_error() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "5\nhello",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "5 5\r\n",
            "1234567890abcdef0\r\n",
            "0\r\n\n",
            "0\r\na\0\r\n",
        ] {
            assert_eq!(Chunks::default().follow(format!("{bad}\r\n\r\nrest").as_bytes()), Err(BadChunk), "{bad:?}");
        }
        let long = format!("5;{}\r\n", "a".repeat(MAX_EXTRAS + 1));
        assert_eq!(Chunks::default().follow(long.as_bytes()), Err(BadChunk));
    }
}
