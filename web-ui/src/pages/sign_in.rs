//! The way in: by password, or by an identity provider.

use admin_types::auth::Login;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::api::{Failure, auth, submit};
use crate::components::{Button, ButtonKind, Form, Icon, IconName, Notice, TextField, Tone};
use crate::route::safe_next;
use crate::session::use_session;

/// The page.
#[component]
pub(super) fn SignIn() -> impl IntoView {
    let session = use_session();
    let query = use_query_map();
    document().set_title("Sign in · Antiphon");
    let email = query.with_untracked(|query| query.get("email")).unwrap_or_default();
    let reason = move || {
        let told = query.with(|query| query.get("error"));
        let text = told
            .as_deref()
            .map(reason_of)
            .or_else(|| session.has_expired().then_some("Your sign-in has ended. Sign in again to go on."));
        text.map(|text| view! { <Notice tone=Tone::Neutral>{text}</Notice> })
    };
    view! {
        <section class="sign-in">
            <p class="brand">
                <Icon name=IconName::Logo />
                <span>"Antiphon"</span>
            </p>
            <h1>"Sign in"</h1>
            {reason}
            <SignInForm email />
        </section>
    }
}

/// Why the server has sent the browser here.
fn reason_of(code: &str) -> &'static str {
    match code {
        "oidc_state" => "The sign-in took too long or was begun in another browser. Try again.",
        "oidc_refused" => "The identity provider has refused the sign-in.",
        "oidc_provider" => {
            "The identity provider cannot be reached, or its answer cannot be believed. Try again later."
        }
        "oidc_not_permitted" => "Your account has no access here. Ask an administrator for an invitation.",
        "password_set" => "Your password is set. Sign in with it.",
        _ => "The sign-in failed. Try again, and if it fails again, ask an administrator to read the log.",
    }
}

/// Address, password, and the identity provider where there is one. In mid-work (`again`) the provider is asked in
/// another tab, so that this page stays.
#[component]
pub(crate) fn SignInForm(#[prop(into)] email: String, #[prop(optional)] again: bool) -> impl IntoView {
    let session = use_session();
    let has_email = !email.is_empty();
    let email = RwSignal::new(email);
    let password = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let wait = RwSignal::new(0_u64);
    count_down(wait);
    let send = move || {
        if busy.get_untracked() || wait.get_untracked() > 0 {
            return;
        }
        failure.set(None);
        let login = Login { email: email.get_untracked().trim().to_owned(), password: password.get_untracked() };
        submit(busy, async move { session.sign_in(&login).await }, move |done| {
            if let Err(why) = done {
                wait.try_set(why.retry_after().unwrap_or(0));
                failure.try_set(Some(why));
            }
        });
    };
    let is_incomplete =
        move || email.with(|email| email.trim().is_empty()) || password.with(String::is_empty) || wait.get() > 0;
    let label = move || match wait.get() {
        0 => "Sign in".to_owned(),
        seconds => format!("Wait {seconds} s"),
    };
    view! {
        <Form on_submit=send failure>
            <TextField label="E-mail address" value=email kind="email" autocomplete="username" required=true autofocus=!has_email />
            <TextField
                label="Password"
                value=password
                kind="password"
                autocomplete="current-password"
                required=true
                autofocus=has_email
            />
            <div class="form-actions">
                <Button kind=ButtonKind::Primary submit=true busy disabled=Signal::derive(is_incomplete)>
                    {label}
                </Button>
            </div>
        </Form>
        <ProviderLink again />
    }
}

/// The way by the identity provider, where there is one.
#[component]
fn ProviderLink(again: bool) -> impl IntoView {
    let session = use_session();
    let query = use_query_map();
    let leave = move |_| {
        let next = query.with_untracked(|query| query.get("next"));
        let wanted = next.as_deref().and_then(safe_next).unwrap_or("/");
        session.leave_for_provider((!again).then_some(wanted));
    };
    move || {
        let ways = session.instance()?.sign_in;
        if !ways.oidc {
            return None;
        }
        let label = format!("Sign in with {}", ways.oidc_name.as_deref().unwrap_or("single sign-on"));
        let target = again.then_some("_blank");
        Some(view! {
            <p class="sign-in-or">"or"</p>
            <a class="button wide" href=auth::OIDC_START rel="external" target=target on:click=leave>
                <Icon name=IconName::External />
                <span>{label}</span>
            </a>
        })
    }
}

/// Counts seconds down to 0.
fn count_down(seconds: RwSignal<u64>) {
    Effect::new(move |_| {
        if seconds.get() > 0 {
            set_timeout(
                move || {
                    seconds.try_update(|left| *left = left.saturating_sub(1));
                },
                std::time::Duration::from_secs(1),
            );
        }
    });
}
