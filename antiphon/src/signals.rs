//! What the process is told by signals: to stop, to hurry, to load its configuration again.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Added to a signal's number where it ended the process before it had drained, as shells do.
const ENDED_BY_SIGNAL: u8 = 128;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// What has been asked of the process so far.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Cancelled by the first SIGTERM or Ctrl-C.
    pub(crate) asked: CancellationToken,
    /// Cancelled by the second.
    pub(crate) hurry: CancellationToken,
    second: Arc<OnceLock<u8>>,
}

impl Stop {
    /// Listens from now on, so that a signal that comes early is not lost.
    ///
    /// # Errors
    /// The system does not let this process listen.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = Self { asked: CancellationToken::new(), hurry: CancellationToken::new(), second: Arc::default() };
        let told = stop.clone();
        tokio::spawn(async move {
            next(&mut terminate, &mut interrupt).await;
            told.asked.cancel();
            let number = next(&mut terminate, &mut interrupt).await;
            told.second.get_or_init(|| number);
            told.hurry.cancel();
        });
        Ok(stop)
    }

    /// How the process ends: 0 unless a second signal cut it short, else 128 and that signal's number.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.second.get().map_or(ExitCode::SUCCESS, |number| ExitCode::from(ENDED_BY_SIGNAL + number))
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> u8 {
    tokio::select! {
        _ = terminate.recv() => SIGTERM,
        _ = interrupt.recv() => SIGINT,
    }
}

/// SIGHUP, from now on.
///
/// # Errors
/// The system does not let this process listen.
pub(crate) fn hang_ups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
