//! One model: what serves it, its editor, and a call to it that nobody makes.

use admin_types::models::{Model, ModelTarget};
use leptos::prelude::*;
use uuid::Uuid;

use super::draft::options_text;
use super::editor::Editor;
use super::simulate::Simulator;
use crate::api::{Failure, Versioned, models, use_client};
use crate::components::{
    Button, ButtonKind, Card, Column, DataTable, Detail, Details, IconName, Loaded, Notice, PageHead, Stack,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::catalogue::words::{Origin, Owners, is_declared, strategies_text};
use crate::pages::way::Way;
use crate::route::{Page, query_flag};
use crate::session::{Permission, use_session};

fn back() -> (String, String) {
    (Page::Models.path().into_owned(), "Models".to_owned())
}

/// The page that makes one.
#[component]
pub(in crate::pages) fn NewModel() -> impl IntoView {
    let way = Way::new();
    view! {
        <PageHead title="New model" back=back() />
        <Editor on_kept=move |id| way.to(&Page::Model(id)) on_reload=|()| () cancel=Page::Models.path() />
    }
}

/// The page of one.
#[component]
pub(in crate::pages) fn ModelPage(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { models::get_model(&client, id).await });
    let editing = query_flag("edit");
    view! { <Loaded resource=found rows=8 children=move |model| view! { <Whole model found editing /> } /> }
}

type Found = LocalResource<Result<Versioned<Model>, Failure>>;

#[component]
fn Whole(model: Versioned<Model>, found: Found, editing: RwSignal<bool>) -> impl IntoView {
    let session = use_session();
    let declared = is_declared(&model.managed_by);
    let owner = model.tenant_id;
    let may = Memo::new(move |_| !declared && session.can_change(Permission::ManageModels, owner));
    let (title, id) = (model.name.clone(), model.id);
    let versioned = model.clone();
    let actions = move || {
        let model = versioned.clone();
        (may.get() && !editing.get()).then(|| {
            view! {
                <Button icon=IconName::Edit on_press=move || editing.set(true)>"Edit"</Button>
                <Delete model found />
            }
        })
    };
    let kept = Callback::new(move |_| {
        editing.set(false);
        found.refetch();
    });
    let content = move || {
        if may.get() && editing.get() {
            let model = Some(model.clone());
            let cancel = Page::Model(id).path();
            view! { <Editor model on_kept=kept on_reload=move |()| found.refetch() cancel /> }.into_any()
        } else {
            view! { <Shown model=model.value.clone() declared /> }.into_any()
        }
    };
    view! {
        <PageHead title back=back()>
            {actions}
        </PageHead>
        {content}
    }
}

#[component]
fn Shown(model: Model, declared: bool) -> impl IntoView {
    let owners = Owners::new();
    let owner = model.tenant_id;
    let hedge = model.hedge.map_or_else(
        || "Off".to_owned(),
        |hedge| format!("On; {} while unmeasured", format::duration_ms(hedge.unmeasured_ms)),
    );
    view! {
        <Stack>
            {declared
                .then(|| {
                    view! { <Notice title="Declared in the configuration">"It is changed there alone."</Notice> }
                })}
            <Card title="About">
                <Details>
                    <Detail label="Strategy">{strategies_text(model.strategy.as_slice())}</Detail>
                    <Detail label="Hedging">{hedge}</Detail>
                    <Detail label="Whose">{move || owners.name(owner)}</Detail>
                    <Detail label="Made">
                        {format::date_time(model.created_at)} " " <Origin managed_by=model.managed_by />
                    </Detail>
                    <Detail label="Changed">{format::date_time(model.updated_at)}</Detail>
                </Details>
            </Card>
            <Targets targets=model.targets />
            <Card title="Simulate" text="Which target would serve a call now, and why. Nobody is called.">
                <Simulator id=model.id />
            </Card>
        </Stack>
    }
}

#[component]
fn Targets(targets: Vec<ModelTarget>) -> impl IntoView {
    let rows: Vec<(usize, ModelTarget)> = targets.into_iter().enumerate().collect();
    let columns = vec![
        Column::new(
            "Target",
            |(_, row): &(usize, ModelTarget)| view! { <code>{format!("{}/{}", row.provider, row.model)}</code> },
        ),
        Column::new("Priority", |(_, row): &(usize, ModelTarget)| format::count(row.priority)).end(),
        Column::new("Weight", |(_, row): &(usize, ModelTarget)| format::count(row.weight)).end(),
        Column::new("Quality", |(_, row): &(usize, ModelTarget)| {
            row.quality.map_or_else(|| "–".to_owned(), |quality| quality.to_string())
        })
        .end(),
        Column::new("Region", |(_, row): &(usize, ModelTarget)| {
            row.region.clone().unwrap_or_else(|| "Its provider's".to_owned())
        })
        .spare(),
        Column::new("Options", |(_, row): &(usize, ModelTarget)| options_text(&row.options).replace('\n', ", "))
            .spare(),
    ];
    view! {
        <Card title="Targets" flush=true>
            <DataTable label="Targets" columns rows key=|(place, _): &(usize, ModelTarget)| place.to_string() />
        </Card>
    }
}

#[component]
fn Delete(model: Versioned<Model>, found: Found) -> impl IntoView {
    let (client, way) = (use_client(), Way::new());
    let open = RwSignal::new(false);
    let text = format!("Calls that ask for {} are refused from then on.", model.name);
    let remove = move || {
        let (id, version) = (model.id, model.version.clone());
        Some(async move { models::delete_model(&client, id, version.as_deref()).await })
    };
    view! {
        <Button kind=ButtonKind::Danger icon=IconName::Trash on_press=move || open.set(true)>"Delete"</Button>
        <AskFirst
            open
            title="Delete this model?"
            text
            action="Delete model"
            danger=true
            call=remove
            done="Model deleted"
            on_done=move || way.to(&Page::Models)
            on_stale=move || found.refetch()
        />
    }
}
