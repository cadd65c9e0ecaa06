//! A probe of realtime sessions: one is opened, and closed once the provider is ready.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dialects::contract::Endpoint;
use dialects::conversation::agent::Incoming;
use dialects::live::Frame;
use dialects::translation::Effect;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::calls::{Call, cannot, late, unreachable};
use super::{Answer, Failure, FailureKind, Noted};
use crate::pipeline::forward::collect_json;
use crate::realtime::dialling::joined;
use crate::realtime::translated::Translator;
use crate::realtime::upstream::{Socket, shake_hands};
use crate::realtime::vendor_wire::{message, part};
use crate::realtime::ways::{Way, converser, transcriber, way};
use crate::snapshot::Snapshot;
use crate::telemetry::trace::Trace;

/// Audio of silence that makes a vendor's socket be opened: 200 ms at 24 kHz.
const SILENCE_BYTES: usize = 9600;
/// How soon is looked again, whatever happens.
const LOOK: Duration = Duration::from_secs(1);
/// A goodbye takes no longer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Opens a session with the candidate's model and closes it.
pub(super) async fn open(call: Call<'_>, snapshot: &Snapshot, transcribes: bool) -> Result<Answer, Failure> {
    let candidate = call.candidate;
    let prefix = Uuid::now_v7().simple().to_string();
    let translator = match way(candidate, transcribes)? {
        Way::Local => return local(call, &prefix).await,
        Way::Passed(opener) => {
            let endpoint = Endpoint::at(opener.path(&candidate.model, transcribes));
            return passed(call, &endpoint).await;
        }
        Way::Live(opener) => transcriber(candidate, opener, &prefix)?,
        Way::Agent(opener) => converser(snapshot, candidate, opener, &prefix)?,
    };
    if translator.by_utterance {
        // Its sessions are made here, of one request for each utterance.
        return call.transcribe(domain::provider::Operation::Transcription).await;
    }
    translated(call, translator, transcribes).await
}

fn opened(what: &str) -> Answer {
    Answer::Text(format!("The session was opened ({what}) and closed."))
}

async fn local(call: Call<'_>, prefix: &str) -> Result<Answer, Failure> {
    if let Some(missing) = call.prober.local.missing().first() {
        let missing = local_speech::LocalError::from(*missing);
        return Err(Failure { kind: FailureKind::Local, message: missing.to_string() });
    }
    let mut session = call.prober.local.open_transcription(call.candidate.model.model.clone(), prefix);
    let event = tokio::time::timeout(call.prober.timeouts.first_byte, session.from.recv()).await;
    let event = event.map_err(|_| late())?.ok_or_else(cannot)?;
    call.noted.first_byte();
    judge(&event).unwrap_or_else(|| Err(unexpected(&event)))
}

/// A provider of OpenAI's language says at once that the session is there.
async fn passed(call: Call<'_>, endpoint: &Endpoint) -> Result<Answer, Failure> {
    let mut call = call;
    let mut socket = dial(&mut call, endpoint).await?;
    let first_byte = call.prober.timeouts.first_byte;
    let outcome = loop {
        match tokio::time::timeout(first_byte, socket.0.next()).await.map_err(|_| late())? {
            Some(Ok(Message::Text(text))) => {
                call.noted.first_byte();
                if let Some(judged) = judge(text.as_str()) {
                    break judged;
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                return Err(closed(&reason));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(closed("")),
        }
    };
    leave(call.noted, socket, VecDeque::new()).await;
    outcome
}

/// What an event says of the session; `None` for one that says nothing of it.
fn judge(event: &str) -> Option<Result<Answer, Failure>> {
    let told: Value = serde_json::from_str(event).unwrap_or_default();
    let kind = told.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "error" => Some(Err(refusal(&told))),
        kind if kind.ends_with("session.created") => Some(Ok(opened(kind))),
        _ => None,
    }
}

fn refusal(told: &Value) -> Failure {
    let error = told.get("error").unwrap_or(told);
    let message = error.get("message").and_then(Value::as_str).unwrap_or("The provider refuses the session.");
    let kind = match error.get("code").and_then(Value::as_str) {
        Some("upstream_timeout") => FailureKind::Timeout,
        Some("upstream_rate_limited") => FailureKind::RateLimited,
        Some("upstream_error") => FailureKind::Failed,
        _ => FailureKind::Refused,
    };
    Failure { kind, message: message.to_owned() }
}

fn unexpected(event: &str) -> Failure {
    let told: Value = serde_json::from_str(event).unwrap_or_default();
    let kind = told.get("type").and_then(Value::as_str).unwrap_or("nothing");
    Failure { kind: FailureKind::Unreadable, message: format!("The session began with `{kind}`.") }
}

fn closed(reason: &str) -> Failure {
    let message = match reason {
        "" => "The provider closed the session.".to_owned(),
        reason => format!("The provider closed the session: {reason}"),
    };
    Failure { kind: FailureKind::Failed, message }
}

async fn dial(call: &mut Call<'_>, endpoint: &Endpoint) -> Result<Socket, Failure> {
    let timeouts = &call.prober.timeouts;
    let trace = Trace::default();
    let shaken = shake_hands(call.prober, &trace, call.candidate, endpoint);
    let shaken = tokio::time::timeout(timeouts.connect + timeouts.connect, shaken).await.map_err(|_| late())?;
    match shaken.map_err(unreachable)? {
        Ok(socket) => {
            call.noted.status = Some(101);
            Ok(socket)
        }
        Err(answer) => {
            call.noted.status = Some(answer.status().as_u16());
            Err(call.refused(answer.status().as_u16(), answer.body().as_deref().unwrap_or_default()))
        }
    }
}

/// Drives a vendor's language until its end is ready.
async fn translated(call: Call<'_>, translator: Translator, transcribes: bool) -> Result<Answer, Failure> {
    let mut talk = Talk { call, translator, transcribes, socket: None, began: Instant::now(), effects: Vec::new() };
    let outcome = talk.until_ready().await;
    talk.translator.session.finish(&mut talk.effects);
    let frames = talk.effects.drain(..).filter_map(|effect| match effect {
        Effect::ToVendor(frame) => Some(frame),
        _ => None,
    });
    let frames = frames.collect();
    if let Some(socket) = talk.socket.take() {
        leave(talk.call.noted, socket, frames).await;
    }
    outcome
}

/// Says goodbye, which is no part of what is measured.
async fn leave(noted: &mut Noted, socket: Socket, frames: VecDeque<Frame>) {
    noted.ended = Some(Instant::now());
    if tokio::time::timeout(FAREWELL, part(Box::new(socket), frames)).await.is_err() {
        tracing::debug!("the provider did not hear the goodbye of a probe");
    }
}

/// A session with a vendor that is translated.
struct Talk<'a> {
    call: Call<'a>,
    translator: Translator,
    transcribes: bool,
    socket: Option<Socket>,
    began: Instant,
    effects: Vec<Effect>,
}

impl Talk<'_> {
    fn now(&self) -> u64 {
        super::millis(self.began.elapsed())
    }

    async fn until_ready(&mut self) -> Result<Answer, Failure> {
        self.translator.session.start(&mut self.effects);
        let now = self.now();
        self.translator.session.client(&first_event(self.transcribes), now, &mut self.effects);
        loop {
            while self.translator.session.busy() {
                let now = self.now();
                self.translator.session.work(now, &mut self.effects);
            }
            if self.carry_out().await? {
                self.call.noted.first_byte();
                return Ok(opened("the provider is ready"));
            }
            if self.effects.is_empty() {
                self.wait().await;
            }
        }
    }

    /// Does what is to be done, and tells whether the vendor's end is ready.
    async fn carry_out(&mut self) -> Result<bool, Failure> {
        let mut ready = false;
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::ToClient(event) => ready |= confirms(&event)?,
                Effect::Ask { endpoint, body } => self.ask(&endpoint, body).await?,
                Effect::Open(endpoint) => {
                    let socket = dial(&mut self.call, &endpoint).await?;
                    self.entered(socket);
                }
                Effect::Join(address) => {
                    let insecure = self.call.candidate.account.allow_insecure;
                    let socket = tokio::time::timeout(self.call.prober.timeouts.first_byte, joined(&address, insecure));
                    let socket = socket.await.map_err(|_| late())?.map_err(unreachable)?;
                    self.call.noted.status = Some(101);
                    self.entered(socket);
                }
                Effect::ToVendor(frame) => {
                    if let Some(socket) = &mut self.socket {
                        socket.0.send(message(frame)).await.map_err(|_| closed(""))?;
                    }
                }
                Effect::Leave => self.socket = None,
                Effect::End(_, reason) => return Err(closed(&reason)),
            }
        }
        // A vendor that transcribes tells its client nothing: it is ready when it takes audio.
        let heard = self.transcribes && self.translator.session.progress(self.now()).billed_ms > 0;
        Ok(heard || (ready && !self.transcribes))
    }

    async fn ask(&mut self, endpoint: &Endpoint, body: Option<Vec<u8>>) -> Result<(), Failure> {
        let answer = match body {
            Some(body) => self.call.ask(endpoint, "application/json", body).await?,
            None => self.call.fetch(endpoint).await?,
        };
        let body = collect_json(self.call.prober, answer.into_body()).await?;
        let now = self.now();
        self.translator.session.answered(&body, now, &mut self.effects);
        Ok(())
    }

    fn entered(&mut self, socket: Socket) {
        self.socket = Some(socket);
        let now = self.now();
        self.translator.session.opened(now, &mut self.effects);
    }

    async fn wait(&mut self) {
        let due = self.translator.session.next_tick().map(|at| Duration::from_millis(at.saturating_sub(self.now())));
        let due = due.unwrap_or(LOOK).min(LOOK);
        let Some(socket) = &mut self.socket else {
            tokio::time::sleep(due).await;
            self.tick();
            return;
        };
        let Ok(came) = tokio::time::timeout(due, socket.0.next()).await else { return self.tick() };
        let now = self.now();
        let session = &mut self.translator.session;
        match came {
            Some(Ok(Message::Text(text))) => session.vendor(Incoming::Text(&text), now, &mut self.effects),
            Some(Ok(Message::Binary(bytes))) => session.vendor(Incoming::Binary(&bytes), now, &mut self.effects),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) =
                    frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                self.socket = None;
                session.lost(code, &reason, now, &mut self.effects);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                self.socket = None;
                session.lost(1006, "", now, &mut self.effects);
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        self.translator.session.tick(now, &mut self.effects);
    }
}

/// What makes a vendor be asked: a configuration, or something to hear.
fn first_event(transcribes: bool) -> String {
    if !transcribes {
        return json!({"type": "session.update", "session": {"type": "realtime"}}).to_string();
    }
    let silence = STANDARD.encode([0; SILENCE_BYTES]);
    json!({"type": "input_audio_buffer.append", "audio": silence}).to_string()
}

/// Whether an event says that the configuration has reached the vendor.
///
/// # Errors
/// It says that something failed.
fn confirms(event: &str) -> Result<bool, Failure> {
    let told: Value = serde_json::from_str(event).unwrap_or_default();
    match told.get("type").and_then(Value::as_str) {
        Some("error") => Err(refusal(&told)),
        kind => Ok(kind == Some("session.updated")),
    }
}
