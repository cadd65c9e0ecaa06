//! Towards providers: the HTTP client.

pub mod client;
