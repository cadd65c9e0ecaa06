//! What can go wrong while translating, and on whose side.

use domain::error::{ErrorKind, Retry};

/// A failed translation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialectError {
    /// The caller asked for what this provider or model cannot do. The message names both.
    #[error("{message}")]
    Unsupported {
        /// The field that cannot be served.
        param: &'static str,
        /// One sentence for the caller.
        message: String,
    },
    /// The caller's file is of a kind that this provider or model does not take.
    #[error("{0}")]
    Audio(String),
    /// The caller's request is wrong for every provider.
    #[error("{message}")]
    Invalid {
        /// The wrong field.
        param: &'static str,
        /// One sentence for the caller.
        message: String,
    },
    /// The provider's answer is not what its documentation says.
    #[error("the provider's answer could not be read: {0}")]
    Upstream(String),
}

/// A provider's refusal, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the client is told.
    pub kind: ErrorKind,
    /// Whether the next target may succeed.
    pub retry: Retry,
    /// The provider's own message, trimmed, without credentials.
    pub message: String,
    /// The field the provider blames, where it says so.
    pub param: Option<String>,
    /// Whether the provider refused OUR credential (an alert, and a 502 for the client).
    pub credential_refused: bool,
    /// Seconds to wait, where the body says so.
    pub retry_after_s: Option<u64>,
}
