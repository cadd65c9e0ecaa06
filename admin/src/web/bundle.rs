//! The bundle that `cargo xtask web` makes: inside a release build, and in its folder for a debug build.

use std::borrow::Cow;

use rust_embed::Embed;

#[derive(Embed)]
#[folder = "../web-ui/dist"]
#[allow_missing = true]
struct Bundle;

/// One of its files.
pub(super) struct File {
    pub(super) data: Cow<'static, [u8]>,
    pub(super) sha256: [u8; 32],
}

impl File {
    /// Its strong entity tag. Encodings have their own, for they are other bytes.
    pub(super) fn tag(&self) -> String {
        let hash: String = self.sha256.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{hash}\"")
    }
}

/// The file at this path.
pub(super) fn find(path: &str) -> Option<File> {
    let file = Bundle::get(path)?;
    Some(File { data: file.data, sha256: file.metadata.sha256_hash() })
}

/// What browsers may ask for by its name: not the copies in other encodings, nor what is hidden.
pub(super) fn is_public(path: &str) -> bool {
    let is_copy = path.ends_with(".br") || path.ends_with(".gz");
    !path.is_empty() && !is_copy && path.split('/').all(|part| !part.starts_with('.'))
}

/// Whether the path is a file's, by its ending: names in a page's path may have points too.
pub(super) fn is_file(path: &str) -> bool {
    let extension = extension(path);
    TYPES.iter().any(|(known, _)| *known == extension) || matches!(extension, "br" | "gz" | "map")
}

/// What is in a file of this name.
pub(super) fn content_type(path: &str) -> &'static str {
    let extension = extension(path);
    TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, name)| name)
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

const TYPES: [(&str, &str); 14] = [
    ("bin", "application/octet-stream"),
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("mp3", "audio/mpeg"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
];
