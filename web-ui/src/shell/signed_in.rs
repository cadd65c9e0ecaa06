//! The dashboard: navigation at the side, a bar at the top, the page.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::account_menu::{AccountMenu, ThemeMenu};
use super::again::SignInAgain;
use super::navigation::Navigation;
use super::palette::Palette;
use super::tenants::TenantSwitcher;
use super::{shortcuts, shown};
use crate::components::{Icon, IconButton, IconName};
use crate::route::Page;

/// How long a page's heading is waited for: ten seconds of a usual screen.
const FRAMES: u32 = 600;

#[component]
pub(super) fn SignedIn(page: Memo<Page>) -> impl IntoView {
    let palette = RwSignal::new(false);
    let drawer = RwSignal::new(false);
    shortcuts::listen(palette);
    focus_heading(page);
    Effect::new(move |_| {
        page.track();
        drawer.set(false);
    });
    let keys = window_event_listener(leptos::ev::keydown, move |event: KeyboardEvent| {
        if event.key() == "Escape" && drawer.get_untracked() {
            drawer.set(false);
            focus(".topbar-menu button");
        }
    });
    on_cleanup(move || keys.remove());
    let skip = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        focus("main");
    };
    view! {
        <a class="skip-link" href="#main" on:click=skip>
            "Skip to content"
        </a>
        <div class="shell">
            <aside class="sidebar" id="sidebar" class:open=move || drawer.get()>
                <div class="sidebar-head">
                    <a class="brand" href="/">
                        <Icon name=IconName::Logo />
                        <span>"Antiphon"</span>
                    </a>
                    <div class="sidebar-close">
                        <IconButton name=IconName::Close label="Close navigation" on_press=move || drawer.set(false) />
                    </div>
                </div>
                <Navigation />
            </aside>
            <div class="scrim" class:open=move || drawer.get() on:click=move |_| drawer.set(false)></div>
            <div class="shell-main" inert=move || drawer.get()>
                <TopBar palette drawer />
                <main id="main" class="page" tabindex="-1">
                    {move || shown(&page.get())}
                </main>
            </div>
        </div>
        <Palette open=palette />
        <SignInAgain />
    }
}

#[component]
fn TopBar(palette: RwSignal<bool>, drawer: RwSignal<bool>) -> impl IntoView {
    let open_drawer = move || {
        drawer.set(true);
        // Only what has begun to come into sight can have the focus.
        set_timeout(|| focus("#sidebar a"), std::time::Duration::from_millis(50));
    };
    view! {
        <header class="topbar">
            <div class="topbar-menu">
                <IconButton name=IconName::Menu label="Open navigation" on_press=open_drawer />
            </div>
            <TenantSwitcher />
            <button type="button" class="palette-button" aria-keyshortcuts="Control+K Meta+K" on:click=move |_| palette.set(true)>
                <Icon name=IconName::Search />
                <span>"Search"</span>
                <kbd>{shortcuts::palette_keys()}</kbd>
            </button>
            <ThemeMenu />
            <AccountMenu />
        </header>
    }
}

/// Whoever does not see the page hears where they are: after each change of the page the heading has the focus.
fn focus_heading(page: Memo<Page>) {
    Effect::new(move |before: Option<Page>| {
        let page = page.get();
        if before.is_some_and(|before| before != page) {
            focus_in_time("main h1", FRAMES);
        }
        page
    });
}

/// Gives something the focus once it is there: its part of the program may have to be fetched.
fn focus_in_time(selector: &'static str, frames: u32) {
    request_animation_frame(move || {
        if !give_focus(selector) && frames > 0 {
            focus_in_time(selector, frames - 1);
        }
    });
}

fn focus(selector: &str) {
    give_focus(selector);
}

/// Says whether there is such a thing.
fn give_focus(selector: &str) -> bool {
    let found = document().query_selector(selector).ok().flatten();
    let Some(element) = found.as_ref().and_then(|found| found.dyn_ref::<web_sys::HtmlElement>()) else { return false };
    if element.tab_index() < 0 && !element.has_attribute("tabindex") {
        element.set_tab_index(-1);
    }
    element.focus().is_ok()
}
