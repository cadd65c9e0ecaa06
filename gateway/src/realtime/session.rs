//! The one loop of a session: everything that can happen to it, and what is then done.

use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;
use dialects::contract::{Action, Flow, RealtimeDialect};
use dialects::openai::realtime::Passthrough;
use dialects::openai::realtime::beta::Beta;
use dialects::openai::scan::event_type;
use domain::error::ErrorKind;
use domain::ids::SessionId;
use domain::money::NanoUsd;
use domain::usage::UsageStatus;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::{Sleep, sleep_until};

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::Caller;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::realtime::client::{Client, FromClient};
use crate::realtime::clocks::{Clocks, Due};
use crate::realtime::close::Ending;
use crate::realtime::fallback::{Fallback, refusal};
use crate::realtime::open::{candidates, connect_first};
use crate::realtime::recording::{From, Recorded, Recording};
use crate::realtime::registry::Entered;
use crate::realtime::turns::Turns;
use crate::realtime::upstream::{FromUpstream, Leg, SendError};
use crate::telemetry::names;

/// Shorter ones stand for none, as `EMPTY` does at self-hosted servers, and are words of events.
const MIN_CREDENTIAL_BYTES: usize = 12;

/// A provider that accepted the session.
#[derive(Debug)]
pub struct Pending {
    /// Its side of the session.
    pub leg: Leg,
    /// Its language.
    pub dialect: Passthrough,
    /// Which it is.
    pub candidate: Candidate,
    /// What is reserved ahead of use.
    pub window: Option<NanoUsd>,
    /// Who takes over while the provider has not been reached.
    pub fallback: Option<Box<Fallback>>,
}

impl Pending {
    /// `text` without our credential, where the provider repeats it.
    fn without_credential(&self, text: &str) -> Option<String> {
        let credential = self.candidate.account.api_key.as_ref()?.expose_secret();
        let is_one = credential.len() >= MIN_CREDENTIAL_BYTES;
        (is_one && text.contains(credential)).then(|| text.replace(credential, "…"))
    }
}

/// The provider's side when the client is accepted.
#[derive(Debug)]
pub enum Upstream {
    /// Known and connected.
    Connected(Box<Pending>),
    /// The first `session.update` names the model.
    Awaited,
}

/// What a client asked for beside a model.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The session transcribes and does nothing else.
    pub transcription: bool,
    /// The client speaks the older shapes.
    pub beta: bool,
}

/// One session.
pub struct Session {
    pub(super) worker: Worker,
    pub(super) caller: Caller,
    pub(super) id: SessionId,
    pub(super) client: Client,
    pub(super) meter: Meter,
    pub(super) upstream: Option<Box<Pending>>,
    pub(super) transcription: bool,
    /// Puts the older shapes into the present ones and back, where the client speaks them.
    beta: Option<Beta>,
    pub(super) actions: Vec<Action>,
    clocks: Clocks,
    /// Types of events that the provider will send and the client has had.
    pub(super) had: Vec<Box<str>>,
    pub(super) turns: Turns,
    pub(super) frames: (u64, u64),
    events: u64,
    pub(super) recording: Option<Arc<Recording>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

enum Happened {
    Client(FromClient),
    Upstream(FromUpstream),
    Tick,
}

impl Session {
    /// A session whose client has just been accepted.
    #[must_use]
    pub fn new(
        worker: Worker,
        caller: Caller,
        id: SessionId,
        client: Client,
        meter: Meter,
        upstream: Upstream,
        asked: Kind,
    ) -> Self {
        let clocks = Clocks::new(Instant::now(), &worker.gateway.bounds(), &worker.gateway.timeouts());
        let (upstream, had) = match upstream {
            Upstream::Connected(pending) => (Some(pending), Vec::new()),
            Upstream::Awaited => (None, vec!["session.created".into()]),
        };
        let translated = upstream.as_ref().is_some_and(|pending| pending.leg.is_translated());
        Self {
            worker,
            caller,
            id,
            client,
            meter,
            upstream,
            transcription: asked.transcription,
            beta: asked.beta.then(|| Beta::new(asked.transcription, translated)),
            actions: Vec::new(),
            clocks,
            had,
            turns: Turns::default(),
            frames: (0, 0),
            events: 0,
            recording: None,
        }
        .recorded()
    }

    /// Drives the session to its end.
    pub async fn run(mut self, entered: Entered) {
        let ended = tokio::select! {
            ending = self.drive() => Ok(ending),
            // Whatever the session is doing, and for whomever it waits.
            why = entered.live.over() => Err(why),
        };
        let ending = ended.unwrap_or_else(|why| self.ended(why));
        self.end(ending).await;
    }

    async fn drive(&mut self) -> Ending {
        if self.upstream.is_none() {
            let event = json!({"type": "session.created", "event_id": self.event_id(), "session":
                {"type": "transcription", "object": "realtime.transcription_session", "id": format!("sess_{}", self.id.0.simple())}});
            if let Err(ending) = self.send_client(event.to_string().into()).await {
                return ending;
            }
        }
        let mut timer = pin!(sleep_until(self.clocks.next().into()));
        loop {
            let happened = self.wait(timer.as_mut()).await;
            if let Err(ending) = self.handle(happened).await {
                return ending;
            }
        }
    }

    async fn wait(&mut self, mut timer: Pin<&mut Sleep>) -> Happened {
        // Frames move most of what is due into the future: a timer that fires too early is set again
        // then, rather than at every frame.
        let next = self.clocks.next().into();
        if timer.is_elapsed() || next < timer.deadline() {
            timer.as_mut().reset(next);
        }
        let upstream = async {
            match &mut self.upstream {
                Some(pending) => pending.leg.next().await,
                None => std::future::pending().await,
            }
        };
        // Not biased: a provider that never pauses must not keep the client's `response.cancel` waiting.
        tokio::select! {
            () = timer => Happened::Tick,
            frame = upstream => Happened::Upstream(frame),
            message = self.client.next() => Happened::Client(message),
        }
    }

    /// Does what has to be done; `Err` ends the session.
    async fn handle(&mut self, happened: Happened) -> Result<(), Ending> {
        match happened {
            Happened::Upstream(frame) => self.on_upstream(frame).await,
            Happened::Client(message) => self.on_client(message).await,
            Happened::Tick => self.tick().await,
        }
    }

    async fn on_client(&mut self, message: FromClient) -> Result<(), Ending> {
        let text = match message {
            FromClient::Text(text) => text,
            FromClient::Binary(_) => {
                let message = "Events are text frames; audio travels in them as base64.";
                return self.tell(&GatewayError::invalid("event", message)).await;
            }
            FromClient::Ping(payload) => {
                let write = self.worker.gateway.timeouts().write;
                return self.client.pong(&payload, write).await.map_err(client_lost);
            }
            FromClient::Pong => {
                self.clocks.client_lives();
                return Ok(());
            }
            FromClient::Closed(code) => return Err(Ending::left(code)),
            FromClient::Gone => return Err(Ending::gone()),
            FromClient::Broken(ending) => return Err(ending),
        };
        self.clocks.client_spoke(Instant::now());
        self.note(From::Client, || Recorded::Text(text.as_bytes().clone()));
        let text = match &mut self.beta {
            Some(beta) => match beta.client(&text) {
                Cow::Owned(present) => present.into(),
                Cow::Borrowed(_) => text,
            },
            None => text,
        };
        if self.upstream.is_none() {
            self.open_upstream(&text).await?;
        }
        let Some(pending) = &mut self.upstream else { return Ok(()) };
        let flow = pending.dialect.client(&text, &mut self.actions);
        let rewritten = || self.actions.iter().any(|action| matches!(action, Action::ToUpstream(_)));
        if flow == Flow::Forward || rewritten() {
            self.keep_said(&text);
            if let Some(kind) = event_type(&text) {
                self.asked(&kind, &text);
            }
        }
        self.carry_out().await?;
        if flow == Flow::Forward {
            self.send_upstream(text.into_bytes()).await?;
        }
        Ok(())
    }

    /// The first `session.update` of a transcription session names the model: now the provider is known.
    async fn open_upstream(&mut self, text: &str) -> Result<(), Ending> {
        let update: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let model = update.pointer("/session/audio/input/transcription/model").and_then(serde_json::Value::as_str);
        let Some(model) = model.filter(|_| update.get("type").is_some_and(|kind| kind == "session.update")) else {
            let message = "Send `session.update` with `session.audio.input.transcription.model` first.";
            return self.tell(&GatewayError::invalid("session", message)).await;
        };
        match self.connect_model(model).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.tell(&error).await?;
                Err(refusal(&error))
            }
        }
    }

    async fn connect_model(&mut self, model: &str) -> Result<(), GatewayError> {
        let (candidates, routing) = candidates(&self.worker, &self.caller, model, self.transcription)?;
        self.meter.set_model(model);
        self.meter.routed(routing);
        let pending =
            connect_first(&self.worker, &self.caller, candidates, self.transcription, &mut self.meter).await?;
        if let Some(window) = pending.window {
            self.meter.reserve_more(window).await?;
        }
        self.upstream = Some(Box::new(pending));
        self.record_leg();
        Ok(())
    }

    async fn on_upstream(&mut self, frame: FromUpstream) -> Result<(), Ending> {
        let text = match frame {
            FromUpstream::Text(text) => text,
            FromUpstream::Pong => {
                self.clocks.upstream_lives();
                return Ok(());
            }
            FromUpstream::Binary => return Ok(()),
            FromUpstream::Reached(took) => {
                self.reached(took);
                return Ok(());
            }
            FromUpstream::Unreachable(error) => return self.fall_back(*error).await,
            FromUpstream::RecordDue => {
                let covered = self.bill_running().await;
                return self.go_on(covered).await;
            }
            FromUpstream::Closed(code, reason) => {
                let hidden = self.upstream.as_ref().and_then(|pending| pending.without_credential(&reason));
                return Err(Ending::relayed(code, hidden.as_deref().unwrap_or(&reason)));
            }
        };
        let Ok(text) = ByteString::try_from(text) else {
            return Err(Ending::provider(1011, "the provider sent broken text"));
        };
        self.clocks.upstream_spoke(Instant::now());
        self.note(From::Upstream, || Recorded::Text(text.as_bytes().clone()));
        let (mut is_delta, mut had) = (false, false);
        if let Some(kind) = event_type(&text) {
            is_delta = kind.ends_with(".delta");
            self.follow(&kind, &text);
            had = self.had(&kind);
            self.keep_told(&kind);
        }
        let Some(pending) = &mut self.upstream else { return Ok(()) };
        // Nearly every frame is a delta: it carries what is said or heard, and is not searched.
        let hidden = if is_delta { None } else { pending.without_credential(&text) };
        let text = hidden.map_or(text, ByteString::from);
        let flow = pending.dialect.upstream(&text, &mut self.actions);
        self.meter.first_byte();
        // What a turn used is in the journal before the client sees that the turn is over, and whether
        // or not it is still there to see it.
        let covered = self.account(UsageStatus::Ok).await;
        if had {
            self.actions.retain(|action| !matches!(action, Action::ToClient(_)));
        } else if flow == Flow::Forward {
            self.send_client(text).await?;
        }
        self.carry_out().await?;
        self.go_on(covered).await
    }

    /// Ends the session when what comes next is not covered.
    pub(super) async fn go_on(&mut self, covered: Result<(), GatewayError>) -> Result<(), Ending> {
        let Err(error) = covered else { return Ok(()) };
        self.tell(&error).await?;
        Err(Ending::policy(1008, "the budget is spent"))
    }

    /// Sends what the dialect wants sent beside or in place of the frame.
    pub(super) async fn carry_out(&mut self) -> Result<(), Ending> {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::ToClient(event) => self.send_client(event.into()).await?,
                Action::ToUpstream(event) => self.send_upstream(event.into()).await?,
                Action::Used(_) => {}
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Ending> {
        match self.clocks.due(Instant::now()) {
            Due::Nothing => Ok(()),
            Due::Ping => self.ping().await,
            Due::TooOld => {
                self.tell(&expired("The session has reached its maximum age.")).await?;
                Err(Ending::policy(1008, "the session is too old"))
            }
            Due::Idle => {
                self.tell(&expired("The session was idle for too long.")).await?;
                Err(Ending::policy(1008, "the session was idle"))
            }
            Due::ClientDead => Err(Ending::gone()),
            Due::UpstreamDead => Err(Ending::provider(1011, "the provider does not answer")),
        }
    }

    async fn ping(&mut self) -> Result<(), Ending> {
        let write = self.worker.gateway.timeouts().write;
        self.client.ping(write).await.map_err(client_lost)?;
        if let Some(pending) = &mut self.upstream
            && pending.leg.answers_pings()
        {
            self.clocks.upstream_pinged();
            pending.leg.ping(write).await.map_err(upstream_lost)?;
        }
        Ok(())
    }

    pub(super) async fn tell(&mut self, error: &GatewayError) -> Result<(), Ending> {
        names::failed(error.kind());
        let event = error.event(&self.event_id());
        self.send_client(event.into()).await
    }

    async fn send_client(&mut self, text: ByteString) -> Result<(), Ending> {
        let text = match self.beta.as_ref().map(|beta| beta.server(&text)) {
            Some(Some(Cow::Owned(older))) => older.into(),
            Some(None) => return Ok(()),
            Some(Some(Cow::Borrowed(_))) | None => text,
        };
        self.frames.1 += 1;
        self.note(From::ToClient, || Recorded::Text(text.as_bytes().clone()));
        let write = self.worker.gateway.timeouts().write;
        self.client.text(&text, write).await.map_err(client_lost)
    }

    pub(super) async fn send_upstream(&mut self, text: Bytes) -> Result<(), Ending> {
        self.frames.0 += 1;
        self.note(From::ToUpstream, || Recorded::Text(text.clone()));
        let write = self.worker.gateway.timeouts().write;
        match &mut self.upstream {
            Some(pending) => pending.leg.send(text, write).await.map_err(upstream_lost),
            None => Ok(()),
        }
    }

    pub(super) fn event_id(&mut self) -> String {
        self.events += 1;
        format!("event_{}_{}", self.id.0.simple(), self.events)
    }
}

fn client_lost(error: SendError) -> Ending {
    match error {
        SendError::TooSlow => Ending::policy(1008, "the client does not read"),
        SendError::Gone => Ending::gone(),
    }
}

fn upstream_lost(error: SendError) -> Ending {
    match error {
        SendError::TooSlow => Ending::provider(1013, "the provider does not read"),
        SendError::Gone => Ending::provider(1011, "the provider is gone"),
    }
}

fn expired(message: &str) -> GatewayError {
    GatewayError::caller(ErrorKind::RequestTimeout, message)
}
