//! A new key.

use admin_types::keys::KeyWithSecret;
use leptos::prelude::*;

use super::fields::{Fields, LimitFields};
use super::secret::Secret;
use crate::api::{keys, submit_form, use_client};
use crate::components::{Form, FormButtons, SelectField, TextField};
use crate::pages::tenants::use_tenant_names;
use crate::route::meant;
use crate::session::use_session;

/// The form, and then the key with its secret. All of it is gone when the dialog closes.
#[component]
pub(super) fn Create(open: RwSignal<bool>, #[prop(into)] on_created: Callback<()>) -> impl IntoView {
    let created = RwSignal::new(None::<KeyWithSecret>);
    move || match created.get() {
        Some(made) => view! { <Secret made open /> }.into_any(),
        None => view! { <CreateForm created open on_created /> }.into_any(),
    }
}

#[component]
fn CreateForm(
    created: RwSignal<Option<KeyWithSecret>>,
    open: RwSignal<bool>,
    on_created: Callback<()>,
) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let fields = Fields::new();
    let names = use_tenant_names();
    let tenant = RwSignal::new(session.tenant_untracked().map(|id| id.to_string()).unwrap_or_default());
    let busy = RwSignal::new(false);
    let send = move || {
        let Some(limits) = fields.read() else { return };
        let create = limits.create(meant(&tenant.get_untracked()));
        submit_form(busy, fields.failure, async move { keys::create_key(&client, &create).await }, move |made| {
            created.try_set(Some(made));
            on_created.try_run(());
        });
    };
    view! {
        <Form on_submit=send failure=fields.failure>
            <TextField
                label="Name"
                value=fields.name
                hint="What it is for, such as the name of the program."
                error=fields.error("name")
                required=true
                autofocus=true
            />
            {session.sees_all_tenants().then(|| view! {
                <SelectField
                    label="Tenant"
                    value=tenant
                    options=names.choices()
                    placeholder="Choose a tenant"
                    required=true
                    error=fields.error("tenant_id")
                />
            })}
            <LimitFields fields />
            <FormButtons action="Create key" busy cancel=open />
        </Form>
    }
}
