//! Tenants: organisations that own keys, users, providers and models.

mod change;
mod detail;
mod names;

use admin_types::tenants::{ListTenants, Tenant as Row};
use leptos::prelude::*;

use super::paged::{Paged, PagedTable};
use crate::api::{tenants, use_client};
use crate::components::{
    Button, ButtonKind, Card, Choice, Column, Dialog, Empty, FilterSelect, IconName, PageHead, SearchBox, Status, Tone,
    Toolbar,
};
use crate::format;
use crate::route::{Page, given, meaning, query_flag, query_text, query_text_or};
use crate::session::{Permission, use_session};

pub(super) use detail::Tenant;
pub(super) use names::{TenantNames, use_tenant_names};

/// The page.
#[component]
pub(super) fn Tenants() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let (q, suspended) = (query_text("q"), query_text("suspended"));
    let order = query_text_or("sort", "name");
    let meant_order = meaning(order);
    let list = Paged::new(move |cursor| {
        let query = ListTenants {
            q: given(q),
            suspended: suspended.get().parse().ok(),
            sort: meant_order.get(),
            limit: None,
            cursor,
        };
        async move { tenants::list_tenants(&client, &query).await }
    });
    let creating = query_flag("new");
    let manages = move || session.can(Permission::ManageTenants);
    let actions = move || {
        manages().then(|| {
            view! {
                <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>"Create tenant"</Button>
            }
        })
    };
    view! {
        <PageHead title="Tenants" text="Organisations that share this installation. None sees anything of another.">
            {actions}
        </PageHead>
        <Toolbar>
            <SearchBox value=q label="Search tenants" />
            <FilterSelect label="State" value=suspended options=states() />
        </Toolbar>
        <Card flush=true>
            <Table list order creating />
        </Card>
        <Show when=manages>
            <Dialog open=creating title="Create tenant">
                <change::Create open=creating on_created=move || list.refetch() />
            </Dialog>
        </Show>
    }
}

#[component]
fn Table(list: Paged<Row>, order: RwSignal<String>, creating: RwSignal<bool>) -> impl IntoView {
    let columns = move || {
        vec![
            Column::new("Name", |row: &Row| row.name.clone())
                .server_sorted("name")
                .link(|row| Page::Tenant(row.id).path().into_owned()),
            Column::new("State", state_view),
            Column::new("Without a price", |row: &Row| if row.refuse_unpriced { "Refused" } else { "Served" }).spare(),
            Column::new("Made by", |row: &Row| origin(&row.managed_by)).spare(),
            Column::new("Created", |row: &Row| format::date(row.created_at)).server_sorted("created_at"),
        ]
    };
    view! {
        <PagedTable
            list
            label="Tenants"
            columns
            key=|row: &Row| row.id.to_string()
            server_order=order
        >
            <NoTenants creating />
        </PagedTable>
    }
}

#[component]
fn NoTenants(creating: RwSignal<bool>) -> impl IntoView {
    let session = use_session();
    let action = move || {
        session.can(Permission::ManageTenants).then(|| {
            view! { <Button on_press=move || creating.set(true)>"Create tenant"</Button> }
        })
    };
    view! {
        <Empty title="No tenant fits" text="Each organisation that you serve is one." icon=IconName::Tenant>
            {action}
        </Empty>
    }
}

fn state_view(tenant: &Row) -> impl IntoView + use<> {
    if tenant.suspended_at.is_some() {
        view! { <Status tone=Tone::Bad>"Suspended"</Status> }
    } else {
        view! { <Status tone=Tone::Good>"Active"</Status> }
    }
}

fn states() -> Vec<Choice> {
    Choice::list(&[("false", "Active"), ("true", "Suspended")])
}

/// How something came to be.
fn origin(managed_by: &str) -> &'static str {
    match managed_by {
        "file" => "Configuration file",
        "cli" => "Command line",
        _ => "Dashboard or API",
    }
}
