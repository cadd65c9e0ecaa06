//! Virtual keys: what API clients send, with what each of them may do and spend.

mod bulk;
mod change;
mod create;
mod detail;
mod fields;
mod numbers;
mod secret;
mod words;

use admin_types::keys::{ListKeys, VirtualKey};
use leptos::prelude::*;
use uuid::Uuid;

use self::numbers::Numbers;
use self::words::state_view;
use super::paged::{Paged, PagedTable};
use super::tenants::{TenantNames, use_tenant_names};
use crate::api::{keys, use_client};
use crate::components::{
    Button, ButtonKind, Card, Choice, Column, Dialog, Empty, FilterSelect, IconName, PageHead, SearchBox, Toolbar,
};
use crate::format;
use crate::route::{Page, given, meaning, query_flag, query_text, query_text_or};
use crate::session::{Permission, use_session};

pub(super) use detail::Key;

/// The page.
#[component]
pub(super) fn Keys() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let names = use_tenant_names();
    let q = query_text("q");
    let [state, tenant, origin] = ["state", "tenant", "from"].map(query_text);
    let order = query_text_or("sort", "-created_at");
    let (meant_state, meant_tenant) = (meaning(state), meaning::<Uuid>(tenant));
    let (meant_origin, meant_order) = (meaning(origin), meaning(order));
    let list = Paged::new(move |cursor| {
        let query = ListKeys {
            tenant_id: session.tenant().or(meant_tenant.get()),
            q: given(q),
            state: meant_state.get(),
            managed_by: meant_origin.get(),
            sort: meant_order.get(),
            limit: None,
            cursor,
        };
        async move { keys::list_keys(&client, &query).await }
    });
    let filtered =
        Signal::derive(move || [q, state, tenant, origin].iter().any(|filter| filter.with(|text| !text.is_empty())));
    let clear = move || [q, state, tenant, origin].iter().for_each(|filter| filter.set(String::new()));
    let (creating, many) = (query_flag("new"), query_flag("many"));
    let manages = move || session.can(Permission::ManageKeys);
    let actions = move || {
        manages().then(|| {
            view! {
                <Button icon=IconName::Upload on_press=move || many.set(true)>"Create from CSV"</Button>
                <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>"Create key"</Button>
            }
        })
    };
    let empty = Empties { filtered, clear: Callback::new(move |()| clear()), creating };
    view! {
        <PageHead title="Keys" text="What your programs send to be served, each with its own limits.">
            {actions}
        </PageHead>
        <Toolbar>
            <SearchBox value=q label="Search keys" />
            <FilterSelect label="State" value=state options=states() />
            {move || (session.sees_all_tenants() && session.tenant().is_none()).then(|| view! {
                <FilterSelect label="Tenant" value=tenant options=names.choices() />
            })}
            <FilterSelect label="Made" value=origin options=origins() all="Anywhere" />
        </Toolbar>
        <Card flush=true>
            <Table list names order empty />
        </Card>
        <Show when=manages>
            <Dialog open=creating title="Create key" wide=true>
                <create::Create open=creating on_created=move || list.refetch() />
            </Dialog>
            <Dialog open=many title="Create keys from a CSV file" wide=true>
                <bulk::Bulk open=many on_created=move || list.refetch() />
            </Dialog>
        </Show>
    }
}

/// What stands there where there are no keys.
#[derive(Clone, Copy)]
struct Empties {
    filtered: Signal<bool>,
    clear: Callback<()>,
    creating: RwSignal<bool>,
}

#[component]
fn Table(list: Paged<VirtualKey>, names: TenantNames, order: RwSignal<String>, empty: Empties) -> impl IntoView {
    let session = use_session();
    let numbers = Numbers::of(list.rows.into());
    let columns = move || {
        let mut columns = vec![
            Column::new("Name", |row: &VirtualKey| row.name.clone())
                .server_sorted("name")
                .link(|row| Page::Key(row.id).path().into_owned()),
            Column::new("Key", |row: &VirtualKey| view! { <code>{row.redacted.clone()}</code> }).spare(),
        ];
        if session.sees_all_tenants() {
            columns.push(Column::new("Tenant", move |row: &VirtualKey| {
                let id = row.tenant_id;
                move || names.of(id)
            }));
        }
        columns.extend([
            Column::new("State", |row: &VirtualKey| state_view(row.state)).width(110),
            Column::new("Budget", move |row: &VirtualKey| numbers.budget_view(row)).width(250),
            Column::new("Last used", move |row: &VirtualKey| numbers.last_use_view(row)).width(130),
            Column::new("Created", |row: &VirtualKey| format::date(row.created_at))
                .server_sorted("created_at")
                .spare()
                .width(130),
        ]);
        columns
    };
    view! {
        <PagedTable
            list
            label="Keys"
            rows=8
            columns
            key=|row: &VirtualKey| row.id.to_string()
            server_order=order
        >
            <NoKeys empty />
        </PagedTable>
    }
}

#[component]
fn NoKeys(empty: Empties) -> impl IntoView {
    let session = use_session();
    move || {
        if empty.filtered.get() {
            view! {
                <Empty title="No key fits" text="Other words or fewer filters may." icon=IconName::Search>
                    <Button on_press=empty.clear>"Clear filters"</Button>
                </Empty>
            }
            .into_any()
        } else if session.can(Permission::ManageKeys) {
            view! {
                <Empty title="No keys yet" text="With a key, a program is served by every model that you allow it." icon=IconName::Key>
                    <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || empty.creating.set(true)>
                        "Create key"
                    </Button>
                </Empty>
            }
            .into_any()
        } else {
            view! { <Empty title="No keys yet" text="An administrator of your tenant creates them." icon=IconName::Key /> }.into_any()
        }
    }
}

fn states() -> Vec<Choice> {
    Choice::list(&[("active", "Active"), ("revoked", "Revoked"), ("expired", "Expired")])
}

fn origins() -> Vec<Choice> {
    Choice::list(&[("api", "Here or by the API"), ("file", "Configuration file"), ("cli", "Command line")])
}
