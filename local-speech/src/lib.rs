//! Speech without a network: `flite` speaks and `PocketSphinx` listens, both as supervised child
//! processes with bounds on time, memory and number.

mod child;
mod flite;
mod pocketsphinx;
mod realtime;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::speech::SpeechRequest;
use domain::transcription::Transcript;
use tokio::sync::Semaphore;

pub use crate::flite::{SpeechBody, SpeechOutput, VOICES};
pub use crate::realtime::{Cut, InputBuffer, LocalSession};

/// Why local speech could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// A program or its model is not installed.
    #[error("the local provider needs {program}; install it with: apt-get install {package}")]
    Missing {
        /// What is missing.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// All slots are taken and none became free in time.
    #[error("the local provider is busy; try again shortly")]
    Busy,
    /// The program did not finish in time and was stopped.
    #[error("the local provider took too long and was stopped")]
    TimedOut,
    /// The audio cannot be read.
    #[error("{0}")]
    BadAudio(String),
    /// The local provider cannot do this.
    #[error("{0}")]
    Unsupported(String),
    /// The program failed.
    #[error("the local provider failed: {0}")]
    Failed(String),
}

/// A program that is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingProgram {
    /// What is missing.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

impl From<MissingProgram> for LocalError {
    fn from(missing: MissingProgram) -> Self {
        Self::Missing { program: missing.program, package: missing.package }
    }
}

/// Bounds of the child processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalLimits {
    /// Child processes at once.
    pub concurrency: usize,
    /// How long a request waits for a free slot.
    pub queue_wait: Duration,
    /// How long one child may run; a transcription gets this and twice the length of its audio.
    pub child_time: Duration,
    /// Address space of one child, in bytes.
    pub memory_bytes: u64,
    /// Longest audio taken, in milliseconds.
    pub audio_ms: u64,
    /// Longest text taken, in characters.
    pub text_chars: usize,
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self {
            concurrency: std::thread::available_parallelism().map_or(2, usize::from),
            queue_wait: Duration::from_secs(10),
            child_time: Duration::from_secs(60),
            memory_bytes: 1 << 30,
            audio_ms: 30 * 60 * 1000,
            // What OpenAI's speech endpoint takes (read 2026-11-21).
            text_chars: 4096,
        }
    }
}

/// Where the programs were found.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) flite: Option<PathBuf>,
    pub(crate) pocketsphinx: Option<PathBuf>,
    pub(crate) model: Option<PathBuf>,
    pub(crate) prlimit: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: LocalLimits,
    pub(crate) programs: Programs,
    pub(crate) slots: Arc<Semaphore>,
}

/// The local provider. Clones share their bounds.
#[derive(Debug, Clone)]
pub struct LocalSpeech {
    pub(crate) shared: Arc<Shared>,
}

/// Where Debian's `pocketsphinx-en-us` puts its model.
const MODEL: &str = "/usr/share/pocketsphinx/model/en-us";

const FLITE: MissingProgram = MissingProgram { program: "flite", package: "flite" };
const POCKETSPHINX: MissingProgram = MissingProgram { program: "pocketsphinx_continuous", package: "pocketsphinx" };
const EN_US: MissingProgram =
    MissingProgram { program: "the US English model of PocketSphinx", package: "pocketsphinx-en-us" };

impl LocalSpeech {
    /// Looks for the programs in `PATH` and for the model where Debian puts it.
    #[must_use]
    pub fn detect(limits: LocalLimits) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let find = |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
        let model = Path::new(MODEL);
        Self::with_programs(
            limits,
            Programs {
                flite: find("flite"),
                pocketsphinx: find("pocketsphinx_continuous"),
                model: model.join("en-us/mdef").is_file().then(|| model.to_path_buf()),
                prlimit: find("prlimit"),
            },
        )
    }

    fn with_programs(limits: LocalLimits, programs: Programs) -> Self {
        let slots = Arc::new(Semaphore::new(limits.concurrency.max(1)));
        Self { shared: Arc::new(Shared { limits, programs, slots }) }
    }

    /// What is not installed, for the readiness page and error messages.
    #[must_use]
    pub fn missing(&self) -> Vec<MissingProgram> {
        let programs = &self.shared.programs;
        let found = [
            (programs.flite.is_some(), FLITE),
            (programs.pocketsphinx.is_some(), POCKETSPHINX),
            (programs.model.is_some(), EN_US),
        ];
        found.into_iter().filter(|(is_there, _)| !is_there).map(|(_, missing)| missing).collect()
    }

    /// Speaks a text. The first sentence is ready when this returns; the rest is spoken while the
    /// body is read. Dropping the body stops the work.
    ///
    /// # Errors
    /// [`LocalError::Unsupported`] for unknown voices and formats other than `wav` and `pcm`;
    /// the others as named.
    pub async fn speak(&self, request: &SpeechRequest) -> Result<SpeechOutput, LocalError> {
        flite::speak(Arc::clone(&self.shared), request).await
    }

    /// Transcribes an audio file (US English). Words are given where `words` asks for them,
    /// segments always.
    ///
    /// # Errors
    /// [`LocalError::BadAudio`] for files that cannot be decoded; the others as named.
    pub async fn transcribe(&self, file: PathBuf, words: bool) -> Result<Transcript, LocalError> {
        pocketsphinx::transcribe(&self.shared, file, words).await
    }

    /// Opens a transcription session in the language of `OpenAI`'s Realtime API; `model` is the
    /// name the client used, `id_prefix` makes item ids unique among sessions. Must be called
    /// inside a tokio runtime.
    #[must_use]
    pub fn open_transcription(&self, model: String, id_prefix: &str) -> LocalSession {
        realtime::open(self.clone(), model, id_prefix)
    }
}
