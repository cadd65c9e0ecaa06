//! The pages. Each stands in one file (or folder), and in one line of [`view_of`].

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
        Page::Keys => view(|| view! { <keys::Keys /> }),
        Page::Key(id) => view(move || view! { <keys::Key id /> }),
        Page::Audit => view(|| view! { <audit::Audit /> }),
        Page::Users => view(|| view! { <users::Users /> }),
        Page::Tenants => view(|| view! { <tenants::Tenants /> }),
        Page::Tenant(id) => view(move || view! { <tenants::Tenant id /> }),
        Page::Settings => view(|| view! { <settings::Settings /> }),
        Page::Providers => view(|| view! { <catalogue::Providers /> }),
        Page::Provider(id) => view(move || view! { <catalogue::ProviderPage id /> }),
        Page::Models => view(|| view! { <catalogue::Models /> }),
        Page::NewModel => view(|| view! { <catalogue::NewModel /> }),
        Page::Model(id) => view(move || view! { <catalogue::ModelPage id /> }),
        Page::Voices => view(|| view! { <catalogue::Voices /> }),
        Page::Prices => view(|| view! { <catalogue::Prices /> }),
        Page::Playground => view(|| view! { <playground::Playground /> }),
        Page::Sessions => view(|| view! { <sessions::Sessions /> }),
        Page::Session(id) => view(move || view! { <sessions::SessionPage id /> }),
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
