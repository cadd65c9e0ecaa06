//! What stands around every page: who is signed in decides whether it is the dashboard or the way into it.

mod account_menu;
mod again;
mod navigation;
mod palette;
mod search;
mod shortcuts;
mod signed_in;
mod tenants;
mod theme;

use leptos::prelude::*;
use leptos_router::components::Router;
use leptos_router::hooks::use_location;
use leptos_router::location::{BrowserUrl, LocationProvider};

use crate::api::{Client, Failure};
use crate::components::{Failed, Loading, ToastList, provide_toasts};
use crate::pages;
use crate::route::{Page, safe_next, use_go_instead};
use crate::session::{Session, State, use_session};

/// The page that is shown.
#[derive(Debug, Clone, Copy)]
struct CurrentPage(Memo<Page>);

/// What is shown as a whole.
#[derive(Debug, Clone, PartialEq)]
enum Whole {
    Starting,
    Unreachable(Failure),
    Open,
    SignedIn,
}

/// The application.
#[component]
pub(crate) fn App() -> impl IntoView {
    let session = Session::new();
    provide_context(session);
    provide_context(Client::new(session));
    provide_toasts();
    theme::provide_theme();
    session.start();
    view! {
        <Router>
            <Frame />
            <ToastList />
        </Router>
    }
}

#[component]
fn Frame() -> impl IntoView {
    let session = use_session();
    let location = use_location();
    let page = Memo::new(move |_| location.pathname.with(|path| Page::at(path)));
    provide_context(CurrentPage(page));
    // While it is asked who is signed in.
    pages::fetch_early(&page.get_untracked());
    complete_navigations();
    send_where_one_belongs(page);
    let whole = Memo::new(move |_| match (page.get(), session.state()) {
        (Page::Accept, _) | (Page::SignIn, State::Out) => Whole::Open,
        // The next moment leads to the sign-in, or away from it.
        (_, State::Starting | State::Out) | (Page::SignIn, State::In(_)) => Whole::Starting,
        (_, State::Unreachable(failure)) => Whole::Unreachable(failure),
        (_, State::In(_)) => Whole::SignedIn,
    });
    move || match whole.get() {
        Whole::Starting => view! { <Starting /> }.into_any(),
        Whole::Unreachable(failure) => view! {
            <main class="alone">
                <Failed failure on_retry=move || session.look() />
            </main>
        }
        .into_any(),
        Whole::Open => view! { <main class="alone">{move || shown(&page.get())}</main> }.into_any(),
        Whole::SignedIn => view! { <signed_in::SignedIn page /> }.into_any(),
    }
}

/// The view of a page.
fn shown(page: &Page) -> AnyView {
    pages::view_of(page).unwrap_or_else(|| view! { <pages::NotFound /> }.into_any())
}

#[component]
fn Starting() -> impl IntoView {
    view! {
        <main class="alone" aria-busy="true">
            <Loading rows=3 />
        </main>
    }
}

/// The router waits for a word that the page is there before it writes the address.
fn complete_navigations() {
    let location = use_location();
    let browser = use_context::<BrowserUrl>();
    Effect::new(move |_| {
        location.pathname.track();
        if let Some(browser) = &browser {
            browser.ready_to_complete();
        }
    });
}

/// Whoever is not signed in goes to the sign-in, and from there to where they wanted to go.
fn send_where_one_belongs(page: Memo<Page>) {
    let session = use_session();
    let location = use_location();
    let go = use_go_instead();
    Effect::new(move |_| {
        let page = page.get();
        match session.state() {
            State::Out if !page.is_open() => {
                let wanted = location.pathname.get_untracked()
                    + &location.query.with_untracked(leptos_router::params::ParamsMap::to_query_string);
                let next =
                    if wanted == "/" { String::new() } else { format!("?next={}", crate::api::wire::escaped(&wanted)) };
                go(&format!("{}{next}", Page::SignIn.path()));
            }
            State::In(_) if page == Page::SignIn => {
                let next = location.query.with_untracked(|query| query.get("next"));
                go(next.as_deref().and_then(safe_next).unwrap_or("/"));
            }
            // An identity provider sends everybody to the overview.
            State::In(_) if page == Page::Overview => {
                if let Some(wanted) = session.wanted().as_deref().and_then(safe_next).filter(|wanted| *wanted != "/") {
                    go(wanted);
                }
            }
            _ => {}
        }
    });
}
