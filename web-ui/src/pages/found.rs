//! One thing as a page has found it, and what takes its place when it is changed here.

use leptos::prelude::*;

use crate::api::{Failure, Versioned};

/// What a page was given when it asked for it.
pub(super) type Found<T> = LocalResource<Result<Versioned<T>, Failure>>;

/// A change has answered how it is now: the next change goes on from there at once, and what was asked before the
/// change and comes later is not shown any more.
pub(super) fn put<T: 'static>(found: Found<T>, now: Versioned<T>) {
    found.try_set(Some(Ok(now)));
}
