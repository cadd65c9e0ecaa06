//! The caller of a request, and the facts that every stage needs.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::{HttpMessage, HttpRequest};
use domain::error::ErrorKind;
use domain::ids::RequestId;
use domain::provider::Operation;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::authenticate::{Principal, authenticate};
use crate::pipeline::meter::CallFacts;
use crate::pipeline::progress::Progress;
use crate::snapshot::Snapshot;

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
}

impl Arrival {
    /// A new arrival.
    #[must_use]
    pub fn now() -> Self {
        Self { request_id: RequestId(Uuid::now_v7()), at: Instant::now(), progress: Rc::default() }
    }

    /// The arrival of a request.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::now)
    }
}

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

/// Authenticates a request.
///
/// # Errors
/// `InvalidApiKey`; `OperationNotAllowed` for a client secret, which opens sessions and nothing else.
pub fn caller(worker: &Worker, request: &HttpRequest, operation: Operation) -> Result<Caller, GatewayError> {
    let gateway = &worker.gateway;
    let snapshot = gateway.snapshot.load_full();
    let now = OffsetDateTime::now_utc();
    let principal = authenticate(&snapshot, &gateway.pepper, &gateway.secrets, request.headers(), now)?;
    if principal.grant.is_some() && operation != Operation::Realtime {
        let message = "A client secret may be used for realtime sessions only.";
        return Err(GatewayError::caller(ErrorKind::OperationNotAllowed, message));
    }
    let arrival = Arrival::of(request);
    let facts = CallFacts {
        request_id: arrival.request_id,
        started: arrival.at,
        started_at: now,
        key: Arc::clone(&principal.key),
        user_tag: header(request, "x-antiphon-user"),
        tags: header(request, "x-antiphon-tags"),
        region: header(request, "x-antiphon-region"),
        operation,
        model_asked: String::new(),
    };
    Ok(Caller { snapshot, principal, facts, progress: arrival.progress })
}

fn header(request: &HttpRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= MAX_TAG_BYTES).then(|| value.to_owned())
}
