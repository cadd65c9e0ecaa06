//! OpenAI's own language. The other providers that speak it reuse these functions and state only
//! their differences.
//!
//! Source: OpenAI's `OpenAPI` document 2.3.0, API reference and SDKs, read 2026-11-21.

pub mod captions;
pub mod errors;
pub mod json;
pub mod mask;
pub mod realtime;
pub mod scan;
pub mod speech;
pub mod transcription;
pub mod usage;
pub mod wire;

use crate::contract::UpstreamModel;
use crate::error::DialectError;

/// The one form of "this cannot be served here": it names the provider, the model and the field.
#[must_use]
pub fn unsupported(model: &UpstreamModel, param: &'static str, what: &str) -> DialectError {
    let (provider, name) = (&model.provider, &model.model);
    DialectError::Unsupported {
        param,
        message: format!("provider `{provider}` does not support {what} with model `{name}`"),
    }
}
