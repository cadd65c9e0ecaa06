//! What a dialect promises: small traits, one per capability.

use domain::provider::Operation;
use domain::speech::{SpeechRequest, StreamFormat};
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
}

/// A form to be sent: the fields, in order; the file follows them as the last part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormRequest {
    /// Path and query below the base URL, such as `/audio/transcriptions`.
    pub path: String,
    /// Text fields as the provider wants them.
    pub fields: Vec<FormField>,
    /// The answer will be server-sent events that are forwarded as they arrive.
    pub streams: bool,
}

/// A JSON body to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonRequest {
    /// Path and query below the base URL.
    pub path: String,
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
    /// The request.
    pub request: JsonRequest,
    /// How the provider will deliver it. It may differ from what the client asked: a model billed by
    /// tokens reports them only in server-sent events, so those are asked for and unpacked.
    pub delivery: StreamFormat,
}

/// Turns transcriptions and translations into this provider's forms and back.
pub trait TranscriptionDialect: Sync {
    /// The form for `operation` (transcription or translation).
    ///
    /// # Errors
    /// [`DialectError::Unsupported`] names the field that this model cannot serve.
    fn request(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        model: &UpstreamModel,
    ) -> Result<FormRequest, DialectError>;

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
}

/// Turns speech requests into this provider's.
pub trait SpeechDialect: Sync {
    /// The request, and how its answer will come.
    ///
    /// # Errors
    /// [`DialectError::Unsupported`] names the field that this model cannot serve.
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError>;
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
