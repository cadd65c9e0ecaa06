//! What a key has spent and reserved, in nano-dollars, by the day, by the month and in all.
//!
//! All three sums are kept for every key, so that giving a key another window needs no new start.
//! Sums are `i128`: no number of `NanoUsd` amounts can overflow them, so nothing is ever clipped and
//! then given back whole.

use std::time::Duration;

use domain::money::NanoUsd;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

use crate::snapshot::{Budget, BudgetWindow};

/// What `GET /v1/usage` says about a key's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpend {
    /// Settled in this window.
    pub spent: NanoUsd,
    /// Held by what is running now.
    pub reserved: NanoUsd,
    /// Start of the window; `None` for the key's whole life.
    pub window_start: Option<OffsetDateTime>,
    /// End of the window, exclusive; `None` for the key's whole life.
    pub window_end: Option<OffsetDateTime>,
}

/// One key's money.
#[derive(Debug)]
pub(super) struct Account {
    reserved: i128,
    total: i128,
    day: (Date, i128),
    month: (Date, i128),
}

impl Account {
    /// An account without any spending.
    pub(super) fn new(now: OffsetDateTime) -> Self {
        let (day, month) = starts(now);
        Self { reserved: 0, total: 0, day: (day, 0), month: (month, 0) }
    }

    /// Begins a new day and month when `now` has reached them. Never goes back: a request that began
    /// before midnight and settles after it counts in the new window.
    pub(super) fn roll(&mut self, now: OffsetDateTime) {
        let (day, month) = starts(now);
        if day > self.day.0 {
            self.day = (day, 0);
        }
        if month > self.month.0 {
            self.month = (month, 0);
        }
    }

    /// Whether `want` fits beside what is spent and reserved. `None` (not known yet, or unpriced)
    /// fits while anything at all is left.
    pub(super) fn has_room(&self, budget: Budget, want: Option<NanoUsd>) -> bool {
        let used = self.spent(budget.window) + self.reserved;
        let amount = i128::from(budget.amount.0);
        match want {
            Some(want) => used + positive(want) <= amount,
            None => used < amount,
        }
    }

    /// Holds `amount` until it is settled or released.
    pub(super) fn reserve(&mut self, amount: i128) {
        self.reserved += amount;
    }

    /// Gives back what was held.
    pub(super) fn release(&mut self, amount: i128) {
        self.reserved -= amount;
    }

    /// Adds to what is spent.
    pub(super) fn spend(&mut self, amount: i128) {
        self.total += amount;
        self.day.1 += amount;
        self.month.1 += amount;
    }

    /// Sets what was spent in the window that began at `start`. A window that is over is left alone.
    pub(super) fn set_spent(&mut self, window: BudgetWindow, start: OffsetDateTime, spent: NanoUsd) {
        let (day, month) = starts(start);
        match window {
            BudgetWindow::Total => self.total = positive(spent),
            BudgetWindow::Daily if day >= self.day.0 => self.day = (day, positive(spent)),
            BudgetWindow::Monthly if month >= self.month.0 => self.month = (month, positive(spent)),
            BudgetWindow::Daily | BudgetWindow::Monthly => {}
        }
    }

    /// What is spent and reserved in the window that holds `now`, without changing anything.
    pub(super) fn read(&self, window: BudgetWindow, now: OffsetDateTime) -> KeySpend {
        let bounds = bounds(window, now);
        let (day, month) = starts(now);
        let spent = match window {
            BudgetWindow::Daily if day > self.day.0 => 0,
            BudgetWindow::Monthly if month > self.month.0 => 0,
            _ => self.spent(window),
        };
        KeySpend {
            spent: to_nano(spent),
            reserved: to_nano(self.reserved),
            window_start: bounds.map(|(start, _)| start),
            window_end: bounds.map(|(_, end)| end),
        }
    }

    /// Whether anything is reserved.
    pub(super) fn holds(&self) -> bool {
        self.reserved != 0
    }

    fn spent(&self, window: BudgetWindow) -> i128 {
        match window {
            BudgetWindow::Total => self.total,
            BudgetWindow::Daily => self.day.1,
            BudgetWindow::Monthly => self.month.1,
        }
    }
}

/// The window that holds `now`: its first moment and the first moment after it; `None` for the
/// key's whole life.
#[must_use]
pub fn bounds(window: BudgetWindow, now: OffsetDateTime) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let (day, month) = starts(now);
    let (start, end) = match window {
        BudgetWindow::Total => return None,
        BudgetWindow::Daily => (day, day.next_day().unwrap_or(Date::MAX)),
        BudgetWindow::Monthly => (month, next_month(month)),
    };
    Some((start.with_time(Time::MIDNIGHT).assume_utc(), end.with_time(Time::MIDNIGHT).assume_utc()))
}

/// How long a client whose budget is spent should wait. A budget for the whole life never comes
/// back by itself; a day is long enough to stop a loop and short enough to notice a raised budget.
pub(super) fn retry_after(window: BudgetWindow, now: OffsetDateTime) -> Duration {
    let left = bounds(window, now).and_then(|(_, end)| Duration::try_from(end - now).ok());
    left.unwrap_or(Duration::from_secs(86_400))
}

/// An amount as a sum counts it; nothing a provider reports can lower what is spent.
pub(super) fn positive(amount: NanoUsd) -> i128 {
    i128::from(amount.0.max(0))
}

/// A sum as it is shown, held at the ends of the range.
pub(super) fn to_nano(sum: i128) -> NanoUsd {
    NanoUsd(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
}

fn starts(now: OffsetDateTime) -> (Date, Date) {
    let day = now.to_offset(UtcOffset::UTC).date();
    (day, day.replace_day(1).unwrap_or(day))
}

fn next_month(month: Date) -> Date {
    let year = if month.month() == Month::December { month.year() + 1 } else { month.year() };
    Date::from_calendar_date(year, month.month().next(), 1).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn windows_begin_and_end_in_utc() {
        let now = datetime!(2026-12-31 23:30 -5);
        let day = bounds(BudgetWindow::Daily, now).unwrap();
        assert_eq!(day, (datetime!(2027-01-01 0:00 UTC), datetime!(2027-01-02 0:00 UTC)));
        let month = bounds(BudgetWindow::Monthly, datetime!(2026-12-31 23:30 UTC)).unwrap();
        assert_eq!(month, (datetime!(2026-12-01 0:00 UTC), datetime!(2027-01-01 0:00 UTC)));
        assert_eq!(bounds(BudgetWindow::Total, now), None);
    }

    #[test]
    fn the_wait_is_until_the_window_ends() {
        let now = datetime!(2026-11-30 23:59:50 UTC);
        assert_eq!(retry_after(BudgetWindow::Daily, now), Duration::from_secs(10));
        assert_eq!(retry_after(BudgetWindow::Monthly, now), Duration::from_secs(10));
        assert_eq!(retry_after(BudgetWindow::Total, now), Duration::from_secs(86_400));
    }

    #[test]
    fn each_window_rolls_by_itself_and_never_back() {
        let mut account = Account::new(datetime!(2026-11-30 12:00 UTC));
        account.spend(5);
        account.roll(datetime!(2026-12-01 0:00 UTC));
        account.spend(7);
        account.roll(datetime!(2026-11-30 23:59 UTC));
        let now = datetime!(2026-12-01 1:00 UTC);
        assert_eq!(account.read(BudgetWindow::Total, now).spent, NanoUsd(12));
        assert_eq!(account.read(BudgetWindow::Daily, now).spent, NanoUsd(7));
        assert_eq!(account.read(BudgetWindow::Monthly, now).spent, NanoUsd(7));
        let later = datetime!(2026-12-02 1:00 UTC);
        assert_eq!(account.read(BudgetWindow::Daily, later).spent, NanoUsd::ZERO);
        assert_eq!(account.read(BudgetWindow::Monthly, later).spent, NanoUsd(7));
    }

    #[test]
    fn seeding_sets_and_never_adds_and_old_windows_are_ignored() {
        let start = datetime!(2026-11-30 0:00 UTC);
        let mut account = Account::new(start);
        account.set_spent(BudgetWindow::Daily, start, NanoUsd(5));
        account.set_spent(BudgetWindow::Daily, start, NanoUsd(5));
        account.set_spent(BudgetWindow::Daily, datetime!(2026-11-29 0:00 UTC), NanoUsd(900));
        assert_eq!(account.read(BudgetWindow::Daily, start).spent, NanoUsd(5));
    }
}
