//! The pages. Each stands in one file (or folder). The ways in are in the program itself; the others are in the parts
//! ([`part`]) that are fetched when a page of theirs is first opened.

mod accept;
mod account;
mod alerts;
mod ask_first;
mod audit;
mod catalogue;
mod found;
mod keys;
mod not_found;
mod over_time;
mod overview;
mod paged;
mod pair;
mod part;
mod playground;
mod sessions;
mod settings;
mod sign_in;
mod stale;
mod tenants;
mod usage;
mod users;
mod way;

use leptos::prelude::*;

use self::part::Part;
use crate::route::Page;

pub(crate) use not_found::NotFound;
pub(crate) use sign_in::SignInForm;

/// The view of a page; `None` where there is no such page.
pub(crate) fn view_of(page: &Page) -> Option<AnyView> {
    match page {
        Page::SignIn => Some(view! { <sign_in::SignIn /> }.into_any()),
        Page::Accept => Some(view! { <accept::Accept /> }.into_any()),
        page => {
            let (part, page) = (Part::of(page)?, page.clone());
            Some(view! { <part::OfPart part page /> }.into_any())
        }
    }
}

/// Begins to fetch what a page is made of, before it is known whether it will be shown.
pub(crate) fn fetch_early(page: &Page) {
    if let Some(part) = Part::of(page) {
        part.fetch_early();
    }
}
