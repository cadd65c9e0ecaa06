//! Takes a credential out of everything that a probe tells: a provider may repeat what it was sent.

use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Answer, Failure};

/// Longest text that is shown.
const MAX_TEXT_CHARS: usize = 4096;
/// What stands in place of a credential.
const MASK: &str = "…";
/// Shorter texts are no credentials, and would be found in any sentence.
const SHORTEST: usize = 4;

/// Everything that must not be told.
pub(super) struct Scrub {
    secrets: Vec<String>,
}

impl Scrub {
    /// The credential of an account, and what is secret inside it where it is a service account.
    pub(super) fn new(key: Option<&SecretString>) -> Self {
        let key = key.map(ExposeSecret::expose_secret).unwrap_or_default().trim();
        let mut secrets = vec![key.to_owned()];
        if let Ok(Value::Object(fields)) = serde_json::from_str(key) {
            secrets.extend(
                ["private_key", "private_key_id"]
                    .iter()
                    .filter_map(|name| fields.get(*name).and_then(Value::as_str).map(str::to_owned)),
            );
        }
        secrets.retain(|secret| secret.len() >= SHORTEST);
        Self { secrets }
    }

    /// An outcome as it may be told.
    pub(super) fn outcome(&self, outcome: Result<Answer, Failure>) -> Result<Answer, Failure> {
        match outcome {
            Ok(Answer::Text(text)) => Ok(Answer::Text(self.text(&text))),
            Ok(Answer::Speech { content_type, length, audio }) => {
                let audio = audio.filter(|audio| !self.is_in(audio));
                Ok(Answer::Speech { content_type, length, audio })
            }
            Err(Failure { kind, message }) => Err(Failure { kind, message: self.text(&message) }),
        }
    }

    fn text(&self, text: &str) -> String {
        let clean = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK));
        let shown = clean.chars().filter(|letter| !letter.is_control() || letter.is_whitespace());
        shown.take(MAX_TEXT_CHARS).collect::<String>().trim().to_owned()
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.secrets.iter().any(|secret| memmem::find(bytes, secret.as_bytes()).is_some())
    }
}
