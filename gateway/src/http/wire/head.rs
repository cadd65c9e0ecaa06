//! What a request's head must be, and where its body ends.

use std::mem::MaybeUninit;

use actix_web::http::Uri;

/// Headers of one request; the server behind takes as many.
const MAX_HEADERS: usize = 96;
/// Digits of a length: more would not fit into 64 bits.
const MAX_LENGTH_DIGITS: usize = 19;

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// A line ends with a line feed alone.
    BareLineFeed,
    /// It is not HTTP: folded lines, NUL, spaces in names, a target that is none.
    Malformed,
    /// Many servers read `content_length` as `content-length`.
    Underscore,
    /// Two lengths, a length that is no number, a length beside chunks, an unknown coding.
    Length,
    /// No `host`, or two.
    Host,
    /// More bytes or more headers than are read.
    TooLong,
    /// It was not complete in time.
    TooSlow,
    /// The connection was opened after the gateway began to stop.
    Draining,
}

impl HeadFault {
    const ALL: [(Self, &'static str); 8] = [
        (Self::BareLineFeed, "bare-line-feed"),
        (Self::Malformed, "malformed"),
        (Self::Underscore, "underscore"),
        (Self::Length, "length"),
        (Self::Host, "host"),
        (Self::TooLong, "too-long"),
        (Self::TooSlow, "too-slow"),
        (Self::Draining, "draining"),
    ];

    /// The last part of the path that stands for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).map_or("malformed", |(_, name)| name)
    }

    /// The fault with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(fault, _)| *fault)
    }
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Another head, or nothing.
    None,
    /// A body of this many bytes.
    Length(u64),
    /// A body in chunks.
    Chunked,
    /// Whatever comes until the connection ends.
    Upgrade,
}

/// Looks for the end of a head, from `from` on. Gives the index after it.
///
/// # Errors
/// A line ends with a line feed alone.
pub fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, HeadFault> {
    for at in memchr::memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
        let feed = from + at;
        let before = bytes.get(..feed).unwrap_or_default();
        if before.ends_with(b"\r\n\r") {
            return Ok(Some(feed + 1));
        }
        if !before.ends_with(b"\r") {
            return Err(HeadFault::BareLineFeed);
        }
    }
    Ok(None)
}

/// Checks a whole head. Whatever passes is read alike by everybody, the server behind included.
///
/// # Errors
/// What is wrong with it.
pub fn check(head: &[u8]) -> Result<(Framing, Target), HeadFault> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooLong),
        _ => return Err(HeadFault::Malformed),
    }
    let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HeadFault::Malformed);
    };
    if !is_plain(path) && Uri::try_from(path).is_err() {
        return Err(HeadFault::Malformed);
    }
    let said = Said::of(request.headers)?;
    let framing = said.framing(method, minor == 1)?;
    let target = if matches!(path, "/healthz" | "/readyz") { Target::Health } else { Target::Work };
    Ok((framing, target))
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Whether this gateway lives and is ready: answered to the very end.
    Health,
    /// Anything else.
    Work,
}

/// A path that needs no second look.
fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && path.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~' | b'?' | b'=' | b'&' | b'%')
        })
}

/// What the headers say about the body.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    websocket: bool,
}

impl Said {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Self, HeadFault> {
        let mut said = Self::default();
        for header in headers {
            let name = header.name;
            if name.as_bytes().contains(&b'_') {
                return Err(HeadFault::Underscore);
            }
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => said.hosts += 1,
                7 if name.eq_ignore_ascii_case("upgrade") => {
                    said.websocket |= header.value.trim_ascii().eq_ignore_ascii_case(b"websocket");
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let length = parse_length(header.value).filter(|_| said.length.is_none());
                    said.length = Some(length.ok_or(HeadFault::Length)?);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if said.chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                        return Err(HeadFault::Length);
                    }
                    said.chunked = true;
                }
                _ => {}
            }
        }
        Ok(said)
    }

    fn framing(&self, method: &str, is_1_1: bool) -> Result<Framing, HeadFault> {
        if self.hosts > 1 || (is_1_1 && self.hosts == 0) {
            return Err(HeadFault::Host);
        }
        if self.chunked && (self.length.is_some() || !is_1_1) {
            return Err(HeadFault::Length);
        }
        if !is_1_1 && method == "POST" && self.length.is_none() && !self.websocket {
            return Err(HeadFault::Length);
        }
        Ok(match self.length {
            _ if self.chunked => Framing::Chunked,
            _ if self.websocket => Framing::Upgrade,
            Some(length) if length > 0 => Framing::Length(length),
            _ if method == "CONNECT" => Framing::Upgrade,
            _ => Framing::None,
        })
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.len() > MAX_LENGTH_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(lines: &str) -> Result<Framing, HeadFault> {
        check(format!("POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\n{lines}\r\n").as_bytes())
            .map(|(framing, _)| framing)
    }

    #[test]
    fn every_name_stands_for_its_fault() {
        for (fault, name) in HeadFault::ALL {
            assert_eq!((fault.name(), HeadFault::named(name)), (name, Some(fault)));
        }
        assert_eq!(HeadFault::named("else"), None);
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_was_cut() {
        let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\nbody";
        for from in 0..26 {
            assert_eq!(find_end(head, from), Ok(Some(27)), "{from}");
        }
        for cut in 0..27 {
            assert_eq!(find_end(&head[..cut], 0), Ok(None), "{cut}");
        }
        assert_eq!(find_end(b"GET / HTTP/1.1\nhost: x\n\n", 0), Err(HeadFault::BareLineFeed));
        assert_eq!(find_end(b"\n", 0), Err(HeadFault::BareLineFeed));
    }

    #[test]
    fn a_body_has_one_length() {
        assert_eq!(framing(""), Ok(Framing::None));
        assert_eq!(framing("content-length: 0\r\n"), Ok(Framing::None));
        assert_eq!(framing("Content-Length: 17\r\n"), Ok(Framing::Length(17)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(framing("connection: Upgrade\r\nupgrade: WebSocket\r\n"), Ok(Framing::Upgrade));
        for bad in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: -1\r\n",
            "content-length: 0x5\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: \x0bchunked\r\n",
        ] {
            assert!(matches!(framing(bad), Err(HeadFault::Length | HeadFault::Malformed)), "{bad:?}");
        }
    }

    #[test]
    fn what_others_would_read_differently_is_refused() {
        for (bad, fault) in [
            ("x-a: 1\r\n 2\r\n", HeadFault::Malformed),
            ("x-a: a\0b\r\n", HeadFault::Malformed),
            ("x-a: a\rb\r\n", HeadFault::Malformed),
            ("x-a : 1\r\n", HeadFault::Malformed),
            ("x a: 1\r\n", HeadFault::Malformed),
            (": 1\r\n", HeadFault::Malformed),
            ("content_length: 5\r\n", HeadFault::Underscore),
            ("Host: y\r\n", HeadFault::Host),
        ] {
            assert_eq!(framing(bad), Err(fault), "{bad:?}");
        }
        let many: String = (0..97).map(|at| format!("x-{at}: 1\r\n")).collect();
        assert_eq!(framing(&many), Err(HeadFault::TooLong));
        for bad in ["GET  / HTTP/1.1", "GET / HTTP/2.0", "G\0T / HTTP/1.1", "GET /\u{7f} HTTP/1.1", "GET /a b HTTP/1.1"]
        {
            assert_eq!(check(format!("{bad}\r\nhost: x\r\n\r\n").as_bytes()), Err(HeadFault::Malformed), "{bad:?}");
        }
        assert_eq!(check(b"GET / HTTP/1.1\r\n\r\n"), Err(HeadFault::Host));
        assert_eq!(check(b"\r\n\r\n"), Err(HeadFault::Malformed));
    }

    #[test]
    fn good_heads_pass() {
        for good in [
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET http://gateway/v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v1/realtime?model=a%2Fb&intent=transcription;x=(1) HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nhost: x\r\nx-name: na\u{ef}ve \u{540d}\r\n\r\n",
        ] {
            assert!(check(good.as_bytes()).is_ok(), "{good:?}: {:?}", check(good.as_bytes()));
        }
        assert_eq!(check(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"), Ok((Framing::None, Target::Health)));
    }
}
