//! Chat and embeddings: bodies forwarded with one field changed, streams with their usage read.

use std::collections::BTreeMap;

use domain::provider::Operation;
use domain::usage::Usage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::usage;
use crate::contract::{Endpoint, JsonDialect, JsonRequest, UpstreamModel};
use crate::error::DialectError;
use crate::sse::{Event, Splitter, StreamEnd};

/// Chat completions and embeddings as OpenAI takes them.
#[derive(Debug)]
pub struct OpenaiJson;

impl JsonDialect for OpenaiJson {
    fn request(&self, operation: Operation, body: &[u8], model: &UpstreamModel) -> Result<JsonRequest, DialectError> {
        let path = match operation {
            Operation::Chat => "/chat/completions",
            Operation::Embeddings => "/embeddings",
            other => return Err(super::unsupported(model, "model", &format!("{other} as a JSON operation"))),
        };
        Ok(JsonRequest { endpoint: Endpoint::at(path), body: rewrite(operation, body, &model.wire_name)? })
    }
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Every field stays byte for byte as the client wrote it, but `model`, and `stream_options` of a stream.
fn rewrite(operation: Operation, body: &[u8], wire_name: &str) -> Result<Vec<u8>, DialectError> {
    let mut fields: Fields<'_> = serde_json::from_slice(body).map_err(|error| not_an_object(&error))?;
    let model = to_raw_value(wire_name).map_err(|error| not_an_object(&error))?;
    fields.insert("model".to_owned(), &model);
    let options = match fields.get("stream") {
        Some(stream) if operation == Operation::Chat && stream.get() == "true" => {
            with_usage(fields.get("stream_options").copied())
        }
        _ => None,
    };
    if let Some(options) = &options {
        fields.insert("stream_options".to_owned(), options);
    }
    serde_json::to_vec(&fields).map_err(|error| not_an_object(&error))
}

/// `None` leaves options that are no object as they are: the provider refuses them in its own words.
fn with_usage(options: Option<&RawValue>) -> Option<Box<RawValue>> {
    let text = options.map_or("null", RawValue::get);
    let mut options: Fields<'_> = serde_json::from_str::<Option<Fields<'_>>>(text).ok()?.unwrap_or_default();
    let yes = to_raw_value(&true).ok()?;
    options.insert("include_usage".to_owned(), &yes);
    to_raw_value(&options).ok()
}

fn not_an_object(error: &serde_json::Error) -> DialectError {
    DialectError::Invalid { param: "body", message: format!("the body must be a JSON object: {error}") }
}

/// Whether the client of a chat stream asked for the usage chunk itself.
#[must_use]
pub fn chat_stream_wants_usage(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        stream_options: Option<Options>,
    }
    #[derive(Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    let options = serde_json::from_slice::<Body>(body).ok().and_then(|body| body.stream_options);
    options.and_then(|options| options.include_usage).unwrap_or(false)
}

/// Whether a body asks for a stream.
#[must_use]
pub fn wants_stream(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        stream: Option<bool>,
    }
    serde_json::from_slice::<Body>(body).ok().and_then(|body| body.stream).unwrap_or(false)
}

/// Reads usage out of a chat stream on its way to the client.
#[derive(Debug)]
pub struct ChatSse {
    splitter: Splitter,
    state: ChatState,
}

#[derive(Debug)]
struct ChatState {
    client_wants_usage: bool,
    usage: Option<Usage>,
    groq_usage: Option<Usage>,
    done: bool,
    failed: bool,
    deltas: u64,
}

#[derive(Deserialize)]
struct Chunk {
    usage: Option<Value>,
    choices: Option<Vec<IgnoredAny>>,
    x_groq: Option<Value>,
    error: Option<Value>,
}

impl ChatSse {
    /// `client_wants_usage` is [`chat_stream_wants_usage`] of the client's own body.
    #[must_use]
    pub fn new(client_wants_usage: bool) -> Self {
        let state =
            ChatState { client_wants_usage, usage: None, groq_usage: None, done: false, failed: false, deltas: 0 };
        Self { splitter: Splitter::default(), state }
    }

    /// Takes the provider's next bytes and appends what the client gets to `out`: all of it, but the
    /// chunk that carries nothing except usage the client did not ask for.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when one event is beyond any bound.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DialectError> {
        let state = &mut self.state;
        self.splitter.feed(bytes, |event| {
            state.take(event, out);
            Ok(())
        })
    }

    /// Usage, once the provider has told it.
    #[must_use]
    pub fn reported(&self) -> Option<Usage> {
        self.state.usage.or(self.state.groq_usage)
    }

    /// Chunks passed on: about as many as text tokens that were delivered.
    #[must_use]
    pub fn deltas(&self) -> u64 {
        self.state.deltas
    }

    /// The provider's stream ended: appends what was held back, and says how it ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> StreamEnd {
        let state = &mut self.state;
        let last = self.splitter.finish(|event| {
            state.take(event, out);
            Ok(())
        });
        let state = &self.state;
        StreamEnd { complete: last.is_ok() && state.done && !state.failed, usage: state.usage.or(state.groq_usage) }
    }
}

impl ChatState {
    fn take(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let data = event.data.as_deref().unwrap_or_default();
        if data == b"[DONE]" {
            self.done = true;
        } else if self.is_usage_only(data) && !self.client_wants_usage {
            return;
        } else {
            self.deltas += 1;
        }
        out.extend_from_slice(event.raw);
    }

    /// Notes usage and failure. Most chunks hold neither word and are not parsed.
    fn is_usage_only(&mut self, data: &[u8]) -> bool {
        let has = |needle: &[u8]| memchr::memmem::find(data, needle).is_some();
        if !has(b"\"usage\"") && !has(b"\"error\"") {
            return false;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return false };
        let groq = chunk.x_groq.as_ref();
        let is_error = |error: Option<&Value>| error.is_some_and(|error| !error.is_null());
        self.failed |= is_error(chunk.error.as_ref()) || is_error(groq.and_then(|groq| groq.get("error")));
        // Groq says the same twice where it was asked for usage: OpenAI's place wins.
        self.groq_usage = groq.and_then(|groq| usage::chat(groq.get("usage")?)).or(self.groq_usage);
        let Some(found) = chunk.usage.as_ref().and_then(usage::chat) else { return false };
        self.usage = Some(found);
        chunk.choices.is_none_or(|choices| choices.is_empty())
    }
}
