//! Behind a one-time link, of an invitation or a reset: choose a password. The link's secret stands behind `#`, which
//! browsers send nowhere, and is taken out of the address at once.

use admin_types::auth::{AcceptLink, MAX_PASSWORD, MIN_PASSWORD};
use leptos::prelude::*;

use crate::api::{Failure, OpenClient, auth, submit_form};
use crate::components::{ButtonKind, Empty, Form, FormButtons, Icon, IconName, LinkButton, TextField, field_error};

/// The page.
#[component]
pub(super) fn Accept() -> impl IntoView {
    document().set_title("Choose a password · Antiphon");
    let token = take_token();
    let is_done = RwSignal::new(false);
    let content = move || match &token {
        None => no_token().into_any(),
        Some(_) if is_done.get() => done().into_any(),
        Some(token) => view! { <Choose token=token.clone() is_done /> }.into_any(),
    };
    view! {
        <section class="sign-in">
            <p class="brand">
                <Icon name=IconName::Logo />
                <span>"Antiphon"</span>
            </p>
            <h1>"Choose a password"</h1>
            {content}
        </section>
    }
}

fn no_token() -> impl IntoView {
    view! {
        <Empty title="The link is incomplete" text="Open it as you were given it, with all that stands behind the #.">
            <LinkButton href="/login">"Go to the sign-in"</LinkButton>
        </Empty>
    }
}

fn done() -> impl IntoView {
    view! {
        <Empty title="Your password is set" text="Every earlier sign-in of yours has ended." icon=IconName::Check>
            <LinkButton href="/login" kind=ButtonKind::Primary>
                "Sign in"
            </LinkButton>
        </Empty>
    }
}

#[component]
fn Choose(token: String, is_done: RwSignal<bool>) -> impl IntoView {
    let (password, again) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let problem = RwSignal::new(None::<String>);
    let error = {
        let told = field_error(failure, "password");
        Signal::derive(move || problem.get().or_else(|| told.get()))
    };
    let send = move || {
        failure.set(None);
        problem.set(problem_of(&password.get_untracked(), &again.get_untracked()));
        if problem.with_untracked(Option::is_some) {
            return;
        }
        let accept = AcceptLink { token: token.clone(), password: password.get_untracked() };
        submit_form(busy, failure, async move { auth::accept_link(OpenClient, &accept).await }, move |()| {
            is_done.try_set(true);
        });
    };
    view! {
        <Form on_submit=send failure>
            <TextField
                label="Password"
                value=password
                kind="password"
                autocomplete="new-password"
                hint=format!("{MIN_PASSWORD} characters or more. Long beats complicated.")
                error
                required=true
                autofocus=true
            />
            <TextField label="The same again" value=again kind="password" autocomplete="new-password" required=true />
            <FormButtons action="Set password" busy />
        </Form>
    }
}

/// What is wrong with a new password, before the server is asked.
pub(super) fn problem_of(password: &str, again: &str) -> Option<String> {
    let characters = password.chars().count();
    if characters < MIN_PASSWORD {
        return Some(format!("Has {characters} characters and needs {MIN_PASSWORD}."));
    }
    if characters > MAX_PASSWORD {
        return Some(format!("Has more than {MAX_PASSWORD} characters."));
    }
    (password != again).then(|| "The two are not the same.".to_owned())
}

/// The secret behind `#token=`, which goes from the address and from the history.
fn take_token() -> Option<String> {
    let location = window().location();
    let hash = location.hash().ok()?;
    let token = hash.strip_prefix("#token=").filter(|token| !token.is_empty())?.to_owned();
    if let (Ok(history), Ok(path)) = (window().history(), location.pathname()) {
        // Where it fails the secret stays in the address, and is good once.
        history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path)).ok();
    }
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_written_twice_alike() {
        assert_eq!(problem_of("short", "short").as_deref(), Some("Has 5 characters and needs 12."));
        assert_eq!(problem_of("long enough now", "long enough nov").as_deref(), Some("The two are not the same."));
        assert_eq!(problem_of("long enough now", "long enough now"), None);
    }
}
