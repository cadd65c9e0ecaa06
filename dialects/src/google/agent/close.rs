//! What a close of Gemini's socket means: there are no error messages, only codes with a reason.
//!
//! Source: Google's SDKs and what public issue threads quote, read 2026-11-21.

use crate::live::LiveFault;

/// What a reason means.
type Meaning = fn(String) -> LiveFault;

/// Words of reasons, the first that fits decides.
const REASONS: [(&[&str], Meaning); 4] = [
    // "Resource exhausted" would fit too, but of a context only a new conversation helps.
    (&["context window", "context length", "context is exhausted", "context exhausted"], |_| too_long()),
    (&["api key", "api_key", "permission", "unauthenticated", "credential", "access token"], |_| {
        LiveFault::credential()
    }),
    (&["quota", "exhausted", "credit", "billing", "rate limit", "too many"], LiveFault::limited),
    (&["not found", "not supported", "unsupported", "not implemented", "invalid"], LiveFault::invalid),
];

/// What a code with a reason means.
pub(super) fn fault(code: u16, reason: &str) -> Option<LiveFault> {
    if code == 1000 {
        return None;
    }
    let lower = reason.to_ascii_lowercase();
    let told = if reason.is_empty() { format!("the connection ended with code {code}.") } else { reason.to_owned() };
    let told = format!("Google: {told}");
    let found = REASONS.iter().find(|(words, _)| words.iter().any(|word| lower.contains(word)));
    Some(match (found, code) {
        (Some((_, fault)), 1007 | 1008 | 1011) => fault(told),
        (_, 1007) => LiveFault::invalid(told),
        _ => LiveFault::upstream(told),
    })
}

fn too_long() -> LiveFault {
    LiveFault::invalid("Google: the conversation is longer than the model's context.")
}
