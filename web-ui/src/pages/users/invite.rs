//! Somebody new: who they are and what they may do, and then the link to hand to them.

use admin_types::role::Role;
use admin_types::users::{CreateUser, InvitedUser, OneTimeLink};
use leptos::prelude::*;

use super::{role_hint, roles};
use crate::api::{Failure, submit_form, use_client, users};
use crate::clock;
use crate::components::{
    Button, ButtonKind, CopyField, Form, FormButtons, Notice, SelectField, TextField, Tone, field_error,
};
use crate::format;
use crate::pages::tenants::TenantNames;
use crate::route::meant;
use crate::session::use_session;

/// The form, and then the link. Both are gone when the dialog closes.
#[component]
pub(super) fn Invite(
    open: RwSignal<bool>,
    #[prop(into)] on_invited: Callback<()>,
    names: TenantNames,
) -> impl IntoView {
    let invited = RwSignal::new(None::<InvitedUser>);
    move || match invited.get() {
        Some(invited) => {
            let text = format!("Hand this link to {}. With it they choose their password.", invited.user.email);
            view! { <Link link=invited.invitation text open /> }.into_any()
        }
        None => view! { <InviteForm invited open on_invited names /> }.into_any(),
    }
}

#[component]
fn InviteForm(
    invited: RwSignal<Option<InvitedUser>>,
    open: RwSignal<bool>,
    on_invited: Callback<()>,
    names: TenantNames,
) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let (email, name) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let role = RwSignal::new(Role::TenantViewer.as_str().to_owned());
    let tenant = RwSignal::new(session.tenant_untracked().map(|id| id.to_string()).unwrap_or_default());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let is_platform = session.sees_all_tenants();
    let is_of_tenant = move || role.with(|role| role != Role::PlatformAdmin.as_str());
    let send = move || {
        failure.set(None);
        let chosen: Role = role.get_untracked().parse().unwrap_or(Role::TenantViewer);
        let called = name.get_untracked().trim().to_owned();
        let create = CreateUser {
            email: email.get_untracked().trim().to_owned(),
            name: (!called.is_empty()).then_some(called),
            role: chosen,
            tenant_id: meant(&tenant.get_untracked()).filter(|_| chosen != Role::PlatformAdmin && is_platform),
        };
        submit_form(busy, failure, async move { users::create_user(&client, &create).await }, move |made| {
            invited.try_set(Some(made));
            on_invited.try_run(());
        });
    };
    view! {
        <Form on_submit=send failure>
            <TextField
                label="E-mail address"
                value=email
                kind="email"
                error=field_error(failure, "email")
                required=true
                autofocus=true
            />
            <TextField label="Name" value=name error=field_error(failure, "name") />
            <SelectField
                label="Role"
                value=role
                options=roles(is_platform)
                error=field_error(failure, "role")
                required=true
            />
            <p class="hint">{move || role.with(|role| role_hint(role))}</p>
            <Show when=move || is_platform && is_of_tenant()>
                <SelectField
                    label="Tenant"
                    value=tenant
                    options=names.choices()
                    placeholder="Choose a tenant"
                    error=field_error(failure, "tenant_id")
                    required=true
                />
            </Show>
            <FormButtons action="Invite user" busy cancel=open />
        </Form>
    }
}

/// A link that works once, this once.
#[component]
pub(super) fn Link(link: OneTimeLink, #[prop(into)] text: String, open: RwSignal<bool>) -> impl IntoView {
    let ends = format!(
        "It works once and ends {} ({}).",
        format::until(link.expires_at, clock::now()),
        format::date_time(link.expires_at)
    );
    view! {
        <div class="form">
            <Notice tone=Tone::Warn title="Copy the link now">"It is shown this once."</Notice>
            <p class="dialog-text">{text}</p>
            <CopyField label="One-time link" value=link.url.clone() hint=ends />
            <div class="form-actions">
                <Button kind=ButtonKind::Primary on_press=move || open.set(false)>
                    "Done"
                </Button>
            </div>
        </div>
    }
}
