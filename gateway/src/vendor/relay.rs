//! The loop of a session below a vendor's prefix: messages pass both ways as they are, what is billed is
//! counted, and nothing of ours but pings goes to the vendor.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use dialects::surface::{SocketMeter, Surface, fields};
use domain::error::ErrorKind;
use domain::ids::SessionId;
use domain::usage::{Usage, UsageSource, UsageStatus};
use memchr::memmem;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep_until};

use super::account;
use super::answer::scrubbed;
use super::followed::{self, Session};
use super::leg::{FromVendor, Leg};
use super::socket::Opening;
use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::realtime::client::{Client, FromClient};
use crate::realtime::clocks::{Clocks, Due};
use crate::realtime::close::{By, Ending};
use crate::realtime::registry::Entered;
use crate::realtime::upstream::SendError;
use crate::snapshot::Snapshot;
use crate::telemetry::names;

/// What is reserved ahead of use.
pub(super) const WINDOW: Usage = Usage {
    audio_in_ms: 30_000,
    characters: 500,
    audio_out_ms: 0,
    text_tokens_in: 0,
    text_tokens_out: 0,
    audio_tokens_in: 0,
    audio_tokens_out: 0,
    image_tokens_in: 0,
    cached_text_tokens: 0,
    cached_audio_tokens: 0,
    cached_image_tokens: 0,
    requests: 1,
    surcharge_percent: 0,
};
/// How often what a session has used is worked out that says nothing.
const BEAT: Duration = Duration::from_secs(5);

/// One session.
pub(super) struct Relay {
    worker: Worker,
    snapshot: Arc<Snapshot>,
    surface: &'static Surface,
    candidate: Candidate,
    counter: Box<dyn SocketMeter>,
    id: SessionId,
    client: Client,
    leg: Leg,
    meter: Meter,
    opened: Instant,
    clocks: Clocks,
    /// What the reservation holds.
    covered: Usage,
    /// What was used, and how that is known.
    counted: (Usage, UsageSource),
    /// How the vendor is asked what it bills.
    followed: Option<Session>,
    /// The last message was not covered and went no further: nothing is counted any more.
    stopped: bool,
    frames: (u64, u64),
}

enum Happened {
    Client(FromClient),
    Vendor(FromVendor),
    Tick,
    Beat,
}

impl Relay {
    /// A session whose client has just been accepted.
    pub(super) fn new(opening: Opening, id: SessionId, client: Client, leg: Leg, meter: Meter) -> Self {
        let Opening { worker, caller, surface, candidate, counter, followed } = opening;
        let opened = Instant::now();
        let mut clocks = Clocks::new(opened, &worker.gateway.bounds(), &worker.gateway.timeouts());
        if followed.as_ref().is_some_and(|session| session.without_sound) {
            clocks = clocks.never_idle();
        }
        let snapshot = caller.snapshot;
        Self {
            worker,
            snapshot,
            surface,
            candidate,
            counter,
            id,
            client,
            leg,
            meter,
            opened,
            clocks,
            covered: WINDOW,
            counted: (Usage::default(), UsageSource::Measured),
            followed,
            stopped: false,
            frames: (0, 0),
        }
    }

    /// Drives the session to its end.
    pub(super) async fn run(mut self, entered: Entered) {
        let ended = tokio::select! {
            ending = self.drive() => Ok(ending),
            // Whatever the session is doing, and for whomever it waits.
            why = entered.live.over() => Err(why),
        };
        let ending = ended.unwrap_or_else(|why| {
            if let Some(event) = self.event(&why.error()) {
                self.client.last_text(&event);
            }
            why.ending()
        });
        self.end(ending).await;
    }

    async fn drive(&mut self) -> Ending {
        let mut timer = pin!(sleep_until(self.clocks.next().into()));
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let happened = self.wait(timer.as_mut(), &mut beat).await;
            if let Err(ending) = self.handle(happened).await {
                return ending;
            }
        }
    }

    async fn wait(&mut self, mut timer: Pin<&mut Sleep>, beat: &mut Interval) -> Happened {
        // Messages move most of what is due into the future: a timer that fires too early is set again
        // then, rather than at every message.
        let next = self.clocks.next().into();
        if timer.is_elapsed() || next < timer.deadline() {
            timer.as_mut().reset(next);
        }
        tokio::select! {
            () = timer => Happened::Tick,
            _ = beat.tick() => Happened::Beat,
            message = self.leg.next() => Happened::Vendor(message),
            message = self.client.next() => Happened::Client(message),
        }
    }

    /// Does what has to be done; `Err` ends the session.
    async fn handle(&mut self, happened: Happened) -> Result<(), Ending> {
        match happened {
            Happened::Client(message) => self.on_client(message).await,
            Happened::Vendor(message) => self.on_vendor(message).await,
            Happened::Tick => self.tick().await,
            Happened::Beat => {
                self.count().await?;
                self.meter.note_again();
                Ok(())
            }
        }
    }

    async fn on_client(&mut self, message: FromClient) -> Result<(), Ending> {
        let write = self.worker.gateway.timeouts().write;
        match message {
            FromClient::Text(text) => {
                self.clocks.client_spoke(Instant::now());
                let text = self.without_key(text);
                self.counter.client_text(&text);
                self.count().await?;
                self.frames.0 += 1;
                self.leg.text(text.into_bytes(), write).await.map_err(vendor_lost)
            }
            FromClient::Binary(bytes) => {
                self.clocks.client_spoke(Instant::now());
                self.counter.client_binary(&bytes);
                self.count().await?;
                self.frames.0 += 1;
                self.leg.binary(bytes, write).await.map_err(vendor_lost)
            }
            FromClient::Ping(payload) => self.client.pong(&payload, write).await.map_err(client_lost),
            FromClient::Pong => {
                self.clocks.client_lives();
                Ok(())
            }
            FromClient::Closed(code) => Err(Ending::left(code)),
            FromClient::Gone => Err(Ending::gone()),
            FromClient::Broken(ending) => Err(ending),
        }
    }

    async fn on_vendor(&mut self, message: FromVendor) -> Result<(), Ending> {
        let write = self.worker.gateway.timeouts().write;
        match message {
            FromVendor::Text(text) => {
                self.clocks.upstream_spoke(Instant::now());
                let text = scrubbed(self.candidate.account.api_key.as_ref(), text);
                let Ok(text) = ByteString::try_from(text) else {
                    return Err(Ending::provider(1011, "the provider sent broken text"));
                };
                self.counter.vendor_text(&text);
                self.meter.first_byte();
                self.recount();
                self.frames.1 += 1;
                self.client.text(&text, write).await.map_err(client_lost)
            }
            FromVendor::Binary(bytes) => {
                self.clocks.upstream_spoke(Instant::now());
                self.meter.first_byte();
                self.frames.1 += 1;
                self.client.binary(&bytes, write).await.map_err(client_lost)
            }
            FromVendor::Pong => {
                self.clocks.upstream_lives();
                Ok(())
            }
            FromVendor::Closed(code, reason) => Err(Ending::relayed(code, &reason)),
        }
    }

    /// A client's message without the key that some SDKs put into their first one.
    fn without_key(&self, text: ByteString) -> ByteString {
        let has = |name: &&&str| memmem::find(text.as_bytes(), name.as_bytes()).is_some();
        if self.surface.key_fields.iter().find(has).is_none() {
            return text;
        }
        let Ok(mut message) = fields(text.as_bytes()) else { return text };
        for name in self.surface.key_fields {
            message.remove(*name);
        }
        serde_json::Value::Object(message).to_string().into()
    }

    /// What was used until now.
    fn recount(&mut self) -> Usage {
        let connected = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.counted = self.counter.usage(connected);
        let (usage, source) = self.counted;
        self.meter.set_usage(usage, source);
        usage
    }

    /// Counts, and makes sure that what was used is covered; else the session ends before the vendor has
    /// more than was paid for.
    async fn count(&mut self) -> Result<(), Ending> {
        let (before, source) = self.counted;
        let usage = self.recount();
        if usage.audio_in_ms <= self.covered.audio_in_ms && usage.characters <= self.covered.characters {
            return Ok(());
        }
        let ahead = Usage {
            audio_in_ms: usage.audio_in_ms.saturating_add(WINDOW.audio_in_ms),
            characters: usage.characters.saturating_add(WINDOW.characters),
            ..usage
        };
        for wanted in [ahead, usage] {
            let cost = account::price(&self.snapshot, self.meter.facts(), &self.candidate, &wanted);
            match self.meter.keep_reserved(cost).await {
                Ok(()) => {
                    self.covered = wanted;
                    self.meter.note_again();
                    return Ok(());
                }
                // What was used already may still be held, if not what comes.
                Err(_) if wanted == ahead => {}
                Err(refusal) => {
                    self.stopped = true;
                    self.meter.set_usage(before, source);
                    self.tell(&refusal.into()).await?;
                    break;
                }
            }
        }
        Err(Ending::policy(1008, "the budget is spent"))
    }

    async fn tick(&mut self) -> Result<(), Ending> {
        let expired = |message: &str| GatewayError::caller(ErrorKind::RequestTimeout, message);
        match self.clocks.due(Instant::now()) {
            Due::Nothing => Ok(()),
            Due::Ping => {
                let write = self.worker.gateway.timeouts().write;
                self.client.ping(write).await.map_err(client_lost)?;
                self.clocks.upstream_pinged();
                self.leg.ping(write).await.map_err(vendor_lost)
            }
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

    fn event(&self, error: &GatewayError) -> Option<String> {
        names::failed(error.kind());
        Some(error.told(self.surface.event?, self.meter.facts().request_id).to_string())
    }

    async fn tell(&mut self, error: &GatewayError) -> Result<(), Ending> {
        let Some(event) = self.event(error) else { return Ok(()) };
        let write = self.worker.gateway.timeouts().write;
        self.client.text(&event, write).await.map_err(client_lost)
    }

    /// Records what was used and closes both sides.
    async fn end(mut self, ending: Ending) {
        tracing::info!(session = %self.id, code = ending.code, reason = %ending.reason, "session ended");
        if !self.stopped {
            self.recount();
        }
        let used = self.meter.usage();
        let is_used = used.audio_in_ms > 0 || used.characters > 0;
        // A session in which the vendor has said nothing may be another's, who joined before: what it costs is
        // in that one's record. It is ended all the same where closing the socket may not do so.
        let may_run = |session: &Session| is_used || (session.without_sound && ending.by != By::Provider);
        let followed = self.followed.take().filter(may_run);
        let mut awaited = match (is_used, &followed) {
            (true, Some(_)) => Some(self.meter),
            (true, None) => {
                self.meter.finish(status(&ending));
                None
            }
            (false, _) => {
                self.meter.abandon();
                None
            }
        };
        self.client.close(&ending);
        // The vendor learns what the client said, and nothing of what we had against it.
        let code = if ending.by == By::Client && ending.is_told() { ending.code } else { 1000 };
        self.leg.close(code, self.worker.gateway.timeouts().write).await;
        names::frames(self.frames.0, self.frames.1);
        // Neither side waits for what is asked now.
        drop((self.client, self.leg));
        let Some(session) = followed else { return };
        if let Some(meter) = &mut awaited {
            // Should this process be killed while the vendor is asked, what was measured stands.
            meter.note_again();
            meter.session_over();
        }
        let at_once = ending.by == By::Policy;
        let settled = followed::settle(&self.worker, self.surface, &self.candidate, &session, at_once).await;
        if let Some(meter) = awaited {
            record(meter, settled, status(&ending));
        }
    }
}

/// Records what the vendor bills, or what was measured where it does not say. A session that it bills nothing
/// for costs nothing here.
fn record(mut meter: Meter, settled_ms: Option<u64>, status: UsageStatus) {
    match settled_ms {
        Some(0) => return meter.abandon(),
        Some(ms) => {
            let usage = Usage { audio_in_ms: ms, requests: 1, ..Usage::default() };
            meter.set_usage(usage, UsageSource::Reported);
        }
        None => {}
    }
    meter.finish(status);
}

/// A session that either side ends in order is whole.
fn status(ending: &Ending) -> UsageStatus {
    if ending.in_order() { UsageStatus::Ok } else { ending.status() }
}

fn client_lost(error: SendError) -> Ending {
    match error {
        SendError::TooSlow => Ending::policy(1008, "the client does not read"),
        SendError::Gone => Ending::gone(),
    }
}

fn vendor_lost(error: SendError) -> Ending {
    match error {
        SendError::TooSlow => Ending::provider(1013, "the provider does not read"),
        SendError::Gone => Ending::provider(1011, "the provider is gone"),
    }
}
