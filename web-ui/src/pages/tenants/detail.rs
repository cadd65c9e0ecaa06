//! One tenant: what holds for it, what it owns, what it uses.

use admin_types::keys::ListKeys;
use admin_types::tenants::Tenant as Row;
use admin_types::users::ListUsers;
use leptos::prelude::*;
use uuid::Uuid;

use super::change::{Edit, Suspend, away_words};
use super::{origin, state_view};
use crate::api::{Versioned, keys, tenants, use_client, users};
use crate::components::{
    Button, Card, CopyField, Detail, Details, Dialog, IconName, LoadedLive, Menu, MenuItem, Notice, PageHead, Split,
    Stack, Tone,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::found::{Found, put};
use crate::pages::over_time::{OverTime, Whose};
use crate::pages::pair::pair;
use crate::pages::way::Way;
use crate::route::Page;
use crate::session::{Permission, use_session};

/// Counted up to here.
const MOST: u16 = 500;

/// The page.
#[component]
pub(in crate::pages) fn Tenant(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { tenants::get_tenant(&client, id).await });
    let name = Signal::derive(move || match found.get() {
        Some(Ok(tenant)) => tenant.name.clone(),
        _ => "Tenant".to_owned(),
    });
    let tenant_now = Memo::new(move |_| found.get().and_then(Result::ok));
    view! {
        <PageHead title=name back=("/tenants".to_owned(), "Tenants".to_owned())>
            <Actions tenant=tenant_now found />
        </PageHead>
        <LoadedLive
            resource=found
            rows=8
            children=move |tenant| view! {
                <Split>
                    <Stack>
                        <Suspended tenant />
                        <OverTime whose=Whose::Tenant(id) />
                    </Stack>
                    <About tenant />
                </Split>
            }
        />
    }
}

#[component]
fn Actions(tenant: Memo<Option<Versioned<Row>>>, found: Found<Row>) -> impl IntoView {
    let session = use_session();
    let [editing, suspending, resuming, removing] = [(); 4].map(|()| RwSignal::new(false));
    // Not made anew by what else changes: somebody may have a menu open.
    let state = Memo::new(move |_| {
        tenant.with(|tenant| tenant.as_ref().map(|tenant| (tenant.suspended_at.is_some(), tenant.managed_by == "file")))
    });
    let shown = move || {
        let (is_suspended, is_declared) = state.get().filter(|_| session.can(Permission::ManageTenants))?;
        let edit = (!is_declared)
            .then(|| view! { <Button icon=IconName::Edit on_press=move || editing.set(true)>"Edit"</Button> });
        let state = if is_suspended {
            view! { <Button icon=IconName::Play on_press=move || resuming.set(true)>"Resume"</Button> }.into_any()
        } else {
            view! { <Button icon=IconName::Pause on_press=move || suspending.set(true)>"Suspend"</Button> }.into_any()
        };
        let more = (!is_declared).then(|| {
            view! {
                <Menu label="More actions">
                    <MenuItem icon=IconName::Trash danger=true on_press=move || removing.set(true)>"Remove"</MenuItem>
                </Menu>
            }
        });
        Some(view! { {edit} {state} {more} })
    };
    let edit = move || tenant.get_untracked().map(|tenant| view! { <Edit tenant open=editing found /> });
    let suspend = move || tenant.get_untracked().map(|tenant| view! { <Suspend id=tenant.id open=suspending found /> });
    view! {
        {shown}
        <Dialog open=editing title="Edit tenant">{edit}</Dialog>
        <Dialog open=suspending title="Suspend tenant">{suspend}</Dialog>
        <Resume tenant open=resuming found />
        <Remove tenant open=removing found />
    }
}

#[component]
fn Resume(tenant: Memo<Option<Versioned<Row>>>, open: RwSignal<bool>, found: Found<Row>) -> impl IntoView {
    let client = use_client();
    let resume = move || {
        let id = tenant.with_untracked(|tenant| tenant.as_ref().map(|tenant| tenant.id))?;
        Some(async move { tenants::resume_tenant(&client, id).await.map(|now| put(found, now)) })
    };
    view! {
        <AskFirst
            open
            title="Resume this tenant?"
            text="Its keys are served again and its people can sign in. Sessions that were ended stay ended."
            action="Resume tenant"
            call=resume
            done="Tenant resumed"
        />
    }
}

#[component]
fn Remove(tenant: Memo<Option<Versioned<Row>>>, open: RwSignal<bool>, found: Found<Row>) -> impl IntoView {
    let (client, way) = (use_client(), Way::new());
    let remove = move || {
        let tenant = tenant.get_untracked()?;
        Some(async move { tenants::delete_tenant(&client, tenant.id, tenant.version.as_deref()).await })
    };
    view! {
        <AskFirst
            open
            title="Remove this tenant?"
            text="Everything that it owns goes with it: keys, users, providers, models and prices. Its programs are refused from then on. What it has used stays in the records. This cannot be undone."
            action="Remove tenant"
            danger=true
            call=remove
            done="Tenant removed"
            on_done=move || way.to(&Page::Tenants)
            on_stale=move || found.refetch()
        />
    }
}

#[component]
fn Suspended(tenant: Signal<Versioned<Row>>) -> impl IntoView {
    move || {
        let tenant = tenant.get();
        let declared = (tenant.managed_by == "file").then(|| {
            view! { <Notice title="Declared in the configuration file">"It is changed there alone; suspending it works here, too."</Notice> }
        });
        let suspended = tenant.suspended_at.map(|at| {
            let reason = tenant.suspended_reason.clone().unwrap_or_default();
            let title = format!("Suspended since {}", format::date_time(at));
            view! { <Notice tone=Tone::Bad title>{reason}</Notice> }
        });
        view! { {declared} {suspended} }
    }
}

#[component]
fn About(tenant: Signal<Versioned<Row>>) -> impl IntoView {
    let client = use_client();
    let id = tenant.with_untracked(|tenant| tenant.id);
    let session = use_session();
    let keys = LocalResource::new(move || async move {
        let query = ListKeys { tenant_id: Some(id), limit: Some(MOST), ..ListKeys::default() };
        keys::list_keys(&client, &query).await.ok().map(|page| count_words(page.data.len(), page.next_cursor.is_some()))
    });
    let sees_users = session.can(Permission::ManageUsers);
    let people = LocalResource::new(move || async move {
        let query = ListUsers { tenant_id: Some(id), limit: Some(MOST), ..ListUsers::default() };
        if !sees_users {
            return None;
        }
        users::list_users(&client, &query)
            .await
            .ok()
            .map(|page| count_words(page.data.len(), page.next_cursor.is_some()))
    });
    let shown = |found: Option<Option<String>>| found.flatten().unwrap_or_else(|| "–".to_owned());
    let content = move || {
        let tenant = tenant.get();
        view! {
            <Details>
                {pair("State", state_view(&tenant))}
                <Detail label="Keys"><a href=format!("/keys?tenant={id}")>{move || shown(keys.get())}</a></Detail>
                {sees_users.then(|| view! {
                    <Detail label="Users"><a href=format!("/users?tenant={id}")>{move || shown(people.get())}</a></Detail>
                })}
                {pair("Without a price", if tenant.refuse_unpriced { "Refused" } else { "Served" })}
                {pair("While gateways cannot count together", tenant.when_away.map_or("As the gateways are configured", away_words))}
                {pair("Made by", origin(&tenant.managed_by))}
                {pair("Created", format::date_time(tenant.created_at))}
            </Details>
            <CopyField label="Id" value=id.to_string() />
        }
    };
    view! { <Card title="About">{content}</Card> }
}

fn count_words(count: usize, more: bool) -> String {
    let shown = format::count(count as i64);
    if more { format!("{shown} and more") } else { shown }
}
