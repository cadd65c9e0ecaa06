//! What the data plane is told at start. Durations and sizes as the configuration file names them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one gateway process.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// What people call the machine, or the replica.
    pub name: String,
    /// Where clients connect. Port 0 picks a free one.
    pub bind: SocketAddr,
    /// Where Prometheus scrapes; `None` for no listener.
    pub metrics_bind: Option<SocketAddr>,
    /// Worker threads; `None` for one per core.
    pub workers: Option<usize>,
    /// Folder for the journal and for spooled uploads.
    pub data_dir: PathBuf,
    /// Bounds to begin with; those in force are [`crate::Gateway::bounds`].
    pub limits: GatewayLimits,
    /// Clocks to begin with; those in force are [`crate::Gateway::timeouts`].
    pub timeouts: Timeouts,
    /// Where realtime sessions are recorded, for debugging; `None` for nowhere.
    pub record_dir: Option<PathBuf>,
    /// Signs client secrets.
    pub client_secret_key: [u8; 32],
}

/// What may change while the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Bounds.
    pub bounds: GatewayLimits,
    /// Clocks.
    pub timeouts: Timeouts,
}

/// Bounds on what clients may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Bytes of an uploaded file, where the key says nothing.
    pub max_upload_bytes: u64,
    /// Bytes of a request's headers.
    pub max_header_bytes: usize,
    /// Realtime sessions of this process.
    pub max_sessions: usize,
    /// Longest life of a realtime session.
    pub session_max_age: Duration,
    /// Longest silence of a realtime session.
    pub session_idle: Duration,
    /// Bytes of the usage journal before new work is refused.
    pub max_journal_bytes: u64,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a request's headers.
    pub header_read: Duration,
    /// Window in which a body must progress by 1 KiB/s.
    pub body_idle: Duration,
    /// To connect to a provider.
    pub connect: Duration,
    /// From a request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// In which a client must take something of what is written to it.
    pub write: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// From SIGTERM, and what `drain_delay` adds, to the end.
    pub drain: Duration,
    /// From SIGTERM, when readiness goes off, to the moment from which new connections are refused.
    pub drain_delay: Duration,
    /// How long a vendor is asked what it bills for a session that is over.
    pub settle: Duration,
    /// How long a target that keeps failing is left alone before one call may try it again.
    pub breaker_open: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            max_upload_bytes: 25 * 1024 * 1024,
            max_header_bytes: 64 * 1024,
            max_sessions: 10_000,
            session_max_age: Duration::from_secs(3600),
            session_idle: Duration::from_secs(300),
            max_journal_bytes: 1024 * 1024 * 1024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            body_idle: Duration::from_secs(15),
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            settle: Duration::from_secs(10),
            breaker_open: Duration::from_secs(10),
        }
    }
}
