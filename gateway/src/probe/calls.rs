//! The calls of a probe that are one request over HTTP, or one run of a program on this machine.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use dialects::contract::{Endpoint, SpeechAnswer, SpeechPlan};
use domain::audio::{AudioFile, Container, SampleRate, SpeechFormat};
use domain::error::ErrorKind;
use domain::provider::{Extensions, Operation};
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::transcription::TranscriptionRequest;
use domain::usage::Usage;
use futures_util::StreamExt;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Answer, Failure, FailureKind, Noted, Prober};
use crate::error::GatewayError;
use crate::pipeline::envelope::{Encoder, Envelope};
use crate::pipeline::explain::a_voice;
use crate::pipeline::forward::{collect, collect_json, content_type_of, get, post};
use crate::pipeline::json;
use crate::pipeline::route::Candidate;
use crate::pipeline::speech_way::{Way, not_audio};
use crate::upstream::client::{Body, UpstreamClient};

/// What is listened to.
static HELLO: &[u8] = include_bytes!("hello.wav");
/// What is said.
const SENTENCE: &str = "Hello there.";
/// Most speech that is shown.
const MAX_SHOWN_BYTES: usize = 256 * 1024;
/// Most speech that is read: two words are never so long.
const MAX_SPEECH_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes read of a refusal.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Tokens of an answer.
const MAX_TOKENS: u32 = 16;
const JSON: &str = "application/json";

/// A probe on its way.
pub(super) struct Call<'a> {
    pub(super) prober: &'a Prober,
    pub(super) client: UpstreamClient,
    pub(super) candidate: &'a Candidate,
    pub(super) noted: &'a mut Noted,
}

impl Call<'_> {
    /// Has a word transcribed or translated.
    pub(super) async fn transcribe(self, operation: Operation) -> Result<Answer, Failure> {
        let candidate = self.candidate;
        if candidate.row.in_process {
            return self.transcribe_locally().await;
        }
        let Some(dialect) = candidate.row.transcription else { return Err(cannot()) };
        let (model, request) = (
            &candidate.model,
            TranscriptionRequest { model: candidate.model.model.clone(), ..TranscriptionRequest::default() },
        );
        let form = dialect.request(operation, &request, &hello(), model).map_err(GatewayError::from)?;
        let envelope = Envelope::new(&form.body, "hello.wav", "audio/wav");
        let mut encoder = Encoder::new(envelope.encoding);
        let file = encoder.piece(Bytes::from_static(HELLO));
        let body = [&envelope.head[..], &file, &encoder.rest(), &envelope.tail].concat();
        let mut call = self;
        let answer = call.ask(&form.endpoint, &envelope.content_type, body).await?;
        let content_type = content_type_of(&answer).to_owned();
        let body = collect_json(call.prober, answer.into_body()).await?;
        call.noted.first_byte();
        let reply = dialect.reply(operation, &request, model, &content_type, &body).map_err(GatewayError::from);
        let reply = reply.map_err(unreadable)?;
        let told: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let text = told.as_ref().and_then(|told| told.get("text")?.as_str()).unwrap_or_default();
        Ok(Answer::Text(text.to_owned()))
    }

    async fn transcribe_locally(self) -> Result<Answer, Failure> {
        let file = tokio::task::spawn_blocking(|| {
            let mut file = tempfile::Builder::new().suffix(".wav").tempfile()?;
            file.write_all(HELLO)?;
            Ok::<_, std::io::Error>(file)
        });
        let file = file.await.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
        let transcript = self.prober.local.transcribe(file.path().to_owned(), false).await;
        let transcript = transcript.map_err(GatewayError::from).map_err(local)?;
        self.noted.first_byte();
        Ok(Answer::Text(transcript.text))
    }

    /// Has two words spoken.
    pub(super) async fn speak(self, voice: Option<&str>) -> Result<Answer, Failure> {
        let mut call = self;
        let voice = match voice {
            Some(name) => Voice::Name(name.to_owned()),
            None => call.a_voice().await?,
        };
        let (request, plan) = call.speech(voice)?;
        if call.candidate.row.in_process {
            return call.speak_locally(&request).await;
        }
        let Some(part) = plan.parts.into_iter().next() else { return Err(cannot()) };
        let answer = call.ask(&part.request.endpoint, JSON, part.request.body).await?;
        let content_type = content_type_of(&answer);
        let wrapped = matches!(plan.answer, SpeechAnswer::Wrapped(_));
        if content_type.starts_with("text/html") || (content_type.starts_with(JSON) && !wrapped) {
            return Err(unreadable(not_audio()));
        }
        let is_events = content_type.starts_with("text/event-stream");
        let way = Way::new(plan.answer, plan.audio, is_events, StreamFormat::Audio, request.format());
        call.hear(way.map_err(unreadable)?, answer.into_body(), request.format()).await
    }

    /// Any voice of the account.
    async fn a_voice(&mut self) -> Result<Voice, Failure> {
        let (candidate, from) = (self.candidate, self.prober);
        let Some(directory) = candidate.row.voices_api else { return Ok(Voice::Name(a_voice(candidate).to_owned())) };
        let request = get(from, candidate, &directory.page(None)).await?;
        let answer = self.sent(request).await?;
        let body = collect_json(from, answer.into_body()).await?;
        let page = directory.parse(&body).map_err(GatewayError::from).map_err(unreadable)?;
        let first = page.voices.into_iter().next();
        let none = || Failure { kind: FailureKind::Failed, message: "The account has no voice.".to_owned() };
        first.map(|voice| Voice::Id { id: voice.id }).ok_or_else(none)
    }

    /// The request in the first format that the model has and a browser plays.
    fn speech(&self, voice: Voice) -> Result<(SpeechRequest, SpeechPlan), Failure> {
        let Some(dialect) = self.candidate.row.speech else { return Err(cannot()) };
        let mut request = SpeechRequest {
            model: self.candidate.model.model.clone(),
            input: SENTENCE.to_owned(),
            voice,
            instructions: None,
            response_format: None,
            speed: None,
            stream_format: None,
            extensions: Extensions::new(),
        };
        let mut refused = None;
        for format in [SpeechFormat::Wav, SpeechFormat::Mp3] {
            request.response_format = Some(format);
            match dialect.request(&request, &self.candidate.model) {
                Ok(plan) => return Ok((request, plan)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.map_or_else(cannot, |error| GatewayError::from(error).into()))
    }

    async fn speak_locally(self, request: &SpeechRequest) -> Result<Answer, Failure> {
        let output = self.prober.local.speak(request).await.map_err(GatewayError::from).map_err(local)?;
        let (mut heard, mut body) = (Heard::default(), output.body);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(GatewayError::from).map_err(local)?;
            self.noted.first_byte();
            heard.add(&piece);
        }
        heard.answer(output.content_type)
    }

    async fn hear(self, mut way: Way, mut body: Incoming, format: SpeechFormat) -> Result<Answer, Failure> {
        let (idle, mut heard) = (self.prober.timeouts.idle, Heard::default());
        while let Some(piece) = next_piece(&mut body, idle).await? {
            self.noted.first_byte();
            heard.add(&way.feed(piece).map_err(unreadable)?);
            if heard.length > MAX_SPEECH_BYTES {
                let message = "The provider's speech is far longer than its text.".to_owned();
                return Err(Failure { kind: FailureKind::Unreadable, message });
            }
        }
        heard.add(&way.part_ended().map_err(unreadable)?);
        heard.add(&way.finish(&Usage::default()).map_err(unreadable)?);
        heard.answer(format.content_type())
    }

    /// Has a word answered, or turned into numbers.
    pub(super) async fn write(self, operation: Operation) -> Result<Answer, Failure> {
        let model = &self.candidate.model.model;
        let body = match operation {
            Operation::Chat => json!({"model": model, "max_completion_tokens": MAX_TOKENS,
                "messages": [{"role": "user", "content": "Say hello."}]}),
            _ => json!({"model": model, "input": "hello"}),
        };
        let request = json::write(self.candidate, operation, body.to_string().as_bytes());
        let request = request.map_err(GatewayError::from)?;
        let mut call = self;
        let answer = call.ask(&request.endpoint, JSON, request.body).await?;
        let body = collect_json(call.prober, answer.into_body()).await?;
        call.noted.first_byte();
        let told: Option<Value> = serde_json::from_slice(&body).ok();
        let text = told.as_ref().and_then(|told| match operation {
            Operation::Chat => said(told),
            _ => numbers(told),
        });
        text.map(Answer::Text).ok_or_else(|| {
            let message = format!("The provider's answer is no answer to {operation}.");
            Failure { kind: FailureKind::Unreadable, message }
        })
    }

    /// Posts, and gives an answer that is a success.
    pub(super) async fn ask(
        &mut self,
        endpoint: &Endpoint,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, Failure> {
        let length = body.len() as u64;
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
        let request = post(self.prober, self.candidate, endpoint, content_type, body, Some(length)).await?;
        self.sent(request).await
    }

    /// Asks without a body, and gives an answer that is a success.
    pub(super) async fn fetch(&mut self, endpoint: &Endpoint) -> Result<Response<Incoming>, Failure> {
        let request = get(self.prober, self.candidate, endpoint).await?;
        self.sent(request).await
    }

    async fn sent(&mut self, request: http::Request<Body>) -> Result<Response<Incoming>, Failure> {
        let sent = self.client.send(self.candidate.account.allow_insecure, request);
        let answer = tokio::time::timeout(self.prober.timeouts.first_byte, sent).await.map_err(|_| late())?;
        let answer = answer.map_err(unreachable)?;
        self.noted.status = Some(answer.status().as_u16());
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let body = collect(answer.into_body(), MAX_REFUSAL_BYTES, self.prober.timeouts.idle).await.unwrap_or_default();
        Err(self.refused(status, &body))
    }

    /// What a refusal means.
    pub(super) fn refused(&self, status: u16, body: &[u8]) -> Failure {
        let fault = (self.candidate.row.fault)(status, body);
        let kind = match fault.kind {
            _ if fault.credential_refused => {
                self.prober.tokens.forget(self.candidate.account.key());
                FailureKind::CredentialRefused
            }
            ErrorKind::UpstreamRateLimited => FailureKind::RateLimited,
            ErrorKind::UpstreamTimeout => FailureKind::Timeout,
            _ if status >= 500 => FailureKind::Failed,
            _ => FailureKind::Refused,
        };
        Failure { kind, message: fault.message }
    }
}

/// Speech as it arrives.
#[derive(Default)]
struct Heard {
    length: u64,
    shown: Vec<u8>,
}

impl Heard {
    fn add(&mut self, audio: &[u8]) {
        self.length += audio.len() as u64;
        let room = (MAX_SHOWN_BYTES + 1).saturating_sub(self.shown.len());
        self.shown.extend(audio.iter().take(room));
    }

    fn answer(self, content_type: &'static str) -> Result<Answer, Failure> {
        if self.length == 0 {
            return Err(unreadable(not_audio()));
        }
        let audio = (self.shown.len() <= MAX_SHOWN_BYTES).then(|| Bytes::from(self.shown));
        Ok(Answer::Speech { content_type, length: self.length, audio })
    }
}

fn hello() -> AudioFile {
    let (sample_rate, channels) = (Some(SampleRate(16_000)), Some(1));
    AudioFile { container: Container::Wav, sample_rate, channels, duration_ms: Some(1_000) }
}

async fn next_piece(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|_| late())?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| crate::pipeline::forward::cut(&error))?;
        if let Ok(chunk) = frame.into_data() {
            return Ok(Some(chunk));
        }
    }
}

/// What a chat has answered; a model that was cut short may have said nothing.
fn said(told: &Value) -> Option<String> {
    let message = told.get("choices")?.get(0)?.get("message")?;
    Some(message.get("content").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// How many numbers stand for the word.
fn numbers(told: &Value) -> Option<String> {
    let vector = told.get("data")?.get(0)?.get("embedding")?;
    let count = vector.as_array().map(Vec::len);
    Some(count.map_or_else(|| "A vector.".to_owned(), |count| format!("A vector of {count} numbers.")))
}

pub(super) fn cannot() -> Failure {
    Failure { kind: FailureKind::Unsupported, message: "The provider does no such thing.".to_owned() }
}

pub(super) fn late() -> Failure {
    Failure { kind: FailureKind::Timeout, message: "The provider did not answer in time.".to_owned() }
}

pub(super) fn unreachable(error: GatewayError) -> Failure {
    Failure { kind: FailureKind::Unreachable, message: error.message().to_owned() }
}

fn unreadable(error: GatewayError) -> Failure {
    Failure { kind: FailureKind::Unreadable, message: error.message().to_owned() }
}

fn local(error: GatewayError) -> Failure {
    Failure { kind: FailureKind::Local, message: error.message().to_owned() }
}

fn internal(cause: &dyn std::fmt::Display) -> Failure {
    GatewayError::internal(cause).into()
}
