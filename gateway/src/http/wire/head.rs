//! What a request's head must be, and where its body ends.

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

/// A head that is whole and good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, the empty line included.
    pub length: usize,
    /// What follows it.
    pub framing: Framing,
    /// What the request is for.
    pub target: Target,
}

/// Whether the end of a head is in `bytes`, looked for from `from` on: so that a head which comes
/// byte by byte is not read anew with each of them.
///
/// # Errors
/// A line ends with a line feed alone.
pub fn has_end(bytes: &[u8], from: usize) -> Result<bool, HeadFault> {
    for at in memchr::memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
        let before = bytes.get(..from + at).unwrap_or_default();
        if before.ends_with(b"\r\n\r") {
            return Ok(true);
        }
        if !before.ends_with(b"\r") {
            return Err(HeadFault::BareLineFeed);
        }
    }
    Ok(false)
}

/// Reads the head at the start of `bytes`; `None` while its end has not come. What passes is read alike
/// by everybody, the server behind included.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Option<Head>, HeadFault> {
    // Some old clients end a body with an empty line that belongs to nothing.
    let start = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let Some((line, mut rest)) = next_line(start)? else { return Ok(None) };
    let asked = Asked::read(line)?;
    let mut said = Said::default();
    loop {
        let Some((line, after)) = next_line(rest)? else { return Ok(None) };
        rest = after;
        if line.is_empty() {
            break;
        }
        said.read(line)?;
    }
    let framing = said.framing(&asked)?;
    Ok(Some(Head { length: bytes.len() - rest.len(), framing, target: asked.target }))
}

/// A line and what follows it.
type Line<'a> = (&'a [u8], &'a [u8]);

fn next_line(bytes: &[u8]) -> Result<Option<Line<'_>>, HeadFault> {
    let Some((line, rest)) = memchr::memchr(b'\n', bytes).and_then(|feed| bytes.split_at_checked(feed)) else {
        return Ok(None);
    };
    let line = line.strip_suffix(b"\r").ok_or(HeadFault::BareLineFeed)?;
    Ok(Some((line, rest.get(1..).unwrap_or_default())))
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Whether this gateway lives and is ready: answered to the very end.
    Health,
    /// Anything else.
    Work,
}

/// What the first line asks for.
struct Asked {
    is_post: bool,
    is_connect: bool,
    is_1_1: bool,
    target: Target,
}

impl Asked {
    fn read(line: &[u8]) -> Result<Self, HeadFault> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(path), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HeadFault::Malformed);
        };
        let is_1_1 = version == b"HTTP/1.1";
        let is_method = !method.is_empty() && method.iter().all(|byte| token(*byte) > 0);
        if !is_method || !is_target(path) || !(is_1_1 || version == b"HTTP/1.0") {
            return Err(HeadFault::Malformed);
        }
        let target = if matches!(path, b"/healthz" | b"/readyz") { Target::Health } else { Target::Work };
        Ok(Self { is_post: method == b"POST", is_connect: method == b"CONNECT", is_1_1, target })
    }
}

/// Whether the server behind takes this for a target; usual ones need no second look.
fn is_target(path: &[u8]) -> bool {
    let is_usual = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~' | b'?' | b'=' | b'&' | b'%')
    };
    (path.starts_with(b"/") && path.iter().all(is_usual)) || (!has_control(path) && Uri::try_from(path).is_ok())
}

/// For each byte: 0 where a method or a header's name may not have it, 2 for the underscore, else 1.
#[expect(clippy::indexing_slicing, reason = "computed when it is compiled, within its bounds")]
static TOKEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'_' => 2,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => 1,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|' | b'~' => 1,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn token(byte: u8) -> u8 {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether a value has what no value may. Without an early end, so that many bytes are looked at at once.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f))
}

/// What the headers say about the body.
#[derive(Default)]
struct Said {
    headers: usize,
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    websocket: bool,
}

impl Said {
    fn read(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        let mut underscore = false;
        let end = line.iter().position(|byte| {
            let class = token(*byte);
            underscore |= class == 2;
            class == 0
        });
        let (name, value) = line.split_at_checked(end.unwrap_or_default()).unwrap_or_default();
        let value = value.strip_prefix(b":").filter(|value| !name.is_empty() && !has_control(value));
        let value = value.ok_or(HeadFault::Malformed)?;
        if underscore {
            return Err(HeadFault::Underscore);
        }
        self.headers += 1;
        if self.headers > MAX_HEADERS {
            return Err(HeadFault::TooLong);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.websocket |= value.trim_ascii().eq_ignore_ascii_case(b"websocket");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(value).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(HeadFault::Length)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadFault::Length);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, asked: &Asked) -> Result<Framing, HeadFault> {
        if self.hosts > 1 || (asked.is_1_1 && self.hosts == 0) {
            return Err(HeadFault::Host);
        }
        if self.chunked && (self.length.is_some() || !asked.is_1_1) {
            return Err(HeadFault::Length);
        }
        if !asked.is_1_1 && asked.is_post && self.length.is_none() && !self.websocket {
            return Err(HeadFault::Length);
        }
        Ok(match self.length {
            _ if self.chunked => Framing::Chunked,
            _ if self.websocket => Framing::Upgrade,
            Some(length) if length > 0 => Framing::Length(length),
            _ if asked.is_connect => Framing::Upgrade,
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
    use proptest::prelude::*;

    use super::*;

    fn whole(head: &str) -> Result<Head, HeadFault> {
        read(head.as_bytes()).map(|head| head.expect("it has an end"))
    }

    fn framing(lines: &str) -> Result<Framing, HeadFault> {
        whole(&format!("POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\n{lines}\r\n")).map(|head| head.framing)
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
        for cut in 0..27 {
            assert_eq!((has_end(&head[..cut], 0), read(&head[..cut])), (Ok(false), Ok(None)), "{cut}");
            assert_eq!(has_end(head, cut), Ok(true), "{cut}");
        }
        assert_eq!(read(head).map(|head| head.map(|head| head.length)), Ok(Some(27)));
        for bad in [&b"GET / HTTP/1.1\nhost: x\n\n"[..], b"\n", b"GET / HTTP/1.1\r\nhost: x\r\n\n"] {
            assert_eq!((has_end(bad, 0), read(bad)), (Err(HeadFault::BareLineFeed), Err(HeadFault::BareLineFeed)));
        }
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
            assert_eq!(whole(&format!("{bad}\r\nhost: x\r\n\r\n")), Err(HeadFault::Malformed), "{bad:?}");
        }
        assert_eq!(whole("GET / HTTP/1.1\r\n\r\n"), Err(HeadFault::Host));
        assert_eq!(whole("\r\n\r\n"), Err(HeadFault::Malformed));
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
            assert_eq!(whole(good).map(|head| head.length), Ok(good.len()), "{good:?}");
        }
        assert_eq!(whole("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").map(|head| head.target), Ok(Target::Health));
    }

    proptest! {
        /// The server behind parses with `httparse`: whatever passes here, it reads in the same way.
        #[test]
        fn what_passes_is_read_alike_by_the_server(
            line in "(GET|POST|get|G@T|GET ) {0,1}[ \t]/?[a-c*\"{}<é\\x01-]{0,5} HTTP/1\\.[01]\r",
            headers in proptest::collection::vec("[!-~]{0,6}[ \t]?:[ -~\t\u{1}\u{7f}é\r]{0,6}\r?", 0..6),
        ) {
            let head = format!("{line}\nhost: x\r\n{}\r\n", headers.iter().map(|line| format!("{line}\n")).collect::<String>());
            if let Ok(Some(passed)) = read(head.as_bytes()) {
                let mut parsed = [httparse::EMPTY_HEADER; MAX_HEADERS];
                let mut request = httparse::Request::new(&mut parsed);
                let status = request.parse(head.as_bytes());
                prop_assert_eq!(status, Ok(httparse::Status::Complete(passed.length)), "{:?}", head);
                prop_assert_eq!(request.headers.len(), headers.len() + 1, "{:?}", head);
                prop_assert!(Uri::try_from(request.path.unwrap()).is_ok(), "{:?}", head);
            }
        }
    }
}
