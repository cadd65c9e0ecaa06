//! Parts of the program that are fetched when a page of theirs is first opened. `cargo xtask web` splits them off: the
//! file of a part has all that one of these functions reaches, but for what the program has from its start.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};

use super::{
    NotFound, account, alerts, audit, catalogue, keys, overview, playground, sessions, settings, tenants, usage, users,
};
use crate::api::Failure;
use crate::components::{Failed, Loading};
use crate::route::Page;

/// A part, by what its pages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Overview,
    Usage,
    Alerts,
    Audit,
    Sessions,
    Keys,
    People,
    Models,
    Providers,
    Prices,
    Playground,
}

/// Makes the view of a page that is in the part.
type Make = fn(&Page) -> AnyView;

impl Part {
    /// The part that a page is in; none where everybody has it.
    pub(super) const fn of(page: &Page) -> Option<Self> {
        Some(match page {
            Page::SignIn | Page::Accept | Page::NotFound => return None,
            Page::Overview => Self::Overview,
            Page::Usage | Page::UsageRecord(_) | Page::InvoiceComparison => Self::Usage,
            Page::Alerts => Self::Alerts,
            Page::Audit => Self::Audit,
            Page::Sessions | Page::Session(_) => Self::Sessions,
            Page::Keys | Page::Key(_) => Self::Keys,
            Page::Users | Page::Tenants | Page::Tenant(_) | Page::Settings | Page::Account => Self::People,
            Page::Models | Page::NewModel | Page::Model(_) => Self::Models,
            Page::Providers | Page::Provider(_) | Page::Voices => Self::Providers,
            Page::Prices => Self::Prices,
            Page::Playground => Self::Playground,
        })
    }

    /// Begins to fetch it. Whoever wants it later waits for the same, or tries again.
    pub(super) fn fetch_early(self) {
        spawn_local(async move {
            let _early = self.fetch().await;
        });
    }

    async fn fetch(self) -> Result<Make, SplitLoaderError> {
        match self {
            Self::Overview => overview_part().await,
            Self::Usage => usage_part().await,
            Self::Alerts => alerts_part().await,
            Self::Audit => audit_part().await,
            Self::Sessions => sessions_part().await,
            Self::Keys => keys_part().await,
            Self::People => people_part().await,
            Self::Models => models_part().await,
            Self::Providers => providers_part().await,
            Self::Prices => prices_part().await,
            Self::Playground => playground_part().await,
        }
    }
}

#[wasm_split(overview, wasm_split_path = ::leptos::wasm_split, fallible)]
fn overview_part() -> Result<Make, SplitLoaderError> {
    Ok(|_| view! { <overview::Overview /> }.into_any())
}

#[wasm_split(usage, wasm_split_path = ::leptos::wasm_split, fallible)]
fn usage_part() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Usage => view! { <usage::Usage /> }.into_any(),
        Page::UsageRecord(id) => view! { <usage::Record id /> }.into_any(),
        Page::InvoiceComparison => view! { <usage::Compare /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(alerts, wasm_split_path = ::leptos::wasm_split, fallible)]
fn alerts_part() -> Result<Make, SplitLoaderError> {
    Ok(|_| view! { <alerts::Alerts /> }.into_any())
}

#[wasm_split(audit, wasm_split_path = ::leptos::wasm_split, fallible)]
fn audit_part() -> Result<Make, SplitLoaderError> {
    Ok(|_| view! { <audit::Audit /> }.into_any())
}

#[wasm_split(sessions, wasm_split_path = ::leptos::wasm_split, fallible)]
fn sessions_part() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Sessions => view! { <sessions::Sessions /> }.into_any(),
        Page::Session(id) => view! { <sessions::SessionPage id /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(keys, wasm_split_path = ::leptos::wasm_split, fallible)]
fn keys_part() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Keys => view! { <keys::Keys /> }.into_any(),
        Page::Key(id) => view! { <keys::Key id /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(people, wasm_split_path = ::leptos::wasm_split, fallible)]
fn people_part() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Users => view! { <users::Users /> }.into_any(),
        Page::Tenants => view! { <tenants::Tenants /> }.into_any(),
        Page::Tenant(id) => view! { <tenants::Tenant id /> }.into_any(),
        Page::Settings => view! { <settings::Settings /> }.into_any(),
        Page::Account => view! { <account::Account /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(models, wasm_split_path = ::leptos::wasm_split, fallible)]
fn models_part() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Models => view! { <catalogue::Models /> }.into_any(),
        Page::NewModel => view! { <catalogue::NewModel /> }.into_any(),
        Page::Model(id) => view! { <catalogue::ModelPage id /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(providers, wasm_split_path = ::leptos::wasm_split, fallible)]
fn providers_part() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Providers => view! { <catalogue::Providers /> }.into_any(),
        Page::Provider(id) => view! { <catalogue::ProviderPage id /> }.into_any(),
        Page::Voices => view! { <catalogue::Voices /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(prices, wasm_split_path = ::leptos::wasm_split, fallible)]
fn prices_part() -> Result<Make, SplitLoaderError> {
    Ok(|_| view! { <catalogue::Prices /> }.into_any())
}

#[wasm_split(playground, wasm_split_path = ::leptos::wasm_split, fallible)]
fn playground_part() -> Result<Make, SplitLoaderError> {
    Ok(|_| view! { <playground::Playground /> }.into_any())
}

/// A page of a part. Where the part is there already, so is the page before anything is painted.
#[component]
pub(super) fn OfPart(part: Part, page: Page) -> impl IntoView {
    let fetched = RwSignal::new(None::<Option<Make>>);
    spawn_local(async move {
        let make = part.fetch().await.ok();
        // Somebody may have left meanwhile.
        fetched.try_set(Some(make));
    });
    move || match fetched.get() {
        None => view! { <Loading /> }.into_any(),
        Some(Some(make)) => make(&page),
        // What a newer version of the server has is found under other names, which a new page knows.
        Some(None) => {
            let failure = Failure::Unreadable("a part of the dashboard".to_owned());
            view! { <Failed failure on_retry=|| drop(window().location().reload()) /> }.into_any()
        }
    }
}
