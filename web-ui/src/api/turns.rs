//! Calls that take turns: of several, only what the last one answers is heard.

use std::future::Future;

use leptos::prelude::*;

use super::Failure;
use super::client::submit_heard;

/// Counts the turns of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns(StoredValue<u64>);

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    turns: Turns,
    number: u64,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self(StoredValue::new(0))
    }

    /// The next; with it those before are over.
    pub(crate) fn begin(self) -> Turn {
        self.0.try_update_value(|number| *number += 1);
        Turn { turns: self, number: self.0.try_get_value().unwrap_or_default() }
    }
}

impl Turn {
    /// None has begun since, and the page is still there.
    pub(crate) fn is_last(self) -> bool {
        self.turns.0.try_get_value() == Some(self.number)
    }

    /// As [`super::submit`]; where another turn has begun meanwhile, `busy` is that turn's, and nobody hears the
    /// answer.
    pub(crate) fn submit<T: 'static>(
        self,
        busy: RwSignal<bool>,
        call: impl Future<Output = Result<T, Failure>> + 'static,
        then: impl FnOnce(Result<T, Failure>) + 'static,
    ) {
        submit_heard(busy, call, move || self.is_last(), then);
    }
}
