//! Utterances for a provider that transcribes files only: the audio of a live session is cut by voice activity,
//! and each utterance is a WAV file that is transcribed over HTTP, one after another.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use audio::ActivitySettings;
use bytes::Bytes;
use dialects::contract::Endpoint;
use dialects::live::Frame;
use dialects::live::bytes_in;
use dialects::live::cut::{AUDIO, CLOSE, COMMIT, Cut, Cutting, End};
use domain::audio::{AudioFile, Container, SampleRate};
use domain::error::{ErrorKind, Origin};
use domain::provider::Operation;
use domain::transcription::TranscriptionRequest;
use http_body_util::{BodyExt, Full};
use local_speech::InputBuffer;
use serde::Deserialize;

use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::envelope::{Encoder, Envelope};
use crate::pipeline::forward;
use crate::pipeline::route::Candidate;

/// Utterances that wait for the provider before the client is left to wait.
const MAX_WAITING: usize = 8;
/// The rate of recognition.
const RATE: SampleRate = SampleRate(16_000);
/// Silence is told this often, so that it is not kept.
const SILENCE_MS: u64 = 2_000;
/// Shorter utterances are not sent: providers refuse them.
const LEAST_MS: u64 = 100;

type Recognition = Pin<Box<dyn Future<Output = Cut>>>;

/// What is to be told or done, in order.
enum Next {
    Tell(Cut),
    Recognise { samples: Vec<i16>, to_ms: u64, end: End },
}

/// Cuts one session's audio.
pub(super) struct Cutter {
    worker: Worker,
    candidate: Candidate,
    cutting: Option<Cutting>,
    buffer: Option<InputBuffer>,
    next: VecDeque<Next>,
    running: Option<Recognition>,
    told_ms: u64,
    closing: bool,
}

impl Cutter {
    pub(super) fn new(worker: Worker, candidate: Candidate) -> Self {
        Self {
            worker,
            candidate,
            cutting: None,
            buffer: None,
            next: VecDeque::new(),
            running: None,
            told_ms: 0,
            closing: false,
        }
    }

    /// Whether another frame may come.
    pub(super) fn has_room(&self) -> bool {
        self.next.len() < MAX_WAITING
    }

    /// Takes a frame, in the words of [`dialects::live::cut`].
    pub(super) fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Binary(audio) => self.listen(&audio),
            Frame::Text(text) if text == COMMIT => self.commit(End::Commit),
            Frame::Text(text) if text == CLOSE => {
                self.closing = true;
                if self.buffer.as_ref().and_then(InputBuffer::open_ms).is_some() {
                    self.commit(End::Turn);
                }
            }
            Frame::Text(text) => self.begin(&text),
            Frame::Ping => {}
        }
    }

    /// The next message; `None` when all is told after [`CLOSE`].
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<String>> {
        loop {
            if let Some(running) = &mut self.running {
                let cut = std::task::ready!(running.as_mut().poll(context));
                self.running = None;
                return Poll::Ready(Some(written(&cut)));
            }
            match self.next.pop_front() {
                Some(Next::Tell(cut)) => return Poll::Ready(Some(written(&cut))),
                Some(Next::Recognise { samples, to_ms, end }) => {
                    let Some(cutting) = self.cutting.clone() else { continue };
                    let (worker, candidate) = (self.worker.clone(), self.candidate.clone());
                    self.running = Some(Box::pin(recognised(worker, candidate, cutting, samples, to_ms, end)));
                }
                None if self.closing => return Poll::Ready(None),
                // A frame wakes the task, which asks again.
                None => return Poll::Pending,
            }
        }
    }

    fn begin(&mut self, text: &str) {
        let cutting = match serde_json::from_str::<Cutting>(text) {
            Ok(cutting) => cutting,
            Err(error) => return self.failed(&error),
        };
        let turns = cutting.turns.map(|(threshold, prefix_padding_ms, silence_duration_ms)| ActivitySettings {
            threshold: threshold as f32,
            prefix_padding_ms,
            silence_duration_ms,
        });
        match InputBuffer::new(AUDIO, turns) {
            Ok(buffer) => (self.buffer, self.cutting) = (Some(buffer), Some(cutting)),
            Err(error) => self.failed(&error),
        }
    }

    /// What is said now is not understood, and the client is told so.
    fn failed(&mut self, why: &dyn std::fmt::Display) {
        let failed = Cut::Failed { code: "internal_error".to_owned(), message: why.to_string() };
        self.next.push_back(Next::Tell(failed));
    }

    fn listen(&mut self, audio: &[u8]) {
        let Some(buffer) = &mut self.buffer else { return };
        let cuts = match buffer.append(audio) {
            Ok(cuts) => cuts,
            Err(error) => return self.failed(&error),
        };
        let (now_ms, open) = (buffer.now_ms(), buffer.open_ms().is_some());
        for cut in cuts {
            self.next.push_back(match cut {
                local_speech::Cut::Started { at_ms } => Next::Tell(Cut::Started { at_ms }),
                local_speech::Cut::Stopped { at_ms, samples } => {
                    Next::Recognise { samples, to_ms: at_ms, end: End::Turn }
                }
                local_speech::Cut::Full { samples } => Next::Recognise { samples, to_ms: now_ms, end: End::Length },
            });
        }
        if !open && now_ms >= self.told_ms + SILENCE_MS && self.next.is_empty() {
            self.told_ms = now_ms;
            self.next.push_back(Next::Tell(Cut::Silence { to_ms: now_ms.saturating_sub(SILENCE_MS / 2) }));
        }
    }

    fn commit(&mut self, end: End) {
        let Some(buffer) = &mut self.buffer else { return };
        let (samples, to_ms) = (buffer.take(), buffer.now_ms());
        self.next.push_back(Next::Recognise { samples, to_ms, end });
    }
}

fn written(cut: &Cut) -> String {
    serde_json::to_string(cut).unwrap_or_default()
}

async fn recognised(
    worker: Worker,
    candidate: Candidate,
    cutting: Cutting,
    samples: Vec<i16>,
    to_ms: u64,
    end: End,
) -> Cut {
    let sent_ms = samples.len() as u64 / bytes_in(AUDIO, 1) * 2;
    if sent_ms < LEAST_MS {
        return Cut::Text { text: String::new(), to_ms, sent_ms: 0, end };
    }
    let asked = Instant::now();
    match transcribed(&worker, &candidate, &cutting, &samples).await {
        Ok(text) => Cut::Text { text, to_ms, sent_ms, end },
        Err(error) => {
            tracing::warn!(provider = %candidate.account.name, %error, "an utterance was not transcribed");
            let failed = matches!(error.kind(), ErrorKind::UpstreamError | ErrorKind::UpstreamTimeout);
            if failed && error.origin() == Origin::Upstream {
                worker.gateway.health.failed(&candidate, Operation::Realtime, asked.elapsed());
            }
            Cut::Failed { code: error.kind().facts().2.to_owned(), message: error.message().to_owned() }
        }
    }
}

async fn transcribed(
    worker: &Worker,
    candidate: &Candidate,
    cutting: &Cutting,
    samples: &[i16],
) -> Result<String, GatewayError> {
    let Some(dialect) = candidate.row.transcription else {
        return Err(GatewayError::invalid("model", "The model cannot transcribe."));
    };
    let request = TranscriptionRequest {
        model: cutting.model.clone(),
        language: cutting.language.clone(),
        keywords: cutting.keywords.clone(),
        prompt: cutting.prompt.clone(),
        ..TranscriptionRequest::default()
    };
    let duration_ms = Some(samples.len() as u64 * 1000 / u64::from(RATE.0));
    let file = AudioFile { container: Container::Wav, sample_rate: Some(RATE), channels: Some(1), duration_ms };
    let form = dialect.request(Operation::Transcription, &request, &file, &candidate.model)?;
    let envelope = Envelope::new(&form.body, "utterance.wav", Container::Wav.content_type());
    let mut encoder = Encoder::new(envelope.encoding);
    let mut body = envelope.head;
    body.extend_from_slice(&encoder.piece(wav(samples)));
    body.extend_from_slice(&encoder.rest());
    body.extend_from_slice(&envelope.tail);
    let text = ask(worker, candidate, &form.endpoint, &envelope.content_type, body, |content_type, body| {
        dialect.reply(Operation::Transcription, &request, &candidate.model, content_type, body)
    });
    let reply = text.await?;
    #[derive(Deserialize)]
    struct Transcript {
        text: String,
    }
    let transcript: Transcript = serde_json::from_slice(&reply.body).map_err(|error| GatewayError::internal(&error))?;
    Ok(transcript.text)
}

async fn ask<T>(
    worker: &Worker,
    candidate: &Candidate,
    endpoint: &Endpoint,
    content_type: &str,
    body: Vec<u8>,
    read: impl FnOnce(&str, &[u8]) -> Result<T, dialects::error::DialectError>,
) -> Result<T, GatewayError> {
    let length = body.len() as u64;
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let request = forward::post(&worker.gateway, candidate, endpoint, content_type, body, Some(length)).await?;
    let sent = worker.client.send(candidate.account.allow_insecure, request);
    let answer = tokio::time::timeout(worker.gateway.timeouts().first_byte, sent).await;
    let answer = answer
        .map_err(|_| GatewayError::upstream(ErrorKind::UpstreamTimeout, "The provider did not answer in time."))??;
    if !answer.status().is_success() {
        return Err(forward::refusal(&worker.gateway, candidate, answer).await);
    }
    let content_type = forward::content_type_of(&answer).to_owned();
    let body = forward::collect_json(&worker.gateway, answer.into_body()).await?;
    Ok(read(&content_type, &body)?)
}

fn wav(samples: &[i16]) -> Bytes {
    let length = u32::try_from(samples.len() * 2).ok();
    let mut file = audio::encode::wav_header(RATE, length).to_vec();
    file.extend(audio::encode::pcm16_bytes(samples));
    file.into()
}
