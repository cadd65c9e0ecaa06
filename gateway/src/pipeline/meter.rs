//! Records what a call used, exactly once, however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::{RequestId, SessionId, UsageRecordId};
use domain::money::NanoUsd;
use domain::pricing::{Cost, Price, cost};
use domain::provider::Operation;
use domain::usage::{Usage, UsageSource, UsageStatus};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Gateway;
use crate::ledger::UsageRecord;
use crate::limits::{Permit, Refusal};
use crate::pipeline::estimate;
use crate::pipeline::route::Candidate;
use crate::snapshot::{Key, Snapshot};
use crate::telemetry::names;

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
    /// What is asked.
    pub operation: Operation,
    /// The model the client named.
    pub model_asked: String,
}

/// The open account of one call. Dropping it before [`Meter::finish`] means that the client left:
/// what the provider had begun to deliver is recorded all the same.
#[derive(Debug)]
pub struct Meter {
    gateway: Arc<Gateway>,
    facts: CallFacts,
    permit: Permit,
    served: Option<Served>,
    attempts: u32,
    usage: Usage,
    source: UsageSource,
    first_byte: Option<Duration>,
    session: Option<SessionId>,
    sequence: u32,
}

#[derive(Debug, Clone)]
struct Served {
    candidate: Candidate,
    prices: Vec<Price>,
}

impl Meter {
    /// Opens the account of an admitted call. Nothing is recorded until a provider has answered.
    #[must_use]
    pub fn open(gateway: &Arc<Gateway>, facts: CallFacts, permit: Permit, session: Option<SessionId>) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            facts,
            permit,
            served: None,
            attempts: 0,
            usage: Usage::default(),
            source: UsageSource::Estimated,
            first_byte: None,
            session,
            sequence: 0,
        }
    }

    /// One more target is tried.
    pub fn attempt(&mut self) {
        self.attempts += 1;
    }

    /// The last target was not tried after all: what it was to be asked changed before it had it.
    pub fn take_back_attempt(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
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

    /// `candidate` has the whole request: should nothing more be heard of it, `expected` is billed.
    pub fn dispatched(&mut self, snapshot: &Snapshot, candidate: &Candidate, expected: &Usage) {
        let prices = estimate::prices(snapshot, candidate, self.facts.operation, self.facts.started_at);
        self.served = Some(Served { candidate: candidate.clone(), prices });
        self.set_usage(*expected, UsageSource::Estimated);
    }

    /// The candidate that had the request failed before it delivered anything: it bills nothing.
    pub fn failed(&mut self) {
        self.served = None;
        self.set_usage(Usage::default(), UsageSource::Estimated);
    }

    /// `candidate` accepted the call: from now on it is billed.
    pub fn served_by(&mut self, snapshot: &Snapshot, candidate: &Candidate) {
        self.gateway.health.succeeded(candidate, self.facts.operation, self.facts.started.elapsed());
        if self.served.is_none() {
            let prices = estimate::prices(snapshot, candidate, self.facts.operation, self.facts.started_at);
            self.served = Some(Served { candidate: candidate.clone(), prices });
        }
    }

    /// The answer's first byte is about to leave.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.facts.started.elapsed());
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
        cost(&self.usage, &served.prices).known()
    }

    /// Closes the account. The record is in the journal when this returns.
    pub fn finish(mut self, status: UsageStatus) {
        self.record(status);
    }

    /// Records one turn of a session and keeps the account open.
    pub fn turn(
        &mut self,
        usage: Usage,
        source: UsageSource,
        prices: Option<Vec<Price>>,
        model: Option<&str>,
        status: UsageStatus,
    ) {
        let Some(served) = self.served.clone() else { return };
        self.set_usage(usage, source);
        let mut of_turn = served.clone();
        if let Some(prices) = prices {
            of_turn.prices = prices;
        }
        if let Some(model) = model {
            of_turn.candidate.model.model = model.to_owned();
        }
        self.served = Some(of_turn);
        self.record(status);
        self.sequence += 1;
        self.usage = Usage::default();
        // The next turn begins where this one ended: its times and its day are its own.
        self.facts.started = Instant::now();
        self.facts.started_at = OffsetDateTime::now_utc();
        self.first_byte = None;
        self.served = Some(served);
    }

    /// Asks for more of the budget before more is used.
    ///
    /// # Errors
    /// The budget does not hold it.
    pub fn reserve_more(&mut self, amount: NanoUsd) -> Result<(), Refusal> {
        self.permit.reserve_more(amount)
    }

    /// Makes sure that `window` is reserved, whatever has been settled out of it.
    ///
    /// # Errors
    /// The budget does not hold it.
    pub fn keep_reserved(&mut self, window: Option<NanoUsd>) -> Result<(), Refusal> {
        let missing = window.map_or(0, |window| window.0.saturating_sub(self.permit.reserved().0));
        if missing > 0 { self.permit.reserve_more(NanoUsd(missing)) } else { Ok(()) }
    }

    /// Names the model that the client asked for, where it is known only now.
    pub fn set_model(&mut self, model: &str) {
        self.facts.model_asked = model.to_owned();
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

    fn record(&mut self, status: UsageStatus) {
        let Some(served) = self.served.take() else { return };
        let (amount, price_id) = match cost(&self.usage, &served.prices) {
            Cost::Known(amount, price) => (Some(amount), Some(price)),
            Cost::Unpriced => (None, None),
        };
        let latency = self.facts.started.elapsed();
        let facts = &self.facts;
        let record = UsageRecord {
            id: UsageRecordId(Uuid::now_v7()),
            request_id: facts.request_id,
            session_id: self.session,
            sequence: self.sequence,
            tenant_id: facts.key.tenant,
            key_id: facts.key.id,
            user_tag: facts.user_tag.clone(),
            tags: facts.tags.clone(),
            operation: facts.operation,
            model_asked: facts.model_asked.clone(),
            provider_kind: served.candidate.account.kind,
            provider: served.candidate.account.name.clone(),
            model_served: served.candidate.model.model.clone(),
            usage: self.usage,
            usage_source: self.source,
            cost: amount,
            price_id,
            status,
            attempts: self.attempts.max(1),
            cache: None,
            ttfb_ms: self.first_byte.map(millis),
            latency_ms: millis(latency),
            started_at: facts.started_at,
            ended_at: facts.started_at + latency,
        };
        let provider = record.provider.clone();
        if let Err(error) = self.gateway.ledger.record(record) {
            tracing::error!(%error, request_id = %facts.request_id, "a usage record could not be written");
        }
        names::served(
            facts.operation,
            &provider,
            status.as_str(),
            latency,
            self.first_byte,
            amount.map(|amount| amount.0),
        );
        self.permit.settle_part(amount);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.record(UsageStatus::ClientClosed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
