//! Who one is, and light or dark.

use leptos::prelude::*;

use super::theme::{Theme, use_themes};
use crate::api::submit;
use crate::components::{Icon, IconName, Menu, MenuItem, use_toasts};
use crate::route::{Page, use_go, use_go_instead};
use crate::session::use_session;

/// Light, dark, or as the system is.
#[component]
pub(super) fn ThemeMenu() -> impl IntoView {
    let themes = use_themes();
    let items = Theme::ALL.map(|theme| {
        view! {
            <MenuItem icon=theme.icon() on_press=move || themes.choose(theme)>
                {theme.name()}
                {move || {
                    (themes.chosen() == theme)
                        .then(|| view! { <span class="visually-hidden">", chosen"</span> <Icon name=IconName::Check /> })
                }}
            </MenuItem>
        }
    });
    view! {
        <Menu label="Theme" icon=IconName::Sun>
            {items.into_iter().collect_view()}
        </Menu>
    }
}

/// One's account, and the way out.
#[component]
pub(super) fn AccountMenu() -> impl IntoView {
    let session = use_session();
    let toasts = use_toasts();
    let busy = RwSignal::new(false);
    let (go, go_instead) = (use_go(), use_go_instead());
    let sign_out = move || {
        let go_instead = go_instead.clone();
        submit(busy, async move { session.sign_out().await }, move |done| match done {
            Ok(()) => go_instead(&Page::SignIn.path()),
            Err(failure) => toasts.failed(&failure),
        });
    };
    let who = move || {
        session.me().map(|me| view! { <div role="none" class="menu-note">{me.user.name} <br /> {me.user.email}</div> })
    };
    view! {
        <Menu label="Account" icon=IconName::User>
            {who}
            <MenuItem icon=IconName::Settings on_press=move || go(&Page::Account.path())>
                "Your account"
            </MenuItem>
            <MenuItem icon=IconName::SignOut disabled=busy on_press=sign_out>
                "Sign out"
            </MenuItem>
        </Menu>
    }
}
