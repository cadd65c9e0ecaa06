//! Spans of calls and sessions, for a collector of `OpenTelemetry`'s: one for the request, below it one for each
//! phase, each provider that was asked, and each turn of a session. A call that is not sampled has none, and costs
//! nothing. Names follow the semantic conventions for HTTP and for generative AI; what these have no name for begins
//! with `antiphon.`. What somebody said, a file, a transcript or a credential is in none of them; names that clients
//! and providers give (models, tools, responses) are, cut short.

mod attempts;
mod turns;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use domain::error::ErrorKind;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};

use crate::ledger::UsageRecord;
use crate::pipeline::meter::CallFacts;
use crate::pipeline::route::Candidate;
use attempts::Attempt;
use turns::{Tool, Turn};

/// Where spans go, and what is done with those of others.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Makes them, and decides which calls have any.
    pub tracer: SdkTracer,
    /// A call that comes with a `traceparent` is a part of that trace, and sampled where that is; otherwise it begins
    /// a trace of its own, with a link to that one.
    pub follows_callers: bool,
    /// Providers that are told of the trace, by the names they are configured by; `*` for all.
    pub propagates_to: Vec<String>,
}

impl Tracing {
    fn tells(&self, provider: &str) -> bool {
        self.propagates_to.iter().any(|name| name == provider || name == "*")
    }
}

/// The spans of one call or session, which all who hold it share. The span of the request ends with the last of them.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<Spans>>);

#[derive(Debug)]
struct Spans {
    tracing: Arc<Tracing>,
    /// With the span of the request.
    request: Context,
    /// One moment by both clocks: lengths come from the one that nobody sets.
    arrived: (Instant, SystemTime),
    open: Mutex<Open>,
}

/// Spans that have not ended.
#[derive(Debug, Default)]
struct Open {
    attempts: Vec<Attempt>,
    /// One that was not asked after all, and will be asked for something else.
    aside: Option<Attempt>,
    /// Since when somebody waits for the turn that comes next.
    awaited: Option<Instant>,
    turns: Vec<Turn>,
    tools: Vec<Tool>,
}

/// A phase of a call; it ends when this is dropped.
#[derive(Debug)]
pub struct Phase(Option<(Arc<Spans>, Span)>);

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some((spans, span)) = &mut self.0 {
            span.end_with_timestamp(spans.time(Instant::now()));
        }
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        // Those that were left behind, such as of a call whose client left.
        let left = std::mem::take(&mut self.open().attempts);
        for attempt in left {
            attempt.end(self, Instant::now());
        }
        self.request.span().end_with_timestamp(self.time(Instant::now()));
    }
}

impl Trace {
    /// The spans of a request that has just arrived.
    #[must_use]
    pub fn begin(tracing: Option<&Arc<Tracing>>, method: &Method, headers: &HeaderMap, at: Instant) -> Self {
        let Some(tracing) = tracing.filter(|_| method != Method::OPTIONS) else { return Self::default() };
        let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let told = caller.span().span_context().clone();
        let mut span = SpanBuilder::from_name(known(method)).with_kind(SpanKind::Server);
        let parent = if tracing.follows_callers {
            caller
        } else {
            span = span.with_links(vec![Link::with_context(told)]);
            Context::new()
        };
        let now = SystemTime::now();
        let method = KeyValue::new("http.request.method", known(method));
        let span = span.with_start_time(now).with_attributes([method]);
        let span = tracing.tracer.build_with_context(span, &parent);
        if !span.is_recording() {
            return Self::default();
        }
        Self(Some(Arc::new(Spans {
            tracing: Arc::clone(tracing),
            request: Context::new().with_span(span),
            arrived: (at, now),
            open: Mutex::default(),
        })))
    }

    /// Which trace it is, in hexadecimal digits; `None` where the call has no spans.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.0.as_deref().map(|spans| spans.request.span().span_context().trace_id().to_string())
    }

    /// The caller is known, since now.
    pub fn called(&self, facts: &CallFacts) {
        let Some(spans) = self.0.as_deref() else { return };
        let (tenant, key) = (facts.key.tenant.to_string(), facts.key.id.to_string());
        spans.request.span().set_attributes([
            KeyValue::new("antiphon.request.id", facts.request_id.to_string()),
            KeyValue::new("antiphon.tenant.id", tenant),
            KeyValue::new("antiphon.key.id", key),
        ]);
        spans.ended("authenticate", facts.started, Instant::now(), Vec::new(), &spans.request);
    }

    /// What a session is known by.
    pub fn session(&self, id: domain::ids::SessionId) {
        if let Some(spans) = self.0.as_deref() {
            spans.request.span().set_attribute(KeyValue::new("antiphon.session.id", id.to_string()));
        }
    }

    /// A phase begins.
    #[must_use]
    pub fn phase(&self, name: &'static str) -> Phase {
        Phase(self.0.as_ref().map(|spans| {
            let span = SpanBuilder::from_name(name).with_start_time(spans.time(Instant::now()));
            (Arc::clone(spans), spans.tracing.tracer.build_with_context(span, &spans.request))
        }))
    }

    /// The head of the answer is about to leave. `route` gives the pattern of the path, of which there are few.
    pub fn answered(
        &self,
        method: &Method,
        route: impl FnOnce() -> Option<String>,
        status: StatusCode,
        error: Option<ErrorKind>,
    ) {
        let Some(spans) = self.0.as_deref() else { return };
        let request = spans.request.span();
        if let Some(route) = route() {
            request.update_name(format!("{} {route}", known(method)));
            request.set_attribute(KeyValue::new("http.route", route));
        }
        request.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(error) = error {
            request.set_attribute(KeyValue::new("error.type", error.facts().2));
        }
        // As the conventions have it: what a caller did wrong is no error of the server's.
        if status.is_server_error() {
            request.set_status(Status::error(error.map_or("", |error| error.facts().2)));
        }
    }

    /// A usage record of the call is written, or of the turn of a session that has just ended. `candidate` served it.
    pub fn recorded(&self, record: &UsageRecord, candidate: &Candidate, transcript: bool) {
        let Some(spans) = self.0.as_deref() else { return };
        let used = used(record);
        if record.session_id.is_none() {
            return spans.delivered(record, candidate, used);
        }
        let mut open = spans.open();
        match open.turns.iter_mut().find(|turn| turn.is_over()).filter(|_| !transcript) {
            Some(turn) => turn.span().set_attributes(used),
            None => spans.request.span().add_event(if transcript { "transcribed" } else { "recorded" }, used),
        }
    }
}

impl Spans {
    /// A moment on the clock of the spans.
    fn time(&self, at: Instant) -> SystemTime {
        let (arrived, wall) = self.arrived;
        match at.checked_duration_since(arrived) {
            Some(since) => wall + since,
            None => wall - arrived.saturating_duration_since(at),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A span that begins at a moment and is the parent of others.
    fn begun(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        at: Instant,
        attributes: Vec<KeyValue>,
    ) -> Context {
        let span = SpanBuilder::from_name(name).with_kind(kind).with_start_time(self.time(at));
        let span = self.tracing.tracer.build_with_context(span.with_attributes(attributes), &self.request);
        Context::new().with_span(span)
    }

    /// A span that is over already.
    fn ended(
        &self,
        name: impl Into<Cow<'static, str>>,
        from: Instant,
        to: Instant,
        attributes: Vec<KeyValue>,
        parent: &Context,
    ) {
        let span = SpanBuilder::from_name(name).with_start_time(self.time(from)).with_attributes(attributes);
        let mut span = self.tracing.tracer.build_with_context(span, parent);
        span.end_with_timestamp(self.time(to));
    }
}

/// Methods are a closed list; a client may write anything there.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("_OTHER")
}

/// What a usage record says.
fn used(record: &UsageRecord) -> Vec<KeyValue> {
    let usage = &record.usage;
    // Providers tell these.
    let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let tokens_in = sum(&[usage.text_tokens_in, usage.audio_tokens_in, usage.image_tokens_in]);
    let tokens_out = sum(&[usage.text_tokens_out, usage.audio_tokens_out]);
    let quantities = [
        ("gen_ai.usage.input_tokens", tokens_in),
        ("gen_ai.usage.output_tokens", tokens_out),
        ("antiphon.usage.audio_in_ms", usage.audio_in_ms),
        ("antiphon.usage.audio_out_ms", usage.audio_out_ms),
        ("antiphon.usage.characters", usage.characters),
    ];
    let mut used: Vec<KeyValue> = quantities.into_iter().filter_map(|(name, count)| quantity(name, count)).collect();
    used.push(KeyValue::new("antiphon.record.id", record.id.to_string()));
    used.push(KeyValue::new("antiphon.record.status", record.status.as_str()));
    used.push(KeyValue::new("antiphon.usage.source", record.usage_source.as_str()));
    used.push(KeyValue::new("gen_ai.response.model", record.model_served.clone()));
    if let Some(cost) = record.cost {
        used.push(KeyValue::new("antiphon.cost_nano_usd", cost.0));
    }
    used
}

/// Nothing is said of what was not counted.
fn quantity(name: &'static str, count: u64) -> Option<KeyValue> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    (count > 0).then(|| KeyValue::new(name, count))
}

/// The headers of a request that arrives.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(actix_web::http::header::HeaderName::as_str).collect()
    }
}

/// The headers of a request that leaves.
struct Outgoing<'a>(&'a mut http::HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = http::HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::try_from(value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}
