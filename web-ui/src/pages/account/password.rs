//! Another password.

use admin_types::auth::{ChangePassword, MIN_PASSWORD};
use leptos::prelude::*;

use crate::api::{Failure, auth, submit_form, use_client};
use crate::components::{Card, Form, FormButtons, Notice, TextField, field_error, use_toasts};
use crate::pages::accept::problem_of;
use crate::session::use_session;

#[component]
pub(super) fn ChangePasswordCard() -> impl IntoView {
    let session = use_session();
    let has_password = Memo::new(move |_| session.me().is_some_and(|me| me.user.has_password));
    let content = move || {
        if has_password.get() {
            view! { <Change /> }.into_any()
        } else {
            view! { <Notice>"You sign in with your identity provider, so there is no password to change here."</Notice> }
                .into_any()
        }
    };
    view! {
        <Card title="Password" text="Changing it ends your sign-ins everywhere but here.">
            {content}
        </Card>
    }
}

#[component]
fn Change() -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let [old, new, again] = [(); 3].map(|()| RwSignal::new(String::new()));
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let problem = RwSignal::new(None::<String>);
    let new_error = {
        let told = field_error(failure, "new_password");
        Signal::derive(move || problem.get().or_else(|| told.get()))
    };
    let send = move || {
        failure.set(None);
        problem.set(problem_of(&new.get_untracked(), &again.get_untracked()));
        if problem.with_untracked(Option::is_some) {
            return;
        }
        let change = ChangePassword { old_password: old.get_untracked(), new_password: new.get_untracked() };
        submit_form(busy, failure, async move { auth::change_password(&client, &change).await }, move |token| {
            session.adopt(token);
            for field in [old, new, again] {
                field.try_set(String::new());
            }
            toasts.done("Password changed");
        });
    };
    view! {
        <Form on_submit=send failure>
            <TextField
                label="Password now"
                value=old
                kind="password"
                autocomplete="current-password"
                error=field_error(failure, "old_password")
                required=true
            />
            <TextField
                label="New password"
                value=new
                kind="password"
                autocomplete="new-password"
                hint=format!("{MIN_PASSWORD} characters or more. Long beats complicated.")
                error=new_error
                required=true
            />
            <TextField label="New password again" value=again kind="password" autocomplete="new-password" required=true />
            <FormButtons action="Change password" busy />
        </Form>
    }
}
