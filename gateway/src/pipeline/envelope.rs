//! What surrounds a file on its way to a provider: a form's parts, JSON's text, or nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dialects::contract::UploadBody;
use dialects::multipart;
use uuid::Uuid;

/// The wrapping of one file for one provider.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// Content type of the request.
    pub(crate) content_type: String,
    /// Bytes before the file.
    pub(crate) head: Vec<u8>,
    /// Bytes after the file.
    pub(crate) tail: Vec<u8>,
    /// The file's own bytes on the wire.
    pub(crate) encoding: Encoding,
}

/// How a file's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are.
    Plain,
    /// In base64.
    Base64,
}

impl Envelope {
    /// For a file of this name and content type, as its sender called them.
    pub(crate) fn new(body: &UploadBody, file_name: &str, content_type: &str) -> Self {
        match body {
            UploadBody::Form(fields) => {
                let boundary = format!("antiphon-{}", Uuid::now_v7().simple());
                Self {
                    content_type: format!("multipart/form-data; boundary={boundary}"),
                    head: multipart::preamble(&boundary, fields, file_name, content_type),
                    tail: multipart::trailer(&boundary),
                    encoding: Encoding::Plain,
                }
            }
            UploadBody::Raw(content_type) => Self {
                content_type: (*content_type).to_owned(),
                head: Vec::new(),
                tail: Vec::new(),
                encoding: Encoding::Plain,
            },
            UploadBody::Base64 { before, after } => Self {
                content_type: "application/json".to_owned(),
                head: before.clone(),
                tail: after.clone(),
                encoding: Encoding::Base64,
            },
        }
    }
}

impl Encoding {
    /// Bytes that a file of this length becomes.
    pub(crate) const fn length(self, file: u64) -> u64 {
        match self {
            Self::Plain => file,
            Self::Base64 => file.div_ceil(3).saturating_mul(4),
        }
    }
}

/// Writes a file piece by piece. Base64 takes three bytes at a time, so up to two wait for the next piece.
#[derive(Debug)]
pub(crate) struct Encoder {
    encoding: Encoding,
    waiting: Vec<u8>,
}

impl Encoder {
    /// For the start of a file.
    pub(crate) const fn new(encoding: Encoding) -> Self {
        Self { encoding, waiting: Vec::new() }
    }

    /// The next piece as it goes out; it may be empty.
    pub(crate) fn piece(&mut self, piece: Bytes) -> Bytes {
        if self.encoding == Encoding::Plain {
            return piece;
        }
        self.waiting.extend_from_slice(&piece);
        let whole = self.waiting.len() - self.waiting.len() % 3;
        let text = BASE64.encode(self.waiting.get(..whole).unwrap_or_default());
        self.waiting.drain(..whole);
        text.into()
    }

    /// What is left at the end of the file.
    pub(crate) fn rest(&mut self) -> Bytes {
        BASE64.encode(std::mem::take(&mut self.waiting)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_in_pieces_is_base64_of_the_whole() {
        for length in [0, 1, 2, 3, 10, 100] {
            let file: Vec<u8> = (0..length).collect();
            for size in [1, 2, 3, 7, 100] {
                let mut encoder = Encoder::new(Encoding::Base64);
                let mut text = Vec::new();
                for piece in file.chunks(size) {
                    text.extend_from_slice(&encoder.piece(Bytes::copy_from_slice(piece)));
                }
                text.extend_from_slice(&encoder.rest());
                assert_eq!(text, BASE64.encode(&file).into_bytes());
                assert_eq!(text.len() as u64, Encoding::Base64.length(u64::from(length)));
            }
        }
    }
}
