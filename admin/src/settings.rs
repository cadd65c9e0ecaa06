//! What the control plane is told at start.

use std::net::SocketAddr;
use std::time::Duration;

/// Settings of one process of the control plane.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where it listens. Port 0 picks a free one.
    pub bind: SocketAddr,
    /// Worker threads; `None` for one per core.
    pub workers: Option<usize>,
    /// The address that people's browsers use, such as `https://antiphon.example.com`, for links and
    /// redirects; without it the listener's own address.
    pub public_url: Option<String>,
    /// From SIGTERM to the end.
    pub drain: Duration,
}
