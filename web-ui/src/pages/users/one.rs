//! One user: changed, given a link for another password, removed.

use admin_types::role::Role;
use admin_types::users::{OneTimeLink, UpdateUser, User};
use leptos::prelude::*;
use uuid::Uuid;

use super::invite::Link;
use super::{role_hint, roles, state_view};
use crate::api::{Failure, Versioned, submit, submit_form, use_client, users};
use crate::components::{
    Button, ButtonKind, CheckField, Details, Form, FormButtons, IconName, LoadedLive, SelectField, Stack, TextField,
    Toolbar, field_error, use_toasts,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::found::{Found, put};
use crate::pages::pair::pair;
use crate::pages::stale::Stale;
use crate::pages::tenants::TenantNames;
use crate::route::meant;
use crate::session::use_session;

/// The panel's content.
#[component]
pub(super) fn One(id: Uuid, open: RwSignal<bool>, on_changed: Callback<()>, names: TenantNames) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { users::get_user(&client, id).await });
    let link = RwSignal::new(None::<OneTimeLink>);
    let on_stale = Callback::new(move |()| {
        found.refetch();
        on_changed.run(());
    });
    move || match link.get() {
        Some(link) => {
            let text = "Hand it to them. With it they choose a new password; the old one works until then.";
            view! { <Link link text open /> }.into_any()
        }
        None => view! {
            <LoadedLive
                resource=found
                children=move |user| {
                    let first = user.get_untracked();
                    view! {
                        <Stack>
                            <About user />
                            <Edit user=first open found on_changed names />
                            <More id user link open on_changed on_stale />
                        </Stack>
                    }
                }
            />
        }
        .into_any(),
    }
}

#[component]
fn About(user: Signal<Versioned<User>>) -> impl IntoView {
    move || {
        let user = user.get();
        view! {
            <Details>
                {pair("E-mail address", user.email.clone())}
                {pair("State", state_view(&user))}
                {pair("Signs in by", ways(&user))}
                {pair("Last signed in", user.last_login_at.map_or_else(|| "Never".to_owned(), format::date_time))}
                {pair("Created", format::date_time(user.created_at))}
            </Details>
        }
    }
}

const fn ways(user: &User) -> &'static str {
    match (user.has_password, user.single_sign_on) {
        (true, true) => "Password or identity provider",
        (true, false) => "Password",
        (false, true) => "Identity provider",
        (false, false) => "Nothing yet: the invitation waits",
    }
}

/// What stands in the fields.
#[derive(Debug, Clone, Copy)]
struct Fields {
    name: RwSignal<String>,
    role: RwSignal<String>,
    tenant: RwSignal<String>,
    disabled: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
}

impl Fields {
    fn of(user: &User) -> Self {
        let text = || RwSignal::new(String::new());
        let fields = Self {
            name: text(),
            role: text(),
            tenant: text(),
            disabled: RwSignal::new(false),
            failure: RwSignal::new(None),
        };
        fields.show(user);
        fields
    }

    fn show(self, user: &User) {
        self.name.set(user.name.clone());
        self.role.set(user.role.as_str().to_owned());
        self.tenant.set(user.tenant_id.map(|id| id.to_string()).unwrap_or_default());
        self.disabled.set(user.disabled_at.is_some());
        self.failure.set(None);
    }

    fn change(self, user: &User) -> UpdateUser {
        let name = self.name.get_untracked().trim().to_owned();
        let role: Option<Role> = self.role.get_untracked().parse().ok();
        let tenant_id = meant(&self.tenant.get_untracked()).filter(|_| role != Some(Role::PlatformAdmin));
        let disabled = self.disabled.get_untracked();
        UpdateUser {
            name: (name != user.name).then_some(name),
            role: role.filter(|role| *role != user.role),
            tenant_id: tenant_id.filter(|id| Some(*id) != user.tenant_id),
            disabled: (disabled != user.disabled_at.is_some()).then_some(disabled),
        }
    }
}

#[component]
fn Edit(
    user: Versioned<User>,
    open: RwSignal<bool>,
    found: Found<User>,
    on_changed: Callback<()>,
    names: TenantNames,
) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let id = user.id;
    let is_own = untrack(|| session.me()).is_some_and(|me| me.user.id == id);
    let is_platform = session.sees_all_tenants();
    let fields = Fields::of(&user);
    let base = StoredValue::new(user);
    let busy = RwSignal::new(false);
    let send = move || {
        fields.failure.set(None);
        let (change, version) = base.with_value(|base| (fields.change(base), base.version.clone()));
        submit_form(
            busy,
            fields.failure,
            async move { users::update_user(&client, id, &change, version.as_deref()).await },
            move |_| {
                open.try_set(false);
                toasts.done("User changed");
                on_changed.try_run(());
            },
        );
    };
    let reload = move || {
        submit_form(busy, fields.failure, async move { users::get_user(&client, id).await }, move |user| {
            fields.show(&user);
            base.try_set_value(user.clone());
            put(found, user);
            on_changed.try_run(());
        });
    };
    let is_of_tenant = move || fields.role.with(|role| role != Role::PlatformAdmin.as_str());
    view! {
        <Form on_submit=send failure=fields.failure>
            <Stale failure=fields.failure on_reload=reload busy />
            <TextField label="Name" value=fields.name error=field_error(fields.failure, "name") required=true />
            {(!is_own).then(|| view! {
                <SelectField
                    label="Role"
                    value=fields.role
                    options=roles(is_platform)
                    error=field_error(fields.failure, "role")
                    required=true
                />
                <p class="hint">{move || fields.role.with(|role| role_hint(role))}</p>
                <Show when=move || is_platform && is_of_tenant()>
                    <SelectField
                        label="Tenant"
                        value=fields.tenant
                        options=names.choices()
                        placeholder="Choose a tenant"
                        error=field_error(fields.failure, "tenant_id")
                        required=true
                    />
                </Show>
                <CheckField
                    label="Disabled"
                    value=fields.disabled
                    hint="They cannot sign in, and their tokens are refused."
                />
                <p class="hint">"Another role or tenant ends their sign-ins and removes their tokens; being disabled ends their sign-ins."</p>
            })}
            <FormButtons action="Save changes" busy />
        </Form>
    }
}

/// A link for another password, and the end.
#[component]
fn More(
    id: Uuid,
    user: Signal<Versioned<User>>,
    link: RwSignal<Option<OneTimeLink>>,
    open: RwSignal<bool>,
    on_changed: Callback<()>,
    /// Somebody else has changed them first.
    on_stale: Callback<()>,
) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let is_own = untrack(|| session.me()).is_some_and(|me| me.user.id == id);
    let (busy, removing) = (RwSignal::new(false), RwSignal::new(false));
    let reset = move || {
        submit(busy, async move { users::reset_password(&client, id).await }, move |done| match done {
            Ok(made) => {
                link.try_set(Some(made));
            }
            Err(failure) => toasts.failed(&failure),
        });
    };
    let remove = move || {
        let version = user.with_untracked(|user| user.version.clone());
        Some(async move { users::delete_user(&client, id, version.as_deref()).await })
    };
    let removed = move || {
        open.try_set(false);
        on_changed.try_run(());
    };
    let has_password = move || user.with(|user| user.has_password);
    view! {
        {(!is_own).then(|| view! {
            <Toolbar>
                <Button icon=IconName::Key busy on_press=reset>
                    {move || if has_password() { "Make a reset link" } else { "Make an invitation link" }}
                </Button>
                <Button kind=ButtonKind::Danger icon=IconName::Trash on_press=move || removing.set(true)>"Remove user"</Button>
            </Toolbar>
        })}
        <AskFirst
            open=removing
            title="Remove this user?"
            text="Their sign-ins and their tokens end at once. What they did stays in the audit log."
            action="Remove user"
            danger=true
            call=remove
            done="User removed"
            on_done=removed
            on_stale=on_stale
        />
    }
}
