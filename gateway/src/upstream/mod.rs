//! Towards providers: the HTTP client, the credentials it sends, and what their accounts have.

pub mod client;
pub mod credentials;
pub(crate) mod last_bytes;
pub mod voices;

use std::sync::Arc;

use crate::Gateway;
use crate::settings::Timeouts;
use crate::upstream::credentials::Tokens;

/// Whoever asks providers: the gateway for its callers, and a probe for an operator.
pub trait Outbound {
    /// How long providers may take.
    fn timeouts(&self) -> Timeouts;

    /// The tokens that credentials were exchanged for.
    fn tokens(&self) -> &Tokens;
}

impl Outbound for Gateway {
    fn timeouts(&self) -> Timeouts {
        Self::timeouts(self)
    }

    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl<T: Outbound> Outbound for Arc<T> {
    fn timeouts(&self) -> Timeouts {
        T::timeouts(self)
    }

    fn tokens(&self) -> &Tokens {
        T::tokens(self)
    }
}
