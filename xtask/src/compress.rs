//! Copies of a file in the encodings that browsers take.

use std::io::Write;

use anyhow::Result;

use crate::web::Mode;

/// A file's content, as it is and encoded; encodings that save nothing are left out.
pub(crate) struct Encoded {
    /// As it is.
    pub(crate) plain: Vec<u8>,
    /// Brotli.
    pub(crate) brotli: Option<Vec<u8>>,
    /// Gzip.
    pub(crate) gzip: Option<Vec<u8>>,
}

impl Encoded {
    /// Encodes a file of this name. Images and sound are compressed already.
    pub(crate) fn of(name: &str, plain: Vec<u8>, mode: Mode) -> Result<Self> {
        let is_text = matches!(
            name.rsplit_once('.').map_or("", |(_, extension)| extension),
            "bin" | "css" | "html" | "js" | "json" | "svg" | "txt" | "wasm" | "webmanifest"
        );
        if !is_text {
            return Ok(Self { plain, brotli: None, gzip: None });
        }
        let smaller = |encoded: Vec<u8>| (encoded.len() < plain.len()).then_some(encoded);
        let (brotli, gzip) = (smaller(brotli(&plain, mode)?), smaller(gzip(&plain, mode)?));
        Ok(Self { plain, brotli, gzip })
    }
}

fn brotli(plain: &[u8], mode: Mode) -> Result<Vec<u8>> {
    let quality = if mode == Mode::Release { 11 } else { 4 };
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, quality, 24);
    encoder.write_all(plain)?;
    encoder.flush()?;
    Ok(encoder.into_inner())
}

fn gzip(plain: &[u8], mode: Mode) -> Result<Vec<u8>> {
    let level = if mode == Mode::Release { flate2::Compression::best() } else { flate2::Compression::fast() };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}
