//! Facts about failures: whose fault, whether another try can help, and which kind.

use serde::{Deserialize, Serialize};

/// A name that is none of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`")]
pub struct UnknownName {
    /// What was expected, such as `operation`.
    pub what: &'static str,
    /// What was given.
    pub name: String,
}

/// Who caused a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The client that called us.
    Caller,
    /// This gateway.
    Us,
    /// The provider.
    Upstream,
}

/// Whether another try can succeed, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails everywhere.
    No,
    /// The next target of the route may succeed.
    NextTarget,
}

/// The closed list of error codes a client can see. One row each in `docs/errors.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 400: malformed, missing or unsupported.
    InvalidRequest,
    /// 401: missing, unknown, expired or revoked key.
    InvalidApiKey,
    /// 403: the key lacks the operation.
    OperationNotAllowed,
    /// 403: the key lacks the model.
    ModelNotAllowed,
    /// 403: the key may not say how targets are ordered.
    StrategyNotAllowed,
    /// 403: no price is known and the key or tenant refuses such models.
    ModelUnpriced,
    /// 403: an administrator ended the session.
    SessionTerminated,
    /// 404: no such model.
    ModelNotFound,
    /// 404: no such path or object.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 408: the request did not arrive in time.
    RequestTimeout,
    /// 409: a request with the same idempotency key is running, or its answer was not kept.
    IdempotencyConflict,
    /// 422: an idempotency key was used for another request before.
    IdempotencyKeyReused,
    /// 413: over the upload limit.
    FileTooLarge,
    /// 415: not audio that any target takes, or an encoded body.
    UnsupportedAudio,
    /// 429: too many requests in the window.
    RateLimitExceeded,
    /// 429: too many sessions at once.
    SessionLimitExceeded,
    /// 429: the budget does not hold this request.
    BudgetExceeded,
    /// 429: the provider's own limit, after failover.
    UpstreamRateLimited,
    /// 502: the provider failed.
    UpstreamError,
    /// 503: no target is healthy.
    NoHealthyTarget,
    /// 503: this gateway is full or draining.
    Overloaded,
    /// 503: the gateway stops, and the session with it.
    ServerDraining,
    /// 504: the provider did not answer in time.
    UpstreamTimeout,
    /// 500: a fault of ours.
    Internal,
}

impl ErrorKind {
    /// HTTP status, `error.type` and `error.code` as OpenAI's error body carries them.
    #[must_use]
    pub const fn facts(self) -> (u16, &'static str, &'static str) {
        const BAD: &str = "invalid_request_error";
        match self {
            Self::InvalidRequest => (400, BAD, "invalid_request"),
            Self::InvalidApiKey => (401, BAD, "invalid_api_key"),
            Self::OperationNotAllowed => (403, "permission_error", "operation_not_allowed"),
            Self::ModelNotAllowed => (403, "permission_error", "model_not_allowed"),
            Self::StrategyNotAllowed => (403, "permission_error", "strategy_not_allowed"),
            Self::ModelUnpriced => (403, "permission_error", "model_unpriced"),
            Self::SessionTerminated => (403, "permission_error", "session_terminated"),
            Self::ModelNotFound => (404, BAD, "model_not_found"),
            Self::NotFound => (404, BAD, "not_found"),
            Self::MethodNotAllowed => (405, BAD, "method_not_allowed"),
            Self::RequestTimeout => (408, BAD, "request_timeout"),
            Self::IdempotencyConflict => (409, BAD, "idempotency_conflict"),
            Self::IdempotencyKeyReused => (422, BAD, "idempotency_key_reused"),
            Self::FileTooLarge => (413, BAD, "file_too_large"),
            Self::UnsupportedAudio => (415, BAD, "unsupported_audio"),
            Self::RateLimitExceeded => (429, "rate_limit_error", "rate_limit_exceeded"),
            Self::SessionLimitExceeded => (429, "rate_limit_error", "session_limit_exceeded"),
            Self::BudgetExceeded => (429, "insufficient_quota", "budget_exceeded"),
            Self::UpstreamRateLimited => (429, "rate_limit_error", "upstream_rate_limited"),
            Self::UpstreamError => (502, "server_error", "upstream_error"),
            Self::NoHealthyTarget => (503, "service_unavailable_error", "no_healthy_target"),
            Self::Overloaded => (503, "service_unavailable_error", "overloaded"),
            Self::ServerDraining => (503, "server_error", "server_draining"),
            Self::UpstreamTimeout => (504, "server_error", "upstream_timeout"),
            Self::Internal => (500, "server_error", "internal_error"),
        }
    }
}
