//! Users: people who manage Antiphon, all of it or one tenant's part.

mod invite;
mod one;

use admin_types::role::Role;
use admin_types::users::{ListUsers, User};
use leptos::prelude::*;
use uuid::Uuid;

use super::account::role_name;
use super::paged::{Paged, PagedTable};
use super::tenants::{TenantNames, use_tenant_names};
use crate::api::{use_client, users};
use crate::clock;
use crate::components::{
    Badge, Button, ButtonKind, Card, Choice, Column, Dialog, Empty, FilterSelect, IconName, PageHead, Panel, SearchBox,
    Status, Tone, Toolbar,
};
use crate::format;
use crate::route::{given, meaning, query_flag, query_text, query_text_or};
use crate::session::{Permission, use_session};

/// The page; for administrators alone.
#[component]
pub(super) fn Users() -> impl IntoView {
    let session = use_session();
    move || {
        if session.can(Permission::ManageUsers) {
            view! { <List /> }.into_any()
        } else {
            view! {
                <PageHead title="Users" />
                <Card>
                    <Empty title="Administrators see the users" text="Ask one of your tenant." icon=IconName::Lock />
                </Card>
            }
            .into_any()
        }
    }
}

#[component]
fn List() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let names = use_tenant_names();
    let [q, role, tenant, disabled] = ["q", "role", "tenant", "disabled"].map(query_text);
    let order = query_text_or("sort", "email");
    let (meant_role, meant_tenant, meant_order) = (meaning(role), meaning::<Uuid>(tenant), meaning(order));
    let list = Paged::new(move |cursor| {
        let query = ListUsers {
            q: given(q),
            role: meant_role.get(),
            tenant_id: session.tenant().or(meant_tenant.get()),
            disabled: disabled.get().parse().ok(),
            sort: meant_order.get(),
            limit: None,
            cursor,
        };
        async move { users::list_users(&client, &query).await }
    });
    let inviting = query_flag("new");
    let chosen = RwSignal::new(None::<User>);
    let open = RwSignal::new(false);
    let on_changed = Callback::new(move |()| list.refetch());
    let choose = Callback::new(move |user: User| {
        chosen.set(Some(user));
        open.set(true);
    });
    let panel = move || chosen.get().map(|user| view! { <one::One id=user.id open on_changed names /> });
    view! {
        <PageHead title="Users" text="People who may sign in here, and what each of them may do.">
            <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || inviting.set(true)>"Invite user"</Button>
        </PageHead>
        <Toolbar>
            <SearchBox value=q label="Search users" />
            <FilterSelect label="Role" value=role options=Signal::derive(move || roles(session.sees_all_tenants())) />
            <FilterSelect label="State" value=disabled options=Choice::list(&[("false", "Enabled"), ("true", "Disabled")]) />
            {move || (session.sees_all_tenants() && session.tenant().is_none()).then(|| view! {
                <FilterSelect label="Tenant" value=tenant options=names.choices() />
            })}
        </Toolbar>
        <Card flush=true>
            <Table list names order choose inviting />
        </Card>
        <Dialog open=inviting title="Invite user">
            <invite::Invite open=inviting on_invited=on_changed names />
        </Dialog>
        <Panel open title="User">{panel}</Panel>
    }
}

#[component]
fn Table(
    list: Paged<User>,
    names: TenantNames,
    order: RwSignal<String>,
    choose: Callback<User>,
    inviting: RwSignal<bool>,
) -> impl IntoView {
    let session = use_session();
    let now = clock::now();
    let own = untrack(|| session.me()).map(|me| me.user.id);
    let columns = move || {
        let mut columns = vec![
        Column::new("E-mail address", move |row: &User| {
            let is_own = own == Some(row.id);
            view! { <span>{row.email.clone()}</span> " " {is_own.then(|| view! { <Badge tone=Tone::Accent>"You"</Badge> })} }
        })
        .server_sorted("email")
        .press(move |row: &User| choose.run(row.clone())),
        Column::new("Name", |row: &User| row.name.clone()).spare(),
        Column::new("Role", |row: &User| role_name(row.role)),
    ];
        if session.sees_all_tenants() {
            columns.push(Column::new("Tenant", move |row: &User| {
                let id = row.tenant_id;
                move || id.map_or_else(|| "–".to_owned(), |id| names.of(id))
            }));
        }
        columns.extend([
            Column::new("State", state_view),
            Column::new("Last signed in", move |row: &User| {
                row.last_login_at.map_or_else(|| "Never".to_owned(), |at| format::ago(at, now))
            })
            .spare(),
            Column::new("Created", |row: &User| format::date(row.created_at)).server_sorted("created_at").spare(),
        ]);
        columns
    };
    view! {
        <PagedTable
            list
            label="Users"
            columns
            key=|row: &User| row.id.to_string()
            server_order=order
        >
            <Empty title="No user fits" text="Invite somebody, or take a filter away." icon=IconName::User>
                <Button icon=IconName::Plus on_press=move || inviting.set(true)>"Invite user"</Button>
            </Empty>
        </PagedTable>
    }
}

/// Whether they can sign in.
fn state_view(user: &User) -> impl IntoView + use<> {
    if user.disabled_at.is_some() {
        view! { <Status tone=Tone::Bad>"Disabled"</Status> }
    } else if user.has_password || user.single_sign_on {
        view! { <Status tone=Tone::Good>"Enabled"</Status> }
    } else {
        view! { <Status tone=Tone::Warn>"Invited"</Status> }
    }
}

/// Roles to choose from: nobody gives a role above their own.
fn roles(is_platform: bool) -> Vec<Choice> {
    let mine = Role::ALL.into_iter().filter(|role| is_platform || *role != Role::PlatformAdmin);
    mine.map(|role| Choice::new(role.as_str(), role_name(role))).collect()
}

/// What a role may do, for a hint.
fn role_hint(role: &str) -> &'static str {
    match role.parse() {
        Ok(Role::PlatformAdmin) => "Manages everything, in every tenant.",
        Ok(Role::TenantAdmin) => "Manages keys, models, providers and users of one tenant.",
        _ => "Sees one tenant and changes nothing.",
    }
}
