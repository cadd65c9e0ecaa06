//! The account of a call that two targets work on at the same time: it names one of them at any moment.

use std::time::Instant;

use super::Meter;
use crate::pipeline::estimate::Input;
use crate::pipeline::flight::Entry;
use crate::pipeline::route::Candidate;
use crate::snapshot::Snapshot;

/// Stands for the error of a target that did not fail, but was slower than another that was asked beside it.
const HEDGE_LOST: &str = "hedge_lost";

impl Meter {
    /// Another target is tried beside the one that is.
    pub fn attempt_beside(&mut self, candidate: &Candidate) {
        self.attempts += 1;
        self.facts.trace.asks(self.facts.operation, candidate);
        self.facts.trace.sent(candidate);
    }

    /// When the target that is tried was asked.
    #[must_use]
    pub fn asked(&self) -> Instant {
        self.asked
    }

    /// Whether no provider has had the whole request yet.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.flight.call.is_awaited()
    }

    /// `candidate`, which was asked at `asked` beside another target, is the one that is billed from now on: should
    /// nothing more be heard of it, for `input`.
    pub fn takes_over(&mut self, snapshot: &Snapshot, candidate: &Candidate, input: &Input, asked: Instant) {
        let served = self.serving(snapshot, candidate);
        let (usage, source) = input.billed(&served.prices);
        self.set_usage(usage, source);
        let sequence = self.sequence;
        self.flight.entry.get_or_insert_with(|| Entry::new(sequence));
        self.served = Some(served);
        (self.asked, self.heard) = (asked, None);
        self.note_again();
    }

    /// The call of a target was given up, since another one that was asked beside it has answered.
    pub fn lost(&mut self, candidate: &Candidate) {
        self.attempt_left(candidate, HEDGE_LOST);
    }
}
