//! The way to another page, for what is done after an answer.

use std::rc::Rc;

use leptos::prelude::*;

use crate::route::{Page, use_go};

type Go = Rc<dyn Fn(&str)>;

/// Leads to pages, as long as the page that asked for it is there.
#[derive(Clone, Copy)]
pub(super) struct Way(StoredValue<Go, LocalStorage>);

impl Way {
    pub(super) fn new() -> Self {
        Self(StoredValue::new_local(Rc::new(use_go())))
    }

    pub(super) fn to(self, page: &Page) {
        self.0.try_with_value(|go| go(&page.path()));
    }
}
