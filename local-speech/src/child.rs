//! One child process at a time per slot: started with bounds, awaited with a deadline, killed
//! when nobody waits for it any more.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::{LocalError, Shared};

/// Output of a child kept at most; flite writes its audio to a file.
const MAX_STDOUT_BYTES: u64 = 8 << 20;

/// Waits for a slot as long as the limits allow.
pub(crate) async fn slot(shared: &Shared) -> Result<OwnedSemaphorePermit, LocalError> {
    let wait = timeout(shared.limits.queue_wait, Arc::clone(&shared.slots).acquire_owned());
    match wait.await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(LocalError::Busy),
    }
}

/// A command that carries the memory bound. `prlimit` is part of every Debian (util-linux);
/// without it the child runs with the bounds of time and number only.
pub(crate) fn command(shared: &Shared, program: &Path) -> Command {
    let Some(prlimit) = &shared.programs.prlimit else { return Command::new(program) };
    let mut command = Command::new(prlimit);
    command.arg(format!("--as={}", shared.limits.memory_bytes)).arg("--core=0").arg("--");
    command.arg(program);
    command
}

/// Runs a command to its end and returns what it wrote to standard output.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Result<Vec<u8>, LocalError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take();
    let work = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MAX_STDOUT_BYTES).read_to_end(&mut output).await.map_err(failed)?;
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() { Ok(output) } else { Err(LocalError::Failed(format!("the program ended with {status}"))) }
    };
    // Dropping the child on timeout kills it.
    timeout(limit, work).await.unwrap_or(Err(LocalError::TimedOut))
}

/// An error of the machine rather than of the request.
pub(crate) fn failed(error: impl std::fmt::Display) -> LocalError {
    LocalError::Failed(error.to_string())
}
