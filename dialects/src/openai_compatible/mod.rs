//! Self-hosted servers that speak OpenAI's language: everything is passed on and nothing presumed.

use domain::speech::SpeechRequest;

use crate::contract::{SpeechAnswer, SpeechDialect, SpeechPlan, UpstreamModel};
use crate::error::DialectError;
use crate::openai::speech;

/// Speech as plain audio whatever the client wants: few of these servers send events, and audio is
/// packed into events here.
#[derive(Debug)]
pub struct CompatibleSpeech;

impl SpeechDialect for CompatibleSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        speech::validate(request)?;
        speech::plan(request, model, SpeechAnswer::Audio)
    }
}
