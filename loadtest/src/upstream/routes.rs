//! From a path to the part of the dialect that answers it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::{
    Fault, Kind, Request, Shared,
    answer::{self, Refusal},
    audit,
    body::ScriptBody,
    control,
    counts::Line,
    form::{self, Form},
    realtime, script, speech, text, transcription, vendors,
};

/// Largest JSON body that is read.
const MAX_JSON_BYTES: usize = 64 * 1024 * 1024;

/// What is known of a call while it is answered.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) kind: Kind,
    /// Path below the version, such as `audio/speech`.
    pub(super) path: &'a str,
    pub(super) parts: &'a Parts,
    /// What is remembered of it.
    pub(super) request: &'a mut Request,
}

impl Call<'_> {
    /// The line to count on, once the model is known; counts the request.
    pub(super) fn line(&self, model: &str) -> Arc<Line> {
        let line = self.shared.table.line(self.path, model);
        line.requests.fetch_add(1, Ordering::Relaxed);
        line
    }

    /// What the script wants of this request: a rule, else `script:` words in its texts, else the default.
    pub(super) fn fault(&self, model: &str, texts: &[&str]) -> Fault {
        let path = self.parts.uri.path();
        let words = || std::iter::once(model).chain(texts.iter().copied()).find_map(script::from_text);
        let fault = self.shared.take_rule(path, Some(model), false).or_else(words);
        let mut fault = fault.unwrap_or_else(|| self.shared.config.default_fault.clone());
        self.shared.behave(self.path, &mut fault);
        fault
    }

    /// Applies what comes before the answer; `Some` is sent instead of it.
    pub(super) async fn misbehave(&self, fault: &Fault, line: &Line) -> Option<Response<ScriptBody>> {
        if let Some(delay) = fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if fault.hang {
            std::future::pending::<()>().await;
        }
        let mut response = answer::scripted(self.kind, fault)?;
        answer::add_headers(&mut response, fault);
        line.refused.fetch_add(1, Ordering::Relaxed);
        Some(response)
    }
}

/// Where an upgraded connection leaves its session for the connection's task.
pub(super) type Slot = Arc<Mutex<Option<realtime::Pending>>>;

/// Answers one request.
pub(super) async fn handle(
    shared: Arc<Shared>,
    slot: Slot,
    request: http::Request<Incoming>,
) -> Result<Response<ScriptBody>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_") {
        return Ok(control::handle(&shared, &parts, body).await);
    }
    let mut record = audit::record(&parts);
    audit::check_head(&shared, &parts);
    let mut response = match answer(&shared, &slot, &mut record, parts, body).await {
        Ok(response) => response,
        Err(refusal) => answer::refuse(shared.config.kind, &refusal),
    };
    record.status = response.status().as_u16();
    shared.remember(record);
    let id = format!("req_{:016x}", shared.next_serial());
    if let Ok(id) = HeaderValue::try_from(id) {
        let name = if shared.config.kind == Kind::Azure { "apim-request-id" } else { "x-request-id" };
        response.headers_mut().insert(name, id);
    }
    Ok(response)
}

async fn answer(
    shared: &Shared,
    slot: &Slot,
    record: &mut Request,
    mut parts: Parts,
    body: Incoming,
) -> Result<Response<ScriptBody>, Refusal> {
    let kind = shared.config.kind;
    if kind == Kind::Elevenlabs {
        return vendors::elevenlabs::answer(shared, record, &parts, body).await;
    }
    if kind == Kind::Deepgram {
        return vendors::deepgram::answer(shared, record, &parts, body).await;
    }
    if kind == Kind::Google {
        return vendors::google::answer(shared, record, &parts, body).await;
    }
    if kind == Kind::Ultravox {
        return vendors::ultravox::answer(shared, record, &parts, body).await;
    }
    let full_path = parts.uri.path().to_owned();
    let path = below_version(kind, &parts)?;
    if path == "realtime" {
        return realtime::upgrade(shared, slot, record, &mut parts);
    }
    audit::check_credential(shared, &parts.headers)?;
    if kind == Kind::Groq && !parts.headers.contains_key("user-agent") {
        return Err(Refusal::new(403, "1010", "error code: 1010"));
    }
    if let Some(fault) = shared.take_rule(&full_path, None, true) {
        return early(kind, &fault).await;
    }
    let post = parts.method == http::Method::POST;
    let parts = &parts;
    let mut call = Call { shared, kind, path: &path, parts, request: record };
    match path.as_str() {
        "audio/transcriptions" | "audio/translations" if post => transcription::answer(&mut call, body).await,
        "audio/speech" if post => speech::answer(&mut call, body).await,
        "chat/completions" if post => text::chat(&mut call, body).await,
        "embeddings" if post && kind != Kind::Groq => text::embeddings(&mut call, body).await,
        "models" if !post => Ok(text::models(kind)),
        other if !post && other.starts_with("models/") => text::model(kind, other.trim_start_matches("models/")),
        _ => Err(unknown_path(&parts.method, &full_path)),
    }
}

/// What is answered before a body is read.
pub(super) async fn early(kind: Kind, fault: &Fault) -> Result<Response<ScriptBody>, Refusal> {
    if fault.hang {
        std::future::pending::<()>().await;
    }
    let mut response = answer::scripted(kind, fault)
        .ok_or_else(|| Refusal::new(500, "server_error", "An early rule needs a status, a body or html."))?;
    answer::add_headers(&mut response, fault);
    Ok(response)
}

/// The path behind the version prefix that this kind has; Azure's deployments style too.
fn below_version(kind: Kind, parts: &Parts) -> Result<String, Refusal> {
    let path = parts.uri.path();
    let below = match kind {
        Kind::Openai | Kind::SelfHosted => path.strip_prefix("/v1/"),
        Kind::Groq => path.strip_prefix("/openai/v1/"),
        Kind::Elevenlabs | Kind::Deepgram | Kind::Google | Kind::Ultravox => None,
        Kind::Azure => match path.strip_prefix("/openai/deployments/").and_then(|rest| rest.split_once('/')) {
            Some((_, below)) if parts.uri.query().unwrap_or_default().contains("api-version=") => Some(below),
            Some(_) => None,
            None => path.strip_prefix("/openai/v1/"),
        },
    };
    below.map(str::to_owned).ok_or_else(|| unknown_path(&parts.method, path))
}

/// No such path.
pub(super) fn unknown_path(method: &http::Method, path: &str) -> Refusal {
    Refusal::new(404, "not_found", format!("Invalid URL ({method} {path})"))
}

/// Reads a JSON body, checks it for leaks and unknown fields, and remembers it.
pub(super) async fn read_json(
    call: &mut Call<'_>,
    body: Incoming,
    known: Option<&[&str]>,
) -> Result<Arc<Value>, Refusal> {
    let is_json = content_type(call.parts).split(';').next().is_some_and(|kind| kind.trim() == "application/json");
    if !is_json {
        return Err(Refusal::new(415, "unsupported_content_type", "Send the body as application/json."));
    }
    let raw: Bytes = http_body_util::Limited::new(body, MAX_JSON_BYTES)
        .collect()
        .await
        .map_err(|error| Refusal::new(400, "invalid_request", format!("The body broke off: {error}.")))?
        .to_bytes();
    call.shared.received(raw.len());
    let value: Value = serde_json::from_slice(&raw)
        .map_err(|error| Refusal::new(400, "invalid_json", format!("We could not parse the JSON body: {error}.")))?;
    audit::check_json(call.shared, &raw, &value, known);
    call.request.json.clone_from(&value);
    Ok(Arc::new(value))
}

/// Reads a form, checks it for leaks and unknown fields, and remembers it.
pub(super) async fn read_form(call: &mut Call<'_>, mut body: Incoming, known: &[&str]) -> Result<Form, Refusal> {
    let boundary = form::boundary(content_type(call.parts))
        .ok_or_else(|| Refusal::new(400, "invalid_request", "Send the form as multipart/form-data with a boundary."))?;
    let shared = call.shared;
    let form = form::read(&mut body, &boundary, |bytes| shared.received(bytes))
        .await
        .map_err(|message| Refusal::new(400, "invalid_request", message))?;
    audit::check_form(shared, &form, known);
    call.request.fields.clone_from(&form.fields);
    call.request.file.clone_from(&form.file);
    Ok(form)
}

fn content_type(parts: &Parts) -> &str {
    parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A required, non-empty string of a JSON object.
pub(super) fn required<'a>(value: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    match value.get(name) {
        None | Some(Value::Null) => Err(Refusal::missing(name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refusal::bad("invalid_type", name, format!("Invalid type for '{name}': expected a string."))),
    }
}
