//! The loop of a session: client events in, recognition beside it, server events out.

use std::collections::VecDeque;

use domain::transcription::Transcript;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::buffer::{Cut, InputBuffer};
use super::events::{ClientEvent, Refusal, Settings, read};
use crate::{LocalError, LocalSpeech, pocketsphinx};

/// Utterances waiting for recognition; beyond them client events are left in their channel.
const MAX_WAITING: usize = 8;
/// How much an utterance must have grown for another interim recognition.
const INTERIM_STEP_MS: u64 = 1000;
/// The longest utterance that interim recognition is spent on.
const INTERIM_MOST_MS: u64 = 20_000;
/// Words at the end of an interim result that more audio may still change.
const UNSTABLE_WORDS: usize = 2;
/// The shortest buffer that may be committed.
const MIN_COMMIT_MS: u64 = 100;

/// Longer events are read beside the loop.
const LONG_EVENT_BYTES: usize = 1024 * 1024;
/// Bytes of audio that are decoded in one go: a second at 24 kHz.
const APPEND_STEP_BYTES: usize = 48_000;

/// The client is gone; nothing is left to do.
#[derive(Debug)]
pub(super) struct Gone;

/// A piece of recognition and what it is for.
struct Job {
    item: Item,
    last: bool,
    samples: Vec<i16>,
}

/// An utterance, and the words of it that the client already has.
#[derive(Debug, Clone, Default)]
struct Item {
    id: String,
    told: String,
    before: Vec<String>,
}

type Recognition = BoxFuture<'static, (Item, bool, u64, Result<Transcript, LocalError>)>;

pub(super) struct Session {
    speech: LocalSpeech,
    prefix: String,
    settings: Settings,
    out: mpsc::Sender<String>,
    events: u64,
    items: u64,
    previous: Option<String>,
    /// The utterance that is being heard.
    open: Option<Item>,
    interim_at_ms: u64,
    interim_running: bool,
    waiting: VecDeque<Job>,
    running: Option<Recognition>,
}

impl Session {
    pub(super) fn new(speech: LocalSpeech, model: String, prefix: String, out: mpsc::Sender<String>) -> Self {
        Self {
            speech,
            prefix,
            settings: Settings::new(&model),
            out,
            events: 0,
            items: 0,
            previous: None,
            open: None,
            interim_at_ms: 0,
            interim_running: false,
            waiting: VecDeque::new(),
            running: None,
        }
    }

    /// Serves until the client is gone; what it committed before is still transcribed.
    pub(super) async fn run(mut self, mut client: mpsc::Receiver<String>) {
        let served = self.serve(&mut client).await;
        drop(served);
    }

    async fn serve(&mut self, client: &mut mpsc::Receiver<String>) -> Result<(), Gone> {
        let shown = self.settings.shown(&self.session_id());
        self.send("session.created", json!({"session": shown})).await?;
        let mut buffer = match InputBuffer::new(self.settings.format, self.settings.turns) {
            Ok(buffer) => buffer,
            Err(error) => return self.refuse(None, internal(error)).await,
        };
        let mut listening = true;
        loop {
            self.start_next(&buffer);
            if !listening && self.running.is_none() {
                return Ok(());
            }
            let out = self.out.clone();
            tokio::select! {
                event = client.recv(), if listening && self.waiting.len() < MAX_WAITING => {
                    match event {
                        Some(text) => self.handle(text, &mut buffer).await?,
                        None => listening = false,
                    }
                }
                done = next(&mut self.running) => {
                    self.running = None;
                    self.recognised(done).await?;
                }
                () = out.closed() => return Err(Gone),
            }
        }
    }

    async fn handle(&mut self, text: String, buffer: &mut InputBuffer) -> Result<(), Gone> {
        let (event_id, event) = if text.len() > LONG_EVENT_BYTES {
            let reading = tokio::task::spawn_blocking(move || read(&text));
            reading.await.unwrap_or_else(|error| (None, Err(internal(error))))
        } else {
            read(&text)
        };
        let handled = match event {
            Ok(ClientEvent::Update(session)) => self.update(&session, buffer).await?,
            Ok(ClientEvent::Append(bytes)) => self.append(&bytes, buffer).await?,
            Ok(ClientEvent::Commit) => self.commit(buffer).await?,
            Ok(ClientEvent::Clear) => {
                drop(buffer.take());
                self.close_item();
                self.send("input_audio_buffer.cleared", json!({})).await?;
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        match handled {
            Ok(()) => Ok(()),
            Err(refusal) => self.refuse(event_id, refusal).await,
        }
    }

    async fn update(
        &mut self,
        session: &serde_json::Map<String, Value>,
        buffer: &mut InputBuffer,
    ) -> Result<Result<(), Refusal>, Gone> {
        let next = match self.settings.merged(session) {
            Ok(next) => next,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if next.format != self.settings.format || next.turns != self.settings.turns {
            if let Err(error) = buffer.configure(next.format, next.turns) {
                return Ok(Err(internal(error)));
            }
            self.close_item();
        }
        self.settings = next;
        let shown = self.settings.shown(&self.session_id());
        self.send("session.updated", json!({"session": shown})).await?;
        Ok(Ok(()))
    }

    async fn append(&mut self, bytes: &[u8], buffer: &mut InputBuffer) -> Result<Result<(), Refusal>, Gone> {
        for part in bytes.chunks(APPEND_STEP_BYTES) {
            match buffer.append(part) {
                Ok(cuts) => self.tell(cuts).await?,
                Err(error) => return Ok(Err(internal(error))),
            }
            if bytes.len() > APPEND_STEP_BYTES {
                // Minutes of audio in one event keep nobody else waiting.
                tokio::task::yield_now().await;
            }
        }
        Ok(Ok(()))
    }

    async fn tell(&mut self, cuts: Vec<Cut>) -> Result<(), Gone> {
        for cut in cuts {
            match cut {
                Cut::Started { at_ms } => {
                    let id = self.item_id();
                    let event = json!({"audio_start_ms": at_ms, "item_id": id});
                    self.send("input_audio_buffer.speech_started", event).await?;
                }
                Cut::Stopped { at_ms, samples } => {
                    let id = self.item_id();
                    let event = json!({"audio_end_ms": at_ms, "item_id": id});
                    self.send("input_audio_buffer.speech_stopped", event).await?;
                    self.committed(samples).await?;
                }
                Cut::Full { samples } => self.committed(samples).await?,
            }
        }
        Ok(())
    }

    async fn commit(&mut self, buffer: &mut InputBuffer) -> Result<Result<(), Refusal>, Gone> {
        let held = buffer.held_ms();
        if held < MIN_COMMIT_MS {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least \
                 {MIN_COMMIT_MS}ms of audio, but buffer only has {held}ms of audio."
            );
            return Ok(Err(Refusal::new("input_audio_buffer_commit_empty", message, None)));
        }
        self.committed(buffer.take()).await?;
        Ok(Ok(()))
    }

    /// Tells that audio became an item and queues its recognition.
    async fn committed(&mut self, samples: Vec<i16>) -> Result<(), Gone> {
        let id = self.item_id();
        let previous = self.previous.replace(id.clone());
        let chain = json!({"previous_item_id": previous, "item_id": id});
        self.send("input_audio_buffer.committed", chain).await?;
        let item = json!({
            "id": id, "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{"type": "input_audio", "transcript": null}],
        });
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.send(kind, json!({"previous_item_id": previous, "item": item})).await?;
        }
        let item = self.open.take().unwrap_or_default();
        self.interim_at_ms = 0;
        self.stop_interim();
        self.waiting.push_back(Job { item, last: true, samples });
        Ok(())
    }

    /// Starts the next recognition: of a finished utterance first, else of the open one where it
    /// has grown enough. One at a time, so that a session takes one slot at most.
    fn start_next(&mut self, buffer: &InputBuffer) {
        if self.running.is_some() {
            return;
        }
        let Some(job) = self.waiting.pop_front().or_else(|| self.interim(buffer)) else { return };
        let speech = self.speech.clone();
        let recognition = async move {
            let ms = job.samples.len() as u64 / 16;
            let result = pocketsphinx::recognise(&speech.shared, job.samples).await;
            (job.item, job.last, ms, result)
        };
        self.interim_running = !job.last;
        self.running = Some(recognition.boxed());
    }

    fn interim(&mut self, buffer: &InputBuffer) -> Option<Job> {
        // Asked after every event: the samples are copied only when they are needed.
        let ms = buffer.open_ms()?;
        if ms < self.interim_at_ms + INTERIM_STEP_MS || ms > INTERIM_MOST_MS {
            return None;
        }
        self.interim_at_ms = ms;
        drop(self.item_id());
        Some(Job { item: self.open.clone()?, last: false, samples: buffer.open_samples() })
    }

    async fn recognised(
        &mut self,
        (item, last, ms, result): (Item, bool, u64, Result<Transcript, LocalError>),
    ) -> Result<(), Gone> {
        if !last {
            return self.interim_recognised(item, result).await;
        }
        match result {
            Ok(transcript) => self.completed(item, ms, &transcript.text).await,
            Err(error) => {
                let event = json!({
                    "item_id": item.id, "content_index": 0,
                    "error": {"type": "server_error", "code": "transcription_failed",
                        "message": error.to_string(), "param": null},
                });
                self.send("conversation.item.input_audio_transcription.failed", event).await
            }
        }
    }

    /// Tells the words on which two results in a row agree, except for the last ones.
    async fn interim_recognised(&mut self, mut item: Item, result: Result<Transcript, LocalError>) -> Result<(), Gone> {
        // A failed interim costs nothing: the final recognition tells what is wrong.
        let Ok(transcript) = result else { return Ok(()) };
        let words: Vec<String> = transcript.text.split_whitespace().map(Into::into).collect();
        let agreed = words.iter().zip(&item.before).take_while(|(a, b)| a == b).count();
        let stable = agreed.min(words.len().saturating_sub(UNSTABLE_WORDS));
        let text = words.get(..stable).unwrap_or_default().join(" ");
        item.before = words;
        let fresh = text.strip_prefix(&item.told).unwrap_or_default().to_owned();
        if !fresh.is_empty() {
            item.told = text;
        }
        let id = item.id.clone();
        if !self.put_back(item) {
            return Ok(());
        }
        if fresh.is_empty() { Ok(()) } else { self.delta(&id, &fresh).await }
    }

    /// The open utterance, or one that was closed meanwhile, learns what was told of it.
    fn put_back(&mut self, item: Item) -> bool {
        let waiting = self.waiting.iter_mut().map(|job| &mut job.item);
        let slot = self.open.as_mut().into_iter().chain(waiting).find(|open| open.id == item.id);
        match slot {
            Some(open) => {
                *open = item;
                true
            }
            None => false,
        }
    }

    async fn completed(&mut self, item: Item, ms: u64, text: &str) -> Result<(), Gone> {
        // Where the interim words turned out wrong, `completed` alone is right.
        if let Some(fresh) = text.strip_prefix(&item.told).filter(|fresh| !fresh.is_empty()) {
            self.delta(&item.id, fresh).await?;
        }
        let event = json!({
            "item_id": item.id, "content_index": 0, "transcript": text,
            "usage": {"type": "duration", "seconds": ms as f64 / 1000.0},
        });
        self.send("conversation.item.input_audio_transcription.completed", event).await
    }

    async fn delta(&mut self, id: &str, delta: &str) -> Result<(), Gone> {
        let event = json!({"item_id": id, "content_index": 0, "delta": delta});
        self.send("conversation.item.input_audio_transcription.delta", event).await
    }

    async fn refuse(&mut self, event_id: Option<String>, refusal: Refusal) -> Result<(), Gone> {
        let error = json!({
            "type": "invalid_request_error", "code": refusal.code, "message": refusal.message,
            "param": refusal.param, "event_id": event_id,
        });
        self.send("error", json!({"error": error})).await
    }

    async fn send(&mut self, kind: &str, mut event: Value) -> Result<(), Gone> {
        self.events += 1;
        if let Some(fields) = event.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
            let id = format!("event_{}_{}", self.prefix, self.events);
            fields.insert("event_id".to_owned(), id.into());
        }
        self.out.send(event.to_string()).await.map_err(|_| Gone)
    }

    fn session_id(&self) -> String {
        format!("sess_{}", self.prefix)
    }

    /// The id of the open item; opens one where none is.
    fn item_id(&mut self) -> String {
        if let Some(open) = &self.open {
            return open.id.clone();
        }
        self.items += 1;
        let id = format!("item_{}_{}", self.prefix, self.items);
        self.open = Some(Item { id: id.clone(), ..Item::default() });
        id
    }

    fn close_item(&mut self) {
        self.open = None;
        self.interim_at_ms = 0;
        self.stop_interim();
    }

    /// Nobody waits for interim words of audio that was thrown away or is complete.
    fn stop_interim(&mut self) {
        if self.interim_running {
            self.running = None;
            self.interim_running = false;
        }
    }
}

/// Waits for the running recognition, for ever where there is none.
async fn next(running: &mut Option<Recognition>) -> (Item, bool, u64, Result<Transcript, LocalError>) {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::new("server_error", error.to_string(), None)
}
