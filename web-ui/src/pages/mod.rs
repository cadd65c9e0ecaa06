//! The pages. Each stands in one file (or folder), and in one line of [`view_of`].

mod accept;
mod account;
mod alerts;
mod not_found;
mod overview;
mod pager;
mod sign_in;
mod usage;

use leptos::prelude::*;

use crate::route::Page;

pub(crate) use not_found::NotFound;
pub(crate) use sign_in::SignInForm;

/// Makes the view of a page.
pub(crate) type View = Box<dyn FnOnce() -> AnyView>;

/// The view of a page; `None` where there is no such page.
pub(crate) fn view_of(page: &Page) -> Option<View> {
    Some(match *page {
        Page::SignIn => view(|| view! { <sign_in::SignIn /> }),
        Page::Accept => view(|| view! { <accept::Accept /> }),
        Page::Account => view(|| view! { <account::Account /> }),
        Page::Overview => view(|| view! { <overview::Overview /> }),
        Page::Usage => view(|| view! { <usage::Usage /> }),
        Page::UsageRecord(id) => view(move || view! { <usage::Record id /> }),
        Page::InvoiceComparison => view(|| view! { <usage::Compare /> }),
        Page::Alerts => view(|| view! { <alerts::Alerts /> }),
        _ => return None,
    })
}

fn view<V: IntoView + 'static>(make: impl FnOnce() -> V + 'static) -> View {
    Box::new(|| make().into_any())
}
