//! Transcription and translation: what each model takes, the form, the reply, the stream.

pub mod form;
pub mod models;
pub mod reply;
pub mod stream;

use domain::audio::AudioFile;
use domain::provider::Operation;
use domain::transcription::TranscriptionRequest;

pub use self::models::Capabilities;
pub use self::reply::render;
pub use self::stream::TranscriptSse;
use crate::contract::{Reply, TranscriptionDialect, UploadRequest, UpstreamModel};
use crate::error::DialectError;

/// Transcription in OpenAI's language, with a table of what the provider's models take.
#[derive(Debug)]
pub struct OpenaiTranscription {
    /// What a model can do.
    pub capabilities: fn(&str) -> Capabilities,
}

impl TranscriptionDialect for OpenaiTranscription {
    fn request(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        _file: &AudioFile,
        model: &UpstreamModel,
    ) -> Result<UploadRequest, DialectError> {
        form::form(operation, request, model, &(self.capabilities)(&model.model))
    }

    fn reply(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        model: &UpstreamModel,
        content_type: &str,
        body: &[u8],
    ) -> Result<Reply, DialectError> {
        let asked = form::upstream_format(operation, request, model, &(self.capabilities)(&model.model))?;
        reply::reply(operation, request, model, asked, content_type, body)
    }
}
