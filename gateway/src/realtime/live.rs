//! A vendor with a language of its own as a provider of OpenAI's: a task that owns the vendor's socket and
//! translates. The driver of the session sees OpenAI's events.
//!
//! Both ways are bounded: events of the client wait for at most [`CLIENT_BYTES`], the vendor is not read
//! while events for the client wait.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dialects::contract::Endpoint;
use dialects::live::session::{Effect, LiveSession};
use dialects::live::{Frame, LiveFault, LiveOpener};
use domain::error::{ErrorKind, Retry};
use domain::usage::Usage;
use futures_util::SinkExt;
use tokio::sync::mpsc::error::SendError as QueueClosed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::estimate::text_tokens;
use crate::pipeline::route::Candidate;
use crate::realtime::convert::converter;
use crate::realtime::cutter::Cutter;
use crate::realtime::upstream::{FromUpstream, SendError, Socket, open_socket};
use crate::realtime::vendor_wire::{Exchanged, Wire, exchange, message};

/// Bytes of client events that wait for the task; one longer event waits alone.
const CLIENT_BYTES: usize = 256 * 1024;
/// Events that wait for the driver.
const EVENTS: usize = 64;
/// Events beyond those that the task holds before it stops reading the vendor.
const OUTBOX_EVENTS: usize = 256;
/// A goodbye to the vendor takes no longer.
const FAREWELL: Duration = Duration::from_secs(3);
/// Pings without an answer after which a vendor is gone.
const MISSED_PINGS: u32 = 2;
/// Audio without a record after which one is written although nothing is complete.
const OVERDUE_MS: u64 = 30_000;

/// What the vendor has had and given, in one place that outlives the task.
#[derive(Debug, Default)]
struct Progress {
    sent_ms: AtomicU64,
    surcharge_percent: AtomicU64,
    transcript_bytes: AtomicU64,
}

/// A client event and the room it takes.
struct Incoming {
    text: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The driver's end of a translated provider.
#[derive(Debug)]
pub struct LiveLeg {
    to: mpsc::Sender<Incoming>,
    from: mpsc::Receiver<FromUpstream>,
    room: Arc<Semaphore>,
    progress: Arc<Progress>,
    /// Of the progress, what is recorded.
    recorded_ms: u64,
    recorded_bytes: u64,
    tokens_per_second: Option<u32>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl LiveLeg {
    /// Opens a session. The vendor is asked when there is audio.
    ///
    /// # Errors
    /// The vendor does not transcribe with this model.
    pub(super) fn open(
        worker: &Worker,
        candidate: &Candidate,
        opener: &'static dyn LiveOpener,
        id_prefix: &str,
    ) -> Result<Self, GatewayError> {
        let session = LiveSession::new(opener, &candidate.model.wire_name, id_prefix, converter)
            .map_err(|refusal| GatewayError::invalid("model", refusal.message))?;
        let (to, client) = mpsc::channel(EVENTS);
        let (events, from) = mpsc::channel(EVENTS);
        let progress = Arc::new(Progress::default());
        let task = Task {
            worker: worker.clone(),
            candidate: candidate.clone(),
            by_utterance: opener.by_utterance(),
            session,
            progress: Arc::clone(&progress),
            socket: None,
            dial: None,
            frames: VecDeque::new(),
            unflushed: false,
            opened_here: false,
            outbox: VecDeque::new(),
            ended: false,
            began: Instant::now(),
            next_ping: Instant::now(),
            missed_pings: 0,
        };
        drop(actix_web::rt::spawn(task.run(client, events)));
        Ok(Self {
            to,
            from,
            room: Arc::new(Semaphore::new(CLIENT_BYTES)),
            progress,
            recorded_ms: 0,
            recorded_bytes: 0,
            tokens_per_second: opener.tokens_per_second(),
        })
    }

    pub(super) async fn next(&mut self) -> FromUpstream {
        // It ends without a goodbye only when something broke.
        self.from.recv().await.unwrap_or_else(|| FromUpstream::Closed(1006, String::new()))
    }

    pub(super) async fn send(&mut self, text: Bytes) -> Result<(), SendError> {
        let wanted = u32::try_from(text.len().min(CLIENT_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(wanted).await.map_err(|_| SendError::Gone)?;
        self.to.send(Incoming { text, _room: room }).await.map_err(|QueueClosed(_)| SendError::Gone)
    }

    /// Stops the task: nothing more is sent. What the vendor has had is final then.
    pub(super) async fn stop(&mut self) {
        self.from.close();
        while self.from.recv().await.is_some() {}
    }

    /// What of a reported length is not recorded yet: it counts as recorded from now on.
    pub(super) fn bill(&mut self, reported_ms: u64) -> Usage {
        let ms = reported_ms.min(self.unbilled_ms());
        self.recorded_ms += ms;
        self.usage(ms)
    }

    /// What the vendor has had and nothing was recorded of; it counts as recorded from now on.
    pub(super) fn bill_rest(&mut self) -> Usage {
        self.bill(u64::MAX)
    }

    /// Whether a record is due although nothing is complete.
    pub(super) fn overdue(&self) -> bool {
        self.unbilled_ms() >= OVERDUE_MS
    }

    fn unbilled_ms(&self) -> u64 {
        self.progress.sent_ms.load(Ordering::Acquire).saturating_sub(self.recorded_ms)
    }

    /// A vendor that bills tokens reports none: a second of audio is so many, and text is counted by its
    /// length.
    fn usage(&mut self, audio_in_ms: u64) -> Usage {
        let surcharge_percent = self.progress.surcharge_percent.load(Ordering::Acquire);
        let audio = Usage { audio_in_ms, surcharge_percent, ..Usage::default() };
        let Some(tokens) = self.tokens_per_second else { return audio };
        let bytes = self.progress.transcript_bytes.load(Ordering::Acquire);
        let fresh = bytes.saturating_sub(std::mem::replace(&mut self.recorded_bytes, bytes));
        Usage {
            audio_tokens_in: (audio_in_ms * u64::from(tokens)).div_ceil(1000),
            text_tokens_out: text_tokens(fresh),
            ..audio
        }
    }
}

type Dial = Pin<Box<dyn Future<Output = Result<Box<Socket>, GatewayError>>>>;

/// The vendor's side.
struct Task {
    worker: Worker,
    candidate: Candidate,
    by_utterance: bool,
    session: LiveSession,
    progress: Arc<Progress>,
    socket: Option<Wire>,
    dial: Option<Dial>,
    /// For the vendor.
    frames: VecDeque<Frame>,
    unflushed: bool,
    /// A socket was opened that needs no waiting for.
    opened_here: bool,
    /// For the driver.
    outbox: VecDeque<FromUpstream>,
    /// The session is over: what is in the outbox is the last.
    ended: bool,
    began: Instant,
    next_ping: Instant,
    missed_pings: u32,
}

enum Happened {
    Client(Option<Incoming>),
    /// A long append goes on.
    Work,
    Told,
    Vendor(Exchanged),
    Dialled(Result<Box<Socket>, GatewayError>),
    Time,
    Abandoned,
}

impl Task {
    async fn run(mut self, mut client: mpsc::Receiver<Incoming>, events: mpsc::Sender<FromUpstream>) {
        let mut effects = Vec::new();
        self.session.start(&mut effects);
        loop {
            self.carry_out(&mut effects);
            if std::mem::take(&mut self.opened_here) {
                self.session.opened(self.now_ms(), &mut effects);
                continue;
            }
            if self.ended && self.outbox.is_empty() {
                return;
            }
            let happened = self.wait(&mut client, &events).await;
            if matches!(happened, Happened::Client(None) | Happened::Abandoned) {
                self.session.finish(&mut effects);
                self.publish();
                drop(events);
                return self.farewell(effects).await;
            }
            self.handle(happened, &mut effects);
        }
    }

    async fn wait(&mut self, client: &mut mpsc::Receiver<Incoming>, events: &mpsc::Sender<FromUpstream>) -> Happened {
        let due = self.due();
        let free = !self.ended && self.frames.is_empty();
        let (wants_client, busy) = (free && self.session.wants_client(), free && self.session.busy());
        let (reads, writes) = (self.outbox.len() < OUTBOX_EVENTS, !self.frames.is_empty() || self.unflushed);
        let (outbox, frames, unflushed) = (&mut self.outbox, &mut self.frames, &mut self.unflushed);
        let socket = async {
            match &mut self.socket {
                Some(socket) => exchange(socket, frames, unflushed, writes, reads).await,
                None => std::future::pending().await,
            }
        };
        let dialled = async {
            match &mut self.dial {
                Some(dial) => dial.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = client.recv(), if wants_client => Happened::Client(event),
            () = tokio::task::yield_now(), if busy => Happened::Work,
            permit = events.reserve(), if !outbox.is_empty() => {
                if let (Ok(permit), Some(event)) = (permit, outbox.pop_front()) {
                    permit.send(event);
                }
                Happened::Told
            }
            exchanged = socket => Happened::Vendor(exchanged),
            outcome = dialled => Happened::Dialled(outcome),
            () = tokio::time::sleep_until(due) => Happened::Time,
            () = events.closed() => Happened::Abandoned,
        }
    }

    fn handle(&mut self, happened: Happened, effects: &mut Vec<Effect>) {
        let now = self.now_ms();
        match happened {
            Happened::Client(Some(event)) => match std::str::from_utf8(&event.text) {
                Ok(text) => self.session.client(text, now, effects),
                Err(_) => self.session.client("", now, effects),
            },
            Happened::Work => self.session.work(now, effects),
            Happened::Vendor(Exchanged::Came(Some(Ok(message)))) => self.message(message, effects),
            Happened::Vendor(Exchanged::Came(None)) => self.lost(1006, "", effects),
            Happened::Vendor(Exchanged::Came(Some(Err(error))) | Exchanged::Written(Err(error))) => {
                tracing::warn!(provider = %self.candidate.account.name, %error, "the provider's socket failed");
                self.lost(1006, "", effects);
            }
            Happened::Dialled(outcome) => self.dialled(outcome, effects),
            Happened::Time => self.time(effects),
            Happened::Told
            | Happened::Vendor(Exchanged::Written(Ok(())))
            | Happened::Client(None)
            | Happened::Abandoned => {}
        }
    }

    fn message(&mut self, message: Message, effects: &mut Vec<Effect>) {
        self.missed_pings = 0;
        let now = self.now_ms();
        match message {
            Message::Text(text) => self.session.vendor(&text, now, effects),
            // Some send their JSON as bytes.
            Message::Binary(bytes) => {
                if let Ok(text) = std::str::from_utf8(&bytes) {
                    self.session.vendor(text, now, effects);
                }
            }
            Message::Close(Some(frame)) => self.lost(frame.code.into(), &frame.reason, effects),
            Message::Close(None) => self.lost(1005, "", effects),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    fn lost(&mut self, code: u16, reason: &str, effects: &mut Vec<Effect>) {
        self.leave();
        self.session.lost(code, reason, self.now_ms(), effects);
    }

    fn dialled(&mut self, outcome: Result<Box<Socket>, GatewayError>, effects: &mut Vec<Effect>) {
        self.dial = None;
        match outcome {
            Ok(socket) => {
                self.socket = Some(Wire::Socket(socket));
                self.missed_pings = 0;
                self.next_ping = Instant::now() + self.worker.gateway.settings.timeouts.ping;
                self.session.opened(self.now_ms(), effects);
            }
            Err(error) => {
                let (_, kind, code) = error.kind().facts();
                let fault = LiveFault { kind, code, message: error.message().to_owned() };
                let again = error.retry() == Retry::NextTarget && error.kind() != ErrorKind::UpstreamRateLimited;
                self.session.refused(&fault, again, self.now_ms(), effects);
            }
        }
    }

    fn time(&mut self, effects: &mut Vec<Effect>) {
        let now = Instant::now();
        if matches!(self.socket, Some(Wire::Socket(_))) && self.next_ping <= now {
            if self.missed_pings >= MISSED_PINGS {
                return self.lost(1006, "", effects);
            }
            self.missed_pings += 1;
            self.next_ping = now + self.worker.gateway.settings.timeouts.ping;
            self.frames.push_back(Frame::Ping);
        }
        self.session.tick(self.now_ms(), effects);
    }

    /// When to look again.
    fn due(&self) -> Instant {
        const NOTHING: Duration = Duration::from_secs(60);
        let tick = self.session.next_tick().map(|at| self.began + Duration::from_millis(at));
        let ping = matches!(self.socket, Some(Wire::Socket(_))).then_some(self.next_ping);
        [tick, ping].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + NOTHING)
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::ToClient(event) => self.outbox.push_back(FromUpstream::Text(event.into())),
                Effect::Open(endpoint) => self.open(endpoint),
                Effect::ToVendor(frame) => self.frames.push_back(frame),
                Effect::Leave => self.leave(),
                Effect::End(code, reason) => {
                    self.outbox.push_back(FromUpstream::Closed(code, reason));
                    self.ended = true;
                }
            }
        }
        self.publish();
    }

    fn publish(&self) {
        self.progress.sent_ms.store(self.session.sent_ms(), Ordering::Release);
        self.progress.surcharge_percent.store(self.session.surcharge_percent(), Ordering::Release);
        self.progress.transcript_bytes.store(self.session.transcript_bytes(), Ordering::Release);
    }

    fn open(&mut self, endpoint: Endpoint) {
        if self.by_utterance {
            self.socket = Some(Wire::Cutter(Box::new(Cutter::new(self.worker.clone(), self.candidate.clone()))));
            self.opened_here = true;
        } else {
            self.dial = Some(dial(&self.worker, &self.candidate, endpoint));
        }
    }

    /// Closes the socket beside what goes on.
    fn leave(&mut self) {
        self.dial = None;
        self.frames.clear();
        self.unflushed = false;
        if let Some(Wire::Socket(mut socket)) = self.socket.take() {
            drop(actix_web::rt::spawn(async move {
                if tokio::time::timeout(FAREWELL, socket.0.close(None)).await.is_err() {
                    tracing::debug!("the provider did not take the goodbye");
                }
            }));
        }
    }

    /// The client is gone: the vendor is told that the stream is over.
    async fn farewell(mut self, effects: Vec<Effect>) {
        let Some(Wire::Socket(mut socket)) = self.socket.take() else { return };
        let mut frames = self.frames;
        frames.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::ToVendor(frame) => Some(frame),
            _ => None,
        }));
        let goodbye = async move {
            for frame in frames {
                socket.0.send(message(frame)).await?;
            }
            socket.0.close(None).await
        };
        match tokio::time::timeout(FAREWELL, goodbye).await {
            Ok(Ok(())) => {}
            outcome => tracing::debug!(?outcome, "the provider was gone before the goodbye"),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn dial(worker: &Worker, candidate: &Candidate, endpoint: Endpoint) -> Dial {
    let (gateway, candidate) = (Arc::clone(&worker.gateway), candidate.clone());
    Box::pin(async move { open_socket(&gateway, &candidate, &endpoint).await.map(Box::new) })
}
