//! Parts of the program that are fetched when a page of theirs is first opened. `cargo xtask web` splits them off: what
//! only one of these functions reaches is in its part, and what several share is in files between them.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};

use super::{NotFound, account, alerts, audit, catalogue, keys, playground, sessions, settings, tenants, usage, users};
use crate::api::Failure;
use crate::components::{Failed, Loading};
use crate::route::Page;

/// A part, by what its pages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Observe,
    Manage,
    Catalogue,
    Playground,
}

/// Makes the view of a page that is in the part.
type Make = fn(&Page) -> AnyView;

impl Part {
    async fn fetch(self) -> Result<Make, SplitLoaderError> {
        match self {
            Self::Observe => observe().await,
            Self::Manage => manage().await,
            Self::Catalogue => catalogue().await,
            Self::Playground => playground().await,
        }
    }
}

#[wasm_split(observe, wasm_split_path = ::leptos::wasm_split, fallible)]
fn observe() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Usage => view! { <usage::Usage /> }.into_any(),
        Page::UsageRecord(id) => view! { <usage::Record id /> }.into_any(),
        Page::InvoiceComparison => view! { <usage::Compare /> }.into_any(),
        Page::Alerts => view! { <alerts::Alerts /> }.into_any(),
        Page::Audit => view! { <audit::Audit /> }.into_any(),
        Page::Sessions => view! { <sessions::Sessions /> }.into_any(),
        Page::Session(id) => view! { <sessions::SessionPage id /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(manage, wasm_split_path = ::leptos::wasm_split, fallible)]
fn manage() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Keys => view! { <keys::Keys /> }.into_any(),
        Page::Key(id) => view! { <keys::Key id /> }.into_any(),
        Page::Users => view! { <users::Users /> }.into_any(),
        Page::Tenants => view! { <tenants::Tenants /> }.into_any(),
        Page::Tenant(id) => view! { <tenants::Tenant id /> }.into_any(),
        Page::Settings => view! { <settings::Settings /> }.into_any(),
        Page::Account => view! { <account::Account /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(catalogue, wasm_split_path = ::leptos::wasm_split, fallible)]
fn catalogue() -> Result<Make, SplitLoaderError> {
    Ok(|page| match *page {
        Page::Providers => view! { <catalogue::Providers /> }.into_any(),
        Page::Provider(id) => view! { <catalogue::ProviderPage id /> }.into_any(),
        Page::Models => view! { <catalogue::Models /> }.into_any(),
        Page::NewModel => view! { <catalogue::NewModel /> }.into_any(),
        Page::Model(id) => view! { <catalogue::ModelPage id /> }.into_any(),
        Page::Voices => view! { <catalogue::Voices /> }.into_any(),
        Page::Prices => view! { <catalogue::Prices /> }.into_any(),
        _ => view! { <NotFound /> }.into_any(),
    })
}

#[wasm_split(playground, wasm_split_path = ::leptos::wasm_split, fallible)]
fn playground() -> Result<Make, SplitLoaderError> {
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
