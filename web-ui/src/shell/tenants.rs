//! Whose the lists are: a platform administrator chooses a tenant or all; others see their own.

use admin_types::tenants::{ListTenants, Tenant, TenantSort};
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{Client, Failure, tenants, use_client};
use crate::components::{Icon, IconName};
use crate::route::meant;
use crate::session::use_session;

/// Tenants in the list; the palette finds the others.
const MOST: u16 = 500;

#[component]
pub(super) fn TenantSwitcher() -> impl IntoView {
    let session = use_session();
    let client = use_client();
    let own = Memo::new(move |_| session.me().and_then(|me| me.tenant_id));
    let found = LocalResource::new(move || {
        let (sees_all, chosen, own) = (session.sees_all_tenants(), session.tenant(), own.get());
        async move { if sees_all { all(&client, chosen).await } else { one(&client, own).await } }
    });
    let names = Memo::new(move |_| match found.get() {
        Some(Ok(tenants)) => tenants,
        _ => Vec::new(),
    });
    move || {
        if session.sees_all_tenants() {
            view! { <Switcher names /> }.into_any()
        } else {
            let name = move || names.with(|names| names.first().map(|(_, name)| name.clone()));
            view! {
                <p class="tenant-name">
                    <Icon name=IconName::Tenant />
                    <span>{name}</span>
                </p>
            }
            .into_any()
        }
    }
}

#[component]
fn Switcher(names: Memo<Vec<(Uuid, String)>>) -> impl IntoView {
    let session = use_session();
    let options = move || {
        let options = names.get().into_iter().map(|(id, name)| {
            view! {
                <option value=id.to_string() prop:selected=move || session.tenant() == Some(id)>
                    {name}
                </option>
            }
        });
        options.collect_view()
    };
    view! {
        <label class="tenant-switcher">
            <Icon name=IconName::Tenant />
            <span class="visually-hidden">"Tenant"</span>
            <select
                class="select"
                on:change:target=move |event| session.choose_tenant(meant(&event.target().value()))
            >
                <option value="" prop:selected=move || session.tenant().is_none()>
                    "All tenants"
                </option>
                {options}
            </select>
        </label>
    }
}

/// The tenants, and the chosen one even where it is not among the first.
async fn all(client: &Client, chosen: Option<Uuid>) -> Result<Vec<(Uuid, String)>, Failure> {
    let query = ListTenants { sort: Some(TenantSort::Name), limit: Some(MOST), ..ListTenants::default() };
    let page = tenants::list_tenants(client, &query).await?;
    let mut names: Vec<(Uuid, String)> = page.data.into_iter().map(named).collect();
    if let Some(chosen) = chosen.filter(|chosen| names.iter().all(|(id, _)| id != chosen)) {
        names.extend(one(client, Some(chosen)).await?);
    }
    Ok(names)
}

async fn one(client: &Client, id: Option<Uuid>) -> Result<Vec<(Uuid, String)>, Failure> {
    match id {
        Some(id) => Ok(vec![named(tenants::get_tenant(client, id).await?.value)]),
        None => Ok(Vec::new()),
    }
}

fn named(tenant: Tenant) -> (Uuid, String) {
    (tenant.id, tenant.name)
}
