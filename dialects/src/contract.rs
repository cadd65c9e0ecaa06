//! What a dialect promises: small traits, one per capability.

use std::collections::BTreeMap;

use domain::audio::{AudioFile, SampleRate};
use domain::provider::Operation;
use domain::speech::SpeechRequest;
use domain::transcription::{FormField, TranscriptionRequest};
use domain::usage::Usage;

use crate::error::DialectError;

/// The provider's side of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamModel {
    /// What goes on the wire: the model, or Azure's deployment.
    pub wire_name: String,
    /// What decides capabilities: the model behind a deployment.
    pub model: String,
    /// The configured name of the provider, for messages.
    pub provider: String,
    /// What the target says beside the model, such as Google's `project`.
    pub options: BTreeMap<String, String>,
}

/// A request with a file in it, which the caller streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRequest {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// How the file is wrapped.
    pub body: UploadBody,
    /// The answer will be server-sent events of OpenAI's kind that are forwarded as they arrive.
    pub streams: bool,
}

/// How a file travels to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadBody {
    /// A form: these text fields, in order; the file follows them as the last part, named `file`.
    Form(Vec<FormField>),
    /// The file itself is the body, with this content type.
    Raw(&'static str),
    /// JSON that holds the file in base64 between these two pieces of text.
    Base64 {
        /// From the opening brace to the quote before the file.
        before: Vec<u8>,
        /// From the quote after the file to the closing brace.
        after: Vec<u8>,
    },
}

/// Where a request goes at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `scheme://host` of a vendor that serves this path elsewhere than at its base URL. It holds only
    /// while the account's base URL is the vendor's own: one that was configured serves every path.
    pub origin: Option<String>,
    /// Path and query below the base URL, such as `/audio/transcriptions`.
    pub path: String,
}

impl Endpoint {
    /// A path below the base URL.
    #[must_use]
    pub fn at(path: impl Into<String>) -> Self {
        Self { origin: None, path: path.into() }
    }
}

/// A JSON body to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonRequest {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// The body.
    pub body: Vec<u8>,
}

/// A whole answer in the client's words.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Content type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// What the provider says was used, where it says so.
    pub usage: Option<Usage>,
    /// Length of the audio in milliseconds as the provider says, where it does.
    pub duration_ms: Option<u64>,
}

/// Speech as it is asked from the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechPlan {
    /// Asked one after another, each when the one before has ended; their audio is joined. Never empty.
    pub parts: Vec<SpeechPart>,
    /// How the audio lies in the answers.
    pub answer: SpeechAnswer,
    /// What the audio is. Where it is not what the client asked for, it is converted.
    pub audio: SpeechAudio,
}

/// One request of a speech plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechPart {
    /// The request.
    pub request: JsonRequest,
    /// Characters that it speaks, as the provider bills them.
    pub characters: u64,
}

/// How the audio lies in an answer. It may differ from how the client wants it: a model billed by
/// tokens reports them only in server-sent events, so those are asked for and unpacked.
#[derive(Clone, Copy)]
pub enum SpeechAnswer {
    /// The body is the audio.
    Audio,
    /// OpenAI's server-sent events.
    Events,
    /// Something of the provider's own, such as JSON with base64, read by a decoder made for each answer.
    Wrapped(fn() -> Box<dyn SpeechDecoder>),
}

impl std::fmt::Debug for SpeechAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Audio => "Audio",
            Self::Events => "Events",
            Self::Wrapped(_) => "Wrapped",
        })
    }
}

impl PartialEq for SpeechAnswer {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for SpeechAnswer {}

/// What the audio of a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechAudio {
    /// What the client asked for: it is passed on.
    AsAsked,
    /// Headerless signed 16-bit little-endian mono; wanted as `wav` or `pcm`.
    Pcm(SampleRate),
    /// RIFF WAVE, of which the samples are wanted as `wav` or `pcm`.
    Wav,
}

/// Takes the audio out of a provider's answer as it arrives.
pub trait SpeechDecoder: Send {
    /// Takes the next bytes of the answer and appends the audio in them to `audio`.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when they cannot be read, or tell of a failure.
    fn feed(&mut self, bytes: &[u8], audio: &mut Vec<u8>) -> Result<(), DialectError>;

    /// The answer has ended.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when it ended too early.
    fn finish(&mut self, audio: &mut Vec<u8>) -> Result<(), DialectError>;

    /// What the provider says was used, once it has said so.
    fn usage(&self) -> Option<Usage>;
}

/// Turns transcriptions and translations into this provider's requests and back.
pub trait TranscriptionDialect: Sync {
    /// The request for `operation` (transcription or translation) with this file.
    ///
    /// # Errors
    /// [`DialectError::Unsupported`] names the field that this model cannot serve,
    /// [`DialectError::Audio`] a kind of file that it does not take.
    fn request(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        file: &AudioFile,
        model: &UpstreamModel,
    ) -> Result<UploadRequest, DialectError>;

    /// The provider's whole 200 answer, rendered in the format the client asked for. A provider that
    /// cannot stream answers `stream=true` with the events at the end.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when the body is not a transcript (HTML with 200, broken JSON).
    fn reply(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        model: &UpstreamModel,
        content_type: &str,
        body: &[u8],
    ) -> Result<Reply, DialectError>;

    /// What the provider bills for a request that uses `length`, where it is more than that: each channel,
    /// or a surcharge for what is asked. It is reserved before the request and recorded where the answer
    /// tells no length. The request is one that [`TranscriptionDialect::request`] has taken.
    fn billed(
        &self,
        _request: &TranscriptionRequest,
        _file: &AudioFile,
        _model: &UpstreamModel,
        length: Usage,
    ) -> Usage {
        length
    }
}

/// Turns speech requests into this provider's.
pub trait SpeechDialect: Sync {
    /// The request, and how its answer will come.
    ///
    /// # Errors
    /// [`DialectError::Unsupported`] names the field that this model cannot serve.
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError>;
}

/// A voice of an account, as its provider lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVoice {
    /// What the provider wants as voice.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// BCP-47 or ISO 639, where told.
    pub language: Option<String>,
    /// `female`, `male` or the provider's word, where told.
    pub gender: Option<String>,
    /// Where it can be heard.
    pub preview_url: Option<String>,
}

/// One page of an account's voices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VoicePage {
    /// The voices.
    pub voices: Vec<ListedVoice>,
    /// What names the next page, where there is one.
    pub next: Option<String>,
}

/// Lists the voices of an account at a provider whose voices have opaque ids, so that a client can name
/// them as people do.
pub trait VoiceDirectory: Sync {
    /// Whether this is an id already, which needs no look-up.
    fn is_id(&self, voice: &str) -> bool;

    /// Where to GET a page: the first, or the one that [`VoicePage::next`] named.
    fn page(&self, next: Option<&str>) -> Endpoint;

    /// Reads a page.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when it is no list of voices.
    fn parse(&self, body: &[u8]) -> Result<VoicePage, DialectError>;
}

/// Forwards JSON operations (chat, embeddings) with the provider's model name.
pub trait JsonDialect: Sync {
    /// Rewrites the model, and asks for usage on streams.
    ///
    /// # Errors
    /// [`DialectError::Invalid`] when the body is not a JSON object.
    fn request(&self, operation: Operation, body: &[u8], model: &UpstreamModel) -> Result<JsonRequest, DialectError>;
}

/// Opens realtime sessions at a provider that speaks OpenAI's Realtime language.
pub trait RealtimeOpener: Sync {
    /// Path and query below the base URL (whose scheme becomes `ws` or `wss`).
    fn path(&self, model: &UpstreamModel, transcription: bool) -> String;

    /// Whether conversations with this model are held in OpenAI's language. Where they are not, the row's
    /// agent translates them.
    fn speaks(&self, _model: &UpstreamModel) -> bool {
        true
    }
}

/// What a realtime dialect wants done beside forwarding.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send this event to the client.
    ToClient(String),
    /// Send this event to the provider.
    ToUpstream(String),
    /// One turn was used up; `sequence` is assigned by the driver.
    Used(TurnUsage),
}

/// What one turn used, as the provider reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnUsage {
    /// Quantities.
    pub usage: Usage,
    /// The provider's model that did the work, where it is not the session's (input transcription).
    pub model: Option<String>,
    /// Whether the response completed; otherwise it was cancelled, incomplete or failed.
    pub completed: bool,
    /// Whether the provider reported quantities at all.
    pub reported: bool,
    /// The quantities are what a translator derived, not what the provider counted.
    pub estimated: bool,
}

/// What becomes of the frame that was just read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Forward it as it came.
    Forward,
    /// Do not forward it; the actions stand in its place.
    Replace,
}

/// A realtime session without sockets: it is fed frames and says what to do.
pub trait RealtimeDialect: Send {
    /// A text frame from the client.
    fn client(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow;
    /// A text frame from the provider.
    fn upstream(&mut self, frame: &str, actions: &mut Vec<Action>) -> Flow;
}
