//! Options in the query: percent-encoded, a list as the same name again.

use crate::contract::Endpoint;
use crate::error::DialectError;

/// Bytes of path and query. Servers refuse lines much longer than this without a word.
const LONGEST: usize = 16 * 1024;

/// A path with its query, in the making.
pub(super) struct Query(String);

impl Query {
    /// The path and its first option.
    pub(super) fn new(path: &str, name: &str, value: &str) -> Self {
        let mut text = String::with_capacity(256);
        text.push_str(path);
        let mut query = Self(text);
        query.push_after('?', name, value);
        query
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.push_after('&', name, value);
    }

    fn push_after(&mut self, separator: char, name: &str, value: &str) {
        self.0.push(separator);
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    /// Where the request goes.
    ///
    /// # Errors
    /// [`DialectError::Invalid`] blames `longest`, the field with most of the text, where it is too much.
    pub(super) fn endpoint(self, longest: &'static str) -> Result<Endpoint, DialectError> {
        if self.0.len() > LONGEST {
            let message = format!("`{longest}` is too long: Deepgram takes all options in one line of {LONGEST} bytes");
            return Err(DialectError::Invalid { param: longest, message });
        }
        Ok(Endpoint::at(self.0))
    }
}
