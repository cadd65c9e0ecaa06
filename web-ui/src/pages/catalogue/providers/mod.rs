//! Providers: the accounts that calls go to.

mod card;
mod credentials;
mod form;
mod health;
mod page;
mod trial;

use admin_types::providers::{ListProviders, Provider, ProviderSort};
use leptos::prelude::*;

use self::card::ProviderCard;
use self::form::CreateForm;
use self::health::Watched;
pub(in crate::pages) use self::page::ProviderPage;
use super::words::{Owners, kind_choices, origin_choices};
use crate::api::{providers, use_client};
use crate::components::{
    Button, ButtonKind, Choice, Dialog, Empty, FilterSelect, IconName, LoadedLive, MoreButton, PageHead, SearchBox,
    Stack, Toolbar,
};
use crate::pages::paged::Paged;
use crate::route::{given, query_flag, query_text};
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(in crate::pages) fn Providers() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let [q, kind, state, origin] = ["q", "kind", "state", "origin"].map(query_text);
    let creating = query_flag("new");
    let list = Paged::new(move |cursor| {
        let query = ListProviders {
            q: given(q),
            kind: given(kind),
            tenant_id: session.tenant(),
            managed_by: given(origin),
            enabled: given(state).map(|state| state == "enabled"),
            sort: Some(ProviderSort::Name),
            limit: Some(100),
            cursor,
        };
        async move { providers::list_providers(&client, &query).await }
    });
    let watched = Watched::new(|| None);
    let owners = Owners::new();
    let may = move || session.can(Permission::ManageProviders);
    let add = move || view! { <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=move || creating.set(true)>"Add provider"</Button> };
    let cards = move |_| view! { <Cards list watched owners creating /> };
    view! {
        <PageHead title="Providers" text="The accounts that calls are sent to, and how they are doing.">
            {move || may().then(add)}
        </PageHead>
        <Stack>
            <Toolbar>
                <SearchBox value=q label="Search providers" />
                <FilterSelect label="Kind" value=kind options=kind_choices() />
                <FilterSelect
                    label="State"
                    value=state
                    options=Choice::list(&[("enabled", "Enabled"), ("disabled", "Disabled")])
                />
                <FilterSelect label="Declared in" value=origin options=origin_choices() all="Anywhere" />
            </Toolbar>
            <LoadedLive resource=list.first children=cards />
        </Stack>
        <Dialog open=creating title="Add provider">
            <CreateForm open=creating owners />
        </Dialog>
    }
}

#[component]
fn Cards(list: Paged<Provider>, watched: Watched, owners: Owners, creating: RwSignal<bool>) -> impl IntoView {
    let session = use_session();
    let add = move || {
        let may = session.can(Permission::ManageProviders);
        may.then(|| view! { <Button icon=IconName::Plus on_press=move || creating.set(true)>"Add provider"</Button> })
    };
    let empty = move || {
        list.rows.with(Vec::is_empty).then(|| {
            view! {
                <Empty title="No providers" text="None that you may see fits these filters." icon=IconName::Provider>
                    {add}
                </Empty>
            }
        })
    };
    view! {
        <ul class="provider-cards">
            <For
                each=move || list.rows.get()
                key=|provider| (provider.id, provider.updated_at)
                children=move |provider| view! { <ProviderCard provider watched owners /> }
            />
        </ul>
        {empty}
        <MoreButton more=list.more />
    }
}
