//! A streaming parser for `multipart/form-data`: fields are kept, of the file only its beginning, size and CRC-32.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

/// Bytes of the file that are kept, for its format and length.
const HEAD_BYTES: usize = 4096;
/// Longest field or part header that is accepted.
const MAX_FIELD_BYTES: usize = 2 * 1024 * 1024;

/// The file of a form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct FilePart {
    /// `filename` of the part.
    pub name: String,
    /// `Content-Type` of the part, empty when absent.
    pub content_type: String,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 over all its bytes.
    pub crc32: u32,
    #[serde(skip)]
    pub(super) head: Vec<u8>,
}

/// A form, read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) fields: Vec<(String, String)>,
    pub(super) file: Option<FilePart>,
}

impl Form {
    /// The first field of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field of this name or its `name[]` and `name[…]` forms is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(have, _)| base_name(have) == name)
    }

    /// All values of `name` and `name[]`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(have, _)| base_name(have) == name).map(|(_, value)| value.as_str())
    }
}

/// `chunking_strategy` of `chunking_strategy[type]`.
pub(super) fn base_name(field: &str) -> &str {
    field.split('[').next().unwrap_or(field)
}

/// The `boundary` parameter of a content type.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    Some(value.trim().trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}

/// Where the parser stands.
#[derive(Debug)]
enum State {
    Preamble,
    /// Just behind a delimiter: a line end for another part or `--` for the end.
    Delimiter,
    Headers,
    Body(Part),
    End,
}

#[derive(Debug)]
enum Part {
    Field(String, Vec<u8>),
    File(FilePart, crc32fast::Hasher),
}

/// Feed it bytes as they arrive.
#[derive(Debug)]
pub(super) struct Parser {
    delimiter: Vec<u8>,
    finder: Finder<'static>,
    buffer: BytesMut,
    state: State,
    form: Form,
}

impl Parser {
    pub(super) fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        let finder = Finder::new(&delimiter).into_owned();
        // The first delimiter has no line end before it; giving it one lets one search find them all.
        Self { delimiter, finder, buffer: BytesMut::from("\r\n"), state: State::Preamble, form: Form::default() }
    }

    /// Takes the next bytes; an error is the sentence to answer.
    pub(super) fn push(&mut self, bytes: &Bytes) -> Result<(), String> {
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        Ok(())
    }

    /// The form, when its closing delimiter has come.
    pub(super) fn finish(self) -> Result<Form, String> {
        if matches!(self.state, State::End) { Ok(self.form) } else { Err("The form ends before its boundary.".into()) }
    }

    /// Advances once; `false` when more bytes are needed.
    fn step(&mut self) -> Result<bool, String> {
        match std::mem::replace(&mut self.state, State::End) {
            State::Preamble => self.preamble(),
            State::Delimiter => self.delimiter(),
            State::Headers => self.headers(),
            State::Body(part) => self.body(part),
            State::End => {
                self.buffer.clear();
                Ok(false)
            }
        }
    }

    fn preamble(&mut self) -> Result<bool, String> {
        if let Some(at) = self.finder.find(&self.buffer) {
            self.buffer.advance(at + self.delimiter.len());
            self.state = State::Delimiter;
            return Ok(true);
        }
        self.state = State::Preamble;
        if self.buffer.len() > MAX_FIELD_BYTES {
            return Err("The form does not begin with its boundary.".into());
        }
        Ok(false)
    }

    fn delimiter(&mut self) -> Result<bool, String> {
        if self.buffer.len() < 2 {
            self.state = State::Delimiter;
            return Ok(false);
        }
        if self.buffer.starts_with(b"--") {
            return Ok(true);
        }
        if !self.buffer.starts_with(b"\r\n") {
            return Err("A boundary is not followed by a line end.".into());
        }
        // The line end stays: with it, a part without headers also ends its headers with an empty line.
        self.state = State::Headers;
        Ok(true)
    }

    fn headers(&mut self) -> Result<bool, String> {
        let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
            self.state = State::Headers;
            if self.buffer.len() > MAX_FIELD_BYTES {
                return Err("The headers of a part are too long.".into());
            }
            return Ok(false);
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        self.state = State::Body(new_part(&String::from_utf8_lossy(&head))?);
        Ok(true)
    }

    fn body(&mut self, mut part: Part) -> Result<bool, String> {
        if let Some(at) = self.finder.find(&self.buffer) {
            let last = self.buffer.split_to(at);
            take(&mut part, &last)?;
            self.buffer.advance(self.delimiter.len());
            self.close(part)?;
            self.state = State::Delimiter;
            return Ok(true);
        }
        let safe = self.buffer.len().saturating_sub(self.delimiter.len());
        let ready = self.buffer.split_to(safe);
        take(&mut part, &ready)?;
        self.state = State::Body(part);
        Ok(false)
    }

    fn close(&mut self, part: Part) -> Result<(), String> {
        match part {
            Part::Field(name, value) => {
                let value = String::from_utf8(value).map_err(|_| format!("The field '{name}' is not UTF-8."))?;
                self.form.fields.push((name, value));
            }
            Part::File(mut file, crc) => {
                if self.form.file.is_some() {
                    return Err("The form has two files.".into());
                }
                file.crc32 = crc.finalize();
                self.form.file = Some(file);
            }
        }
        Ok(())
    }
}

fn take(part: &mut Part, bytes: &[u8]) -> Result<(), String> {
    match part {
        Part::Field(name, value) => {
            if value.len() + bytes.len() > MAX_FIELD_BYTES {
                return Err(format!("The field '{name}' is too long."));
            }
            value.extend_from_slice(bytes);
        }
        Part::File(file, crc) => {
            let wanted = HEAD_BYTES.saturating_sub(file.head.len()).min(bytes.len());
            file.head.extend(bytes.iter().take(wanted));
            file.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            crc.update(bytes);
        }
    }
    Ok(())
}

fn new_part(head: &str) -> Result<Part, String> {
    let mut name = None;
    let mut file_name = None;
    let mut content_type = String::new();
    for line in head.split("\r\n") {
        let Some((header, value)) = line.split_once(':') else { continue };
        if header.eq_ignore_ascii_case("content-disposition") {
            name = parameter(value, "name");
            file_name = parameter(value, "filename");
        } else if header.eq_ignore_ascii_case("content-type") {
            value.trim().clone_into(&mut content_type);
        }
    }
    let name = name.ok_or("A part has no name.")?;
    Ok(match file_name {
        Some(file_name) if name == "file" => {
            Part::File(FilePart { name: file_name, content_type, ..FilePart::default() }, crc32fast::Hasher::new())
        }
        Some(_) => return Err(format!("The field '{name}' must not be a file.")),
        None => Part::Field(name, Vec::new()),
    })
}

fn parameter(value: &str, wanted: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Reads a whole request body as a form; `received` is told of every piece's size.
pub(super) async fn read(body: &mut Incoming, boundary: &str, mut received: impl FnMut(usize)) -> Result<Form, String> {
    let mut parser = Parser::new(boundary);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("The upload broke off: {error}."))?;
        if let Some(data) = frame.data_ref() {
            received(data.len());
            parser.push(data)?;
        }
    }
    parser.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--B\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/x-wav\r\n\r\n\
        ab\r\n--not the end\r\n--B\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\r\n--B--\r\n";

    fn parse(step: usize) -> Form {
        let mut parser = Parser::new("B");
        for piece in FORM.as_bytes().chunks(step) {
            parser.push(&Bytes::copy_from_slice(piece)).unwrap();
        }
        parser.finish().unwrap()
    }

    #[test]
    fn any_split_gives_the_same_form() {
        let whole = parse(FORM.len());
        assert_eq!(whole.get("model"), Some("whisper-1"));
        assert_eq!(whole.get("prompt"), Some(""));
        let file = whole.file.clone().unwrap();
        assert_eq!((file.name.as_str(), file.bytes), ("a.wav", 17));
        assert_eq!(file.head, b"ab\r\n--not the end");
        for step in 1..20 {
            assert_eq!(parse(step), whole, "pieces of {step} bytes");
        }
    }

    #[test]
    fn a_form_without_its_end_is_refused() {
        let mut parser = Parser::new("B");
        parser.push(&Bytes::from_static(b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhalf")).unwrap();
        assert!(parser.finish().is_err());
    }
}
