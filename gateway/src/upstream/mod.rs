//! Towards providers: the HTTP client, the credentials it sends, and what their accounts have.

pub mod client;
pub mod credentials;
pub(crate) mod last_bytes;
pub mod voices;
