//! What an account leaves: the record of a call, or of each turn of a session.

use std::time::Duration;

use domain::usage::UsageStatus;
use uuid::Uuid;

use super::Meter;
use crate::ledger::UsageRecord;
use crate::pipeline::flight::{Bill, Entry, Flight};
use crate::pipeline::route::Candidate;
use crate::telemetry::names;

impl Meter {
    /// Records what is open, each once.
    pub(super) fn record(&mut self, status: UsageStatus) {
        // What no provider had whole is billed by none.
        let Some(served) = self.served.take().filter(|_| !self.flight.call.is_awaited()) else {
            return self.withdraw();
        };
        let flight = std::mem::take(&mut self.flight);
        if !self.by_turns {
            let bill = Bill::new(self.usage, self.source, self.priced(&served.prices));
            return self.land(flight, &served.candidate, None, bill, status);
        }
        // A session that was dropped where it stood: what was open is all that it leaves.
        let open = std::iter::once(flight).chain(std::mem::take(&mut self.utterances));
        for flight in open.filter(|flight| flight.entry.is_some()) {
            self.land(flight, &served.candidate, None, Bill::unknown(), status);
        }
    }

    /// Nothing is in flight any more, and nothing is recorded of what was.
    pub(super) fn withdraw(&mut self) {
        self.served = None;
        self.flight.entry = None;
        self.gateway.ledger.withdraw(&mut self.flight.call);
        for mut flight in self.utterances.drain(..) {
            self.gateway.ledger.withdraw(&mut flight.call);
        }
    }

    /// What a record of a session says, for the list of open sessions.
    pub(super) fn tell_live(&self, record: &UsageRecord) {
        match &self.session {
            Some(live) if self.by_turns => live.turn(&record.usage, record.cost, self.passed),
            Some(live) => live.whole(&record.usage, record.cost),
            None => {}
        }
    }

    /// A record as it is known by now.
    pub(super) fn describe(
        &self,
        entry: Entry,
        candidate: &Candidate,
        model: Option<&str>,
        bill: Bill,
        status: UsageStatus,
    ) -> UsageRecord {
        let latency = self.lived();
        let facts = &self.facts;
        UsageRecord {
            id: entry.id,
            request_id: facts.request_id,
            session_id: self.session.as_ref().map(|live| live.id),
            sequence: entry.sequence,
            tenant_id: facts.key.tenant,
            key_id: facts.key.id,
            user_tag: facts.user_tag.clone(),
            tags: facts.tags.clone(),
            operation: facts.operation,
            model_asked: facts.model_asked.clone(),
            provider_kind: candidate.account.kind,
            provider: candidate.account.name.clone(),
            model_served: model.unwrap_or(&candidate.model.model).to_owned(),
            usage: bill.usage,
            usage_source: bill.source,
            cost: bill.cost,
            price_id: bill.price_id,
            status,
            attempts: self.attempts.max(1),
            failed_attempts: self.failed_attempts.clone(),
            routing: self.routing.as_ref().filter(|_| entry.sequence == 0).cloned(),
            cache: None,
            ttfb_ms: self.first_byte.map(millis),
            latency_ms: millis(latency),
            started_at: facts.started_at,
            ended_at: facts.started_at + latency,
        }
    }

    /// Records what was in flight. It is in the journal when this returns.
    pub(super) fn land(
        &mut self,
        mut flight: Flight,
        candidate: &Candidate,
        model: Option<&str>,
        bill: Bill,
        status: UsageStatus,
    ) {
        let entry = flight.entry.take().unwrap_or_else(|| {
            let entry = Entry::new(self.sequence);
            self.sequence += 1;
            entry
        });
        let record = self.describe(entry, candidate, model, bill, status);
        names::served(
            record.operation,
            &record.provider,
            status.as_str(),
            self.lived(),
            self.first_byte,
            bill.cost.map(|cost| cost.0),
        );
        names::used(record.operation, &record.provider, &record.usage);
        self.tell_live(&record);
        self.facts.trace.recorded(&record, candidate, model.is_some());
        let accounting = self.facts.trace.phase("account");
        if let Err(error) = self.gateway.ledger.settle(&mut flight.call, record) {
            tracing::error!(%error, request_id = %self.facts.request_id, "a usage record could not be written");
        }
        drop(accounting);
        let (key, started_at) = (self.facts.key.id, self.facts.started_at);
        let open = self.utterances.iter().chain(std::iter::once(&self.flight)).filter_map(|flight| flight.entry);
        let from = open.map(|entry| entry.id.0).fold(entry.id.0, Uuid::min);
        self.permit.settle_record(replicas::Record { id: entry.id, key, cost: bill.cost, started_at }, from);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
