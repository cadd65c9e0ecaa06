//! Another target takes a session over, as long as the one that was chosen has not been reached: what the
//! client has said until then is said again there, and what the client has been told is not told again.

use std::time::Duration;

use bytestring::ByteString;
use dialects::contract::{Action, Flow, RealtimeDialect};
use dialects::openai::scan::event_type;
use domain::error::Origin;

use crate::error::GatewayError;
use crate::pipeline::route::Candidate;
use crate::realtime::close::Ending;
use crate::realtime::open::connect_first;
use crate::realtime::session::Session;
use crate::realtime::tab::Tariff;
use crate::realtime::translated::TranslatedLeg;
use crate::realtime::turns::Turns;

/// The most that is said again; a session in which more is said before the provider is reached stays where
/// it is. A translator takes as much without waiting.
const MAX_SAID_BYTES: usize = 256 * 1024;
/// Events that a client is told before the provider is reached.
const MAX_TOLD: usize = 256;

/// What the next target needs to take the session over.
#[derive(Debug, Default)]
pub struct Fallback {
    rest: Vec<Candidate>,
    said: Vec<ByteString>,
    said_bytes: usize,
    /// Types of the events that the client has had.
    told: Vec<Box<str>>,
}

impl Fallback {
    /// The targets that are left; `None` where there are none.
    pub(super) fn to(rest: Vec<Candidate>) -> Option<Box<Self>> {
        (!rest.is_empty()).then(|| Box::new(Self { rest, ..Self::default() }))
    }

    /// Keeps what the client says; `false` where it is too much.
    fn say(&mut self, text: &ByteString) -> bool {
        self.said_bytes += text.len();
        self.said.push(text.clone());
        self.said_bytes <= MAX_SAID_BYTES
    }

    fn tell(&mut self, kind: &str) -> bool {
        self.told.push(kind.into());
        self.told.len() <= MAX_TOLD
    }
}

impl Session {
    /// The client says something that goes to the provider, which the next target would have to hear too.
    pub(super) fn keep_said(&mut self, text: &ByteString) {
        let Some(pending) = &mut self.upstream else { return };
        if pending.fallback.as_mut().is_some_and(|fallback| !fallback.say(text)) {
            pending.settle();
        }
    }

    /// The client is told something, which the next target shall not tell it again.
    pub(super) fn keep_told(&mut self, kind: &str) {
        let Some(pending) = &mut self.upstream else { return };
        if pending.fallback.as_mut().is_some_and(|fallback| !fallback.tell(kind)) {
            pending.settle();
        }
    }

    /// Whether the client has had an event already, from the target before or from us.
    pub(super) fn had(&mut self, kind: &str) -> bool {
        // Nearly always nothing is left.
        let at = self.had.iter().position(|had| **had == *kind);
        at.map(|at| self.had.swap_remove(at)).is_some()
    }

    /// The vendor's socket is open for the first time: the session stays there.
    pub(super) fn reached(&mut self, took: Duration) {
        let Some(pending) = &mut self.upstream else { return };
        pending.settle();
        self.meter.reached(took);
        if matches!(pending.leg.tariff(), Tariff::Connected { .. }) {
            // The connection itself is billed: from now on a kill leaves a record.
            self.meter.turn_begun();
        }
    }

    /// The target could not be reached: the next one takes over.
    pub(super) async fn fall_back(&mut self, error: GatewayError) -> Result<(), Ending> {
        let Some(pending) = self.upstream.take() else { return Ok(()) };
        let Some(fallback) = pending.fallback else {
            self.meter.facts().trace.failed(&pending.candidate, error.kind().facts().2);
            return self.unreachable(error).await;
        };
        self.meter.failed(&pending.candidate, error.kind());
        pending.candidate.leave();
        let Fallback { rest, said, told, .. } = *fallback;
        let next = connect_first(&self.worker, &self.caller, rest, self.transcription, &mut self.meter).await;
        let next = match next {
            Ok(next) => next,
            // The last one told most.
            Err(error) => return self.unreachable(error).await,
        };
        let held = self.meter.keep_reserved(next.window).await;
        self.upstream = Some(Box::new(next));
        self.record_leg();
        self.go_on(held.map_err(GatewayError::from)).await?;
        (self.turns, self.had) = (Turns::default(), told);
        for text in said {
            self.say_again(text).await?;
        }
        Ok(())
    }

    async fn say_again(&mut self, text: ByteString) -> Result<(), Ending> {
        self.keep_said(&text);
        let Some(pending) = &mut self.upstream else { return Ok(()) };
        let flow = pending.dialect.client(&text, &mut self.actions);
        // The target before took it; where this one does not, the client is told.
        let rewritten = || self.actions.iter().any(|action| matches!(action, Action::ToUpstream(_)));
        if let Some(kind) = event_type(&text).filter(|_| flow == Flow::Forward || rewritten()) {
            self.asked(&kind, &text);
        }
        self.carry_out().await?;
        if flow == Flow::Forward { self.send_upstream(text.into_bytes()).await } else { Ok(()) }
    }

    async fn unreachable(&mut self, error: GatewayError) -> Result<(), Ending> {
        self.tell(&error).await?;
        Err(refusal(&error))
    }
}

/// How a session ends that no provider takes.
pub(super) fn refusal(error: &GatewayError) -> Ending {
    let reason = error.kind().facts().2;
    match error.origin() {
        Origin::Upstream => Ending::provider(1011, reason),
        Origin::Us => Ending::policy(1011, reason),
        Origin::Caller => Ending::policy(1008, reason),
    }
}

impl crate::realtime::session::Pending {
    /// No other target takes over any more.
    fn settle(&mut self) {
        self.fallback = None;
        if let Some(leg) = self.leg.translated() {
            TranslatedLeg::settle(leg);
        }
    }
}
