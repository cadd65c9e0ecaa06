//! The gateway's own API, as API clients use it: asked with a virtual key, for the playground.

use std::collections::BTreeMap;

use domain::usage::Usage;
use gloo_net::http::Method;
use js_sys::Uint8Array;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web_sys::{Blob, FormData};

use super::failure::{Failure, GatewayProblem};
use super::request::{Answer, Call, LONG_PATIENCE_MS};
use super::stream::{Cutter, Pieces, event_of};
use super::wire::escaped;
use crate::clock;

/// Pauses before a call's record is asked for: the first, the longest, and all together.
const FIRST_PAUSE_MS: i32 = 400;
const LONGEST_PAUSE_MS: i32 = 15_000;
const LONGEST_WAIT_MS: i32 = 600_000;

/// Asks a gateway with a virtual key, which stays in the page's memory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Gateway {
    base: String,
    key: String,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A list as the gateway gives it.
#[derive(Debug, Clone, Deserialize)]
struct Listed<T> {
    data: Vec<T>,
}

/// A model that the key may use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct GatewayModel {
    pub(crate) id: String,
    pub(crate) antiphon: AboutModel,
}

/// What is known of a model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct AboutModel {
    /// Empty where nobody has told.
    pub(crate) operations: Vec<String>,
    pub(crate) providers: Vec<String>,
    pub(crate) prices: Vec<ModelPrice>,
}

/// What a provider bills for a model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct ModelPrice {
    pub(crate) provider: String,
    pub(crate) operation: String,
    pub(crate) unit: String,
    pub(crate) usd: String,
}

/// A voice that the key may use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct GatewayVoice {
    /// What is sent as `voice`.
    pub(crate) id: String,
    pub(crate) name: String,
    /// `None` for a name that is mapped on several providers.
    pub(crate) provider: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) gender: Option<String>,
    pub(crate) preview_url: Option<String>,
    /// Models that have it; empty for all of the provider's.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// Provider to that provider's voice, for names that are mapped.
    #[serde(default)]
    pub(crate) map: BTreeMap<String, String>,
}

/// What the key may still spend.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct KeySpend {
    pub(crate) key: String,
    pub(crate) spent_usd: String,
    pub(crate) reserved_usd: String,
    pub(crate) budget: Option<KeyBudget>,
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) max_concurrent_sessions: Option<u32>,
}

/// The key's budget.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct KeyBudget {
    pub(crate) usd: String,
    pub(crate) remaining_usd: String,
}

/// What one call cost and why.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct CallUsage {
    pub(crate) id: String,
    pub(crate) request_id: String,
    pub(crate) operation: String,
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) model_served: String,
    pub(crate) usage: Usage,
    pub(crate) usage_source: String,
    pub(crate) cost_usd: Option<String>,
    pub(crate) status: String,
    pub(crate) attempts: u64,
    pub(crate) ttfb_ms: Option<u64>,
    pub(crate) latency_ms: u64,
}

/// A short-lived key for a realtime session in the page.
#[derive(Clone, PartialEq, Deserialize)]
pub(crate) struct ClientSecret {
    pub(crate) value: String,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
    pub(crate) session: Value,
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSecret").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What is to be spoken.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Speech {
    pub(crate) model: String,
    pub(crate) input: String,
    pub(crate) voice: String,
    /// `mp3`, `opus`, `aac`, `flac`, `wav` or `pcm`.
    pub(crate) response_format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instructions: Option<String>,
}

/// What is told of a call beside its body.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CallFacts {
    pub(crate) request_id: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    /// Only where it was known before the body began: else ask `call_usage`.
    pub(crate) cost_usd: Option<String>,
    pub(crate) attempts: Option<u64>,
    pub(crate) cache: Option<String>,
    pub(crate) content_type: Option<String>,
    /// Milliseconds until the head of the answer.
    pub(crate) head_ms: f64,
    /// Milliseconds until the first byte of the body.
    pub(crate) first_byte_ms: Option<f64>,
    /// Milliseconds until the end.
    pub(crate) total_ms: f64,
}

/// A transcript in the format that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transcript {
    /// JSON, SRT, VTT or plain text.
    pub(crate) body: String,
    pub(crate) facts: CallFacts,
}

impl Gateway {
    /// A gateway at `base`, such as `http://127.0.0.1:8080`, and a virtual key.
    pub(crate) fn new(base: &str, key: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), key: key.trim().to_owned() }
    }

    /// Where WebSockets of it are opened.
    pub(crate) fn socket_url(&self, path: &str) -> String {
        let base = match self.base.split_once("://") {
            Some(("https", rest)) => format!("wss://{rest}"),
            Some((_, rest)) => format!("ws://{rest}"),
            None => self.base.clone(),
        };
        format!("{base}{path}")
    }

    /// Models that the key may use.
    pub(crate) async fn models(&self) -> Result<Vec<GatewayModel>, Failure> {
        self.json::<Listed<_>>(self.call(Method::GET, "/v1/models")).await.map(|list| list.data)
    }

    /// Voices of all the providers that the key may use.
    pub(crate) async fn voices(&self) -> Result<Vec<GatewayVoice>, Failure> {
        self.json::<Listed<_>>(self.call(Method::GET, "/v1/audio/voices")).await.map(|list| list.data)
    }

    /// What the key may still spend.
    pub(crate) async fn spend(&self) -> Result<KeySpend, Failure> {
        self.json(self.call(Method::GET, "/v1/usage")).await
    }

    /// What a call cost; not found until its record is written, a moment after its end.
    pub(crate) async fn call_usage(&self, request_id: &str) -> Result<Vec<CallUsage>, Failure> {
        let call = self.call(Method::GET, &format!("/v1/usage/{}", escaped(request_id)));
        self.json::<Listed<_>>(call).await.map(|list| list.data)
    }

    /// As [`Self::call_usage`], waiting for the record: it is asked for again, with growing pauses, for as long as it
    /// is `wanted`, but for some minutes at most.
    pub(crate) async fn settled_usage(
        &self,
        request_id: &str,
        wanted: impl Fn() -> bool,
    ) -> Result<Vec<CallUsage>, Failure> {
        let (mut pause_ms, mut waited_ms) = (FIRST_PAUSE_MS, 0);
        loop {
            clock::sleep_ms(pause_ms).await;
            waited_ms += pause_ms;
            match self.call_usage(request_id).await {
                Err(failure) if failure.may_pass() && waited_ms < LONGEST_WAIT_MS && wanted() => {}
                done => return done,
            }
            pause_ms = (pause_ms + pause_ms / 2).min(LONGEST_PAUSE_MS);
        }
    }

    /// A key for a realtime session of this page, good for `seconds`. `session` is as in `session.update`, with
    /// `type` and `model`.
    pub(crate) async fn client_secret(&self, session: &Value, seconds: u32) -> Result<ClientSecret, Failure> {
        let body =
            serde_json::json!({"expires_after": {"anchor": "created_at", "seconds": seconds}, "session": session});
        self.json(self.call(Method::POST, "/v1/realtime/client_secrets").json(&body)?).await
    }

    /// Speaks; `piece` gets the bytes as they come, and stops it by giving false.
    pub(crate) async fn speech(
        &self,
        speech: &Speech,
        mut piece: impl FnMut(Uint8Array) -> bool,
    ) -> Result<CallFacts, Failure> {
        let call = self.call(Method::POST, "/v1/audio/speech").json(speech)?;
        let (answer, mut facts, begin) = self.measured(call).await?;
        let pieces = Pieces::of(answer);
        while let Some(bytes) = pieces.next().await? {
            facts.first_byte_ms.get_or_insert_with(|| clock::stopwatch_ms() - begin);
            if !piece(bytes) {
                return Err(Failure::Cancelled);
            }
        }
        facts.total_ms = clock::stopwatch_ms() - begin;
        Ok(facts)
    }

    /// Writes down what is said in `audio`. `fields` are those of the API beside the file, such as `model`,
    /// `language` and `response_format`; a name may come twice.
    pub(crate) async fn transcribe(
        &self,
        audio: &Blob,
        file_name: &str,
        fields: &[(&str, &str)],
    ) -> Result<Transcript, Failure> {
        let (answer, mut facts, begin) = self.transcription(audio, file_name, fields).await?;
        let body = answer.text().await?;
        facts.total_ms = clock::stopwatch_ms() - begin;
        Ok(Transcript { body, facts })
    }

    /// The same as a stream, where `fields` ask for one; `event` gets the data of each event as it comes.
    pub(crate) async fn transcribe_as_it_comes(
        &self,
        audio: &Blob,
        file_name: &str,
        fields: &[(&str, &str)],
        mut event: impl FnMut(&str),
    ) -> Result<Transcript, Failure> {
        let (answer, mut facts, begin) = self.transcription(audio, file_name, fields).await?;
        let (pieces, mut cutter, mut body) = (Pieces::of(answer), Cutter::events(), String::new());
        while let Some(bytes) = pieces.next().await? {
            facts.first_byte_ms.get_or_insert_with(|| clock::stopwatch_ms() - begin);
            for text in cutter.push(&bytes.to_vec()) {
                if let Some(told) = event_of(&text) {
                    event(&told.data);
                }
                body.push_str(&text);
                body.push_str("\n\n");
            }
        }
        facts.total_ms = clock::stopwatch_ms() - begin;
        Ok(Transcript { body, facts })
    }

    async fn transcription(
        &self,
        audio: &Blob,
        file_name: &str,
        fields: &[(&str, &str)],
    ) -> Result<(Answer, CallFacts, f64), Failure> {
        let broken = |error| Failure::Unreadable(format!("{error:?}"));
        let form = FormData::new().map_err(broken)?;
        for (name, value) in fields {
            form.append_with_str(name, value).map_err(broken)?;
        }
        // At last: the fields before it decide where it is sent while it comes.
        form.append_with_blob_and_filename("file", audio, file_name).map_err(broken)?;
        let call = self.call(Method::POST, "/v1/audio/transcriptions").raw(None, form);
        self.measured(call).await
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call::new(method, format!("{}{path}", self.base))
    }

    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        accepted(call.send(Some(&self.key)).await?).await?.json().await
    }

    /// The head of an answer, and when it was asked for.
    async fn measured(&self, call: Call) -> Result<(Answer, CallFacts, f64), Failure> {
        let begin = clock::stopwatch_ms();
        let answer = accepted(call.patience_ms(LONG_PATIENCE_MS).send(Some(&self.key)).await?).await?;
        let facts = CallFacts {
            request_id: answer.header("x-request-id"),
            provider: answer.header("x-antiphon-provider"),
            model: answer.header("x-antiphon-model"),
            cost_usd: answer.header("x-antiphon-cost-usd"),
            attempts: answer.header("x-antiphon-attempts").and_then(|told| told.parse().ok()),
            cache: answer.header("x-antiphon-cache"),
            content_type: answer.header("content-type"),
            head_ms: clock::stopwatch_ms() - begin,
            ..CallFacts::default()
        };
        Ok((answer, facts, begin))
    }
}

/// The answer, unless it is an error in the shape of `OpenAI`.
async fn accepted(answer: Answer) -> Result<Answer, Failure> {
    if answer.ok() {
        return Ok(answer);
    }
    let (status, retry_after) = (answer.status(), answer.retry_after());
    let request_id = answer.header("x-request-id");
    let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
    let text = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).map(str::to_owned);
    Err(Failure::Gateway(Box::new(GatewayProblem {
        status,
        code: text("code").unwrap_or_else(|| "unknown".to_owned()),
        message: text("message").unwrap_or_else(|| format!("The gateway answered with the status {status}.")),
        param: text("param"),
        request_id,
        retry_after,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_opened_as_safely_as_requests() {
        assert_eq!(Gateway::new("https://a.example/", "k").socket_url("/v1/realtime"), "wss://a.example/v1/realtime");
        assert_eq!(Gateway::new("http://127.0.0.1:8080", "k").socket_url("/x"), "ws://127.0.0.1:8080/x");
    }

    #[test]
    fn voices_of_both_kinds_are_read() {
        let text = r#"{"object":"list","data":[
            {"id":"anna","name":"anna","provider":null,"language":null,"gender":null,"preview_url":null,"map":{"openai":"alloy"}},
            {"id":"alloy","name":"alloy","provider":"openai","language":"en","gender":"female","preview_url":null,"models":["tts-1"]}]}"#;
        let voices = serde_json::from_str::<Listed<GatewayVoice>>(text).unwrap().data;
        assert_eq!(voices.first().map(|voice| voice.map.len()), Some(1));
        assert_eq!(voices.last().and_then(|voice| voice.provider.as_deref()), Some("openai"));
    }
}
