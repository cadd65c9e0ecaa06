//! Towards providers: the HTTP client, and what their accounts have.

pub mod client;
pub(crate) mod last_bytes;
pub mod voices;
