//! The pages. Each stands in one file (or folder), and in one line of [`view_of`].

mod accept;
mod account;
mod not_found;
mod playground;
mod sessions;
mod sign_in;

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
        Page::Playground => view(|| view! { <playground::Playground /> }),
        Page::Sessions => view(|| view! { <sessions::Sessions /> }),
        Page::Session(id) => view(move || view! { <sessions::SessionPage id /> }),
        _ => return None,
    })
}

fn view<V: IntoView + 'static>(make: impl FnOnce() -> V + 'static) -> View {
    Box::new(|| make().into_any())
}
