//! Azure OpenAI (Foundry) on its v1 paths: OpenAI's language, with deployments for models, an
//! `api-key` header and errors of its own.
//!
//! Source: Microsoft Learn and OpenAI's SDKs, read 2026-11-21.

pub(crate) mod surface;

use domain::error::{ErrorKind, Retry};

use crate::error::Fault;
use crate::openai::errors::{self, Refusal};

/// As OpenAI's. A model that the deployment does not serve (`OperationNotSupported`, which the
/// service also spells `OpperationNotSupported`) is the operator's mistake, so the next target is tried.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let fault = errors::fault(status, body);
    let code = Refusal::read(body).code.unwrap_or_default();
    if status == 400 && matches!(code.as_str(), "OperationNotSupported" | "OpperationNotSupported") {
        return Fault { kind: ErrorKind::UpstreamError, retry: Retry::NextTarget, ..fault };
    }
    fault
}
