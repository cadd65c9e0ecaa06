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
use crate::http::upload::Watched;

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
    let mut body = Watched::new(payload, worker.gateway.settings.timeouts.body_idle);
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| crate::http::upload::payload_error(&error, "body"))?;
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
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn too_long() -> GatewayError {
    GatewayError::caller(ErrorKind::FileTooLarge, format!("The body is longer than {MAX_JSON_BYTES} bytes."))
}
