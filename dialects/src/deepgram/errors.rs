//! Refusals: two shapes in JSON, and plain text.
//!
//! Source: Deepgram's API reference and error guide, read 2026-11-21.

use domain::error::{ErrorKind, Retry};
use serde::Deserialize;

use crate::error::Fault;
use crate::openai::errors as openai;

/// Characters of a plain text that is taken for a message; a longer one is some page.
const LONGEST_TEXT: usize = 300;

/// The older shape has `err_code` and `err_msg`, the newer `category`, `message` and `details`.
#[derive(Deserialize, Default)]
struct Refusal {
    err_code: Option<String>,
    err_msg: Option<String>,
    category: Option<String>,
    message: Option<String>,
    details: Option<String>,
}

impl Refusal {
    fn read(body: &[u8]) -> Self {
        if let Ok(refusal) = serde_json::from_slice(body) {
            return refusal;
        }
        let text = serde_json::from_slice::<String>(body).ok();
        let text = text.or_else(|| std::str::from_utf8(body).ok().map(str::to_owned));
        let is_message = |text: &String| text.len() <= LONGEST_TEXT && !text.trim_start().starts_with(['<', '{', '[']);
        Self { err_msg: text.filter(is_message), ..Self::default() }
    }

    fn code(&self) -> &str {
        self.err_code.as_deref().or(self.category.as_deref()).unwrap_or_default()
    }

    fn text(&self) -> Option<String> {
        let first = self.err_msg.as_deref().or(self.message.as_deref())?;
        let text = match self.details.as_deref().filter(|details| !details.is_empty()) {
            Some(details) => openai::clean(&format!("{} {details}", first.trim_end())),
            None => openai::clean(first),
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Classifies a refusal by its status; the body tells bad audio, bad models and long texts apart.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let fault = openai::fault(status, body);
    let refusal = Refusal::read(body);
    let words = refusal.text();
    let lower = words.as_deref().unwrap_or_default().to_lowercase();
    let fault = Fault { message: words.unwrap_or_else(|| fault.message.clone()), ..fault };
    let says = |text: &str| lower.contains(text);
    let blame = |kind, retry, param: &str| Fault { kind, retry, param: Some(param.to_owned()), ..fault.clone() };
    match (status, refusal.code()) {
        (400, _) if says("corrupt or unsupported data") || says("failed to process audio") => {
            blame(ErrorKind::UnsupportedAudio, Retry::No, "file")
        }
        // Which languages a model has, the account knows best; another target may have it.
        (400, _) if says("no such model") || says("model/language") => {
            blame(ErrorKind::InvalidRequest, Retry::NextTarget, "language")
        }
        // The account is out of credit.
        (402, _) => Fault { kind: ErrorKind::UpstreamRateLimited, retry: Retry::NextTarget, ..fault },
        (_, "INVALID_AUTH" | "INSUFFICIENT_PERMISSIONS") => {
            let (kind, retry) = (ErrorKind::UpstreamError, Retry::NextTarget);
            Fault { kind, retry, credential_refused: true, ..fault }
        }
        (413, _) if says("character") || says("text") => blame(ErrorKind::InvalidRequest, Retry::No, "input"),
        // The options are in the request's line.
        (414, _) => Fault { kind: ErrorKind::InvalidRequest, retry: Retry::No, ..fault },
        (499 | 504, _) => Fault { kind: ErrorKind::UpstreamTimeout, retry: Retry::NextTarget, ..fault },
        _ => fault,
    }
}
