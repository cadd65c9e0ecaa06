//! Models: the names that clients ask for, and what serves them.

mod draft;
mod editor;
mod page;
mod simulate;
mod target;

use admin_types::models::{ListModels, Model, ModelSort};
use leptos::prelude::*;

pub(in crate::pages) use self::page::{ModelPage, NewModel};
use self::simulate::Simulator;
use super::words::{Origin, Owners, origin_choices, strategies_text, strategy_choices};
use crate::api::{models, use_client};
use crate::components::{
    Button, ButtonKind, Column, Empty, FilterSelect, IconName, LinkButton, PageHead, Panel, SearchBox, Stack, Toolbar,
};
use crate::format;
use crate::pages::paged::{Paged, PagedTable};
use crate::route::{Page, given, query_flag, query_text, query_text_or};
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(in crate::pages) fn Models() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let [q, strategy, origin] = ["q", "strategy", "origin"].map(query_text);
    let sort = query_text_or("sort", "name");
    let simulating = query_flag("simulate");
    let list = Paged::new(move |cursor| {
        let query = ListModels {
            q: given(q),
            tenant_id: session.tenant(),
            strategy: given(strategy).and_then(|strategy| strategy.parse().ok()),
            managed_by: given(origin),
            sort: ModelSort::named(&sort.get()),
            limit: Some(100),
            cursor,
        };
        async move { models::list_models(&client, &query).await }
    });
    let may = move || session.can(Permission::ManageModels);
    view! {
        <PageHead title="Models" text="The names that clients ask for, and which targets serve them.">
            <Button icon=IconName::Play on_press=move || simulating.set(true)>"Simulate"</Button>
            {move || may().then(new_link)}
        </PageHead>
        <Stack>
            <Toolbar>
                <SearchBox value=q label="Search models" />
                <FilterSelect label="Strategy" value=strategy options=strategy_choices() />
                <FilterSelect label="Declared in" value=origin options=origin_choices() all="Anywhere" />
            </Toolbar>
            <Table list sort />
        </Stack>
        <Panel open=simulating title="Simulate a call">
            <Simulator />
        </Panel>
    }
}

fn new_link() -> impl IntoView {
    view! {
        <LinkButton href=Page::NewModel.path() kind=ButtonKind::Primary icon=IconName::Plus>
            "New model"
        </LinkButton>
    }
}

#[component]
fn Table(list: Paged<Model>, sort: RwSignal<String>) -> impl IntoView {
    let session = use_session();
    let owners = Owners::new();
    let columns = move || {
        vec![
            Column::new("Name", |row: &Model| view! { <code>{row.name.clone()}</code> })
                .link(|row| Page::Model(row.id).path().into_owned())
                .server_sorted("name"),
            Column::new("Strategy", |row: &Model| strategies_text(row.strategy.as_slice())),
            Column::new("Targets", |row: &Model| {
                let targets = row.targets.iter().map(|target| format!("{}/{}", target.provider, target.model));
                let all = targets.collect::<Vec<_>>().join(", ");
                view! { <span title=all.clone()>{all.clone()}</span> }
            }),
            Column::new("Whose", move |row: &Model| {
                let owner = row.tenant_id;
                move || owners.name(owner)
            })
            .spare(),
            Column::new("Declared", |row: &Model| view! { <Origin managed_by=row.managed_by.clone() /> }).spare(),
            Column::new("Made", |row: &Model| format::date(row.created_at)).server_sorted("created_at").spare(),
        ]
    };
    let may = move || session.can(Permission::ManageModels);
    view! {
        <PagedTable
            list
            label="Models"
            columns
            key=|row: &Model| row.id.to_string()
            server_order=sort
        >
            <Empty
                title="No models"
                text="A provider's own models can be asked for as provider/model without any."
                icon=IconName::Model
            >
                {move || may().then(new_link)}
            </Empty>
        </PagedTable>
    }
}
