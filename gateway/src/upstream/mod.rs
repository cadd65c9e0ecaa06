//! Towards providers: the HTTP client.

pub mod client;
pub(crate) mod last_bytes;
