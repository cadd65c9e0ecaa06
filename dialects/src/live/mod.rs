//! Live transcription at vendors that have a language of their own for it.
//!
//! A client holds a transcription session in OpenAI's words ([`session::LiveSession`]); the vendor's socket
//! is spoken to by a small state machine ([`LiveTranscriber`]). Neither has a socket or a clock: who owns
//! them feeds what arrives and carries out the [`crate::translation::Effect`]s. The socket is opened when the first
//! audio is there, since its query fixes the configuration.

pub mod cut;
pub mod events;
mod hear;
mod items;
mod link;
pub mod session;
pub mod settings;
mod tape;
mod transcript;
mod writer;

use domain::audio::RealtimeFormat;

pub(crate) use transcript::{Transcript, spaced};

use crate::contract::Endpoint;
use events::Refusal;
use settings::Settings;

/// One frame for a vendor's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame; never empty.
    Binary(Vec<u8>),
    /// A ping of the WebSocket protocol.
    Ping,
}

/// A frame and the audio in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The frame.
    pub frame: Frame,
    /// Bytes of audio that the vendor bills with it.
    pub audio_bytes: usize,
}

impl Outgoing {
    /// A message without audio.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { frame: Frame::Text(text.into()), audio_bytes: 0 }
    }
}

/// How a vendor's socket is opened for a configuration. Two that are equal need no new socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where, with the query.
    pub endpoint: Endpoint,
    /// The audio that the vendor takes; whatever the client sends is converted to it.
    pub audio: RealtimeFormat,
    /// The first message, where the configuration travels in one.
    pub greeting: Option<String>,
}

/// How a vendor's socket behaves, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// The vendor says when it is ready for audio.
    pub greets: bool,
    /// A sign of life is sent after so long without audio.
    pub keep_alive_ms: u64,
    /// The answer to a commit comes within this.
    pub commit_answer_ms: u64,
    /// The last results come within this once the stream is closed.
    pub drain_ms: u64,
    /// A socket that says nothing while it is sent this much audio hangs; `None` where silence is normal.
    pub stall_ms: Option<u64>,
    /// An utterance has ended when its text is settled and nothing follows within this; `None` where the
    /// vendor always says so.
    pub quiet_ms: Option<u64>,
    /// A final without times leaves this much of the last audio open.
    pub tail_ms: u64,
}

/// What a vendor has heard. Times are milliseconds of its own stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is ready for audio.
    Ready,
    /// Speech began.
    Started {
        /// When, where it is known.
        at_ms: Option<u64>,
    },
    /// What follows the settled text, as far as it is understood; the next one replaces it. White space at
    /// its beginning separates it from what is before.
    Interim {
        /// The text.
        text: String,
        /// When its first word begins, where it is known.
        from_ms: Option<u64>,
    },
    /// Text that changes no more. It may be empty: then only the time counts.
    Settled {
        /// The text.
        text: String,
        /// When its first word begins, where it is known.
        from_ms: Option<u64>,
        /// The audio up to here is done with, where it is known.
        to_ms: Option<u64>,
    },
    /// The utterance ended by the vendor's own judgement.
    Ended {
        /// When, where it is known.
        at_ms: Option<u64>,
    },
    /// The oldest commit is answered whole.
    Committed,
    /// The provider was sent this much audio, which was not counted when it was passed on.
    Sent {
        /// Milliseconds.
        ms: u64,
    },
    /// The oldest commit cannot be answered, or where none waits, the turn that is open.
    CommitFailed(LiveFault),
    /// The vendor will end the connection by itself.
    Leaving {
        /// Milliseconds from now.
        within_ms: u64,
    },
    /// It cannot go on.
    Failed(LiveFault),
}

/// Why a vendor fails, in OpenAI's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFault {
    /// `error.type`.
    pub kind: &'static str,
    /// `error.code`.
    pub code: &'static str,
    /// `error.message`, without credentials.
    pub message: String,
}

impl LiveFault {
    /// The vendor's failure.
    #[must_use]
    pub fn upstream(message: impl Into<String>) -> Self {
        Self { kind: "server_error", code: "upstream_error", message: masked(message.into()) }
    }

    /// The vendor's limit.
    #[must_use]
    pub fn limited(message: impl Into<String>) -> Self {
        Self { kind: "rate_limit_error", code: "upstream_rate_limited", message: masked(message.into()) }
    }

    /// The vendor does not take what was sent.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { kind: "invalid_request_error", code: "invalid_request", message: masked(message.into()) }
    }

    /// The vendor refuses the credential, which is not the client's.
    #[must_use]
    pub fn credential() -> Self {
        Self::upstream("The provider refused the gateway's credential.")
    }
}

/// A vendor's words, short and without credentials.
fn masked(message: String) -> String {
    crate::openai::mask::mask(&message).chars().take(500).collect()
}

/// Opens live transcription at a vendor.
pub trait LiveOpener: Sync {
    /// The socket for a configuration.
    ///
    /// # Errors
    /// Names the field that the vendor cannot serve.
    fn plan(&self, settings: &Settings) -> Result<Plan, Refusal>;

    /// The state machine for one socket of this configuration.
    fn transcriber(&self, settings: &Settings) -> Box<dyn LiveTranscriber>;

    /// What a configuration costs beside the audio, in percent of the model's price.
    fn surcharge_percent(&self, _settings: &Settings) -> u64 {
        0
    }

    /// The provider transcribes files: the gateway cuts utterances, as [`cut`] has it.
    fn by_utterance(&self) -> bool {
        false
    }

    /// Tokens that a second of audio is billed as, where the vendor prices audio by tokens.
    fn tokens_per_second(&self) -> Option<u32> {
        None
    }
}

/// A vendor's language on one socket.
pub trait LiveTranscriber: Send {
    /// How the socket behaves.
    fn habits(&self) -> Habits;
    /// Sends audio, never empty, in the format of the plan.
    fn audio(&mut self, bytes: Vec<u8>, out: &mut Vec<Outgoing>);
    /// Asks for the text of everything sent. `pending` is the bytes of audio since the last such question.
    fn commit(&mut self, pending: u64, out: &mut Vec<Outgoing>);
    /// A sign of life.
    fn keep_alive(&mut self, out: &mut Vec<Outgoing>);
    /// Ends the stream; the last results follow.
    fn close(&mut self, out: &mut Vec<Outgoing>);
    /// Says that the stream is over, where nobody waits for the last results.
    fn goodbye(&mut self, _out: &mut Vec<Outgoing>) {}
    /// Reads a frame, text or binary. What it does not know it ignores.
    fn read(&mut self, frame: &str, heard: &mut Vec<Heard>);
    /// What a close means; `None` where a new socket may go on.
    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault>;
}

/// Turns audio of one format into another, as a stream.
pub trait Converter: Send {
    /// Takes whole samples and gives those that are ready.
    ///
    /// # Errors
    /// Says what broke.
    fn convert(&mut self, audio: &[u8]) -> Result<Vec<u8>, String>;

    /// Gives what is left, and begins anew.
    ///
    /// # Errors
    /// Says what broke.
    fn flush(&mut self) -> Result<Vec<u8>, String>;
}

/// Makes converters from one format to another.
pub type NewConverter = fn(RealtimeFormat, RealtimeFormat) -> Result<Box<dyn Converter>, String>;

/// A second in which audio is counted: a multiple of every rate in use, so that nothing is rounded.
pub(crate) const TICKS_PER_MS: u64 = 48;

/// Ticks in bytes of whole samples.
pub(crate) fn ticks(format: RealtimeFormat, bytes: u64) -> u64 {
    match format {
        RealtimeFormat::Pcm16(rate) => (bytes / 2).saturating_mul(1000 * TICKS_PER_MS) / u64::from(rate.0.max(1)),
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => bytes.saturating_mul(6),
    }
}

/// Bytes of whole samples in milliseconds.
#[must_use]
pub fn bytes_in(format: RealtimeFormat, ms: u64) -> u64 {
    match format {
        RealtimeFormat::Pcm16(rate) => ms.saturating_mul(u64::from(rate.0)) / 1000 * 2,
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => ms.saturating_mul(8),
    }
}

/// Silence of a length.
#[must_use]
pub fn silence(format: RealtimeFormat, ms: u64) -> Vec<u8> {
    let zero = match format {
        RealtimeFormat::Pcm16(_) => 0,
        RealtimeFormat::Pcmu => 0xff,
        RealtimeFormat::Pcma => 0xd5,
    };
    vec![zero; usize::try_from(bytes_in(format, ms)).unwrap_or(0)]
}

/// Seconds on the wire as milliseconds.
pub(crate) fn milliseconds(seconds: Option<f64>) -> Option<u64> {
    crate::openai::usage::milliseconds(seconds?)
}

/// Text for a query.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A query, written piece by piece.
#[derive(Debug)]
pub(crate) struct Query(String);

impl Query {
    /// Begins with a path.
    pub(crate) fn at(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Adds one parameter.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&percent_encode(&value.to_string()));
        self
    }

    /// Adds the same parameter for every value.
    pub(crate) fn with_each<'a>(self, name: &str, values: impl IntoIterator<Item = &'a String>) -> Self {
        values.into_iter().fold(self, |query, value| query.with(name, value))
    }

    /// The path with its query.
    pub(crate) fn endpoint(self) -> Endpoint {
        Endpoint::at(self.0)
    }
}
