//! Why Ultravox refuses a call.
//!
//! Source: Ultravox's API reference, which shows statuses and no bodies, read 2026-11-21. The bodies are those
//! of Django REST Framework, which the service resembles: `{"detail":"…"}`, or lists of words below the field
//! that is wrong.

use domain::error::{ErrorKind, Retry};
use serde_json::Value;

use crate::error::Fault;
use crate::openai::errors;

/// Fields within fields that are looked into.
const MAX_DEPTH: usize = 8;

/// Classifies a refusal.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let plain = errors::fault(status, body);
    let plain = match status {
        // The account's free minutes are used up.
        402 => Fault { kind: ErrorKind::UpstreamRateLimited, retry: Retry::NextTarget, ..plain },
        _ => plain,
    };
    if errors::Refusal::read(body).message.is_some() {
        return plain;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return plain };
    let Some(words) = first_words(&answer, MAX_DEPTH).map(errors::clean).filter(|words| !words.is_empty()) else {
        return plain;
    };
    let field = answer.as_object().and_then(|fields| fields.keys().next()).map(|name| field(&errors::clean(name)));
    Fault { message: words, param: field.or(plain.param), ..plain }
}

/// The client's name of a field of a call.
fn field(name: &str) -> String {
    let known = match name {
        "systemPrompt" => "session.instructions",
        "selectedTools" | "toolOverrides" => "session.tools",
        "voice" => "session.audio.output.voice",
        "temperature" => "session.temperature",
        "languageHint" => "session.audio.input.transcription.language",
        "vadSettings" => "session.audio.input.turn_detection",
        other => other,
    };
    known.to_owned()
}

fn first_words(value: &Value, depth: usize) -> Option<&str> {
    let deeper = depth.checked_sub(1)?;
    match value {
        Value::String(words) => Some(words),
        Value::Array(list) => list.iter().find_map(|value| first_words(value, deeper)),
        Value::Object(fields) => fields.values().find_map(|value| first_words(value, deeper)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_wherever_they_stand() {
        let told = |status, body: &str| {
            let fault = fault(status, body.as_bytes());
            (fault.kind, fault.message, fault.param)
        };
        let bad = ErrorKind::InvalidRequest;
        let named = |field: &str| Some(field.to_owned());
        assert_eq!(
            told(400, r#"{"voice":["No such voice."]}"#),
            (bad, "No such voice.".to_owned(), named("session.audio.output.voice"))
        );
        let nested = r#"{"medium":{"serverWebSocket":{"inputSampleRate":["Too high."]}}}"#;
        assert_eq!(told(400, nested), (bad, "Too high.".to_owned(), named("medium")));
        assert_eq!(told(400, r#""Just words.""#), (bad, "Just words.".to_owned(), None));
        let busy = ErrorKind::UpstreamRateLimited;
        assert_eq!(told(429, r#"{"detail":"No capacity."}"#), (busy, "No capacity.".to_owned(), None));
        assert_eq!(told(402, r#"{"detail":"Pay."}"#).0, busy);
        assert_eq!(told(400, "[[[[[[[[[[\"deep\"]]]]]]]]]]").1, "the provider answered with status 400");
        let secret = told(401, r#"{"key":["wrong key sk-proj-abcdefghijkl"]}"#).1;
        assert!(!secret.contains("abcdefghijkl"), "{secret}");
    }
}
