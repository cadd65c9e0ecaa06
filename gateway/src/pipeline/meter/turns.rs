//! The account of a session: its turns and its utterances, each of which is one record.

use std::sync::Arc;

use domain::pricing::{Before, Price, cost_after};
use domain::usage::{Usage, UsageSource, UsageStatus};

use super::Meter;
use crate::clock;
use crate::pipeline::flight::{Bill, Entry, Flight};

/// Utterances of a session that are noted against a kill while their transcripts are awaited.
const MAX_UTTERANCES: usize = 16;

/// What a record of a session bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The quantities.
    pub usage: Usage,
    /// How they are known.
    pub source: UsageSource,
    /// Milliseconds of the same audio or connection that are billed already, whose minimum and steps are the
    /// whole's: 0 for what is billed by itself, as a response is.
    pub before_ms: u64,
}

impl Part {
    /// One that is billed by itself.
    #[must_use]
    pub fn alone((usage, source): (Usage, UsageSource)) -> Self {
        Self { usage, source, before_ms: 0 }
    }
}

impl Meter {
    /// The client's wish for a turn is about to reach the provider, which may begin at once: from now on
    /// a kill leaves a record of the turn, with quantities that nobody knows.
    pub fn turn_asked(&mut self) {
        self.open_turn(true);
    }

    /// The provider has begun a turn.
    pub fn turn_begun(&mut self) {
        self.open_turn(false);
    }

    fn open_turn(&mut self, unconfirmed: bool) {
        if let Some(entry) = &mut self.flight.entry {
            entry.unconfirmed &= unconfirmed;
            return;
        }
        let mut flight = std::mem::take(&mut self.flight);
        self.note(&mut flight, unconfirmed);
        self.flight = flight;
    }

    /// The client's end of an utterance is about to reach the provider, which may transcribe it at once.
    pub fn utterance_asked(&mut self) {
        self.open_utterance(true);
    }

    /// The provider has an utterance to transcribe.
    pub fn utterance_begun(&mut self) {
        match self.unconfirmed_utterance() {
            Some(entry) => entry.unconfirmed = false,
            None => self.open_utterance(false),
        }
    }

    fn open_utterance(&mut self, unconfirmed: bool) {
        if self.utterances.len() < MAX_UTTERANCES {
            let mut flight = Flight::default();
            self.note(&mut flight, unconfirmed);
            self.utterances.push_back(flight);
        }
    }

    fn unconfirmed_utterance(&mut self) -> Option<&mut Entry> {
        self.utterances.iter_mut().filter_map(|flight| flight.entry.as_mut()).find(|entry| entry.unconfirmed)
    }

    /// Notes something of a session that nobody knows the quantities of yet.
    fn note(&mut self, flight: &mut Flight, unconfirmed: bool) {
        let Some(served) = &self.served else { return };
        let entry = Entry { unconfirmed, ..Entry::new(self.sequence) };
        let record = self.describe(entry, &served.candidate, None, Bill::unknown(), UsageStatus::ClientClosed);
        self.gateway.ledger.claim(&mut flight.call, &record);
        flight.entry = Some(entry);
        self.sequence += 1;
    }

    /// The provider has told of an error: it may be its refusal of a turn or an utterance that it has
    /// not begun.
    pub fn turn_refused(&mut self) {
        if self.flight.entry.is_some_and(|entry| entry.unconfirmed) {
            self.turn_withdrawn();
        }
        let refused = |flight: &Flight| flight.entry.is_some_and(|entry| entry.unconfirmed);
        let at = self.utterances.iter().position(refused);
        if let Some(mut flight) = at.and_then(|at| self.utterances.remove(at)) {
            self.forget(&mut flight);
        }
    }

    /// The turn that was open leaves no record: the provider counts nothing for it.
    pub fn turn_withdrawn(&mut self) {
        let mut flight = std::mem::take(&mut self.flight);
        self.forget(&mut flight);
        self.flight = flight;
    }

    /// The oldest utterance leaves no record: the provider could not transcribe it.
    pub fn utterance_withdrawn(&mut self) {
        if let Some(mut flight) = self.utterances.pop_front() {
            self.forget(&mut flight);
        }
    }

    fn forget(&mut self, flight: &mut Flight) {
        // Its number is free again, unless the next one is taken.
        if flight.entry.take().is_some_and(|entry| entry.sequence + 1 == self.sequence) {
            self.sequence -= 1;
        }
        self.gateway.ledger.withdraw(&mut flight.call);
    }

    /// Records one turn of a session and keeps the account open: the one that is open, or with the
    /// `model` that transcribes what is said, the oldest utterance.
    pub fn turn(&mut self, part: Part, prices: Option<Arc<[Price]>>, model: Option<&str>, status: UsageStatus) {
        let Some(mut served) = self.served.take() else { return };
        let Part { usage, source, before_ms } = part;
        let before = Before { audio_in_ms: before_ms, request: before_ms > 0 || (model.is_none() && served.turned) };
        let priced = cost_after(before, &usage, prices.as_deref().unwrap_or(&served.prices));
        let bill = Bill::new(usage, source, priced);
        served.turned |= model.is_none();
        let open = if model.is_none() { Some(std::mem::take(&mut self.flight)) } else { self.utterances.pop_front() };
        self.land(open.unwrap_or_default(), &served.candidate, model, bill, status);
        // The next turn begins where this one ended: its times and its day are its own.
        self.facts.started = clock::mono();
        self.facts.started_at = clock::wall();
        self.first_byte = None;
        self.served = Some(served);
    }
}
