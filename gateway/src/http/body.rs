//! JSON bodies: bounded, and read no slower than the floor for all bodies.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use domain::error::ErrorKind;
use domain::limits::MAX_JSON_BYTES;
use futures_util::StreamExt;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::watched::{Watched, payload_error};

/// Levels of a JSON body: the bound of the parser here.
const MAX_DEPTH: usize = 128;

/// Reads a request's whole body.
///
/// # Errors
/// It is encoded, too long or too slow.
pub async fn read_json(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<Bytes, GatewayError> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        let message = "Request bodies with a content encoding are not accepted here.";
        return Err(GatewayError::caller(ErrorKind::UnsupportedAudio, message));
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|value| value.parse::<usize>().ok()).is_some_and(|length| length > MAX_JSON_BYTES) {
        return Err(too_long());
    }
    let mut body = Watched::new(payload, worker.gateway.timeouts().body_idle);
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| payload_error(&error, "body"))?;
        if first.len().max(whole.len()) + chunk.len() > MAX_JSON_BYTES {
            return Err(too_long());
        }
        if first.is_empty() && whole.is_empty() {
            first = chunk;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&chunk);
        }
    }
    let body = if whole.is_empty() { first } else { whole.freeze() };
    if is_too_deep(&body) {
        return Err(GatewayError::invalid("body", format!("The body is nested deeper than {MAX_DEPTH} levels.")));
    }
    Ok(body)
}

/// Whether JSON is nested too deeply. What is forwarded without being understood would otherwise reach
/// parsers that recurse.
fn is_too_deep(json: &[u8]) -> bool {
    if memchr::memchr2_iter(b'{', b'[', json).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn too_long() -> GatewayError {
    GatewayError::caller(ErrorKind::FileTooLarge, format!("The body is longer than {MAX_JSON_BYTES} bytes."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nesting_counts_as_depth() {
        let nested = |levels: usize| format!("{}1{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 2).as_bytes()));
        assert!(!is_too_deep(format!("[{}]", "[],".repeat(1000)).as_bytes()), "wide is not deep");
        assert!(!is_too_deep(format!(r#"["\\\"{}"]"#, "[".repeat(1000)).as_bytes()), "text is not nested");
        assert!(is_too_deep(format!(r#"["\\",{}"#, "[".repeat(1000)).as_bytes()));
    }
}
