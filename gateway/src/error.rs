//! The one place that turns a failure into a status, a body or a close code.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use dialects::error::{DialectError, Fault};
use dialects::surface::{Refused, Surface};
use domain::error::{ErrorKind, Origin, Retry};
use domain::ids::RequestId;
use local_speech::LocalError;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::http::headers::rate;
use crate::ledger::LedgerError;
use crate::limits::{RateState, Refusal};

/// A failed call. What differs between failures is the kind, whose fault it is and whether the next
/// target can help; the rest is context for the caller.
#[derive(Debug)]
pub struct GatewayError(Box<Facts>);

struct Facts {
    kind: ErrorKind,
    origin: Origin,
    retry: Retry,
    message: String,
    param: Option<String>,
    retry_after_s: Option<u64>,
    mend: Mend,
    rate: Option<RateState>,
    /// The vendor in whose shape it is told, and to whom.
    shape: Option<(&'static Surface, RequestId)>,
}

/// Whether the same target may do better when it is asked again, as far as its failure tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mend {
    /// It does not look so.
    #[default]
    Never,
    /// It was not reached at all, so it has done nothing.
    Unreached,
    /// The connection broke before anything of an answer came.
    Broken,
    /// It said that it cannot now, and where it did, for how long.
    Refused(Option<Duration>),
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, origin, message, param, .. } = self;
        f.debug_struct("Facts")
            .field("kind", kind)
            .field("origin", origin)
            .field("message", message)
            .field("param", param)
            .finish_non_exhaustive()
    }
}

impl GatewayError {
    fn new(kind: ErrorKind, origin: Origin, retry: Retry, message: impl Into<String>) -> Self {
        let message = message.into();
        let facts = Facts {
            kind,
            origin,
            retry,
            message,
            param: None,
            retry_after_s: None,
            mend: Mend::Never,
            rate: None,
            shape: None,
        };
        Self(Box::new(facts))
    }

    /// The caller's request cannot be served.
    #[must_use]
    pub fn caller(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind, Origin::Caller, Retry::No, message)
    }

    /// A bad or missing field.
    #[must_use]
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::caller(ErrorKind::InvalidRequest, message).with_param(param)
    }

    /// One message for every reason, so that a stranger learns nothing.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::caller(
            ErrorKind::InvalidApiKey,
            "Incorrect API key provided. Send a virtual key as `Authorization: Bearer sk-ap-…`.",
        )
    }

    /// A failure of the provider that another target may not share.
    #[must_use]
    pub fn upstream(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind, Origin::Upstream, Retry::NextTarget, message)
    }

    /// A failure of ours; the cause is logged, never sent.
    #[must_use]
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(ErrorKind::Internal, Origin::Us, Retry::No, "The gateway failed to serve this request.")
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_param(mut self, param: &str) -> Self {
        self.0.param = Some(param.to_owned());
        self
    }

    /// Takes a credential out of the message: a provider may repeat what it was sent.
    #[must_use]
    pub fn without(mut self, secret: Option<&SecretString>) -> Self {
        let secret = secret.map(ExposeSecret::expose_secret).unwrap_or_default();
        if !secret.is_empty() && self.0.message.contains(secret) {
            self.0.message = self.0.message.replace(secret, "…");
        }
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Says that the same target may do better when it is asked again.
    #[must_use]
    pub fn mended_by(mut self, mend: Mend) -> Self {
        self.0.mend = mend;
        self
    }

    /// Whether the same target may do better when it is asked again.
    #[must_use]
    pub fn mend(&self) -> Mend {
        self.0.mend
    }

    /// Tells it as a vendor would: the request came by one of its own paths.
    #[must_use]
    pub fn in_shape_of(mut self, surface: &'static Surface, request_id: RequestId) -> Self {
        self.0.shape = Some((surface, request_id));
        self
    }

    /// What a vendor would write of it.
    #[must_use]
    pub fn told(&self, shape: fn(&Refused<'_>) -> serde_json::Value, request_id: RequestId) -> serde_json::Value {
        let (status, _, code) = self.0.kind.facts();
        let (message, param, request_id) = (&self.0.message, self.0.param.as_deref(), &request_id.to_string());
        shape(&Refused { status, code, message, param, request_id })
    }

    /// Which of the closed list it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whose fault it is.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Whether it says something against the target: it failed, or did not answer in time.
    #[must_use]
    pub fn speaks_against_target(&self) -> bool {
        self.0.origin == Origin::Upstream
            && matches!(self.0.kind, ErrorKind::UpstreamError | ErrorKind::UpstreamTimeout)
    }

    /// Whether the next target may succeed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The sentence for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The field at fault, where one is.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// OpenAI's error body.
    #[must_use]
    pub fn body(&self) -> serde_json::Value {
        let (_, kind, code) = self.0.kind.facts();
        json!({"error": {"message": self.0.message, "type": kind, "param": self.0.param, "code": code}})
    }

    /// The `error` event of a realtime session.
    #[must_use]
    pub fn event(&self, event_id: &str) -> String {
        let (_, kind, code) = self.0.kind.facts();
        json!({"type": "error", "event_id": event_id, "error":
            {"type": kind, "code": code, "message": self.0.message, "param": self.0.param, "event_id": null}})
        .to_string()
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.facts().2, self.0.message)
    }
}

impl std::error::Error for GatewayError {}

impl ResponseError for GatewayError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.kind.facts().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.0.retry_after_s {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Some(state) = self.0.rate {
            rate(&mut response, state);
        }
        let Some((surface, request_id)) = self.0.shape else { return response.json(self.body()) };
        if let Some(name) = surface.error_header {
            let plain: String = self.0.message.chars().filter(char::is_ascii).collect();
            response.insert_header((name, plain));
        }
        response.json(self.told(surface.error, request_id))
    }
}

impl From<Refusal> for GatewayError {
    fn from(refusal: Refusal) -> Self {
        // Rounded up: coming back a moment early would be refused again.
        let seconds = refusal.retry_after.as_secs() + u64::from(refusal.retry_after.subsec_nanos() > 0);
        let mut error = Self::caller(refusal.kind, refusal.message).with_retry_after(seconds.max(1));
        error.0.rate = refusal.rate;
        error
    }
}

impl From<LedgerError> for GatewayError {
    fn from(error: LedgerError) -> Self {
        tracing::error!(%error, "the usage ledger takes no more records");
        Self::new(ErrorKind::Overloaded, Origin::Us, Retry::No, "The gateway cannot record usage at the moment.")
            .with_retry_after(5)
    }
}

impl From<LocalError> for GatewayError {
    fn from(error: LocalError) -> Self {
        let message = error.to_string();
        match error {
            LocalError::BadAudio(_) => Self::caller(ErrorKind::UnsupportedAudio, message).with_param("file"),
            LocalError::Unsupported(_) => Self::caller(ErrorKind::InvalidRequest, message),
            LocalError::Missing { .. } | LocalError::Busy => {
                Self::upstream(ErrorKind::NoHealthyTarget, message).with_retry_after(5)
            }
            LocalError::TimedOut => Self::upstream(ErrorKind::UpstreamTimeout, message),
            LocalError::Failed(_) => Self::upstream(ErrorKind::UpstreamError, message),
        }
    }
}

impl From<DialectError> for GatewayError {
    fn from(error: DialectError) -> Self {
        match error {
            DialectError::Unsupported { param, message } | DialectError::Invalid { param, message } => {
                Self::invalid(param, message)
            }
            DialectError::Audio(message) => Self::caller(ErrorKind::UnsupportedAudio, message).with_param("file"),
            DialectError::Upstream(detail) => Self::upstream(ErrorKind::UpstreamError, detail),
        }
    }
}

impl From<Fault> for GatewayError {
    fn from(fault: Fault) -> Self {
        let origin = if fault.retry == Retry::No { Origin::Caller } else { Origin::Upstream };
        // The provider's sentence would tell the client that its own key is wrong.
        let message = if fault.credential_refused {
            "The provider refused the gateway's credential; the operator has been alerted.".to_owned()
        } else {
            fault.message
        };
        let error = Self::new(fault.kind, origin, fault.retry, message);
        match fault.param {
            Some(param) => error.with_param(&param),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_openai_s_body_and_its_status() {
        let error = GatewayError::invalid("model", "No model was given.");
        assert_eq!(error.status_code(), StatusCode::BAD_REQUEST);
        assert_eq!(
            error.body(),
            json!({"error": {"message": "No model was given.", "type": "invalid_request_error", "param": "model", "code": "invalid_request"}})
        );
        assert_eq!(GatewayError::unauthenticated().status_code(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_provider_refusing_our_credential_is_never_the_client_s_401() {
        let fault = Fault {
            kind: ErrorKind::UpstreamError,
            retry: Retry::NextTarget,
            message: "Incorrect API key provided.".into(),
            param: None,
            credential_refused: true,
            retry_after_s: None,
        };
        let error = GatewayError::from(fault);
        assert_eq!(error.status_code(), StatusCode::BAD_GATEWAY);
        assert!(error.message().contains("gateway's credential"), "{error}");
    }
}
