//! Realtime sessions at providers that speak OpenAI's Realtime language: frames pass as they are.
//!
//! Only what policy and metering need is read, and only the events that carry a model's name are
//! rewritten, so that a client sees the name it asked for and cannot switch to another.
//!
//! Source: OpenAI's Realtime reference (GA shapes), read 2026-11-21.

pub mod beta;
mod client;
mod transcribers;
mod upstream;

use self::transcribers::Transcribers;
use crate::contract::{Action, Flow, RealtimeDialect, RealtimeOpener, UpstreamModel};

/// Opens sessions as OpenAI and Azure do.
#[derive(Debug)]
pub struct OpenaiRealtime;

impl RealtimeOpener for OpenaiRealtime {
    /// A transcription session names its model in `session.update`; one in the query is refused.
    fn path(&self, model: &UpstreamModel, transcription: bool) -> String {
        if transcription {
            return "/realtime?intent=transcription".to_owned();
        }
        format!("/realtime?model={}", percent_encode(&model.wire_name))
    }
}

/// Text as one segment of a path or one value of a query.
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

/// What a session may name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PassthroughConfig {
    /// The model as the client named it.
    pub asked_model: String,
    /// The provider's name of it: the model, or Azure's deployment.
    pub wire_model: String,
    /// A transcription session: `wire_model` does the transcription.
    pub transcription: bool,
    /// The provider transcribes what it hears by itself: the client may name any model for it, and it is
    /// billed nothing.
    pub own_transcripts: bool,
    /// Models of input transcription that the client may name.
    pub transcription_models: Vec<Transcriber>,
}

/// A model that may transcribe the input of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcriber {
    /// As the client names it.
    pub asked: String,
    /// The provider's name of it.
    pub wire: String,
    /// It has no price, and the key refuses such models.
    pub refused_unpriced: bool,
}

/// One session passed through.
#[derive(Debug)]
pub struct Passthrough {
    config: PassthroughConfig,
    transcribers: Transcribers,
    /// A transcription session's model has been named to the provider.
    transcriber_named: bool,
    /// Numbers the events that are written here.
    errors_sent: u64,
}

impl Passthrough {
    /// A session that has just been opened.
    #[must_use]
    pub fn new(config: PassthroughConfig) -> Self {
        let transcribers = Transcribers::new(config.transcription.then_some(config.wire_model.as_str()));
        Self { config, transcribers, transcriber_named: false, errors_sent: 0 }
    }

    /// Whether the provider transcribes an utterance that ends now.
    #[must_use]
    pub fn transcribes(&self) -> bool {
        self.transcribers.on()
    }

    /// The provider's name of the model that transcribes what is said now.
    #[must_use]
    pub fn transcriber(&self) -> String {
        self.transcribers.in_force().unwrap_or(&self.config.wire_model).to_owned()
    }

    /// The provider's name of the model that was to transcribe the oldest utterance whose transcript
    /// has not come. The next call tells of the one after it.
    pub fn next_transcriber(&mut self) -> String {
        self.transcribers.take_oldest()
    }
}

impl RealtimeDialect for Passthrough {
    fn client(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        self.client_frame(frame, actions)
    }

    fn upstream(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow {
        self.upstream_frame(frame, actions)
    }
}
