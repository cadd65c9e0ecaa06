//! `multipart/form-data` as it is sent: text parts, then the file, whose bytes the caller streams.

use domain::transcription::FormField;

/// Everything before the file's first byte: one part for each field, then the head of the part `file`.
/// `boundary` must not occur in any value. Names are stripped of what could end a header line or
/// leave a folder.
#[must_use]
pub fn preamble(boundary: &str, fields: &[FormField], file_name: &str, content_type: &str) -> Vec<u8> {
    let values: usize = fields.iter().map(|(name, value)| name.len() + value.len() + boundary.len() + 64).sum();
    let mut out = Vec::with_capacity(values + boundary.len() + file_name.len() + content_type.len() + 128);
    texts(&mut out, boundary, fields);
    head(&mut out, boundary, "file");
    out.extend_from_slice(b"; filename=\"");
    out.extend_from_slice(clean_file_name(file_name).as_bytes());
    out.extend_from_slice(b"\"\r\nContent-Type: ");
    out.extend_from_slice(clean_content_type(content_type).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// Everything after the file's last byte, where more text follows it.
#[must_use]
pub fn ending(boundary: &str, fields: &[FormField]) -> Vec<u8> {
    let mut out = b"\r\n".to_vec();
    out.extend_from_slice(&without_file(boundary, fields));
    out
}

/// A whole form without a file.
#[must_use]
pub fn without_file(boundary: &str, fields: &[FormField]) -> Vec<u8> {
    let mut out = Vec::new();
    texts(&mut out, boundary, fields);
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

fn texts(out: &mut Vec<u8>, boundary: &str, fields: &[FormField]) {
    for (name, value) in fields {
        head(out, boundary, name);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Everything after the file's last byte.
#[must_use]
pub fn trailer(boundary: &str) -> Vec<u8> {
    format!("\r\n--{boundary}--\r\n").into_bytes()
}

fn head(out: &mut Vec<u8>, boundary: &str, name: &str) {
    out.extend_from_slice(b"--");
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"");
    out.extend(name.bytes().filter(|byte| !byte.is_ascii_control() && *byte != b'"'));
    out.push(b'"');
}

/// A name that stays one name: providers read the format from its extension, so that is kept.
fn clean_file_name(name: &str) -> String {
    const LONGEST: usize = 128;
    let kept: Vec<char> =
        name.chars().filter(|letter| !letter.is_control() && !matches!(letter, '"' | '/' | '\\' | ';')).collect();
    let end = kept.iter().skip(kept.len().saturating_sub(LONGEST)).collect::<String>();
    if end.trim_matches('.').trim().is_empty() { "audio".to_owned() } else { end }
}

fn clean_content_type(content_type: &str) -> String {
    let clean: String = content_type.chars().filter(|letter| letter.is_ascii() && !letter.is_ascii_control()).collect();
    if clean.contains('/') { clean } else { "application/octet-stream".to_owned() }
}
