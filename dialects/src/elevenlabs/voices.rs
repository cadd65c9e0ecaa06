//! The voices of an account. Their ids are opaque, so a client may name them as people do.

use serde::Deserialize;
use serde_json::Value;

use crate::contract::{Endpoint, ListedVoice, VoiceDirectory, VoicePage};
use crate::error::DialectError;
use crate::openai::realtime::percent_encode;

/// Letters of a voice's id.
const ID_LETTERS: usize = 20;

/// The list that `GET /v2/voices` gives.
#[derive(Debug)]
pub struct ElevenlabsVoices;

#[derive(Deserialize)]
struct Page {
    voices: Vec<Voice>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Voice {
    voice_id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    labels: Option<Value>,
    #[serde(default)]
    preview_url: Option<String>,
}

impl VoiceDirectory for ElevenlabsVoices {
    fn is_id(&self, voice: &str) -> bool {
        voice.len() == ID_LETTERS
            && voice.bytes().all(|byte| byte.is_ascii_alphanumeric())
            // A name of twenty letters is no id: those are drawn at random.
            && voice.bytes().skip(1).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    }

    fn page(&self, next: Option<&str>) -> Endpoint {
        let first = "/v2/voices?page_size=100&include_total_count=false";
        Endpoint::at(match next {
            None => first.to_owned(),
            Some(token) => format!("{first}&next_page_token={}", percent_encode(token)),
        })
    }

    fn parse(&self, body: &[u8]) -> Result<VoicePage, DialectError> {
        let page: Page =
            serde_json::from_slice(body).map_err(|_| DialectError::Upstream("not a list of voices".to_owned()))?;
        let next = page.next_page_token.filter(|token| page.has_more.unwrap_or(true) && !token.is_empty());
        Ok(VoicePage { voices: page.voices.into_iter().map(listed).collect(), next })
    }
}

fn listed(voice: Voice) -> ListedVoice {
    let label = |name: &str| {
        let label = voice.labels.as_ref()?.get(name)?.as_str()?;
        (!label.is_empty()).then(|| label.to_owned())
    };
    ListedVoice {
        name: voice.name.clone().unwrap_or_else(|| voice.voice_id.clone()),
        language: label("language"),
        gender: label("gender"),
        preview_url: voice.preview_url.filter(|url| url.starts_with("https://")),
        id: voice.voice_id,
    }
}
