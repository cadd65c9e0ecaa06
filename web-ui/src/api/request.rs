//! One request and its answer, by the browser's `fetch`.

use std::cell::Cell;
use std::rc::Rc;

use admin_types::problem::Problem;
use gloo_net::http::{Method, RequestBuilder, Response};
use leptos::prelude::{TimeoutHandle, set_timeout_with_handle};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;
use web_sys::AbortController;

use super::failure::Failure;
use super::wire::is_header_value;

/// How long an ordinary answer may take.
pub(crate) const PATIENCE_MS: u64 = 30_000;
/// The same for what works long, such as tests of providers and imports.
pub(crate) const LONG_PATIENCE_MS: u64 = 300_000;

/// What is sent. It can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<JsValue>,
    pub(crate) patience_ms: u64,
}

impl Call {
    pub(crate) fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: None, patience_ms: PATIENCE_MS }
    }

    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    pub(crate) fn post(url: impl Into<String>) -> Self {
        Self::new(Method::POST, url)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Only if it is still this version.
    pub(crate) fn if_match(self, version: Option<&str>) -> Self {
        match version {
            Some(version) => self.header("If-Match", version),
            None => self,
        }
    }

    pub(crate) fn json(self, body: &impl Serialize) -> Result<Self, Failure> {
        let text = serde_json::to_string(body).map_err(|error| Failure::Unreadable(error.to_string()))?;
        let mut call = self.header("Content-Type", "application/json");
        call.body = Some(JsValue::from_str(&text));
        Ok(call)
    }

    /// A text, a `Blob` or a `FormData`; the last brings its own content type.
    pub(crate) fn raw(mut self, content_type: Option<&str>, body: impl Into<JsValue>) -> Self {
        if let Some(content_type) = content_type {
            self = self.header("Content-Type", content_type);
        }
        self.body = Some(body.into());
        self
    }

    pub(crate) fn patience_ms(mut self, patience_ms: u64) -> Self {
        self.patience_ms = patience_ms;
        self
    }

    /// Sends it, with this bearer.
    pub(crate) async fn send(&self, bearer: Option<&str>) -> Result<Answer, Failure> {
        let leash = Leash::new(self.patience_ms)?;
        let mut builder =
            RequestBuilder::new(&self.url).method(self.method.clone()).abort_signal(Some(&leash.controller.signal()));
        for (name, value) in &self.headers {
            if is_header_value(value) {
                builder = builder.header(name, value);
            }
        }
        if let Some(bearer) = bearer {
            // What cannot stand in a header is no token, and the server says so.
            let bearer = if is_header_value(bearer) { bearer } else { "-" };
            builder = builder.header("Authorization", &format!("Bearer {bearer}"));
        }
        let request = match &self.body {
            Some(body) => builder.body(body.clone()),
            None => builder.build(),
        };
        let sent = match request {
            Ok(request) => request.send().await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) => Ok(Answer { response, leash }),
            Err(error) => Err(leash.failure(&error)),
        }
    }
}

/// Ends a request that takes too long or that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct Leash {
    controller: AbortController,
    timer: Cell<Option<TimeoutHandle>>,
    is_late: Rc<Cell<bool>>,
}

impl Leash {
    fn new(patience_ms: u64) -> Result<Self, Failure> {
        let controller = AbortController::new().map_err(|error| Failure::Network(format!("{error:?}")))?;
        let is_late = Rc::new(Cell::new(false));
        let timer = {
            let (controller, is_late) = (controller.clone(), Rc::clone(&is_late));
            let end = move || {
                is_late.set(true);
                controller.abort();
            };
            set_timeout_with_handle(end, std::time::Duration::from_millis(patience_ms)).ok()
        };
        Ok(Self { controller, timer: Cell::new(timer), is_late })
    }

    /// It may take as long as it likes from now on.
    pub(crate) fn loosen(&self) {
        if let Some(timer) = self.timer.take() {
            timer.clear();
        }
    }

    /// Ends the request.
    pub(crate) fn controller(&self) -> AbortController {
        self.controller.clone()
    }

    pub(crate) fn failure(&self, error: &gloo_net::Error) -> Failure {
        if self.is_late.get() {
            return Failure::Timeout;
        }
        if self.controller.signal().aborted() {
            return Failure::Cancelled;
        }
        Failure::Network(error.to_string())
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.loosen();
        self.controller.abort();
    }
}

/// What was answered, as far as its headers.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    leash: Leash,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    pub(crate) fn ok(&self) -> bool {
        self.response.ok()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name)
    }

    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.header("retry-after")?.trim().parse().ok()
    }

    pub(crate) async fn text(&self) -> Result<String, Failure> {
        self.response.text().await.map_err(|error| self.leash.failure(&error))
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let text = self.text().await?;
        serde_json::from_str(&text).map_err(|error| Failure::Unreadable(error.to_string()))
    }

    /// The body as it comes, and what ends it.
    pub(crate) fn body(self) -> (Option<web_sys::ReadableStream>, Leash) {
        let body = self.response.body();
        self.leash.loosen();
        (body, self.leash)
    }

    /// The answer, unless it is an error of the admin API.
    pub(crate) async fn accepted(self) -> Result<Self, Failure> {
        if self.ok() {
            return Ok(self);
        }
        let (status, wait) = (self.status(), self.retry_after());
        let text = self.text().await?;
        let problem = serde_json::from_str(&text).unwrap_or_else(|_| unknown_problem(status));
        Err(failure_of(problem, wait))
    }
}

pub(crate) fn failure_of(problem: Problem, wait: Option<u64>) -> Failure {
    match wait {
        Some(seconds) => Failure::Wait(Box::new(problem), seconds),
        None => Failure::Problem(Box::new(problem)),
    }
}

/// Where something before the server has answered.
fn unknown_problem(status: u16) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: "The server failed".to_owned(),
        status,
        code: "unknown".to_owned(),
        detail: format!("It answered with the status {status}. Try again in a moment."),
        instance: None,
        errors: Vec::new(),
    }
}
