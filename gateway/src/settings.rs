//! What the data plane is told at start. Durations and sizes as the configuration file names them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::provider::Operation;

use crate::limits::shared::SharedSettings;
use crate::overload::OverloadBounds;
use crate::pipeline::queue::QueueBounds;
use crate::telemetry::trace::Tracing;

/// Settings of one gateway process.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// What people call the machine, or the replica.
    pub name: String,
    /// Where clients connect. Port 0 picks a free one.
    pub bind: SocketAddr,
    /// Where Prometheus scrapes; `None` for no listener.
    pub metrics_bind: Option<SocketAddr>,
    /// The origins of pages that may send requests, such as `https://antiphon.example.com`; `*` for every one.
    pub allowed_origins: Vec<String>,
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
    /// What is shared with other gateways; `None` where this one counts alone.
    pub shared: Option<SharedSettings>,
    /// Signs client secrets.
    pub client_secret_key: [u8; 32],
    /// Where spans go; `None` where calls have none.
    pub tracing: Option<Arc<Tracing>>,
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
    /// Waiting for a provider whose credentials are all in use.
    pub queue: QueueBounds,
    /// When new work is refused.
    pub overload: OverloadBounds,
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
    /// From a request's last byte to the answer's last, tries included. `None` bounds answers that come whole, and
    /// the time to the beginning of one that flows, by [`UNSTREAMED`]; one that flows may take as long as it goes on.
    ///
    /// [`UNSTREAMED`]: crate::pipeline::phases::UNSTREAMED
    pub total: Option<Duration>,
    /// What differs for single operations.
    pub operations: ByOperation,
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

/// What differs for one operation; `None` is as for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// To connect to a provider; never longer than for all.
    pub connect: Option<Duration>,
    /// From a request's last byte to the answer's first.
    pub first_byte: Option<Duration>,
    /// Between two pieces of an answer.
    pub idle: Option<Duration>,
    /// From a request's last byte to the answer's last.
    pub total: Option<Duration>,
}

/// What differs for the operations that are one request and one answer. Sessions have clocks of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByOperation {
    /// Speech to text.
    pub transcription: Overrides,
    /// Speech to English text.
    pub translation: Overrides,
    /// Text to speech.
    pub speech: Overrides,
    /// Chat completions.
    pub chat: Overrides,
    /// Embeddings.
    pub embeddings: Overrides,
}

/// How long a provider may take over the phases of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// To connect, where that is shorter than for all.
    pub connect: Option<Duration>,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// As [`Timeouts::total`].
    pub total: Option<Duration>,
}

impl Timeouts {
    /// What holds for a call of this operation.
    #[must_use]
    pub fn phases(&self, operation: Operation) -> Phases {
        let own = match operation {
            Operation::Transcription => &self.operations.transcription,
            Operation::Translation => &self.operations.translation,
            Operation::Speech => &self.operations.speech,
            Operation::Chat => &self.operations.chat,
            Operation::Embeddings => &self.operations.embeddings,
            Operation::Realtime | Operation::Passthrough => &Overrides::default(),
        };
        Phases {
            connect: own.connect.filter(|connect| *connect < self.connect),
            first_byte: own.first_byte.unwrap_or(self.first_byte),
            idle: own.idle.unwrap_or(self.idle),
            total: own.total.or(self.total),
        }
    }
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
            queue: QueueBounds { longest: Duration::from_secs(2), most: 1_000 },
            overload: OverloadBounds {
                longest_delay: Duration::from_millis(250),
                memory_percent: 85,
                memory_bytes: None,
            },
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
            total: None,
            operations: ByOperation::default(),
            write: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            settle: Duration::from_secs(10),
            breaker_open: Duration::from_secs(10),
        }
    }
}
