//! Records what a call used, exactly once, however it ends: a call that a provider has is in the
//! ledger's slots until its record is in the journal, so that a kill in between loses nothing.

mod beside;
mod records;
mod turns;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::error::ErrorKind;
use domain::ids::RequestId;
use domain::money::NanoUsd;
use domain::pricing::{Cost, Price, cost};
use domain::provider::{Operation, ProviderKind};
use domain::routing::Strategies;
use domain::routing::sticky::Name;
use domain::usage::{Usage, UsageSource, UsageStatus};
use time::OffsetDateTime;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::Gateway;
use crate::clock;
use crate::ledger::{FailedAttempt, Note, Routing};
use crate::limits::{Permit, Refusal};
use crate::pipeline::estimate::{self, Input};
use crate::pipeline::flight::{Bill, Entry, Flight};
use crate::pipeline::route::Candidate;
use crate::realtime::live::Live;
use crate::snapshot::{Key, Snapshot};
use crate::telemetry::trace::Trace;

pub use self::turns::Part;

/// What a call is known by, from its arrival on.
#[derive(Debug, Clone)]
pub struct CallFacts {
    /// As `x-request-id` says.
    pub request_id: RequestId,
    /// Monotonic start.
    pub started: Instant,
    /// Wall-clock start.
    pub started_at: OffsetDateTime,
    /// Whose call it is.
    pub key: Arc<Key>,
    /// `x-antiphon-user`.
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`.
    pub tags: Option<String>,
    /// `x-antiphon-region`.
    pub region: Option<String>,
    /// `x-antiphon-strategy`: how targets are ordered, whatever their route says.
    pub strategy: Option<Strategies>,
    /// `x-antiphon-conversation`.
    pub conversation: Option<Name>,
    /// The only kind of provider that may serve it: it came by one of that vendor's own paths.
    pub pinned: Option<ProviderKind>,
    /// What is asked.
    pub operation: Operation,
    /// The model the client named.
    pub model_asked: String,
    /// Its spans.
    pub trace: Trace,
}

/// Failed targets that a record names: it must stay small, however long a route is.
const MAX_FAILED_ATTEMPTS: usize = 4;

/// The open account of one call. Dropping it before [`Meter::finish`] means that the client left:
/// what the provider had begun to deliver is recorded all the same.
#[derive(Debug)]
pub struct Meter {
    gateway: Arc<Gateway>,
    facts: CallFacts,
    permit: Permit,
    /// Who has the call.
    served: Option<Served>,
    /// The call, or the turn of a session, that a provider works on.
    flight: Flight,
    /// Utterances of a session whose transcripts are awaited, oldest first.
    utterances: VecDeque<Flight>,
    attempts: u32,
    /// Targets that failed, for the record of the one that serves.
    failed_attempts: Vec<FailedAttempt>,
    /// How the call was routed, for its first record.
    routing: Option<Box<Routing>>,
    /// When the target that is tried was asked.
    asked: Instant,
    /// How long it took to be heard of.
    heard: Option<Duration>,
    usage: Usage,
    source: UsageSource,
    /// The last cost that was worked out, which is asked for again with the same quantities.
    priced: Cell<Option<(Usage, Cost)>>,
    first_byte: Option<Duration>,
    session: Option<Arc<Live>>,
    /// Milliseconds of audio that passed in the session, in and out, whoever counts them.
    passed: (u64, u64),
    /// Each turn of the session has a record of its own.
    by_turns: bool,
    /// The next turn's number.
    sequence: u32,
    /// A drain waits for it.
    _in_flight: TaskTrackerToken,
}

#[derive(Debug)]
struct Served {
    candidate: Candidate,
    prices: Arc<[Price]>,
    /// A turn of the session is recorded, and the one request that a session is.
    turned: bool,
}

impl Meter {
    /// Opens the account of an admitted call. Nothing is recorded until a provider has answered.
    #[must_use]
    pub fn open(gateway: &Arc<Gateway>, facts: CallFacts, permit: Permit, session: Option<Arc<Live>>) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            asked: facts.started,
            heard: None,
            facts,
            permit,
            served: None,
            flight: Flight::default(),
            utterances: VecDeque::new(),
            attempts: 0,
            failed_attempts: Vec::new(),
            routing: None,
            usage: Usage::default(),
            source: UsageSource::Estimated,
            priced: Cell::new(None),
            first_byte: None,
            by_turns: session.is_some(),
            session,
            passed: (0, 0),
            sequence: 0,
            _in_flight: gateway.calls.token(),
        }
    }

    /// The whole session has one record, as a call has.
    #[must_use]
    pub fn in_one_record(mut self) -> Self {
        self.by_turns = false;
        self
    }

    /// One more target is tried.
    pub fn attempt(&mut self, candidate: &Candidate) {
        self.attempts += 1;
        self.asked = clock::mono();
        self.heard = None;
        self.facts.trace.asks(self.facts.operation, candidate);
    }

    /// The last target was not tried after all: what it was to be asked changed before it had it.
    pub fn take_back_attempt(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
        self.facts.trace.takes_back();
    }

    /// How many targets were tried.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The call's facts.
    #[must_use]
    pub fn facts(&self) -> &CallFacts {
        &self.facts
    }

    /// `candidate` is about to have the whole request: should nothing more be heard of it, `input` is
    /// billed, even if this process is killed, from the moment that the note is written.
    pub fn dispatched(&mut self, snapshot: &Snapshot, candidate: &Candidate, input: &Input) -> Note {
        self.asked = clock::mono();
        self.facts.trace.sent(candidate);
        let served = self.serving(snapshot, candidate);
        let (usage, source) = input.billed(&served.prices);
        self.set_usage(usage, source);
        let bill = Bill::new(self.usage, self.source, self.priced(&served.prices));
        let entry = *self.flight.entry.get_or_insert_with(|| Entry::new(self.sequence));
        let record = self.describe(entry, &served.candidate, None, bill, UsageStatus::ClientClosed);
        self.served = Some(served);
        self.gateway.ledger.prepare(&mut self.flight.call, &record)
    }

    /// How the call was routed, where there was a choice.
    pub fn routed(&mut self, routing: Option<Box<Routing>>) {
        self.routing = routing;
    }

    /// More of the call has gone to who serves it: a kill from now on leaves what is known by now.
    pub fn note_again(&mut self) {
        if let (Some(served), Some(entry)) = (&self.served, self.flight.entry) {
            let bill = Bill::new(self.usage, self.source, self.priced(&served.prices));
            let record = self.describe(entry, &served.candidate, None, bill, UsageStatus::ClientClosed);
            self.gateway.ledger.claim(&mut self.flight.call, &record);
            self.tell_live(&record);
        }
    }

    /// So much audio has passed in the session, in and out.
    pub fn audio_passed(&mut self, passed: (u64, u64)) {
        self.passed = passed;
    }

    /// What had begun well broke off, and the provider did it.
    pub fn broken(&self) {
        let served = self.served.as_ref().map(|served| &*served.candidate.account);
        self.gateway.reports.minutes.broken(self.facts.key.tenant, self.facts.operation, served);
    }

    /// The candidate that had the request failed before it delivered anything: it bills nothing.
    pub fn failed(&mut self, candidate: &Candidate, error: ErrorKind) {
        self.attempt_failed(candidate, error);
        self.set_usage(Usage::default(), UsageSource::Estimated);
        self.withdraw();
    }

    /// Keeps the name of a target that failed, for the record of the one that serves.
    pub fn attempt_failed(&mut self, candidate: &Candidate, error: ErrorKind) {
        self.attempt_left(candidate, error.facts().2);
    }

    fn attempt_left(&mut self, candidate: &Candidate, error: &'static str) {
        self.facts.trace.failed(candidate, error);
        if self.failed_attempts.len() < MAX_FAILED_ATTEMPTS {
            let (provider, model) = (candidate.account.name.clone(), candidate.model.model.clone());
            self.failed_attempts.push(FailedAttempt { provider, model, error: error.to_owned() });
        }
    }

    /// How long ago the target that is tried was asked.
    #[must_use]
    pub fn waited(&self) -> Duration {
        clock::mono().saturating_duration_since(self.asked)
    }

    /// The target that is tried has begun to answer. Where this is not said, it begins with what makes
    /// it the one that serves.
    pub fn heard(&mut self) {
        self.facts.trace.answers();
        self.heard = Some(clock::mono().saturating_duration_since(self.asked));
    }

    /// `candidate` accepted the call: from now on it is billed. What counts as its latency begins when
    /// it had the whole request: neither a client's upload nor a target that failed is its own.
    pub fn served_by(&mut self, snapshot: &Snapshot, candidate: &Candidate) {
        let ttfb = self.heard.unwrap_or_else(|| clock::mono().saturating_duration_since(self.asked));
        self.facts.trace.heard(candidate);
        if self.session.is_some() {
            self.facts.trace.reached();
        }
        self.gateway.health.succeeded(candidate, self.facts.operation, ttfb);
        self.entrusted_to(snapshot, candidate);
    }

    /// `candidate` has the session, and is reached when it is needed.
    pub fn entrusted_to(&mut self, snapshot: &Snapshot, candidate: &Candidate) {
        // It may not have waited for the end of the request.
        self.flight.call.note();
        if let Some(live) = &self.session {
            live.served_by(candidate);
        }
        if self.served.is_none() {
            self.served = Some(self.serving(snapshot, candidate));
        }
    }

    /// Who has the session was reached, after so long.
    pub fn reached(&self, took: Duration) {
        self.facts.trace.reached();
        if let Some(served) = &self.served {
            self.gateway.health.succeeded(&served.candidate, self.facts.operation, took);
        }
    }

    fn serving(&self, snapshot: &Snapshot, candidate: &Candidate) -> Served {
        let facts = &self.facts;
        let prices = estimate::prices(snapshot, facts.key.tenant, candidate, facts.operation, facts.started_at);
        self.priced.set(None);
        Served { candidate: candidate.clone(), prices: Arc::clone(prices), turned: false }
    }

    /// The answer's first byte is about to leave.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.lived());
        }
    }

    /// Replaces what is known of the quantities.
    pub fn set_usage(&mut self, usage: Usage, source: UsageSource) {
        self.usage = usage;
        self.source = source;
    }

    /// What is known of the quantities.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What the call costs so far.
    #[must_use]
    pub fn cost(&self) -> Option<NanoUsd> {
        let served = self.served.as_ref()?;
        self.priced(&served.prices).known()
    }

    /// Closes the account. The record is in the journal when this returns.
    pub fn finish(mut self, status: UsageStatus) {
        if status == UsageStatus::UpstreamError {
            self.broken();
        }
        self.record(status);
    }

    /// Asks for more of the budget before more is used.
    ///
    /// # Errors
    /// The budget does not hold it.
    pub async fn reserve_more(&mut self, amount: NanoUsd) -> Result<(), Refusal> {
        self.gateway.reserve_more(&mut self.permit, &self.facts.key, amount).await
    }

    /// Makes sure that `window` is reserved, whatever has been settled out of it.
    ///
    /// # Errors
    /// The budget does not hold it.
    pub async fn keep_reserved(&mut self, window: Option<NanoUsd>) -> Result<(), Refusal> {
        let missing = window.map_or(0, |window| window.0.saturating_sub(self.permit.reserved().0));
        if missing > 0 { self.reserve_more(NanoUsd(missing)).await } else { Ok(()) }
    }

    /// The session is over, and counts as none of the key's any more; its bill is awaited.
    pub fn session_over(&mut self) {
        self.permit.free_session();
    }

    /// Names the model that the client asked for, where it is known only now.
    pub fn set_model(&mut self, model: &str) {
        self.facts.model_asked = model.to_owned();
        if let Some(live) = &self.session {
            live.asked(model);
        }
    }

    /// Leaves the account without a record: nothing was delivered.
    pub fn abandon(mut self) {
        self.served = None;
    }

    /// Limits as the permit saw them, for the response headers.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The cost so far, worked out once for the same quantities.
    fn priced(&self, prices: &[Price]) -> Cost {
        match self.priced.get() {
            Some((usage, priced)) if usage == self.usage => priced,
            _ => {
                let priced = cost(&self.usage, prices);
                self.priced.set(Some((self.usage, priced)));
                priced
            }
        }
    }

    /// Since the call arrived, or the turn began.
    fn lived(&self) -> Duration {
        clock::mono().saturating_duration_since(self.facts.started)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let cut = self.served.is_some() && self.gateway.cut.is_cancelled();
        self.record(if cut { UsageStatus::EndedByPolicy } else { UsageStatus::ClientClosed });
    }
}
