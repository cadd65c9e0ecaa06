//! The one loop of a session: everything that can happen to it, and what is then done.

use std::time::{Duration, Instant};

use actix_ws::{Message, MessageStream};
use bytes::Bytes;
use bytestring::ByteString;
use dialects::contract::{Action, Flow, RealtimeDialect, TurnUsage};
use dialects::openai::realtime::Passthrough;
use dialects::openai::scan::event_type;
use domain::error::{ErrorKind, Origin};
use domain::ids::SessionId;
use domain::limits::MAX_CLIENT_MESSAGE_BYTES;
use domain::money::NanoUsd;
use domain::usage::{UsageSource, UsageStatus};
use serde_json::json;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::Caller;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::realtime::close::Ending;
use crate::realtime::fragments::Fragments;
use crate::realtime::open::{candidates, connect_first, transcriber_prices};
use crate::realtime::registry::Entered;
use crate::realtime::turns::Turns;
use crate::realtime::upstream::{FromUpstream, Leg, SendError};
use crate::telemetry::names;

/// How long the provider may still report usage after the client has left.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How soon before the end of a drain the client is told.
const DRAIN_NOTICE: Duration = Duration::from_secs(5);
/// Pings without an answer after which a peer is dead.
const MISSED_PINGS: u32 = 2;

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
}

/// The provider's side when the client is accepted.
#[derive(Debug)]
pub enum Upstream {
    /// Known and connected.
    Connected(Box<Pending>),
    /// The first `session.update` names the model.
    Awaited,
}

/// One session.
pub struct Session {
    worker: Worker,
    caller: Caller,
    id: SessionId,
    client: actix_ws::Session,
    messages: MessageStream,
    meter: Meter,
    upstream: Option<Box<Pending>>,
    transcription: bool,
    fragments: Fragments,
    actions: Vec<Action>,
    clocks: Clocks,
    /// Swallow the provider's `session.created`: the client has had ours.
    created_sent: bool,
    turns: Turns,
    frames: (u64, u64),
    events: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

/// When things are due.
#[derive(Debug)]
struct Clocks {
    opened: Instant,
    last_frame: Instant,
    next_ping: Instant,
    client_pings: u32,
    upstream_pings: u32,
    drain_at: Option<Instant>,
}

enum Happened {
    Client(Option<Result<Message, actix_ws::ProtocolError>>),
    Upstream(FromUpstream),
    Tick,
    Drain,
    Revoked,
}

impl Session {
    /// A session whose client has just been accepted.
    #[expect(clippy::too_many_arguments, reason = "everything a session owns, handed over once")]
    #[must_use]
    pub fn new(
        worker: Worker,
        caller: Caller,
        id: SessionId,
        client: actix_ws::Session,
        messages: MessageStream,
        meter: Meter,
        upstream: Upstream,
        transcription: bool,
    ) -> Self {
        let now = Instant::now();
        let ping = worker.gateway.settings.timeouts.ping;
        let (upstream, created_sent) = match upstream {
            Upstream::Connected(pending) => (Some(pending), false),
            Upstream::Awaited => (None, true),
        };
        Self {
            worker,
            caller,
            id,
            client,
            messages: messages.max_frame_size(MAX_CLIENT_MESSAGE_BYTES),
            meter,
            upstream,
            transcription,
            fragments: Fragments::default(),
            actions: Vec::new(),
            clocks: Clocks {
                opened: now,
                last_frame: now,
                next_ping: now + ping,
                client_pings: 0,
                upstream_pings: 0,
                drain_at: None,
            },
            created_sent,
            turns: Turns::new(transcription),
            frames: (0, 0),
            events: 0,
        }
    }

    /// Drives the session to its end.
    pub async fn run(mut self, entered: Entered) {
        if self.upstream.is_none() {
            let event = json!({"type": "session.created", "event_id": self.event_id(), "session":
                {"type": "transcription", "object": "realtime.transcription_session", "id": format!("sess_{}", self.id.0.simple())}});
            if self.send_client(event.to_string().into()).await.is_err() {
                return;
            }
        }
        let ending = loop {
            let happened = self.wait(&entered).await;
            if let Err(ending) = self.handle(happened).await {
                break ending;
            }
        };
        self.end(ending).await;
    }

    async fn wait(&mut self, entered: &Entered) -> Happened {
        let due = self.next_due();
        let draining = self.clocks.drain_at.is_none();
        let upstream = async {
            match &mut self.upstream {
                Some(pending) => pending.leg.next().await,
                None => std::future::pending().await,
            }
        };
        // Not biased: a provider that never pauses must not keep the client's `response.cancel` waiting.
        tokio::select! {
            () = entered.revoked.cancelled() => Happened::Revoked,
            () = self.worker.gateway.draining.cancelled(), if draining => Happened::Drain,
            () = tokio::time::sleep_until(due.into()) => Happened::Tick,
            frame = upstream => Happened::Upstream(frame),
            message = self.messages.recv() => Happened::Client(message),
        }
    }

    fn next_due(&self) -> Instant {
        let limits = &self.worker.gateway.settings.limits;
        let idle = self.clocks.last_frame + limits.session_idle;
        let age = self.clocks.opened + limits.session_max_age;
        let drain = self.clocks.drain_at.unwrap_or(age);
        self.clocks.next_ping.min(idle).min(age).min(drain)
    }

    /// Does what has to be done; `Err` ends the session.
    async fn handle(&mut self, happened: Happened) -> Result<(), Ending> {
        match happened {
            Happened::Upstream(frame) => self.on_upstream(frame).await,
            Happened::Client(message) => self.on_client(message).await,
            Happened::Tick => self.tick().await,
            Happened::Drain => {
                let drain = self.worker.gateway.settings.timeouts.drain;
                let now = Instant::now();
                self.clocks.drain_at = Some(now + drain.saturating_sub(DRAIN_NOTICE));
                if self.turns.open() { Ok(()) } else { self.drained().await }
            }
            Happened::Revoked => {
                let error = GatewayError::unauthenticated();
                self.tell(&error).await?;
                Err(Ending::policy(1008, "the key was revoked or has expired"))
            }
        }
    }

    async fn on_client(&mut self, message: Option<Result<Message, actix_ws::ProtocolError>>) -> Result<(), Ending> {
        let text = match message {
            None => return Err(Ending::gone()),
            Some(Err(error)) => return Err(Ending::violated(&error)),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Continuation(item))) => match self.fragments.push(item)? {
                None => return Ok(()),
                Some((true, whole)) => {
                    ByteString::try_from(whole).map_err(|_| Ending::policy(1007, "the text is not UTF-8"))?
                }
                Some((false, _)) => return self.refuse_binary().await,
            },
            Some(Ok(Message::Binary(_))) => return self.refuse_binary().await,
            Some(Ok(Message::Ping(payload))) => {
                let deadline = self.worker.gateway.settings.timeouts.write;
                return match tokio::time::timeout(deadline, self.client.pong(&payload)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(Ending::gone()),
                    Err(_) => Err(slow_reader()),
                };
            }
            Some(Ok(Message::Pong(_))) => {
                self.clocks.client_pings = 0;
                return Ok(());
            }
            Some(Ok(Message::Nop)) => return Ok(()),
            Some(Ok(Message::Close(reason))) => {
                return Err(Ending::left(reason.map_or(1000, |reason| u16::from(reason.code))));
            }
        };
        self.clocks.last_frame = Instant::now();
        self.clocks.client_pings = 0;
        if self.upstream.is_none() {
            self.open_upstream(&text).await?;
        }
        let Some(pending) = &mut self.upstream else { return Ok(()) };
        let flow = pending.dialect.client(&text, &mut self.actions);
        self.carry_out().await?;
        if flow == Flow::Forward {
            if let Some(kind) = event_type(&text) {
                self.turns.client(&kind, &text);
            }
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
                let reason = error.kind().facts().2;
                Err(match error.origin() {
                    Origin::Upstream => Ending::provider(1011, reason),
                    Origin::Us => Ending::policy(1011, reason),
                    Origin::Caller => Ending::policy(1008, reason),
                })
            }
        }
    }

    async fn connect_model(&mut self, model: &str) -> Result<(), GatewayError> {
        let candidates = candidates(&self.worker, &self.caller, model)?;
        self.meter.set_model(model);
        let pending =
            connect_first(&self.worker, &self.caller, candidates, self.transcription, &mut self.meter).await?;
        if let Some(window) = pending.window {
            self.meter.reserve_more(window)?;
        }
        self.upstream = Some(Box::new(pending));
        Ok(())
    }

    async fn on_upstream(&mut self, frame: FromUpstream) -> Result<(), Ending> {
        let text = match frame {
            FromUpstream::Text(text) => text,
            FromUpstream::Pong => {
                self.clocks.upstream_pings = 0;
                return Ok(());
            }
            FromUpstream::Binary => return Ok(()),
            FromUpstream::Closed(code, reason) => return Err(Ending::relayed(code, &reason)),
        };
        let Some(pending) = &mut self.upstream else { return Ok(()) };
        let Ok(text) = ByteString::try_from(text) else {
            return Err(Ending::provider(1011, "the provider sent broken text"));
        };
        self.clocks.last_frame = Instant::now();
        self.clocks.upstream_pings = 0;
        if let Some(kind) = event_type(&text) {
            self.turns.upstream(&kind, &text);
            if self.created_sent && kind == "session.created" {
                self.created_sent = false;
                return Ok(());
            }
        }
        let flow = pending.dialect.upstream(&text, &mut self.actions);
        self.meter.first_byte();
        // What a turn used is in the journal before the client sees that the turn is over, and whether
        // or not it is still there to see it.
        let covered = self.account(UsageStatus::Ok);
        if flow == Flow::Forward {
            self.send_client(text).await?;
        }
        self.carry_out().await?;
        match covered {
            Ok(()) => Ok(()),
            Err(error) => {
                self.tell(&error).await?;
                Err(Ending::policy(1008, "the budget is spent"))
            }
        }
    }

    /// Sends what the dialect wants sent beside or in place of the frame.
    async fn carry_out(&mut self) -> Result<(), Ending> {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::ToClient(event) => self.send_client(event.into()).await?,
                Action::ToUpstream(event) => self.send_upstream(event.into()).await?,
                Action::Used(_) => {}
            }
        }
        Ok(())
    }

    /// Records every turn that the last frame ended. `Err` when the next one is not covered.
    fn account(&mut self, status: UsageStatus) -> Result<(), GatewayError> {
        let mut covered = Ok(());
        for turn in take_used(&mut self.actions) {
            covered = covered.and(self.used(&turn, status));
        }
        covered
    }

    /// Records a turn and makes sure that the next one is covered.
    fn used(&mut self, turn: &TurnUsage, status: UsageStatus) -> Result<(), GatewayError> {
        let Some(pending) = &self.upstream else { return Ok(()) };
        let Some((usage, source)) = self.turns.settle(turn) else { return Ok(()) };
        let prices = turn.model.as_deref().map(|model| transcriber_prices(&self.caller, &pending.candidate, model));
        self.meter.turn(usage, source, prices, turn.model.as_deref(), status);
        self.meter.keep_reserved(pending.window).map_err(GatewayError::from)
    }

    async fn tick(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        let limits = &self.worker.gateway.settings.limits;
        let timeouts = &self.worker.gateway.settings.timeouts;
        if self.clocks.drain_at.is_some_and(|at| at <= now) {
            return self.drained().await;
        }
        if self.clocks.opened + limits.session_max_age <= now {
            self.tell(&expired("The session has reached its maximum age.")).await?;
            return Err(Ending::policy(1008, "the session is too old"));
        }
        if self.clocks.last_frame + limits.session_idle <= now {
            self.tell(&expired("The session was idle for too long.")).await?;
            return Err(Ending::policy(1008, "the session was idle"));
        }
        if self.clocks.next_ping <= now {
            let write = timeouts.write;
            self.clocks.next_ping = now + timeouts.ping;
            if self.clocks.client_pings >= MISSED_PINGS {
                return Err(Ending::gone());
            }
            if self.clocks.upstream_pings >= MISSED_PINGS {
                return Err(Ending::provider(1011, "the provider does not answer"));
            }
            self.clocks.client_pings += 1;
            match tokio::time::timeout(write, self.client.ping(b"")).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Ending::gone()),
                Err(_) => return Err(slow_reader()),
            }
            if let Some(pending) = &mut self.upstream
                && pending.leg.answers_pings()
            {
                self.clocks.upstream_pings += 1;
                pending.leg.ping(write).await.map_err(upstream_lost)?;
            }
        }
        Ok(())
    }

    async fn drained(&mut self) -> Result<(), Ending> {
        let event = json!({"type": "error", "event_id": self.event_id(), "error": {"type": "server_error", "code": "server_draining",
            "message": "The gateway is restarting: open a new session.", "param": null, "event_id": null}});
        self.send_client(event.to_string().into()).await?;
        Err(Ending::policy(1001, "the gateway is restarting"))
    }

    async fn refuse_binary(&mut self) -> Result<(), Ending> {
        self.tell(&GatewayError::invalid("event", "Events are text frames; audio travels in them as base64.")).await
    }

    async fn tell(&mut self, error: &GatewayError) -> Result<(), Ending> {
        names::failed(error.kind());
        let event = error.event(&self.event_id());
        self.send_client(event.into()).await
    }

    async fn send_client(&mut self, text: ByteString) -> Result<(), Ending> {
        self.frames.1 += 1;
        let write = self.worker.gateway.settings.timeouts.write;
        match tokio::time::timeout(write, self.client.text(text)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ending::gone()),
            Err(_) => Err(slow_reader()),
        }
    }

    async fn send_upstream(&mut self, text: Bytes) -> Result<(), Ending> {
        self.frames.0 += 1;
        let write = self.worker.gateway.settings.timeouts.write;
        match &mut self.upstream {
            Some(pending) => pending.leg.send(text, write).await.map_err(upstream_lost),
            None => Ok(()),
        }
    }

    /// Closes both sides, and waits for the provider's last report where one is due.
    async fn end(mut self, ending: Ending) {
        tracing::info!(session = %self.id, code = ending.code, reason = %ending.reason, "session ended");
        let write = self.worker.gateway.settings.timeouts.write;
        let goodbye = (ending.code != 1006).then(|| ending.frame());
        if tokio::time::timeout(write, self.client.clone().close(goodbye)).await.is_err() {
            tracing::debug!(session = %self.id, "the client did not take the close frame");
        }
        self.last_words(ending.status()).await;
        for usage in self.turns.cut() {
            self.meter.turn(usage, UsageSource::Estimated, None, None, ending.status());
        }
        if let Some(pending) = &mut self.upstream {
            pending.leg.close(1000, write).await;
        }
        names::frames(self.frames.0, self.frames.1);
        self.meter.abandon();
    }

    /// Nobody listens any more, but what the provider has made will be billed: its report is waited for.
    async fn last_words(&mut self, status: UsageStatus) {
        let deadline = Instant::now() + LAST_WORDS;
        while self.turns.open() {
            let Some(pending) = &mut self.upstream else { return };
            let next = tokio::time::timeout_at(deadline.into(), pending.leg.next()).await;
            let text = match next {
                Ok(FromUpstream::Text(text)) => text,
                Ok(FromUpstream::Closed(..)) | Err(_) => return,
                Ok(FromUpstream::Pong | FromUpstream::Binary) => continue,
            };
            let Ok(text) = ByteString::try_from(text) else { continue };
            if let Some(kind) = event_type(&text) {
                self.turns.upstream(&kind, &text);
            }
            pending.dialect.upstream(&text, &mut self.actions);
            if let Err(error) = self.account(status) {
                tracing::debug!(session = %self.id, %error, "the last turn spent what was left");
            }
            // There is nobody left to send anything to.
            self.actions.clear();
        }
    }

    fn event_id(&mut self) -> String {
        self.events += 1;
        format!("event_{}_{}", self.id.0.simple(), self.events)
    }
}

/// Takes the accounts out of what is to be done, so that none can be lost with a send that fails.
fn take_used(actions: &mut Vec<Action>) -> Vec<TurnUsage> {
    // Nearly every frame asks for nothing.
    if actions.is_empty() {
        return Vec::new();
    }
    let (mut used, mut rest) = (Vec::new(), Vec::new());
    for action in std::mem::take(actions) {
        match action {
            Action::Used(turn) => used.push(turn),
            other => rest.push(other),
        }
    }
    *actions = rest;
    used
}

fn slow_reader() -> Ending {
    Ending::policy(1008, "the client does not read")
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

#[cfg(test)]
mod tests {
    use super::*;
    use domain::usage::Usage;

    #[test]
    fn what_was_used_is_taken_before_anything_is_sent() {
        let turn = TurnUsage { usage: Usage::default(), model: None, completed: true, reported: true };
        let event = Action::ToClient("{}".to_owned());
        let mut actions = vec![event.clone(), Action::Used(turn.clone()), event.clone(), Action::Used(turn.clone())];
        assert_eq!(take_used(&mut actions), vec![turn.clone(), turn]);
        assert_eq!(actions, vec![event.clone(), event], "in their order");
    }
}
