//! What an admitted request holds, and how it gives it back.

use std::sync::Arc;
use std::time::Instant;

use domain::money::NanoUsd;
use time::OffsetDateTime;

use super::budget::Windows;
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
}

impl Permit {
    pub(super) fn new(
        entry: Arc<KeyUse>,
        budget: Option<Budget>,
        admitted_at: OffsetDateTime,
        session: bool,
        Taken { rate, reserved, begun_in }: Taken,
    ) -> Self {
        Self { entry, budget, admitted_at, admitted: clock::mono(), begun_in, reserved, session, rate }
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
        let now = self.now();
        let mut state = self.entry.lock();
        state.account.roll(now);
        if let Some(budget) = self.budget {
            state.check_budget(budget, Some(more), now)?;
        }
        let more = budget::positive(more);
        state.account.reserve(more);
        self.reserved += more;
        Ok(())
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
    }

    /// Wall time, taken from the admission's and a clock that never jumps: a session reserves in the
    /// window it has lived into.
    fn now(&self) -> OffsetDateTime {
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
