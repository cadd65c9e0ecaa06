//! What an admitted request holds, and how it gives it back.

use std::sync::Arc;
use std::time::Instant;

use domain::money::NanoUsd;
use replicas::{Held, LocalShare, Record};
use time::OffsetDateTime;
use uuid::Uuid;

use super::budget::{Account, Windows};
use super::rate::RateState;
use super::{KeyUse, Refusal, Taken, budget};
use crate::clock;
use crate::snapshot::Budget;

/// A reservation and, for a realtime session, its slot. Dropping it returns what was not settled and
/// frees the slot, so that neither a panic nor a hang-up leaks anything.
#[derive(Debug)]
pub struct Permit {
    entry: Arc<KeyUse>,
    budget: Option<Budget>,
    admitted_at: OffsetDateTime,
    admitted: Instant,
    /// The windows that the account was in when what is settled next began.
    begun_in: Windows,
    reserved: i128,
    session: bool,
    rate: Option<RateState>,
    /// What is held in Redis for it.
    held: Option<Held>,
}

impl Permit {
    pub(super) fn new(
        entry: Arc<KeyUse>,
        budget: Option<Budget>,
        admitted_at: OffsetDateTime,
        session: bool,
        Taken { rate, reserved, begun_in }: Taken,
    ) -> Self {
        Self { entry, budget, admitted_at, admitted: clock::mono(), begun_in, reserved, session, rate, held: None }
    }

    /// The rate as it stood after this request, where the key has one.
    #[must_use]
    pub fn rate(&self) -> Option<RateState> {
        self.rate
    }

    /// What this permit holds now.
    #[must_use]
    pub fn reserved(&self) -> NanoUsd {
        budget::to_nano(self.reserved)
    }

    /// Reserves `more` beside what is held, by the budget the key had when it was admitted.
    ///
    /// # Errors
    /// `BudgetExceeded`; what is held stays held.
    pub fn reserve_more(&mut self, more: NanoUsd) -> Result<(), Refusal> {
        self.reserve_within(more, |_, budget| budget)
    }

    /// As [`Permit::reserve_more`], by this gateway's part of the budget.
    pub(super) fn reserve_part(&mut self, more: NanoUsd, share: LocalShare) -> Result<(), Refusal> {
        self.reserve_within(more, |account, budget| account.part(budget, share))
    }

    fn reserve_within(&mut self, more: NanoUsd, part: impl Fn(&Account, Budget) -> Budget) -> Result<(), Refusal> {
        let now = self.now();
        let mut state = self.entry.lock();
        state.account.roll(now);
        if let Some(budget) = self.budget {
            state.check_budget(part(&state.account, budget), Some(more), now)?;
        }
        let more = budget::positive(more);
        state.account.reserve(more);
        self.reserved += more;
        Ok(())
    }

    /// Notes what others have let it reserve, or nobody limits.
    pub(super) fn note_reserved(&mut self, more: NanoUsd) {
        let more = budget::positive(more);
        self.entry.lock().account.reserve(more);
        self.reserved += more;
    }

    /// Keeps what is held in Redis for as long as this lives.
    pub(super) fn with_held(mut self, held: Option<Held>) -> Self {
        self.held = held;
        self
    }

    /// What is held in Redis, and the budget that it is held of.
    pub(super) fn held(&mut self) -> (Option<&mut Held>, Option<Budget>) {
        (self.held.as_mut(), self.budget)
    }

    /// As [`Permit::settle_part`] with the cost of a record, which is told to Redis as well; does not wait. The
    /// call's records with ids below `from` are all settled then.
    pub fn settle_record(&mut self, record: Record, from: Uuid) {
        self.settle_part(record.cost, record.started_at);
        if let Some(held) = &mut self.held {
            held.settled_below(from);
            held.settle_part(record);
        }
    }

    /// Counts `actual` as spent out of the reservation, in the windows that hold `started_at`, and
    /// keeps the rest of it. What goes beyond the reservation is spent all the same: it has happened.
    /// `None` (unpriced) changes nothing.
    pub fn settle_part(&mut self, actual: Option<NanoUsd>, started_at: OffsetDateTime) {
        let actual = actual.map_or(0, budget::positive);
        let release = actual.min(self.reserved);
        let mut state = self.entry.lock();
        state.account.spend(actual, started_at, self.begun_in);
        state.account.release(release);
        self.reserved -= release;
        self.begun_in = state.account.windows();
    }

    /// The session is over; what is reserved for it is kept until its bill is known.
    pub fn free_session(&mut self) {
        if std::mem::take(&mut self.session) {
            self.entry.lock().slots.free();
        }
        if let Some(held) = &mut self.held {
            held.free_session();
        }
    }

    /// Wall time, taken from the admission's and a clock that never jumps: a session reserves in the
    /// window it has lived into.
    pub(super) fn now(&self) -> OffsetDateTime {
        let lived = clock::mono().saturating_duration_since(self.admitted);
        self.admitted_at.saturating_add(time::Duration::try_from(lived).unwrap_or(time::Duration::ZERO))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.entry.lock();
        state.account.release(self.reserved);
        if self.session {
            state.slots.free();
        }
    }
}
