//! The words of usage records, for people.

use crate::components::{Choice, Tone};
use domain::provider::Operation;

/// How a record's call ended.
pub(crate) const STATUSES: [(&str, &str); 5] = [
    ("ok", "Served"),
    ("upstream_error", "Provider failed"),
    ("client_closed", "Client hung up"),
    ("ended_by_policy", "Ended by policy"),
    ("refused_late", "Refused late"),
];

/// How a call ended, and how bad that is.
pub(crate) fn status(status: &str) -> (String, Tone) {
    let tone = match status {
        "ok" => Tone::Good,
        "upstream_error" => Tone::Bad,
        "ended_by_policy" | "refused_late" => Tone::Warn,
        _ => Tone::Neutral,
    };
    let known = STATUSES.iter().find(|(name, _)| *name == status);
    (known.map_or_else(|| plain(status), |(_, title)| (*title).to_owned()), tone)
}

/// An operation.
pub(crate) fn operation(name: &str) -> String {
    plain(name)
}

/// Every operation.
pub(crate) fn operations() -> Vec<Choice> {
    Operation::ALL.iter().map(|operation| Choice::new(operation.as_str(), plain(operation.as_str()))).collect()
}

/// Why a target was left out.
pub(super) fn dropped(code: &str) -> String {
    match code {
        "provider_missing" => "its provider is not there",
        "operation_unsupported" => "it cannot do this operation",
        "breaker_open" => "it had failed too often",
        "credentials_in_use" => "all of its credentials were in use",
        "session_unsupported" => "it cannot hold such a session",
        "format_unsupported" => "it does not have the format",
        "language_unsupported" => "it does not have the language",
        "streaming_unsupported" => "it cannot stream",
        "voice_unsupported" => "it does not have the voice",
        "text_unsupported" => "it does not take such a text",
        "request_unsupported" => "it does not take such a request",
        "key_not_allowed" => "the key may not use it",
        "unpriced" => "it has no price",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

/// Where the numbers of a record come from.
pub(super) fn source(source: &str) -> String {
    match source {
        "reported" => "Reported by the provider",
        "measured" => "Measured by the gateway",
        "estimated" => "Estimated",
        other => return plain(other),
    }
    .to_owned()
}

/// A code as words with a capital.
pub(crate) fn plain(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words() {
        assert_eq!(plain("text_tokens"), "Text tokens");
        assert_eq!(status("ok"), ("Served".to_owned(), Tone::Good));
        assert_eq!(status("lost_at_sea").0, "Lost at sea");
        assert_eq!(dropped("some_new_reason"), "some new reason");
    }
}
