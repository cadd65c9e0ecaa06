//! Realtime sessions at once.

use std::time::Duration;

/// How soon a refused client may try again: a slot comes free when any of the key's sessions ends,
/// which nobody can foretell.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// One key's open sessions.
#[derive(Debug, Default)]
pub(super) struct Slots {
    open: u32,
}

impl Slots {
    /// Whether one more session fits.
    pub(super) fn has_room(&self, most: Option<u32>) -> bool {
        most.is_none_or(|most| self.open < most)
    }

    /// Takes a slot; `has_room` has been asked under the same lock.
    pub(super) fn take(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    /// Gives a slot back.
    pub(super) fn free(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Sessions open now.
    pub(super) fn open(&self) -> u32 {
        self.open
    }
}
