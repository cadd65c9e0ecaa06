//! The caller of a request, and the facts that every stage needs.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::RequestHead;
use actix_web::{HttpMessage, HttpRequest};
use bytes::Bytes;
use dialects::surface::fields;
use domain::error::ErrorKind;
use domain::ids::RequestId;
use domain::provider::{Operation, ProviderKind};
use domain::routing::sticky::Name;
use domain::routing::{Strategies, Strategy};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Worker;
use crate::error::GatewayError;
use crate::overload;
use crate::pipeline::authenticate::{Principal, STRATEGY, authenticate};
use crate::pipeline::meter::CallFacts;
use crate::pipeline::progress::Progress;
use crate::snapshot::Snapshot;
use crate::telemetry::trace::{Trace, Tracing};

/// Longest `x-antiphon-user` and `x-antiphon-tags` that are kept.
const MAX_TAG_BYTES: usize = 512;

/// Set on every request by the outermost middleware.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// As `x-request-id` says.
    pub request_id: RequestId,
    /// Monotonic.
    pub at: Instant,
    /// How far the call is.
    pub progress: Rc<Progress>,
    /// Its spans.
    pub trace: Trace,
}

impl Arrival {
    /// A new arrival.
    #[must_use]
    pub fn now() -> Self {
        let (request_id, at) = (RequestId(Uuid::now_v7()), Instant::now());
        Self { request_id, at, progress: Rc::default(), trace: Trace::default() }
    }

    /// The arrival of this request, with spans where it is to have any.
    #[must_use]
    pub fn traced(tracing: Option<&Arc<Tracing>>, request: &RequestHead) -> Self {
        let arrival = Self::now();
        // Who asks whether the gateway lives asks all the time.
        let tracing = tracing.filter(|_| !matches!(request.uri.path(), "/healthz" | "/readyz"));
        let trace = Trace::begin(tracing, &request.method, &request.headers, arrival.at);
        Self { trace, ..arrival }
    }

    /// What log lines about the request begin with.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        let span = tracing::info_span!("call", request_id = %self.request_id, trace_id = tracing::field::Empty);
        if let Some(trace) = self.trace.id() {
            span.record("trace_id", trace);
        }
        span
    }

    /// The arrival of a request.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::now)
    }
}

/// Stands on the paths of a vendor that speaks OpenAI's language: only its accounts serve them.
#[derive(Debug, Clone, Copy)]
pub struct PinnedTo(pub ProviderKind);

/// A call whose caller is known.
#[derive(Debug)]
pub struct Caller {
    /// The view that this call keeps to its end.
    pub snapshot: Arc<Snapshot>,
    /// Who calls.
    pub principal: Principal,
    /// What the call is known by.
    pub facts: CallFacts,
    /// How far the call is.
    pub progress: Rc<Progress>,
}

/// Authenticates a request for new work.
///
/// # Errors
/// `InvalidApiKey`; `OperationNotAllowed` for a client secret, which opens sessions and nothing else; `Overloaded`
/// where there is too much to do.
pub fn caller(worker: &Worker, request: &HttpRequest, operation: Operation) -> Result<Caller, GatewayError> {
    let caller = known(worker, request, operation)?;
    worker.pace.admit(overload::work(request, operation))?;
    Ok(caller)
}

fn known(worker: &Worker, request: &HttpRequest, operation: Operation) -> Result<Caller, GatewayError> {
    let gateway = &worker.gateway;
    caller_by(worker, request, operation, |snapshot, now| {
        authenticate(snapshot, &gateway.pepper, &gateway.secrets, request.headers(), now)
    })
}

/// Authenticates a request that looks something up and asks no provider.
///
/// # Errors
/// As [`caller`]'s, but for the last: this is served always.
pub fn reader(worker: &Worker, request: &HttpRequest, operation: Operation) -> Result<Caller, GatewayError> {
    known(worker, request, operation).inspect(|caller| caller.progress.looks_up())
}

/// The caller of a request whose credential is looked for by `identify`.
///
/// # Errors
/// As `identify`'s.
pub fn caller_by(
    worker: &Worker,
    request: &HttpRequest,
    operation: Operation,
    identify: impl FnOnce(&Snapshot, OffsetDateTime) -> Result<Principal, GatewayError>,
) -> Result<Caller, GatewayError> {
    let snapshot = worker.gateway.snapshot.load_full();
    let now = OffsetDateTime::now_utc();
    let principal = identify(&snapshot, now)?;
    if principal.grant.is_some() && operation != Operation::Realtime {
        let message = "A client secret may be used for realtime sessions only.";
        return Err(GatewayError::caller(ErrorKind::OperationNotAllowed, message));
    }
    let arrival = Arrival::of(request);
    arrival.progress.called(principal.key.tenant, operation);
    let facts = CallFacts {
        request_id: arrival.request_id,
        started: arrival.at,
        started_at: now,
        key: Arc::clone(&principal.key),
        user_tag: header(request, "x-antiphon-user"),
        tags: header(request, "x-antiphon-tags"),
        region: header(request, "x-antiphon-region"),
        strategy: strategy(request, &principal)?,
        conversation: header(request, "x-antiphon-conversation").map(|id| Name::of(&id)),
        pinned: request.app_data::<PinnedTo>().map(|pinned| pinned.0),
        operation,
        model_asked: String::new(),
        trace: arrival.trace,
    };
    facts.trace.called(&facts);
    Ok(Caller { snapshot, principal, facts, progress: arrival.progress })
}

/// The deployment that a path names, which is the model, whatever the body says.
#[must_use]
pub fn deployment(request: &HttpRequest) -> Option<&str> {
    request.match_info().get("deployment").filter(|name| !name.is_empty())
}

/// A JSON body with the model that the path names, where it does.
///
/// # Errors
/// The body is no object.
pub fn with_deployment(request: &HttpRequest, body: Bytes) -> Result<Bytes, GatewayError> {
    let Some(deployment) = deployment(request) else { return Ok(body) };
    let mut fields = fields(&body).map_err(|error| {
        GatewayError::invalid("body", format!("The body is not the JSON that is expected: {error}."))
    })?;
    fields.insert("model".to_owned(), Value::from(deployment));
    Ok(Value::Object(fields).to_string().into())
}

/// How the caller wants targets to be ordered, where its key lets it say so.
fn strategy(request: &HttpRequest, principal: &Principal) -> Result<Option<Strategies>, GatewayError> {
    let Some(value) = request.headers().get(STRATEGY) else { return Ok(None) };
    principal.may_order()?;
    let named = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let message = || format!("The header `{STRATEGY}` names no strategy; they are {}.", names());
    named.map(Some).ok_or_else(|| GatewayError::invalid(STRATEGY, message()))
}

fn names() -> String {
    Strategy::ALL.iter().map(|strategy| format!("`{strategy}`")).collect::<Vec<_>>().join(", ")
}

fn header(request: &HttpRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= MAX_TAG_BYTES).then(|| value.to_owned())
}
