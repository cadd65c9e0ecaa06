//! The pages. Each stands in one file (or folder). What the first visit needs is in the program itself, which
//! [`view_of`] tells; the others are in one of the parts ([`part`]) that are fetched when they are first opened.

mod accept;
mod account;
mod alerts;
mod ask_first;
mod audit;
mod catalogue;
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
    let part = match page {
        Page::SignIn => return Some(view! { <sign_in::SignIn /> }.into_any()),
        Page::Accept => return Some(view! { <accept::Accept /> }.into_any()),
        Page::Overview => return Some(view! { <overview::Overview /> }.into_any()),
        Page::NotFound => return None,
        Page::Usage
        | Page::UsageRecord(_)
        | Page::InvoiceComparison
        | Page::Alerts
        | Page::Audit
        | Page::Sessions
        | Page::Session(_) => Part::Observe,
        Page::Keys | Page::Key(_) | Page::Users | Page::Tenants | Page::Tenant(_) | Page::Settings | Page::Account => {
            Part::Manage
        }
        Page::Providers
        | Page::Provider(_)
        | Page::Models
        | Page::NewModel
        | Page::Model(_)
        | Page::Voices
        | Page::Prices => Part::Catalogue,
        Page::Playground => Part::Playground,
    };
    let page = page.clone();
    Some(view! { <part::OfPart part page /> }.into_any())
}
