//! What a provider works on: under what it will be recorded, and its slot in the ledger.

use domain::ids::{PriceId, UsageRecordId};
use domain::money::NanoUsd;
use domain::pricing::Cost;
use domain::usage::{Usage, UsageSource};

use crate::clock;
use crate::ledger::OpenCall;

/// A call, a turn or an utterance, from the moment that a provider may bill it to its record.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// `None` while nothing is in flight.
    pub(super) entry: Option<Entry>,
    pub(super) call: OpenCall,
}

/// What makes a record the one of its call or turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: UsageRecordId,
    pub(super) sequence: u32,
    /// A realtime turn that the client asked for and the provider has not begun yet.
    pub(super) unconfirmed: bool,
}

impl Entry {
    /// A new one under this number.
    pub(super) fn new(sequence: u32) -> Self {
        Self { id: UsageRecordId(clock::id()), sequence, unconfirmed: false }
    }
}

/// What is billed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bill {
    pub(super) usage: Usage,
    pub(super) source: UsageSource,
    pub(super) cost: Option<NanoUsd>,
    pub(super) price_id: Option<PriceId>,
}

impl Bill {
    /// Nothing is known yet, which is not the same as nothing used.
    pub(super) fn unknown() -> Self {
        Self::new(Usage::default(), UsageSource::Estimated, Cost::Unpriced)
    }

    pub(super) fn new(usage: Usage, source: UsageSource, cost: Cost) -> Self {
        let (cost, price_id) = match cost {
            Cost::Known(amount, price) => (Some(amount), Some(price)),
            Cost::Unpriced => (None, None),
        };
        Self { usage, source, cost, price_id }
    }
}
