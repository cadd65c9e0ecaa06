//! What a key has spent and reserved, in nano-dollars, by the day, by the month and in all.
//!
//! A call counts in the windows that hold its start, whenever it settles: the same that a sum over
//! the ledger gives after a restart. All three sums are kept for every key, so that giving a key
//! another window needs no new start. Sums are `i128`: no number of `NanoUsd` amounts can overflow
//! them, so nothing is ever clipped and then given back whole.

use std::time::Duration;

use domain::money::NanoUsd;
use replicas::LocalShare;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};
use uuid::Uuid;

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

/// What a key had spent before its account was opened here, by the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PastSpend {
    /// In all.
    pub total: NanoUsd,
    /// Since the first of the month.
    pub month: NanoUsd,
    /// Since midnight.
    pub day: NanoUsd,
}

/// One key's money.
#[derive(Debug)]
pub(super) struct Account {
    /// Ids of records are made in the order of time: a smaller one is not counted in `here`.
    opened: Uuid,
    reserved: i128,
    total: Sum,
    day: (Date, Sum),
    month: (Date, Sum),
}

/// A day and the first day of a month.
pub(super) type Windows = (Date, Date);

/// Two parts that never overlap, so that the past can be set again at any time.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    past: i128,
    here: i128,
}

impl Account {
    /// An account that counts what is recorded under ids above `opened`.
    pub(super) fn new(now: OffsetDateTime, opened: Uuid) -> Self {
        let (day, month) = starts(now);
        let none = Sum::default();
        Self { opened, reserved: 0, total: none, day: (day, none), month: (month, none) }
    }

    /// Records below this id are the past of this account.
    pub(super) fn opened(&self) -> Uuid {
        self.opened
    }

    /// Begins a new day and month when `now` has reached them. Never goes back.
    pub(super) fn roll(&mut self, now: OffsetDateTime) {
        let (day, month) = starts(now);
        if day > self.day.0 {
            self.day = (day, Sum::default());
        }
        if month > self.month.0 {
            self.month = (month, Sum::default());
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

    /// A budget of which this gateway has only its part: what others spent before belongs to it whole, and of what
    /// was left then its `share`.
    pub(super) fn part(&self, budget: Budget, share: LocalShare) -> Budget {
        let past = to_nano(self.sum(budget.window).past);
        let left = share.of_money(NanoUsd(budget.amount.0.saturating_sub(past.0).max(0)));
        Budget { amount: past.saturating_add(left), ..budget }
    }

    /// What was counted here, in all, in this month and today.
    pub(super) fn here(&self) -> [(Date, i128); 3] {
        [(Date::MIN, self.total.here), (self.month.0, self.month.1.here), (self.day.0, self.day.1.here)]
    }

    /// Takes out of what was counted here what the ledger counts by now; see [`Account::here`].
    pub(super) fn forget_here(&mut self, [total, month, day]: [(Date, i128); 3]) {
        self.total.here -= total.1;
        for (sum, gone) in [(&mut self.month, month), (&mut self.day, day)] {
            if sum.0 == gone.0 {
                sum.1.here -= gone.1;
            }
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

    /// The windows that the account is in: first days of them.
    pub(super) fn windows(&self) -> Windows {
        (self.day.0, self.month.0)
    }

    /// Adds what a call cost that began at `started_at`, when the account was in the windows `begun_in`.
    /// What began in a window that is over counts in all and in no window that came after it. A clock
    /// that was set back brings no window back: what begins then counts in those that had begun.
    pub(super) fn spend(&mut self, amount: i128, started_at: OffsetDateTime, begun_in: Windows) {
        self.roll(started_at);
        let (day, month) = starts(started_at);
        let (day, month) = (day.max(begun_in.0), month.max(begun_in.1));
        self.total.here += amount;
        if day == self.day.0 {
            self.day.1.here += amount;
        }
        if month == self.month.0 {
            self.month.1.here += amount;
        }
    }

    /// Sets what was spent before the account was opened, as the ledger had it at `now`. It replaces,
    /// it never adds. A window that is over by now is left alone.
    pub(super) fn set_past(&mut self, past: PastSpend, now: OffsetDateTime) {
        self.roll(now);
        let (day, month) = starts(now);
        self.total.past = positive(past.total);
        if day == self.day.0 {
            self.day.1.past = positive(past.day);
        }
        if month == self.month.0 {
            self.month.1.past = positive(past.month);
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
        self.sum(window).all()
    }

    const fn sum(&self, window: BudgetWindow) -> Sum {
        match window {
            BudgetWindow::Total => self.total,
            BudgetWindow::Daily => self.day.1,
            BudgetWindow::Monthly => self.month.1,
        }
    }
}

impl Sum {
    const fn all(self) -> i128 {
        self.past + self.here
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

    fn spent(account: &Account, now: OffsetDateTime) -> [i64; 3] {
        let windows = [BudgetWindow::Daily, BudgetWindow::Monthly, BudgetWindow::Total];
        windows.map(|window| account.read(window, now).spent.0)
    }

    #[test]
    fn a_call_counts_in_the_windows_of_its_start_whenever_it_settles() {
        let (before, after) = (datetime!(2026-11-30 23:59 UTC), datetime!(2026-12-01 0:00 UTC));
        let mut account = Account::new(before, Uuid::nil());
        let yesterday = account.windows();
        account.spend(5, before, yesterday);
        account.roll(after);
        account.spend(7, after, account.windows());
        account.spend(20, before, yesterday);
        assert_eq!(spent(&account, after), [7, 7, 32]);
        let later = datetime!(2026-12-02 1:00 UTC);
        assert_eq!(spent(&account, later), [0, 7, 32]);
        account.spend(1, later, account.windows());
        assert_eq!(spent(&account, later), [1, 8, 33], "a window begins with the first call in it too");
    }

    #[test]
    fn the_past_is_set_and_never_added_and_stays_out_of_windows_that_came_after_it() {
        let now = datetime!(2026-11-30 12:00 UTC);
        let mut account = Account::new(now, Uuid::nil());
        account.spend(1, now, account.windows());
        let past = PastSpend { total: NanoUsd(900), month: NanoUsd(90), day: NanoUsd(9) };
        account.set_past(past, now);
        account.set_past(past, now);
        assert_eq!(spent(&account, now), [10, 91, 901]);
        let tomorrow = datetime!(2026-12-01 0:00 UTC);
        account.roll(tomorrow);
        account.set_past(past, now);
        assert_eq!(spent(&account, tomorrow), [0, 0, 901], "it was read before midnight");
    }
}
