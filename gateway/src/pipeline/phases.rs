//! How long a provider may take over each phase of a call, and what is told when it takes longer.

use std::future::Future;
use std::time::{Duration, Instant};

use domain::error::ErrorKind;

use crate::error::GatewayError;
use crate::telemetry::names;

/// How long a call may take until its answer is here whole or begins to flow, where no total is set.
pub const UNSTREAMED: Duration = Duration::from_secs(600);

/// A phase of a call to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The connection is opened.
    Connect,
    /// From the request's last byte to the answer's first.
    FirstByte,
    /// Between two pieces of the answer, or of a request that the provider does not read.
    Idle,
    /// From the request's last byte to the end.
    Total,
}

impl Phase {
    /// As the configuration calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }

    /// What is told when it takes too long.
    #[must_use]
    pub fn late(self) -> GatewayError {
        let what = match self {
            Self::Connect => "could not be reached in time",
            Self::FirstByte => "did not answer in time",
            Self::Idle => "stalled",
            Self::Total => "did not finish in time",
        };
        self.told(&format!("The provider {what}"))
    }

    /// The same in other words, without a full stop.
    #[must_use]
    pub fn told(self, what: &str) -> GatewayError {
        let phase = self.as_str();
        names::upstream_timeout(phase);
        GatewayError::upstream(ErrorKind::UpstreamTimeout, format!("{what} (timeout of the phase `{phase}`)."))
    }
}

/// How an answer has to come once it has begun.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest time between two pieces.
    pub idle: Duration,
    /// When its end must be here.
    pub ends: Option<Instant>,
}

impl From<Duration> for Pace {
    /// Without a bound on the whole.
    fn from(idle: Duration) -> Self {
        Self { idle, ends: None }
    }
}

impl Pace {
    /// Waits for the next piece.
    ///
    /// # Errors
    /// `UpstreamTimeout`, which names the phase.
    pub async fn next<T>(self, piece: impl Future<Output = T>) -> Result<T, GatewayError> {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        let (time, phase) = match left {
            Some(left) if left < self.idle => (left, Phase::Total),
            _ => (self.idle, Phase::Idle),
        };
        tokio::time::timeout(time, piece).await.map_err(|_| phase.late())
    }
}
