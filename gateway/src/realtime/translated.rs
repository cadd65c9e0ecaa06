//! A vendor with a language of its own as a provider of OpenAI's: a task that owns the vendor's socket and
//! translates. The driver of the session sees OpenAI's events.
//!
//! Both ways are bounded: events of the client wait for at most [`CLIENT_BYTES`], the vendor is not read
//! while events for the client wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dialects::contract::Endpoint;
use dialects::conversation::agent::Incoming;
use dialects::live::{Frame, LiveFault};
use dialects::translation::{Effect, Translation};
use domain::error::{ErrorKind, Retry};
use tokio::sync::mpsc::error::SendError as QueueClosed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::route::Candidate;
use crate::realtime::cutter::Cutter;
use crate::realtime::dialling::{self, Dial, Reached};
use crate::realtime::recording::Recording;
use crate::realtime::tab::{Tab, Tariff};
use crate::realtime::upstream::{FromUpstream, SendError};
use crate::realtime::vendor_wire::{Exchanged, Wire, exchange, part};

/// Bytes of client events that wait for the task; one longer event waits alone.
const CLIENT_BYTES: usize = 256 * 1024;
/// Events that wait for the driver.
const EVENTS: usize = 64;
/// Events beyond those that the task holds before it stops reading the vendor.
const OUTBOX_EVENTS: usize = 256;
/// Pings without an answer after which a vendor is gone.
const MISSED_PINGS: u32 = 2;
/// How soon it is looked whether the driver has written a record that was due.
const RECORDED: Duration = Duration::from_secs(1);

/// What the driver and the task know of each other beside their events.
#[derive(Debug)]
struct Shared {
    tab: Tab,
    /// Another target may take the session over while the vendor has not been reached.
    replaceable: AtomicBool,
    recording: OnceLock<Arc<Recording>>,
}

impl Shared {
    /// Records what the vendor is told, where that is on.
    fn note(&self, frame: &Frame, candidate: &Candidate) {
        if let Some(recording) = self.recording.get() {
            recording.sent(frame, &candidate.account);
        }
    }
}

/// A client event and the room it takes.
struct ClientEvent {
    text: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The driver's end of a translated provider.
#[derive(Debug)]
pub struct TranslatedLeg {
    to: mpsc::Sender<ClientEvent>,
    from: mpsc::Receiver<FromUpstream>,
    room: Arc<Semaphore>,
    /// Nothing comes of it; it ends with the translation.
    stopped: mpsc::Receiver<()>,
    shared: Arc<Shared>,
}

/// What is translated, and how it is billed.
pub(crate) struct Translator {
    pub(crate) session: Box<dyn Translation>,
    pub(super) tariff: Tariff,
    /// The vendor transcribes files: a cutter on this side stands for its socket.
    pub(crate) by_utterance: bool,
}

impl std::fmt::Debug for ClientEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientEvent").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl TranslatedLeg {
    /// Begins a session. The vendor is reached when the translation wants it.
    pub(super) fn open(worker: &Worker, candidate: &Candidate, translator: Translator, replaceable: bool) -> Self {
        let (to, client) = mpsc::channel(EVENTS);
        let (events, from) = mpsc::channel(EVENTS);
        let Translator { session, tariff, by_utterance } = translator;
        let shared = Arc::new(Shared {
            tab: Tab::new(tariff),
            replaceable: AtomicBool::new(replaceable),
            recording: OnceLock::new(),
        });
        let task = Task {
            worker: worker.clone(),
            candidate: candidate.clone(),
            by_utterance,
            session,
            shared: Arc::clone(&shared),
            socket: None,
            dial: None,
            dialled_at: Instant::now(),
            reached: false,
            frames: VecDeque::new(),
            unflushed: false,
            opened_here: false,
            outbox: VecDeque::new(),
            told_due: false,
            ended: false,
            began: Instant::now(),
            next_ping: Instant::now(),
            missed_pings: 0,
            _counted: worker.gateway.calls.token(),
        };
        let (stopping, stopped) = mpsc::channel(1);
        drop(actix_web::rt::spawn(task.run(client, events, stopping).instrument(tracing::Span::current())));
        Self { to, from, room: Arc::new(Semaphore::new(CLIENT_BYTES)), stopped, shared }
    }

    pub(super) async fn next(&mut self) -> FromUpstream {
        // It ends without a goodbye only when something broke.
        self.from.recv().await.unwrap_or_else(|| FromUpstream::Closed(1006, String::new()))
    }

    pub(super) async fn send(&mut self, text: Bytes) -> Result<(), SendError> {
        let wanted = u32::try_from(text.len().min(CLIENT_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(wanted).await.map_err(|_| SendError::Gone)?;
        self.to.send(ClientEvent { text, _room: room }).await.map_err(|QueueClosed(_)| SendError::Gone)
    }

    /// Stops the task: nothing more is sent. What the vendor has had is final then.
    pub(super) async fn stop(&mut self) {
        self.from.close();
        while self.from.recv().await.is_some() {}
        // The task holds the other end until it has counted everything.
        while self.stopped.recv().await.is_some() {}
    }

    /// What is recorded of the session, and what is not yet.
    pub(super) fn tab(&self) -> &Tab {
        &self.shared.tab
    }

    /// Records what passes between here and the vendor.
    pub(super) fn record(&self, recording: Arc<Recording>) {
        self.shared.recording.get_or_init(|| recording);
    }

    /// No other target takes the session over any more.
    pub(super) fn settle(&self) {
        self.shared.replaceable.store(false, Ordering::Release);
    }
}

/// The vendor's side.
struct Task {
    worker: Worker,
    candidate: Candidate,
    by_utterance: bool,
    session: Box<dyn Translation>,
    shared: Arc<Shared>,
    socket: Option<Wire>,
    dial: Option<Dial>,
    dialled_at: Instant,
    /// The vendor's socket was open once.
    reached: bool,
    /// For the vendor.
    frames: VecDeque<Frame>,
    unflushed: bool,
    /// A socket was opened that needs no waiting for.
    opened_here: bool,
    /// For the driver.
    outbox: VecDeque<FromUpstream>,
    /// The driver knows that a record is due, and has not written it.
    told_due: bool,
    /// The session is over: what is in the outbox is the last.
    ended: bool,
    began: Instant,
    next_ping: Instant,
    missed_pings: u32,
    /// A drain waits for the goodbye.
    _counted: TaskTrackerToken,
}

enum Happened {
    Client(Option<ClientEvent>),
    /// A long append goes on.
    Work,
    Told,
    Vendor(Exchanged),
    Dialled(Result<Reached, GatewayError>),
    Time,
    Abandoned,
}

impl Task {
    async fn run(
        mut self,
        mut client: mpsc::Receiver<ClientEvent>,
        events: mpsc::Sender<FromUpstream>,
        stopping: mpsc::Sender<()>,
    ) {
        let mut effects = Vec::new();
        self.session.start(&mut effects);
        loop {
            self.carry_out(&mut effects);
            if std::mem::take(&mut self.opened_here) {
                self.opened(&mut effects);
                continue;
            }
            if self.ended && self.outbox.is_empty() {
                return;
            }
            let happened = self.wait(&mut client, &events).await;
            if matches!(happened, Happened::Client(None) | Happened::Abandoned) {
                self.publish();
                self.session.finish(&mut effects);
                self.publish();
                drop((events, stopping));
                return self.farewell(effects).await;
            }
            self.handle(happened, &mut effects);
        }
    }

    async fn wait(
        &mut self,
        client: &mut mpsc::Receiver<ClientEvent>,
        events: &mpsc::Sender<FromUpstream>,
    ) -> Happened {
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
        if let Some(recording) = self.shared.recording.get() {
            recording.came(&message, &self.candidate.account);
        }
        match message {
            Message::Text(text) => self.session.vendor(Incoming::Text(&text), now, effects),
            Message::Binary(bytes) => self.session.vendor(Incoming::Binary(&bytes), now, effects),
            Message::Close(Some(frame)) => self.lost(frame.code.into(), &frame.reason, effects),
            Message::Close(None) => self.lost(1005, "", effects),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    fn lost(&mut self, code: u16, reason: &str, effects: &mut Vec<Effect>) {
        self.leave();
        self.session.lost(code, reason, self.now_ms(), effects);
    }

    fn dialled(&mut self, outcome: Result<Reached, GatewayError>, effects: &mut Vec<Effect>) {
        self.dial = None;
        match outcome {
            Ok(Reached::Socket(socket)) => {
                self.socket = Some(Wire::Socket(socket));
                self.missed_pings = 0;
                self.next_ping = Instant::now() + self.worker.gateway.timeouts().ping;
                self.opened(effects);
            }
            Ok(Reached::Answer(body)) => self.session.answered(&body, self.now_ms(), effects),
            Err(error) => self.unreached(error, effects),
        }
    }

    fn opened(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.reached, true) {
            self.outbox.push_back(FromUpstream::Reached(self.dialled_at.elapsed()));
        }
        self.session.opened(self.now_ms(), effects);
    }

    /// Where another target is left and this one has done nothing yet, the driver begins anew there.
    fn unreached(&mut self, error: GatewayError, effects: &mut Vec<Effect>) {
        let elsewhere = error.retry() == Retry::NextTarget;
        if elsewhere && !self.reached && self.shared.replaceable.load(Ordering::Acquire) {
            self.outbox.push_back(FromUpstream::Unreachable(Box::new(error)));
            self.ended = true;
            return;
        }
        let (_, kind, code) = error.kind().facts();
        let fault = LiveFault { kind, code, message: error.message().to_owned() };
        let again = elsewhere && error.kind() != ErrorKind::UpstreamRateLimited;
        self.session.refused(&fault, again, self.now_ms(), effects);
    }

    fn time(&mut self, effects: &mut Vec<Effect>) {
        let now = Instant::now();
        if matches!(self.socket, Some(Wire::Socket(_))) && self.next_ping <= now {
            if self.missed_pings >= MISSED_PINGS {
                return self.lost(1006, "", effects);
            }
            self.missed_pings += 1;
            self.next_ping = now + self.worker.gateway.timeouts().ping;
            self.frames.push_back(Frame::Ping);
        }
        self.session.tick(self.now_ms(), effects);
    }

    /// When to look again.
    fn due(&self) -> Instant {
        const NOTHING: Duration = Duration::from_secs(60);
        let now = Instant::now();
        let tick = self.session.next_tick().map(|at| self.began + Duration::from_millis(at));
        let open = matches!(self.socket, Some(Wire::Socket(_)));
        let ping = open.then_some(self.next_ping);
        let runs = open && matches!(self.shared.tab.tariff(), Tariff::Connected { .. });
        let due_in = || if self.told_due { RECORDED } else { Duration::from_millis(self.shared.tab.due_in_ms()) };
        let record = runs.then(|| now + due_in());
        [tick, ping, record].into_iter().flatten().min().unwrap_or(now + NOTHING)
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::ToClient(event) => self.outbox.push_back(FromUpstream::Text(event.into())),
                Effect::Ask { endpoint, body } => {
                    self.dial(dialling::ask(&self.worker, &self.candidate, endpoint, body));
                }
                Effect::Open(endpoint) => self.open(endpoint),
                Effect::Join(address) => self.dial(dialling::join(&self.worker, &self.candidate, address)),
                Effect::ToVendor(frame) => {
                    self.shared.note(&frame, &self.candidate);
                    self.frames.push_back(frame);
                }
                Effect::Leave => self.leave(),
                Effect::End(code, reason) => {
                    self.outbox.push_back(FromUpstream::Closed(code, reason));
                    self.ended = true;
                }
            }
        }
        self.publish();
    }

    /// Tells what is billed so far, and the driver that a record is due.
    fn publish(&mut self) {
        let tab = &self.shared.tab;
        tab.publish(self.session.progress(self.now_ms()));
        let due = tab.due_in_ms() == 0;
        if due && !self.told_due {
            self.outbox.push_back(FromUpstream::RecordDue);
        }
        self.told_due = due;
    }

    fn dial(&mut self, dial: Dial) {
        self.dialled_at = Instant::now();
        self.dial = Some(dial);
    }

    fn open(&mut self, endpoint: Endpoint) {
        if self.by_utterance {
            self.socket = Some(Wire::Cutter(Box::new(Cutter::new(self.worker.clone(), self.candidate.clone()))));
            self.opened_here = true;
        } else {
            self.dial(dialling::open(&self.worker, &self.candidate, endpoint));
        }
    }

    /// Closes the socket beside what goes on, behind what it is to be told still.
    fn leave(&mut self) {
        self.dial = None;
        let frames = std::mem::take(&mut self.frames);
        self.unflushed = false;
        if let Some(Wire::Socket(socket)) = self.socket.take() {
            let counted = self.worker.gateway.calls.token();
            drop(actix_web::rt::spawn(async move {
                part(socket, frames).await;
                drop(counted);
            }));
        }
    }

    /// The client is gone: the vendor is told that the stream is over.
    async fn farewell(mut self, effects: Vec<Effect>) {
        let Some(Wire::Socket(socket)) = self.socket.take() else { return };
        let mut frames = self.frames;
        for effect in effects {
            if let Effect::ToVendor(frame) = effect {
                self.shared.note(&frame, &self.candidate);
                frames.push_back(frame);
            }
        }
        part(socket, frames).await;
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
