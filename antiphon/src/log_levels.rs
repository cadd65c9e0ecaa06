//! What the process logs: what its configuration says, or something else for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use time::OffsetDateTime;
use tracing::level_filters::LevelFilter;

use crate::logging::{Log, filter};

/// Modules that say nothing at `trace` that should not be in a log. Libraries tell there what they send.
const OWN: [&str; 8] =
    ["admin", "antiphon", "changes", "gateway", "local_speech", "replicas", "usage_store", "pricing_seed"];

/// The log's levels, and who may change them.
pub(crate) struct LogLevels {
    log: Log,
    state: Mutex<State>,
}

struct State {
    configured: String,
    other: Option<Other>,
    /// Raised by each change, so that an end that was planned for an earlier one does nothing.
    turn: u64,
}

/// What is logged instead.
struct Other {
    levels: String,
    until: Option<OffsetDateTime>,
}

/// What is logged now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) levels: String,
    pub(crate) configured: String,
    pub(crate) until: Option<OffsetDateTime>,
}

impl LogLevels {
    /// Of a log that has been started with the configured levels.
    pub(crate) fn new(log: Log, configured: &str) -> Arc<Self> {
        let state = State { configured: configured.to_owned(), other: None, turn: 0 };
        Arc::new(Self { log, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn told(&self) -> Told {
        let state = self.state();
        let configured = state.configured.clone();
        match &state.other {
            Some(other) => Told { levels: other.levels.clone(), configured, until: other.until },
            None => Told { levels: configured.clone(), configured, until: None },
        }
    }

    /// Logs by what a configuration says that was loaded again.
    ///
    /// # Errors
    /// The levels cannot be read, or nothing logs any more.
    pub(crate) fn configure(&self, levels: &str) -> Result<()> {
        self.take(levels, |state| {
            state.configured = levels.to_owned();
            state.other = None;
        })
        .map(drop)
    }

    /// Logs by other levels, until then where a time is given, or by the configured ones again.
    ///
    /// # Errors
    /// As [`Self::configure`]'s.
    pub(crate) fn set(self: &Arc<Self>, levels: Option<&str>, until: Option<OffsetDateTime>) -> Result<()> {
        let Some(levels) = levels else { return self.restore(None).map(drop) };
        let turn = self.take(levels, |state| state.other = Some(Other { levels: levels.to_owned(), until }))?;
        if let Some(until) = until {
            let wait = Duration::try_from(until - OffsetDateTime::now_utc()).unwrap_or_default();
            let log = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                log.end(turn);
            });
        }
        Ok(())
    }

    /// The configured levels return, unless there was another change since.
    fn end(&self, turn: u64) {
        match self.restore(Some(turn)) {
            Ok(Some(levels)) => tracing::info!(%levels, "the configured log levels are in force again"),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the configured log levels could not be put in force again"),
        }
    }

    /// Puts the configured levels in force again, or only where the last change was this one. Gives them, if so.
    fn restore(&self, only: Option<u64>) -> Result<Option<String>> {
        let mut state = self.state();
        if only.is_some_and(|turn| turn != state.turn) {
            return Ok(None);
        }
        let levels = state.configured.clone();
        self.log.adjust(filter(&levels)?)?;
        state.other = None;
        state.turn += 1;
        Ok(Some(levels))
    }

    /// Puts levels in force and notes them, so that both happen in one order. Gives the number of the change.
    fn take(&self, levels: &str, note: impl FnOnce(&mut State)) -> Result<u64> {
        let filter = filter(levels)?;
        let mut state = self.state();
        self.log.adjust(filter)?;
        note(&mut state);
        state.turn += 1;
        Ok(state.turn)
    }
}

/// Whether levels that somebody asks for can be used: what a filter would take for the name of a module is more often
/// a level that was written wrong.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn check(levels: &str) -> Result<(), String> {
    for directive in levels.split(',') {
        let (module, level) = directive.rsplit_once('=').map_or(("", directive), |(module, level)| (module, level));
        let is_module = |text: &str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_:".contains(letter));
        if (directive.contains('=') && module.is_empty()) || !is_module(module) {
            return Err(format!("`{directive}` is no level, and no module with one: write `info,gateway=debug`"));
        }
        // Numbers are levels too for the library, and say little.
        let is_word = !level.is_empty() && level.chars().all(char::is_alphabetic);
        let Some(level) = is_word.then(|| level.parse::<LevelFilter>().ok()).flatten() else {
            return Err(format!("`{directive}` has none of the levels error, warn, info, debug, trace and off"));
        };
        let is_own = || OWN.contains(&module.split("::").next().unwrap_or_default());
        if level == LevelFilter::TRACE && !is_own() {
            return Err(format!("`trace` is for this program's own modules: {}", OWN.join(", ")));
        }
    }
    filter(levels).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_people_write_them() {
        for good in ["info", "WARN", "off", "warn,gateway=debug", "info,gateway::ledger=trace", "hyper=debug"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let unread = ["", "loud", "gateway", "gateway=loud", "gateway=", "=info", "info,", "info, debug", "3"];
        for bad in unread.into_iter().chain(["trace", "hyper=trace", "[span]=info"]) {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
