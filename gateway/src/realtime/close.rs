//! Close codes: which are relayed, and what our own mean.
//!
//! | what happened | code to the client |
//! | --- | --- |
//! | the client closed | its own code; 1000 where it gave none |
//! | the client vanished or misses two pings | no frame |
//! | the provider closed with a code that may be sent | that code and reason |
//! | the provider vanished (1005, 1006, 1015 or no frame), misses two pings or sends broken text | 1011 |
//! | a message over the bound, or in too many fragments | 1009 |
//! | text that is not UTF-8 | 1007 |
//! | a violation of the protocol | 1002 |
//! | revoked, terminated, budget spent, slow reader, idle, too old | 1008 |
//! | drain | 1001 |
//! | the provider does not read | 1013 |
//!
//! `docs/errors.md` has the same table for users.

use actix_http::ws::{CloseCode, CloseReason, ProtocolError};
use dialects::openai::mask::mask;
use domain::usage::UsageStatus;

/// Stands for a peer that is gone without a close frame; never sent.
const GONE: u16 = 1006;
/// Longest reason of a close frame.
const MAX_REASON_BYTES: usize = 123;

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The client closed or vanished.
    Client,
    /// The provider closed, vanished or stopped reading.
    Provider,
    /// The gateway, for a rule of its own or because the client broke one.
    Policy,
}

/// How a session ends, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Close code; 1006 where the client is gone and gets no frame.
    pub code: u16,
    /// At most 123 bytes are sent of it.
    pub reason: String,
    /// Whose doing it is.
    pub by: By,
}

impl Ending {
    /// The gateway ends the session.
    #[must_use]
    pub fn policy(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), by: By::Policy }
    }

    /// The provider's fault.
    #[must_use]
    pub fn provider(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), by: By::Provider }
    }

    /// The client closed with this code, which is answered with the same.
    #[must_use]
    pub fn left(code: u16) -> Self {
        Self { code, reason: String::new(), by: By::Client }
    }

    /// The client is gone without a goodbye.
    #[must_use]
    pub fn gone() -> Self {
        Self::left(GONE)
    }

    /// What the client gets when the provider closes with `code`.
    #[must_use]
    pub fn relayed(code: u16, reason: &str) -> Self {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Self::provider(code, &mask(reason)),
            _ => Self::provider(1011, "the provider ended the session abnormally"),
        }
    }

    /// How a turn ended that this cut short.
    #[must_use]
    pub fn status(&self) -> UsageStatus {
        match self.by {
            By::Client => UsageStatus::ClientClosed,
            By::Provider => UsageStatus::UpstreamError,
            By::Policy => UsageStatus::EndedByPolicy,
        }
    }

    /// Whether either side ended it as sessions are meant to end.
    #[must_use]
    pub fn in_order(&self) -> bool {
        matches!(self.code, 1000 | 1001) && self.by != By::Policy
    }

    /// What a client gets that broke the protocol.
    #[must_use]
    pub fn violated(error: &ProtocolError) -> Self {
        match error {
            ProtocolError::Overflow => Self::policy(1009, "the message is too long"),
            _ => Self::policy(1002, "the frame breaks the protocol"),
        }
    }

    /// Whether the client gets a close frame.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.code != GONE
    }

    /// For the client's socket. A control frame has 125 bytes at most, two of which are the code.
    #[must_use]
    pub fn frame(&self) -> CloseReason {
        let mut reason = String::new();
        for character in self.reason.chars() {
            if reason.len() + character.len_utf8() > MAX_REASON_BYTES {
                break;
            }
            reason.push(character);
        }
        CloseReason { code: CloseCode::from(self.code), description: (!reason.is_empty()).then_some(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_must_not_be_sent_become_1011() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
            assert_eq!(Ending::relayed(code, "x").code, 1011, "{code}");
        }
        assert_eq!(Ending::relayed(4001, "expired"), Ending::provider(4001, "expired"));
    }

    #[test]
    fn a_reason_is_relayed_without_the_credential_in_it() {
        let ending = Ending::relayed(3000, "Incorrect API key provided: sk-proj-0123456789abcdef");
        assert!(!ending.reason.contains("0123456789"), "{}", ending.reason);
        assert!(ending.reason.starts_with("Incorrect"), "{}", ending.reason);
    }
}
