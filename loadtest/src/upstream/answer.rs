//! Answers in the shapes of the four kinds.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{Fault, Kind, body::ScriptBody, counts::Receipt, vendors};

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    /// 400 with a code and a parameter.
    pub(super) fn bad(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: Some(code), param: Some(param.to_owned()), message: message.into() }
    }

    /// A required field is absent.
    pub(super) fn missing(param: &str) -> Self {
        Self::bad("missing_required_parameter", param, format!("Missing required parameter: '{param}'."))
    }

    /// A status with a code and no parameter.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Some(code), param: None, message: message.into() }
    }
}

/// A status with the error body that this kind sends.
pub(super) fn refuse(kind: Kind, refusal: &Refusal) -> Response<ScriptBody> {
    let kind_of_error = match refusal.status {
        429 => "rate_limit_error",
        503 => "service_unavailable_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error = match kind {
        Kind::Elevenlabs => return vendors::elevenlabs::refuse(refusal),
        Kind::Deepgram => return vendors::deepgram::refuse(refusal),
        Kind::Google => return vendors::google::refuse(refusal),
        Kind::Ultravox => return vendors::ultravox::refuse(refusal),
        Kind::Azure => json!({
            "code": refusal.code.map_or_else(|| refusal.status.to_string(), str::to_owned), "message": refusal.message,
        }),
        Kind::Groq => json!({"message": refusal.message, "type": kind_of_error, "code": refusal.code}),
        Kind::Openai | Kind::SelfHosted => json!({
            "message": refusal.message, "type": kind_of_error, "param": refusal.param, "code": refusal.code,
        }),
    };
    json_answer(refusal.status, &json!({ "error": error }))
}

/// A JSON body with its length.
pub(super) fn json_answer(status: u16, body: &Value) -> Response<ScriptBody> {
    typed(status, "application/json", ScriptBody::whole(body.to_string()))
}

/// A body of any type.
pub(super) fn typed(status: u16, content_type: &'static str, body: ScriptBody) -> Response<ScriptBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A 200 that is booked when it was delivered, with the script's pace and cut applied to it.
pub(super) fn deliver(
    content_type: &'static str,
    body: ScriptBody,
    receipt: Receipt,
    fault: &Fault,
) -> Response<ScriptBody> {
    let pace = fault.chunk_ms.map(Duration::from_millis);
    typed(200, content_type, body.paced(pace).cut_after(fault.cut_after_bytes).booked(receipt))
}

/// The answer that the script gives instead of the normal one, if it gives any.
pub(super) fn scripted(kind: Kind, fault: &Fault) -> Option<Response<ScriptBody>> {
    if fault.html {
        let page = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>";
        return Some(typed(200, "text/html", ScriptBody::whole(page)));
    }
    if let Some(bytes) = fault.huge_bytes {
        let block = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
        let head = std::iter::once(bytes::Bytes::from_static(b"{\"text\":\"")).collect();
        let body = ScriptBody::pieces(head).then_repeat(block, bytes).cut_after(fault.cut_after_bytes);
        return Some(typed(200, "application/json", body));
    }
    let status = fault.status.or(fault.body.as_ref().map(|_| 200))?;
    let Some(body) = &fault.body else { return Some(refuse(kind, &scripted_refusal(status))) };
    let body = ScriptBody::whole(body.clone()).cut_after(fault.cut_after_bytes);
    Some(typed(status, "application/json", body))
}

fn scripted_refusal(status: u16) -> Refusal {
    let (code, message) = match status {
        401 => ("invalid_api_key", "Incorrect API key provided."),
        403 => ("permission_denied", "You do not have permission."),
        404 => ("model_not_found", "The model does not exist or you do not have access to it."),
        413 => ("request_too_large", "Maximum content size limit (26214400) exceeded."),
        429 => ("rate_limit_exceeded", "Rate limit reached. Please try again later."),
        503 => ("server_is_overloaded", "The server is overloaded. Please try again later."),
        500.. => ("server_error", "The server had an error while processing your request."),
        _ => ("invalid_value", "Refused by the script."),
    };
    Refusal::new(status, code, message)
}

/// Adds the script's headers.
pub(super) fn add_headers(response: &mut Response<ScriptBody>, fault: &Fault) {
    for (name, value) in &fault.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// `data:` lines, one piece each, with `[DONE]` where the endpoint ends so.
pub(super) fn events(events: impl IntoIterator<Item = Value>, done: bool) -> ScriptBody {
    let done = done.then(|| bytes::Bytes::from_static(b"data: [DONE]\n\n"));
    let lines = events.into_iter().map(|event| bytes::Bytes::from(format!("data: {event}\n\n")));
    ScriptBody::pieces(lines.chain(done).collect())
}
